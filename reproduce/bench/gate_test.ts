import { assertEquals, assertStringIncludes } from "@std/assert";
import { exampleRow } from "./example_record.ts";
import { type Baseline, conditionOf, gainsOf, gateCases, gateText, judgeGate } from "./gate.ts";
import { allCases } from "./cases.ts";

const steady = [1, 1, 1, 1, 1];
const was = { machine: "m", revision: "r", date: "d" };

function baselineOf(...rows: Parameters<typeof gainsOf>[0][]): Baseline {
  return { ...was, gains: Object.fromEntries(rows.map((row) => [row.id, gainsOf(row)])) };
}

const times = (factor: number) => steady.map((value) => value * factor);

Deno.test("a gain says how many times better, whichever way is better", () => {
  assertEquals(gainsOf(exampleRow("a", { sd: times(2), tcp: times(80) })).tcp?.median, 40);
  assertEquals(gainsOf(exampleRow("a", { sd: times(9), bare: times(18) }, "higher")).bare, {
    median: 0.5,
    noise: 0,
  });
});

Deno.test("nine percent less are no loss, twelve percent are", () => {
  const baseline = baselineOf(exampleRow("a", { sd: times(10), tcp: steady }, "higher"));
  const judged = (sd: number) =>
    judgeGate([exampleRow("a", { sd: times(sd), tcp: steady }, "higher")], baseline).lost;
  assertEquals(judged(9.1), []);
  assertEquals(judged(8.8), ["a"]);
  assertEquals(judged(12), []);
});

Deno.test("what a noisy measurement cannot tell is not held against it", () => {
  const baseline = baselineOf(exampleRow("a", { sd: times(10), tcp: steady }, "higher"));
  const noisy = exampleRow("a", { sd: [8.5, 5, 12, 7, 11], tcp: steady }, "higher");
  assertEquals(judgeGate([noisy], baseline).lost, []);
});

Deno.test("a faster TCP alone is no loss of ours", () => {
  const baseline = baselineOf(exampleRow("a", { sd: times(2), tcp: times(80), bare: steady }));
  const fasterTcp = exampleRow("a", { sd: times(2), tcp: times(40), bare: steady });
  assertEquals(judgeGate([fasterTcp], baseline).lost, []);
  const slowerWe = exampleRow("a", { sd: times(3), tcp: times(80), bare: steady });
  assertEquals(judgeGate([slowerWe], baseline).lost, ["a"]);
});

Deno.test("a case without a baseline is said, not judged", () => {
  const judged = judgeGate([exampleRow("new", { sd: steady, tcp: steady })], { ...was, gains: {} });
  assertEquals([judged.lost, judged.unknown], [[], ["new"]]);
  assertStringIncludes(gateText(judged), "no baseline: new");
});

Deno.test("the table says which case is lost and beside what", () => {
  const baseline = baselineOf(exampleRow("a", { sd: times(10), tcp: steady }, "higher"));
  const text = gateText(
    judgeGate([exampleRow("a", { sd: times(5), tcp: steady }, "higher")], baseline),
  );
  assertStringIncludes(text, "50 % lost");
  assertStringIncludes(text, "LOST");
});

Deno.test("each distance of the cpus has a name of its own", () => {
  assertEquals([62, 85, 320].map(conditionOf), [
    "threads of one core",
    "cores with one cache",
    "far apart",
  ]);
});

Deno.test("every case of the gate exists", () => {
  const ids = allCases().map(({ id }) => id);
  assertEquals(gateCases.filter((id) => !ids.includes(id) && !id.startsWith("redis-")), []);
});
