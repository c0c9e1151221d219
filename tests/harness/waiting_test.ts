import { assertEquals, assertRejects } from "@std/assert";
import { until, within } from "./waiting.ts";

Deno.test("until gives what the condition gives, as soon as it is something", async () => {
  let looks = 0;
  assertEquals(await until("a third look", () => ++looks >= 3 && "found"), "found");
  assertEquals(looks, 3);
});

Deno.test("until says what it waited for, how long, and what was known", async () => {
  const options = { ms: 20, lateNote: () => "it rained" };
  await assertRejects(
    () => until("the sun", () => false, options),
    Error,
    "waited 0.02 s for the sun, in vain: it rained",
  );
});

Deno.test("until passes on what the condition throws", async () => {
  await assertRejects(
    () =>
      until("anything", () => {
        throw new Error("cannot look");
      }),
    Error,
    "cannot look",
  );
});

Deno.test("within gives the promise's value or gives up", async () => {
  assertEquals(await within("a value", 1000, Promise.resolve(7)), 7);
  await assertRejects(() => within("nothing", 10, new Promise(() => {})), Error, "nothing");
});
