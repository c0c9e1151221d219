/** How failures of random programs shrink. */

import { assertEquals } from "@std/assert";
import { keepList, minimised } from "./random.ts";

Deno.test("kept steps are written as ranges", () => {
  assertEquals(keepList([0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
  assertEquals(keepList([3]), "3");
});

Deno.test("a failure that takes three steps shrinks to these", async () => {
  const needed = [3, 40, 41];
  const all = Array.from({ length: 100 }, (_, index) => index);
  const differs = (steps: readonly number[]) =>
    Promise.resolve(needed.every((step) => steps.includes(step)));
  assertEquals(await minimised(all, differs), needed);
});
