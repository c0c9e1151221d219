import { assertEquals } from "@std/assert";
import {
  countsOfCheck,
  countsOfDeno,
  countsOfInterleave,
  countsOfZig,
  countsText,
} from "./test_counts.ts";

const counts = (passed: number, failed: number, skipped = 0) => ({ passed, failed, skipped });

Deno.test("zig's summary gives passed, failed, crashed and skipped", () => {
  const summary = (text: string) => `Build Summary: 1/3 steps succeeded; ${text}\n`;
  assertEquals(countsOfZig({ code: 0, text: summary("38/38 tests passed") }), counts(38, 0));
  assertEquals(
    countsOfZig({ code: 1, text: summary("2/5 tests passed (1 skipped, 1 failed, 1 crashed)") }),
    counts(2, 2, 1),
  );
});

Deno.test("deno's last line gives passed, failed and ignored", () => {
  const text =
    "ok | 1 passed | 0 failed (1ms)\n\nFAILED | 12 passed (3 steps) | 2 failed | 1 ignored (9ms)\n";
  assertEquals(countsOfDeno({ code: 1, text }), counts(12, 2, 1));
  assertEquals(countsOfDeno({ code: 0, text: "ok | 3 passed | 0 failed (1ms)" }), counts(3, 0));
});

Deno.test("the interleaving checker's last line counts", () => {
  assertEquals(countsOfInterleave({ code: 0, text: "a ok\n7 passed, 0 failed\n" }), counts(7, 0));
});

Deno.test("a program that fails without counts, or runs nothing, is a failure", () => {
  for (const countsOf of [countsOfZig, countsOfDeno, countsOfInterleave]) {
    assertEquals(countsOf({ code: 1, text: "compile error" }), counts(0, 1));
    assertEquals(countsOf({ code: 0, text: "" }), counts(0, 1));
  }
  assertEquals(countsOfDeno({ code: 1, text: "ok | 3 passed | 0 failed (1ms)" }), counts(3, 1));
  assertEquals(countsOfCheck({ code: 0, text: "" }), counts(1, 0));
  assertEquals(countsOfCheck({ code: 1, text: "" }), counts(0, 1));
});

Deno.test("skipped tests are said only when there are some", () => {
  assertEquals(countsText(counts(3, 1)), "3 passed, 1 failed");
  assertEquals(countsText(counts(3, 0, 2)), "3 passed, 0 failed, 2 skipped");
});
