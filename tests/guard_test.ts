/** The guard: a connection whose exchanges are faster over kernel TCP goes there, and says so. */

import { assert, assertEquals } from "@std/assert";
import {
  both,
  expectCarrier,
  freePort,
  type Lab,
  preloadedTest,
  type Program,
  sdbench,
  trafficOf,
  until,
  waitForPort,
} from "./harness.ts";

const needs = { programs: ["python3"] };

/** What goes by TCP before both ends have settled on the ring. */
const settlingBytes = 20_000;

preloadedTest(
  "exchanges with a peer that rings cannot wake go by TCP after a trial",
  needs,
  async (lab) => {
    const client = await talkToSlowReader(lab, 10_000_000);
    await until("the guard's verdict", async () => {
      assert(!client.ended, client.summary());
      return (await lab.monitor.totals()).guard_verdicts > 0;
    }, { ms: 90_000 });
    const [end] = (await lab.monitor.connections()).flatMap(({ client }) => client ?? []);
    assertEquals(end.reason, "slower_by_ring");
    const before = trafficOf(await lab.monitor.totals(), [client.pid]);
    await until("traffic by TCP", async () => {
      const now = trafficOf(await lab.monitor.totals(), [client.pid]);
      return now.tcpBytes > before.tcpBytes + 8 * 1000;
    });
  },
);

preloadedTest("a guard that is turned off tries nothing", needs, async (lab) => {
  await expectCarrier(lab, both, { settlingBytes }, async () => {
    const client = await talkToSlowReader(lab, 3000, { SOCKSDIRECT_GUARD: "0" });
    assertEquals((await client.end(60_000)).code, 0, client.summary());
  });
  assertEquals((await lab.monitor.totals()).guard_verdicts, 0);
});

preloadedTest("a fast connection stays on the ring", {}, async (lab) => {
  await expectCarrier(lab, both, { settlingBytes }, async () => {
    const words = ["--mode", "rtt", "--seconds", "4", "--warmup-ms", "0", "--json"];
    await lab.run([sdbench, "pair", ...words], { preload: true, timeoutMs: 60_000 });
  });
  assertEquals((await lab.monitor.totals()).guard_verdicts, 0);
});

async function talkToSlowReader(
  lab: Lab,
  exchanges: number,
  env: Record<string, string> = {},
): Promise<Program> {
  const program = new URL("programs/slow_reader.py", import.meta.url).pathname;
  const port = freePort();
  const server = lab.start(["python3", program, "server", `${port}`], {
    preload: true,
    env: { ...env, SOCKSDIRECT_PROFILE: "frugal" }, // it sleeps, and does not watch the ring
    name: "server",
  });
  await waitForPort(port, server);
  const words = ["python3", program, "client", `${port}`, `${exchanges}`];
  return lab.start(words, { preload: true, env, name: "client" });
}
