import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { exampleRow } from "./example_record.ts";
import { detailTable, gainOf, groupsOf, groupTable, number, verdictTable } from "./text.ts";
import { judge } from "./wanted.ts";

Deno.test("numbers have three figures", () => {
  assertEquals([0.3456, 12.345, 1234.5, 0, 0.00004].map(number), [
    "0.346",
    "12.3",
    "1235",
    "0",
    "0.000",
  ]);
});

Deno.test("a gain says how many times better, whichever way is better", () => {
  assertEquals(gainOf(exampleRow("a", { tcp: [70], sd: [0.35] })), 200);
  assertEquals(gainOf(exampleRow("a", { tcp: [2], sd: [10] }, "higher")), 5);
  assertEquals(gainOf(exampleRow("a", { sd: [10] })), undefined);
});

Deno.test("a table has a column for each transport that was measured, and no other", () => {
  const text = groupTable([
    exampleRow("a", { tcp: [70, 71, 72], sd: [0.3, 0.31, 0.32] }),
    exampleRow("b", { tcp: [5], sd: [1], pipe: [2] }),
  ]);
  const [titles, , first] = text.split("\n");
  assertEquals(titles.split("|").map((word) => word.trim()).filter((word) => word !== ""), [
    "what",
    "unit",
    "kernel TCP",
    "SocksDirect",
    "pipe",
    "gain",
  ]);
  assertStringIncludes(first, "71.0 (70.0-72.0)");
  assert(!titles.includes("Unix"));
});

Deno.test("the details have percentiles, CPU and memory of both", () => {
  const text = detailTable([exampleRow("a", { tcp: [70], sd: [0.3] })])!;
  const cells = text.split("\n")[3].split("|").map((word) => word.trim());
  assertEquals(cells.slice(3, 9), ["0.300", "0.600", "1.50", "2.70", "0.030", "2.00"]);
  assertEquals(detailTable([exampleRow("a", {})]), undefined);
});

Deno.test("the table of what must hold says NO where something does not", () => {
  const rows = [exampleRow("stream-64", { sd: [9], bare: [18], tcp: [0.2] }, "higher")];
  const text = verdictTable(judge(rows), rows);
  const line = text.split("\n").find((one) => one.includes("| stream of 64 B"))!;
  assertEquals(line.split("|").map((word) => word.trim()).slice(2, 5), [
    "at least 10 M/s",
    "9.00",
    "NO",
  ]);
});

Deno.test("groups keep the order of their rows", () => {
  const rows = ["x", "y", "x"].map((group, i) => exampleRow(`${i}`, {}, "lower", { group }));
  assertEquals([...groupsOf(rows)].map(([name, own]) => [name, own.length]), [["x", 2], ["y", 1]]);
});
