import { assert, assertEquals } from "@std/assert";
import { figures, measuredOf, median, pairedRatio } from "./statistics.ts";

Deno.test("the median of an even number of runs is between the two in the middle", () => {
  assertEquals(median([4, 1, 3, 2]), 2.5);
});

Deno.test("the median does not mind the order or one outlier", () => {
  assertEquals(median([100, 2, 1, 3, 2]), 2);
});

Deno.test("percentiles and CPU times of a row are medians over its runs", () => {
  const latency = (p99: number) => ({ p50: 1, p99, p999: 9, min: 1, max: 10 });
  const measured = measuredOf([
    { value: 1, latency_ns: latency(2), cpu_us_per_message: 5 },
    { value: 3, latency_ns: latency(8), cpu_us_per_message: 7 },
    { value: 2, latency_ns: latency(3), cpu_us_per_message: 6 },
  ]);
  assertEquals([measured.median, measured.min, measured.max], [2, 1, 3]);
  assertEquals(measured.latency_ns?.p99, 3);
  assertEquals(measured.cpu_us_per_message, 6);
  assertEquals(figures(measured, "p99"), [2, 8, 3]);
});

Deno.test("what no run has, a row has not", () => {
  const measured = measuredOf([{ value: 1 }]);
  assertEquals("latency_ns" in measured, false);
  assertEquals(figures(measured, "cpu"), []);
});

Deno.test("a paired ratio does not mind a machine that changes between the pairs", () => {
  const ratio = pairedRatio([2, 20, 6], [1, 10, 3])!;
  assertEquals(ratio.median, 2);
  assertEquals(ratio.noise, 0);
});

Deno.test("a ratio's noise grows with what its runs disagree", () => {
  const quiet = pairedRatio([1, 1.01, 0.99, 1, 1.02], [1, 1, 1, 1, 1])!;
  const loud = pairedRatio([1, 1.5, 0.7, 1, 1.4], [1, 1, 1, 1, 1])!;
  assert(quiet.noise < 0.02, `${quiet.noise}`);
  assert(loud.noise > 0.3, `${loud.noise}`);
});
