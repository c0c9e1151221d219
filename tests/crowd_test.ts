/**
 * Thousands of connections in one epoll a side, of every style and activity: a lost event ends the
 * run with a line that says who waited for what.
 */

import { assertMatch } from "@std/assert";
import {
  expectCarrier,
  freePort,
  python,
  pythonProgram,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const needs = { programs: ["python3"] };

withCombinations("a crowd in epoll, every style", needs, async (lab, combination) => {
  const port = freePort();
  const program = pythonProgram("crowd.py");
  const server = lab.start([python!, program, "server", `${port}`], {
    preload: combination.server,
    name: "server",
  });
  await waitForPort(port, server);
  // A ring that stays full while its reader is busy with hundreds of others moves to TCP.
  const share = { orReasons: ["ring_full"], orAtLeast: 0.5 };
  await expectCarrier(lab, combination, share, async () => {
    const accelerated = combination.server && combination.client;
    const crowd = accelerated ? ["2000", "100"] : ["300", "30"];
    const client = await lab.run([python!, program, "client", `${port}`, ...crowd, "1"], {
      preload: combination.client,
      name: "client",
      timeoutMs: 240_000,
    });
    assertMatch(client.stdout, /^\d+ bytes right\n$/);
  });
});
