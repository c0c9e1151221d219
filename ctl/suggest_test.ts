import { assertEquals } from "@std/assert";
import { closest, didYouMean, editDistance } from "./suggest.ts";

const words = ["run", "status", "connections", "completion", "demo", "drain"];

Deno.test("edit distance counts insertions, deletions, substitutions and swaps once", () => {
  assertEquals(editDistance("status", "status"), 0);
  assertEquals(editDistance("statu", "status"), 1);
  assertEquals(editDistance("sttus", "status"), 1);
  assertEquals(editDistance("stbtus", "status"), 1);
  assertEquals(editDistance("sttaus", "status"), 1);
  assertEquals(editDistance("", "run"), 3);
});

Deno.test("the closest word wins, an abbreviation counts as close", () => {
  assertEquals(closest("statsu", words), "status");
  assertEquals(closest("comp", words), "completion");
  assertEquals(closest("zzzzzz", words), undefined);
});

Deno.test("nothing is suggested when nothing is close", () => {
  assertEquals(didYouMean("demos", words), "; did you mean 'demo'?");
  assertEquals(didYouMean("frobnicate", words), "");
});
