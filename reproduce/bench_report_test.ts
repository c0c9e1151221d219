import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Bound,
  boundText,
  gainOf,
  holds,
  number,
  type Row,
  spreadOf,
  table,
} from "./bench_report.ts";

function row(
  bound: Bound | undefined,
  tcp: number,
  sd: number,
  better: Row["better"] = "lower",
): Row {
  return { name: "a", unit: "us", better, tcp: spreadOf([tcp]), sd: spreadOf([sd]), bound };
}

Deno.test("the median of an even number of runs is between the two in the middle", () => {
  const { median, min, max } = spreadOf([4, 1, 3, 2]);
  assertEquals([median, min, max], [2.5, 1, 4]);
});

Deno.test("the median does not mind the order or one outlier", () => {
  assertEquals(spreadOf([100, 2, 1, 3, 2]).median, 2);
});

Deno.test("a gain says how many times better, whichever way is better", () => {
  assertEquals(gainOf(row(undefined, 70, 0.35)), 200);
  assertEquals(gainOf(row(undefined, 2, 10, "higher")), 5);
});

Deno.test("each kind of bound is judged by the medians", () => {
  const judged = (bound: Bound, tcp: number, sd: number) => {
    const one = row(bound, tcp, sd);
    return holds(one, [one, { ...row(undefined, 1, 0.4), name: "other" }]);
  };
  assertEquals(judged({ atMost: 0.5 }, 70, 0.5), true);
  assertEquals(judged({ atMost: 0.5 }, 70, 0.51), false);
  assertEquals(judged({ atLeast: 9 }, 2, 8.9), false);
  assertEquals(judged({ timesTcpAtLeast: 20 }, 8, 160), true);
  assertEquals(judged({ timesTcpAtMost: 1.2 }, 80, 97), false);
  assertEquals(judged({ overTcpAtMost: 16 }, 3, 19), true);
  assertEquals(judged({ timesRowAtMost: 2, row: "other" }, 70, 0.8), true);
  assertEquals(judged({ timesRowAtMost: 2, row: "other" }, 70, 0.81), false);
  assertEquals(judged({ timesRowAtMost: 2, row: "nowhere" }, 70, 0.81), undefined);
});

Deno.test("a bound reads as the issue states it", () => {
  assertEquals(boundText({ timesTcpAtLeast: 20 }), ">= 20x TCP");
  assertEquals(boundText({ timesRowAtMost: 2, row: "blocking" }), "<= 2x blocking");
});

Deno.test("numbers have three figures", () => {
  assertEquals([0.3456, 12.345, 1234.5, 0, 0.00004].map(number), [
    "0.346",
    "12.3",
    "1235",
    "0",
    "0.000",
  ]);
});

Deno.test("the table says NO where something does not hold", () => {
  const text = table([row({ atMost: 0.5 }, 70, 0.6)]);
  assertStringIncludes(text, "| NO ");
  assertStringIncludes(text, "117x");
});
