/**
 * A peer that dies by SIGKILL, at whatever moment: the other end sees what it would see on TCP (the
 * bytes sent before, then EOF or a reset), and nothing stays behind.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  assertAccelerated,
  descriptorsOf,
  freePort,
  type Lab,
  labTest,
  memfdMappingsOf,
  preloadedTest,
  Script,
  trafficOf,
  until,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const needs = { programs: ["python3"] };
/** Of ten bytes each way, before anybody dies. */
const exchanges = 100;

const ways = ["blocking", "poll", "select", "epoll"];

for (const way of ways) {
  withCombinations(`a receiver in ${way} whose sender dies`, needs, async (lab, combination) => {
    const { server, client, usedBytes } = await connectedPair(lab, combination);
    const received = await server.begin(`recv_end c ${way}`);
    await client.do("send c 5000000");
    client.program.kill("SIGKILL");
    // All that send() had taken must come, then the end.
    assertEquals(await received(), `eof ${usedBytes + 5_000_000}`);
  });

  withCombinations(
    `an idle receiver in ${way} whose peer dies`,
    needs,
    async (lab, combination) => {
      const { server, client, usedBytes } = await connectedPair(lab, combination);
      const received = await server.begin(`recv_end c ${way}`);
      client.program.kill("SIGKILL");
      assertEquals(await received(), `eof ${usedBytes}`);
    },
  );

  withCombinations(`a sender in ${way} whose receiver dies`, needs, async (lab, combination) => {
    const { server, client } = await connectedPair(lab, combination);
    const sent = await client.begin(`send_end c ${way}`);
    await server.do("recv c 20000000");
    await server.begin("recv_end c");
    server.program.kill("SIGKILL");
    assertMatch(await sent(), /^(ECONNRESET|EPIPE) \d+$/);
  });

  preloadedTest(
    `a sender in ${way}, blocked by a full ring, whose peer dies`,
    needs,
    async (lab) => {
      const { server, client } = await connectedPair(lab);
      // The server does not read: the sender fills everything there is and waits.
      const sent = await client.begin(`send_end c ${way}`);
      await untilAsleep(client);
      server.program.kill("SIGKILL");
      assertMatch(await sent(), /^(ECONNRESET|EPIPE) \d+$/);
    },
  );

  preloadedTest(`a sender in ${way} whose half-closed peer dies`, needs, async (lab) => {
    const { server, client, usedBytes } = await connectedPair(lab);
    await server.do("shutdown c");
    assertEquals(await client.do("recv_end c"), `eof ${usedBytes}`);
    const sent = await client.begin(`send_end c ${way}`);
    await untilAsleep(client);
    server.program.kill("SIGKILL");
    assertMatch(await sent(), /^(ECONNRESET|EPIPE) \d+$/);
  });
}

preloadedTest("a server is as it was after twenty clients were killed", needs, async (lab) => {
  const port = freePort();
  const server = Script.start(lab, "server");
  await server.do(`serve ${port}`);
  await waitForPort(port, server.program);
  await killedClient(lab, port);
  await assertAccelerated(lab, 2);
  const before = await settled(server);
  for (let i = 0; i < 20; i++) await killedClient(lab, port);
  const after = await settled(server);
  assert(
    after.descriptors <= before.descriptors + 2 && after.mappings <= before.mappings + 2,
    `${before.descriptors} descriptors and ${before.mappings} memfd mappings have become ` +
      `${after.descriptors} and ${after.mappings}`,
  );
});

labTest("connections after a killed one are accelerated again", needs, async (lab) => {
  await lab.startMonitor();
  const port = freePort();
  const server = Script.start(lab, "server");
  await server.do(`serve ${port}`);
  await killedClient(lab, port);
  const before = await lab.monitor.totals();
  const client = Script.start(lab, "client");
  await client.do(`connect c ${port}`);
  // Enough of them that those by TCP, until the ring is there, are few on a slow machine, too.
  const asks = 20_000;
  await client.do(`ask c ${asks} 100`);
  const after = await lab.monitor.totals();
  const byRing = after.tx.ring_bytes - before.tx.ring_bytes;
  assert(byRing > 0.98 * 2 * asks * 100, `${byRing} of ${2 * asks * 100} bytes by ring`);
});

/** A client that has used its connection for a while and dies while it does so. */
async function killedClient(lab: Lab, port: number) {
  const client = Script.start(lab, "client");
  await client.do(`connect c ${port}`);
  await client.do("ask c 1000 1000");
  await client.begin("ask c 100000 1000");
  client.program.kill("SIGKILL");
  await client.program.end();
}

/** Descriptors and mappings, once they do not change any more. */
async function settled(server: Script): Promise<{ descriptors: number; mappings: number }> {
  const look = () => ({
    descriptors: descriptorsOf(server.pid).size,
    mappings: memfdMappingsOf(server.pid),
  });
  let last = look();
  let same = 0;
  await until("the server's descriptors to settle", () => {
    const now = look();
    same = now.descriptors === last.descriptors && now.mappings === last.mappings ? same + 1 : 0;
    last = now;
    return same >= 40;
  });
  return last;
}

/** Waits until a process waits: it uses no CPU time between looks and its state is S. */
async function untilAsleep(script: Script) {
  let asleep = 0;
  await until(`${script.program.name} to sleep`, () => {
    const stat = Deno.readTextFileSync(`/proc/${script.pid}/stat`);
    asleep = stat.slice(stat.lastIndexOf(")") + 2).startsWith("S") ? asleep + 1 : 0;
    return asleep >= 20;
  });
}

/** Two scripts with a connection "c" between them that has been used. */
async function connectedPair(lab: Lab, combination = { server: true, client: true }) {
  const port = freePort();
  const server = Script.start(lab, "server", { preload: combination.server });
  const client = Script.start(lab, "client", { preload: combination.client });
  await server.do(`listen l ${port}`);
  await client.do(`connect c ${port}`);
  await server.do("accept l c");
  const useIt = async () => {
    const served = await server.begin(`volley c ${exchanges} 10 second`);
    await client.do(`volley c ${exchanges} 10 first`);
    await served();
  };
  await useIt();
  let usedBytes = exchanges * 10;
  if (combination.server && combination.client) {
    await until("the connection to be accelerated", async () => {
      await useIt();
      usedBytes += exchanges * 10;
      return trafficOf(await lab.monitor.totals()).accelerated >= 2;
    });
  }
  return { server, client, usedBytes };
}
