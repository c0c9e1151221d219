/**
 * Out of something: descriptors, memory, quota, permission, a peer's honesty. Connections then are
 * plain TCP and say why; when the shortage is over, new ones are accelerated.
 */

import { assert, assertEquals } from "@std/assert";
import {
  assertAccelerated,
  descriptorsOf,
  freePort,
  type Lab,
  labTest,
  preloadedTest,
  Script,
  sdbench,
  trafficOf,
  until,
  waitForPort,
} from "./harness.ts";

const needs = { programs: ["python3"] };
const enough = "2000 100";

preloadedTest("a client without free descriptors", needs, async (lab) => {
  const { client, otherPort } = await startKnownPair(lab);
  await client.do("eat_descriptors 1");
  await endsWith(lab, ["no_fds"], () => useConnection(client, otherPort), client.pid);
  await client.do("release_descriptors");
  await untilAccelerated(lab, client, otherPort);
});

preloadedTest("a program without free descriptors from its start", needs, async (lab) => {
  const { client, port } = await startPair(lab);
  await client.do("eat_descriptors 1");
  await useConnection(client, port);
  await client.do("release_descriptors");
  await untilAccelerated(lab, client, port);
});

for (const limit of [10, 16, 24, 64]) {
  preloadedTest(`a client that may have ${limit} descriptors in all`, needs, async (lab) => {
    const { server, client, port } = await startPair(lab, { limit: `-n ${limit}` });
    await useConnection(client, port);
    await useConnection(client, port);
    assertEquals(server.program.ended, false);
  });
}

preloadedTest("a client whose memory is used up", needs, async (lab) => {
  const { client, otherPort } = await startKnownPair(lab);
  await client.do("limit_memory 6");
  await endsWith(lab, ["no_memory"], () => useConnection(client, otherPort), client.pid);
  await client.do("unlimit_memory");
  await untilAccelerated(lab, client, otherPort);
});

preloadedTest("a server whose memory is used up", needs, async (lab) => {
  const { server, client, port } = await startPair(lab);
  // Enough for a thread's stack, which it needs for each connection, but not for an arena.
  await server.do("limit_memory 18");
  await endsWith(lab, ["no_memory"], () => useConnection(client, port), server.pid);
  await server.do("unlimit_memory");
  await untilAccelerated(lab, client, port);
});

preloadedTest("a client with little memory from its start", needs, async (lab) => {
  const { client, port } = await startPair(lab, { limit: "-v 60000" });
  await useConnection(client, port);
});

labTest("a user whose quota of arenas is used up", needs, async (lab) => {
  await lab.startMonitor("--quota", "arenas=1");
  const { client, port } = await startPair(lab);
  await client.do(`connect first ${port}`);
  await client.do(`ask first ${enough}`);
  await assertAccelerated(lab, 2);
  const other = Script.start(lab, "other");
  await endsWith(lab, ["quota"], () => useConnection(other, port));
  await client.do("close first");
  client.program.kill("SIGKILL");
  await client.program.end();
  await untilAccelerated(lab, Script.start(lab, "third"), port);
});

preloadedTest("more connections than an arena has slots", needs, async (lab) => {
  const port = freePort();
  const server = lab.start(
    [sdbench, "server", "--mode", "echo", "--io", "epoll-lt", "--port", `${port}`],
    { preload: true, name: "server" },
  );
  await waitForPort(port, server);
  const words = ["--mode", "rtt", "--io", "epoll-lt", "--connections", "400", "--count", "400000"];
  const { stdout } = await lab.run([sdbench, "client", ...words, "--port", `${port}`, "--json"], {
    preload: true,
    name: "client",
  });
  assert(JSON.parse(stdout).messages >= 400_000);
  await assertAccelerated(lab, 2 * 300);
});

preloadedTest("a peer that writes noise into shared memory", needs, async (lab) => {
  const { server, client: honest, port } = await startPair(lab);
  await honest.do(`connect c ${port}`);
  await honest.do(`ask c ${enough}`);
  const before = descriptorsOf(server.pid).size;
  for (let seed = 1; seed <= 10; seed++) {
    const vandal = Script.start(lab, "vandal");
    await vandal.do(`connect c ${port}`);
    await vandal.do(`ask c ${enough}`);
    assertEquals(await vandal.do(`scribble ${seed}`), "1 arenas");
    // Whatever it now does, fails or ends with it; the server and the others go on.
    await vandal.begin("ask c 100 100");
    await honest.do("ask c 100 1000");
    vandal.program.kill("SIGKILL");
    await vandal.program.end();
    assert(!server.program.ended, server.program.summary());
  }
  await honest.do(`ask c ${enough}`);
  await untilAccelerated(lab, honest, port);
  // Each of the ten had a connection, a channel and an arena. A thread that slept for the first time
  // meanwhile keeps its waiter: an eventfd and a doorbell for each peer that lives.
  await until(
    "the server to close what the vandals left",
    () => descriptorsOf(server.pid).size <= before + 6,
    { lateNote: () => `${before} descriptors became ${descriptorsOf(server.pid).size}` },
  );
});

const asRoot = { programs: ["setpriv"] };
const users = { nobody: 65534, daemon: 1 };

for (
  const [who, serverUid, clientUid, reasons] of [
    ["two users", users.daemon, users.nobody, ["policy", "not_adopted", "no_listener"]],
    ["root's server and a user", 0, users.nobody, []],
    ["a user's server and root", users.daemon, 0, []],
  ] as const
) {
  labTest(`a connection between ${who}`, asRoot, async (lab) => {
    if (Deno.uid() !== 0) return;
    await Deno.chmod(lab.dir, 0o755);
    await lab.startMonitor();
    // A copy, since other users may not be able to read where this checkout is.
    await Deno.copyFile(sdbench, lab.path("sdbench"));
    const as = (uid: number, ...words: string[]) => [
      ...["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"],
      ...[lab.path("sdbench"), ...words],
    ];
    const port = freePort();
    const server = lab.start(as(serverUid, "server", "--mode", "echo", "--port", `${port}`), {
      preload: true,
      name: "server",
    });
    await waitForPort(port, server);
    const words = ["client", "--mode", "rtt", "--count", "50000", "--port", `${port}`, "--json"];
    const { stdout } = await lab.run(as(clientUid, ...words), {
      preload: true,
      name: "client",
    });
    assertEquals(JSON.parse(stdout).messages, 50_000);
    const { ringBytes, tcpBytes, closedByReason } = trafficOf(await lab.monitor.totals());
    if (reasons.length === 0) return assert(ringBytes > 0.9 * (ringBytes + tcpBytes));
    assertEquals(ringBytes, 0, "two users share no memory");
    const others = Object.keys(closedByReason).filter((name) => !reasons.includes(name as never));
    assertEquals(others, [], "reasons");
  });
}

// -- what the tests above are made of ----------------------------------------------------------

/** An echoing server, and a client (under a shell's ulimit) that has not connected yet. */
async function startPair(lab: Lab, { limit }: { limit?: string } = {}) {
  const port = freePort();
  const server = Script.start(lab, "server");
  await server.do(`serve ${port}`);
  await waitForPort(port, server.program);
  const client = Script.start(lab, "client", { underLimit: limit });
  return { server, client, port };
}

/** A client that the monitor knows already, and the port of a server that it has never met. */
async function startKnownPair(lab: Lab) {
  const { client, port } = await startPair(lab);
  await untilAccelerated(lab, client, port);
  const otherPort = freePort();
  const other = Script.start(lab, "other server");
  await other.do(`serve ${otherPort}`);
  await waitForPort(otherPort, other.program);
  return { client, otherPort };
}

async function useConnection(client: Script, port: number) {
  await client.do(`connect c ${port}`);
  await client.do(`ask c ${enough}`);
  await client.do("close c");
}

/** The work's connections must stay on TCP for one of these reasons. */
async function endsWith(lab: Lab, reasons: string[], work: () => Promise<void>, pid?: number) {
  const pids = pid === undefined ? undefined : [pid];
  const before = trafficOf(await lab.monitor.totals(), pids);
  await work();
  let seen = {};
  await until(`a connection to end with ${reasons.join(" or ")}`, async () => {
    const after = trafficOf(await lab.monitor.totals(), pids);
    seen = after.closedByReason;
    assertEquals(after.ringBytes, before.ringBytes, "bytes by ring");
    return reasons.some((reason) =>
      (after.closedByReason[reason] ?? 0) > (before.closedByReason[reason] ?? 0)
    );
  }, { ms: 5_000, lateNote: () => `reasons so far: ${JSON.stringify(seen)}` });
}

/** Makes connections until one rides the ring. */
async function untilAccelerated(lab: Lab, client: Script, port: number) {
  await until("a new connection to be accelerated", async () => {
    const before = trafficOf(await lab.monitor.totals()).ringBytes;
    await useConnection(client, port);
    return trafficOf(await lab.monitor.totals()).ringBytes - before > 100_000;
  });
}
