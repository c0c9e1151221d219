import { assert, assertEquals } from "@std/assert";
import { allCases } from "./cases.ts";
import { exampleRow } from "./example_record.ts";
import type { Row } from "./model.ts";
import { judge, levelText, type Wanted, wanted } from "./wanted.ts";

function verdictOn(rows: Row[], one: Omit<Wanted, "what">) {
  const [verdict] = judge(rows, [{ what: "it", ...one }]);
  return verdict;
}

Deno.test("a number is held against the median in the row's unit", () => {
  const rows = [exampleRow("a", { sd: [9, 13, 14] }, "higher")];
  assertEquals(verdictOn(rows, { row: "a", atLeast: 12 }).holds, true);
  assertEquals(verdictOn(rows, { row: "a", atLeast: 13.5 }).holds, false);
});

Deno.test("another transport of the row is judged pair by pair", () => {
  // The machine was ten times slower in the second pair: medians of each side would say 10.
  const rows = [exampleRow("a", { sd: [2, 20, 20], bare: [1, 10, 1] })];
  const atMost = { times: 2, transport: "bare" } as const;
  const verdict = verdictOn(rows, { row: "a", metric: "p50", atMost });
  assertEquals([verdict.figure, verdict.holds], [2, true]);
});

Deno.test("a tail is held against its own median", () => {
  const rows = [exampleRow("a", { sd: [1, 1, 1] })];
  const verdict = verdictOn(rows, { row: "a", metric: "p99", atMost: { times: 3, metric: "p50" } });
  assertEquals([verdict.figure, verdict.holds], [2, true]);
});

Deno.test("another row is judged by the medians", () => {
  const rows = [exampleRow("a", { sd: [5, 6, 7] }), exampleRow("b", { sd: [2, 3, 9] })];
  const verdict = verdictOn(rows, { row: "a", metric: "p50", atMost: { times: 2, row: "b" } });
  assertEquals([verdict.figure, verdict.holds], [2, true]);
});

Deno.test("memory may be so much over kernel TCP's", () => {
  const rows = [exampleRow("a", { sd: [20], tcp: [3] })];
  const verdict = verdictOn(rows, { row: "a", atMost: { over: 16, transport: "tcp" } });
  assertEquals([verdict.figure, verdict.holds], [17, false]);
});

Deno.test("what was not measured is left out or not judged", () => {
  assertEquals(judge([], wanted), []);
  const rows = [exampleRow("a", { sd: [1] })];
  const verdict = verdictOn(rows, { row: "a", atMost: { times: 1, transport: "tcp" } });
  assertEquals(verdict.holds, undefined);
});

Deno.test("everything that must hold names cases that exist", () => {
  const ids = new Set(allCases().map(({ id }) => id));
  // Cases of programs that are not installed here are not there.
  const ofPrograms = /^(redis|nginx|pgbench)-/;
  for (const { what, row, atMost, atLeast } of wanted) {
    assert(ids.has(row) || ofPrograms.test(row), `${what}: no case '${row}'`);
    const level = atMost ?? atLeast;
    if (typeof level === "object" && "row" in level) assert(ids.has(level.row!), level.row);
  }
});

Deno.test("a level reads as it would be said", () => {
  const text = (one: Partial<Wanted>) => levelText({ what: "", row: "a", ...one });
  assertEquals(text({ atLeast: 12 }), "at least 12");
  assertEquals(text({ atMost: { times: 2, transport: "bare" } }), "at most 2x the bare ring");
  assertEquals(
    text({ metric: "p99", atMost: { times: 3, metric: "p50" } }),
    "at most 3x its own p50",
  );
  assertEquals(text({ atMost: { over: 16, transport: "tcp" } }), "at most TCP + 16");
});
