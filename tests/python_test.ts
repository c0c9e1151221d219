/** Python's ways of using a socket: 64 MB in pieces of random sizes, both ways at once. */

import { assertEquals, assertMatch } from "@std/assert";
import {
  both,
  type Combination,
  expectCarrier,
  freePort,
  type Lab,
  preloadedTest,
  python,
  pythonProgram,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const styles = ["blocking", "select", "poll", "epoll-edge", "selectors", "asyncio"];
const needs = { programs: ["python3"] };

for (const style of styles) {
  withCombinations(`python ${style}: random pieces both ways`, needs, async (lab, combination) => {
    const bytes = combination.server && combination.client ? 64_000_000 : 8_000_000;
    await exchange(lab, combination, { server: style, client: style, bytes });
  });
}

preloadedTest("python asyncio talks with a blocking peer", needs, async (lab) => {
  await exchange(lab, both, { server: "asyncio", client: "blocking", bytes: 32_000_000 });
});

for (const address of ["::1", "::ffff:127.0.0.1"]) {
  preloadedTest(`python selectors, client to ${address}`, needs, async (lab) => {
    const job = { server: "selectors", client: "selectors", bytes: 16_000_000, address };
    await exchange(lab, both, job);
  });
}

withCombinations("python many connections of small requests", needs, async (lab, combination) => {
  const port = freePort();
  const program = pythonProgram("many.py");
  const server = lab.start([python!, program, "server", `${port}`], {
    preload: combination.server,
    name: "server",
  });
  await waitForPort(port, server);
  await expectCarrier(lab, combination, { atLeast: 0.98 }, async () => {
    const client = await lab.run([python!, program, "client", `${port}`, "100", "300"], {
      preload: combination.client,
      name: "client",
    });
    assertEquals(client.stdout.trim(), "30000 echoes right");
  });
});

interface Job {
  server: string;
  client: string;
  bytes: number;
  address?: string;
}

async function exchange(lab: Lab, combination: Combination, job: Job) {
  // Whoever is done first closes its side, and what the other still has to send goes by TCP; so do
  // bytes that find the ring full while the peer is busy sending.
  const share = { orReasons: ["peer_closed", "ring_full"], orAtLeast: 0.5 };
  await expectCarrier(lab, combination, share, () => exchangeOnce(lab, combination, job));
}

async function exchangeOnce(lab: Lab, combination: Combination, job: Job) {
  const port = freePort();
  const words = (role: "server" | "client", seed: number) => [
    python!,
    pythonProgram("both_ways.py"),
    ...[role, job[role], `${port}`, `${job.bytes}`, `${seed}`, job.address ?? "127.0.0.1"],
  ];
  const server = lab.start(words("server", 1), { preload: combination.server, name: "server" });
  await waitForPort(port, server);
  const client = await lab.run(words("client", 2), {
    preload: combination.client,
    name: "client",
  });
  const ended = await server.end();
  assertEquals(ended.code, 0, server.summary());

  const sums = /^sent (\S+) received (\S+) (\d+)$/m;
  assertMatch(client.stdout, sums);
  const [, clientSent, clientReceived, clientCount] = client.stdout.match(sums)!;
  const [, serverSent, serverReceived, serverCount] = ended.stdout.match(sums)!;
  assertEquals(Number(clientCount), job.bytes, "bytes that the client received");
  assertEquals(Number(serverCount), job.bytes, "bytes that the server received");
  assertEquals(serverReceived, clientSent, "what the client sent and the server received");
  assertEquals(clientReceived, serverSent, "what the server sent and the client received");
}
