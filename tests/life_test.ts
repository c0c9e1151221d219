/**
 * The life of processes around a connection: programs started beside it, forked children, exec. A
 * connection that another program got goes to TCP, and comes back to the ring when that has gone.
 */

import { assert, assertEquals } from "@std/assert";
import {
  both,
  descriptorsOf,
  expectCarrier,
  freePort,
  type Lab,
  preloadedTest,
  Script,
  sdbench,
  trafficOf,
  until,
  waitForPort,
} from "./harness.ts";

const needs = { programs: ["python3", "sleep"] };
const exchanges = 100;

preloadedTest("a connection comes back to the ring after system()", needs, async (lab) => {
  const pair = await connectedPair(lab);
  await pair.server.do("inherit c");
  await pair.server.do("run system 0");
  await untilOnRing(lab, pair);
});

for (const how of ["popen", "spawn", "vfork"]) {
  preloadedTest(
    `a connection is on TCP while a program started by ${how} holds it`,
    needs,
    async (lab) => {
      const pair = await connectedPair(lab);
      await pair.server.do("inherit c");
      await pair.server.do(`run ${how} 2`);
      assertEquals(await ringBytesOf(lab, () => volley(pair)), 0, "bytes by ring");
      await untilOnRing(lab, pair);
    },
  );
}

preloadedTest(
  "a connection that others started programs cannot inherit stays on the ring",
  needs,
  async (lab) => {
    const pair = await connectedPair(lab);
    for (const how of ["system", "popen", "spawn", "vfork"]) {
      await pair.server.do(`run ${how} 0`);
      await expectCarrier(lab, both, {}, () => volley(pair));
    }
  },
);

preloadedTest(
  "a connection comes back to the ring after an exec that failed",
  needs,
  async (lab) => {
    const pair = await connectedPair(lab);
    await pair.client.do("inherit c");
    assertEquals(await pair.client.do("exec_missing"), "not there");
    await untilOnRing(lab, pair);
  },
);

preloadedTest(
  "an undecided connection beside system() is accelerated later",
  needs,
  async (lab) => {
    const pair = await undecidedPair(lab);
    await pair.server.do("inherit c");
    await pair.server.do("run system 0");
    await untilOnRing(lab, pair);
  },
);

preloadedTest(
  "a connection is accelerated whose holder's child has executed another program",
  needs,
  async (lab) => {
    const pair = await undecidedPair(lab);
    // Close-on-exec: the program does not have it, and the child did not close it either.
    const child = Number(await pair.server.do("fork_exec 20"));
    await untilOnRing(lab, pair);
    Deno.kill(child, "SIGKILL");
  },
);

preloadedTest(
  "a client of a server that forks for each of 2000 connections",
  needs,
  async (lab) => {
    const port = freePort();
    const server = lab.start([
      sdbench,
      "server",
      "--mode",
      "echo",
      "--io",
      "fork",
      "--port",
      `${port}`,
    ], {
      preload: true,
      name: "server",
    });
    await waitForPort(port, server);
    const client = Script.start(lab, "client");
    await client.do(`visit ${port} 100`);
    const before = descriptorsOf(client.pid).size;
    await expectCarrier(lab, both, { atLeast: 0.85 }, async () => {
      await client.do(`visit ${port} 1900`, 60_000);
    });
    const after = descriptorsOf(client.pid).size;
    assert(after <= before + 3, `${before} descriptors have become ${after}`);
  },
);

preloadedTest(
  "the children of two ends that forked at the same time wake each other",
  needs,
  async (lab) => {
    const port = freePort();
    const program = new URL("programs/both_fork.py", import.meta.url).pathname;
    // Before the fork, until the monitor has answered: 5000 exchanges of 8 bytes, seen four times.
    await expectCarrier(lab, both, { settlingBytes: 4 * 8 * 5000 }, async () => {
      const server = lab.start(["python3", program, "server", `${port}`], {
        preload: true,
        name: "server",
      });
      await waitForPort(port, server);
      const client = await lab.run(["python3", program, "client", `${port}`], {
        preload: true,
        name: "client",
      });
      assertEquals(client.stdout, "client's child ended with 0\n");
      assertEquals((await server.end()).stdout, "server's child ended with 0\n");
    });
  },
);

// -- what the tests above are made of ----------------------------------------------------------

interface Pair {
  server: Script;
  client: Script;
}

async function undecidedPair(lab: Lab): Promise<Pair> {
  const port = freePort();
  const server = Script.start(lab, "server");
  const client = Script.start(lab, "client");
  await server.do(`listen l ${port}`);
  await client.do(`connect c ${port}`);
  await server.do("accept l c");
  return { server, client };
}

async function connectedPair(lab: Lab): Promise<Pair> {
  const pair = await undecidedPair(lab);
  await untilOnRing(lab, pair);
  return pair;
}

async function volley({ server, client }: Pair) {
  const served = await server.begin(`volley c ${exchanges} 10 second`);
  await client.do(`volley c ${exchanges} 10 first`);
  await served();
}

async function ringBytesOf(lab: Lab, work: () => Promise<void>): Promise<number> {
  const before = trafficOf(await lab.monitor.totals()).ringBytes;
  await work();
  return trafficOf(await lab.monitor.totals()).ringBytes - before;
}

/** Until a whole volley goes by ring, each byte sent and received. */
async function untilOnRing(lab: Lab, pair: Pair) {
  const all = 4 * exchanges * 10;
  let ring = 0;
  await until("the connection to be on the ring", async () => {
    ring = await ringBytesOf(lab, () => volley(pair));
    assert(ring <= all);
    return ring === all;
  }, { lateNote: () => `${ring} of ${all} bytes of the last volley went by ring` });
}
