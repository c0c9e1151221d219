import { assertEquals } from "@std/assert";
import { outcomesOf, regressions } from "./regrtest.ts";

const report = `<testsuites><testsuite>
  <testcase name="a.passes" status="run" result="completed" time="0.1" />
  <testcase name="a.fails" status="run" result="completed"><failure type="x">no</failure></testcase>
  <testcase name="a.breaks" status="run"><error message="y">no</error></testcase>
  <testcase name="a.skips" status="run"><skipped>why</skipped></testcase>
  <testcase name="a.part" status="run" time="0" /><testcase name="a.part"><failure>no</failure></testcase>
</testsuite></testsuites>`;

Deno.test("outcomes are read from regrtest's report, subtests by their worst", () => {
  assertEquals(Object.fromEntries(outcomesOf(report)), {
    "a.passes": "passed",
    "a.fails": "failed",
    "a.breaks": "failed",
    "a.skips": "skipped",
    "a.part": "failed",
  });
});

Deno.test("a regression is what kernel TCP passes or skips and we do otherwise or not at all", () => {
  const run = (outcomes: Parameters<typeof Object.entries>[0]) => ({
    outcomes: new Map(Object.entries(outcomes)) as ReturnType<typeof outcomesOf>,
    output: "",
  });
  const plain = run({ a: "passed", b: "passed", c: "failed", d: "skipped", e: "passed" });
  const ours = run({ a: "passed", b: "failed", c: "failed", d: "passed" });
  assertEquals(regressions(plain, ours), [
    "b: failed, passed over kernel TCP",
    "d: passed, skipped over kernel TCP",
    "e: not run, passed over kernel TCP",
  ]);
});
