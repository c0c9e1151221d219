/** memcached, which serves each connection on one of several threads. */

import { assertEquals } from "@std/assert";
import {
  expectCarrier,
  freePort,
  python,
  pythonProgram,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const needs = { programs: ["memcached", "python3"] };

withCombinations("memcached keeps binary values of all sizes", needs, async (lab, combination) => {
  const port = freePort();
  const user = Deno.uid() === 0 ? ["-u", "root"] : [];
  const server = lab.start(
    ["memcached", "-p", `${port}`, "-U", "0", "-l", "127.0.0.1", "-t", "4", ...user],
    { preload: combination.server },
  );
  await waitForPort(port, server);
  await expectCarrier(lab, combination, {}, async () => {
    const words = [python!, pythonProgram("memcached_values.py"), `${port}`, "16", "200"];
    const client = await lab.run(words, { preload: combination.client });
    assertEquals(client.stdout.trim(), "3200 values right");
  });
});
