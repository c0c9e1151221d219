/**
 * Streams whose sender leaves its barrier out (zig/src/carrier/barrier.zig), between ends that never
 * watch a ring and so sleep again and again: a wake-up that got lost would end the run by its deadline.
 * Without the barrier that the sleeper has for both, each of these hangs within seconds.
 */

import { assert, assertEquals } from "@std/assert";
import { both, expectCarrier, preloadedTest, sdbench } from "./harness.ts";

/** More than make the sender's barrier light, so that each burst ends with a sleep that ends that. */
const burst = 1100;
const seconds = 4;

for (const io of ["blocking", "epoll-lt", "poll"]) {
  preloadedTest(`bursts between sleeping ends, ${io}`, {}, async (lab) => {
    await expectCarrier(lab, both, {}, async () => {
      const words = ["--mode", "bursts", "--burst", `${burst}`, "--size", "8", "--io", io];
      const { stdout } = await lab.run(
        [sdbench, "pair", ...words, "--seconds", `${seconds}`, "--json"],
        { preload: true, env: { SOCKSDIRECT_PROFILE: "frugal" } },
      );
      const report = JSON.parse(stdout);
      assert(report.messages > 10 * burst, stdout);
      assertEquals(report.bytes, report.messages * 8 * 2);
    });
  });
}
