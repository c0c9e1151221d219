import { assert, assertEquals, assertThrows } from "@std/assert";
import { root } from "../../tests/harness.ts";
import { exampleRecord } from "./example_record.ts";
import { publishedRecord, readRecord } from "./record.ts";
import { arenasFor, constantsOf, pageWith, planOf, planTable, target } from "./scale.ts";

const constants = {
  idleKib: 10,
  idleKibTcp: 1,
  exchangesPerSecond: 3e6,
  exchangesPerSecondTcp: 1e5,
  exchangesPerSecondAt10k: 1e6,
  streamGbytes: 10,
  connectsPerSecond: 10_000,
  sleepingCpuUs: 50,
  sleepingCpuUsTcp: 60,
  cacheLineNs: 80,
};

Deno.test("arenas grow by four until all connections have a slot, up to the largest", () => {
  assertEquals(arenasFor(64), [64]);
  assertEquals(arenasFor(65), [64, 256]);
  assertEquals(arenasFor(31_250), [64, 256, 1024, 4096, 16_384, 16_384]);
});

Deno.test("the plan multiplies what was measured", () => {
  const result = (what: string) =>
    planOf(constants, target).find((line) => line.what.startsWith(what))?.result;
  assertEquals(result("memory of idle"), "9.54 GiB");
  assertEquals(result("processes a side"), "31");
  assertEquals(result("exchanges of 8 B"), "96.0 M/s (kernel TCP: 3.20 M/s)");
  assertEquals(result("opening all"), "3.13 s");
  assertEquals(result("cores for 1 message"), "50.0 (kernel TCP: 60.0)");
});

Deno.test("a record that lacks a constant is refused by name", () => {
  assertThrows(() => constantsOf(exampleRecord([])), Error, "no value of 'idle-memory' over sd");
});

Deno.test("a page without its marks is refused", () => {
  assertThrows(() => pageWith("# Scale\n", ""), Error, "lacks the lines");
});

Deno.test("the table of docs/SCALE.md is what the published record makes", async () => {
  const page = Deno.readTextFileSync(`${root}/docs/SCALE.md`);
  const made = pageWith(page, planTable(await readRecord(publishedRecord)));
  assert(page === made, "docs/SCALE.md is stale: 'deno task scale' makes it anew");
});
