/**
 * Signal handlers that use the connection which the main code is in the middle of using: the cases
 * compare what comes of it (zig/conformance/cases/signal.zig); here is the proof that they do hit the
 * library's own code, and not the program's around it.
 */

import { assert, assertEquals } from "@std/assert";
import { buildChecks } from "../ctl/build.ts";
import { both, labTest } from "./harness.ts";
import { program } from "./conformance/cases.ts";
import { runPair } from "./conformance/pair.ts";

const ticks = 1500;

Deno.test.beforeAll(buildChecks);

for (const path of ["signal/handler_sends", "signal/handler_receives"]) {
  labTest(`${path} interrupts the library itself`, {}, async (lab) => {
    await lab.startMonitor();
    const copy = lab.path("sdconform");
    await Deno.copyFile(program, copy);
    const options = { program: copy, deadlineSeconds: 60, warmToRing: true };
    const seen = await runPair(lab, path, both, options);
    assertEquals([seen.server, seen.client], ["exit 0", "exit 0"], seen.lines.join("\n"));
    const { signals_deferred } = await lab.monitor.totals();
    assert(signals_deferred >= ticks / 10, `${signals_deferred} of ${ticks} handlers were put off`);
    assert(seen.traffic!.ringBytes > 1_000_000, `${seen.traffic!.ringBytes} bytes by ring`);
  });
}
