/**
 * The monitor away, late, killed, restarted, drained or fed with garbage: connections work all the
 * time, their reason says why they are not accelerated, and later ones are.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  assertAccelerated,
  both,
  expectCarrier,
  freePort,
  type Lab,
  labTest,
  preloadedTest,
  python,
  pythonProgram,
  Script,
  trafficOf,
  until,
  waitForPort,
} from "./harness.ts";

const needs = { programs: ["python3"] };
const enough = "2000 100";

labTest("without a monitor everything is plain TCP, silently", needs, async (lab) => {
  const { client, port } = await startPair(lab);
  await client.do(`connect c ${port}`);
  await client.do(`ask c ${enough}`);
  await client.do("close c");
});

labTest("a monitor that comes late accelerates old processes", needs, async (lab) => {
  const { client, port } = await startPair(lab);
  for (const name of ["closed", "open"]) {
    await client.do(`connect ${name} ${port}`);
    await client.do(`ask ${name} ${enough}`);
  }
  await client.do("close closed");
  await lab.startMonitor();
  await connectUntilAccelerated(lab, client, port);
  await client.do(`ask open ${enough}`);
  let seen = {};
  await until("the early connection's reason", async () => {
    const { closedByReason } = trafficOf(await lab.monitor.totals(), [client.pid]);
    seen = closedByReason;
    return closedByReason.no_monitor;
  }, { ms: 5_000, lateNote: () => `there are ${JSON.stringify(seen)}` });
});

preloadedTest(
  "a killed monitor breaks no connection; a new one accelerates",
  needs,
  async (lab) => {
    const { client, port } = await startPair(lab);
    await client.do(`connect a ${port}`);
    await client.do(`ask a ${enough}`);
    await assertAccelerated(lab, 2);

    const running = await client.begin("ask a 30000 200");
    lab.monitor.program.kill("SIGKILL");
    await lab.monitor.program.end();
    await running();

    await client.do(`connect b ${port}`);
    await client.do(`ask b ${enough}`);
    await lab.startMonitor();
    await client.do(`ask a ${enough}`);
    await client.do(`ask b ${enough}`);
    await connectUntilAccelerated(lab, client, port);
  },
);

preloadedTest("the monitor may be restarted five times under load", needs, async (lab) => {
  const { client, port } = await startPair(lab);
  await client.do(`connect a ${port}`);
  const running = await client.begin("ask a 100000 500");
  for (let i = 0; i < 5; i++) {
    lab.monitor.program.kill(i % 2 === 0 ? "SIGKILL" : "SIGTERM");
    await lab.monitor.program.end();
    await lab.startMonitor();
  }
  await running(60_000);
  await connectUntilAccelerated(lab, client, port);
});

preloadedTest("SIGTERM ends the monitor cleanly", needs, async (lab) => {
  const { client, port } = await startPair(lab);
  await client.do(`connect a ${port}`);
  await client.do(`ask a ${enough}`);
  lab.monitor.program.kill("SIGTERM");
  const { code, signal } = await lab.monitor.program.end();
  assertEquals([code, signal], [0, null]);
  const left = [...Deno.readDirSync(lab.dir)].map(({ name }) => name);
  assertEquals(left.filter((name) => name.startsWith("control.sock")), []);
  await client.do(`ask a ${enough}`);
});

preloadedTest("garbage to the monitor costs its sender the connection only", needs, async (lab) => {
  const { client, port } = await startPair(lab);
  await client.do(`connect a ${port}`);
  const running = await client.begin("ask a 20000 200");
  const garbage = await lab.run([python!, pythonProgram("garbage.py"), lab.socket], {
    name: "vandal",
  });
  assertMatch(garbage.stdout, /^\d+ packets sent, dropped \d+ times$/m);
  await running();
  assert(!lab.monitor.program.ended, "the monitor lives");
  await lab.monitor.program.said(/garbage|malformed|invalid|drop/i);
  await connectUntilAccelerated(lab, client, port);
});

preloadedTest("a draining monitor leaves new connections on TCP", needs, async (lab) => {
  const { client, port } = await startPair(lab);
  await client.do(`connect a ${port}`);
  await client.do(`ask a ${enough}`);
  await assertAccelerated(lab, 2);

  await lab.monitor.post("/v1/drain", { on: true });
  const before = trafficOf(await lab.monitor.totals());
  await client.do(`connect b ${port}`);
  await client.do(`ask b ${enough}`);
  await client.do("close b");
  const after = trafficOf(await lab.monitor.totals());
  assertEquals(after.accelerated, before.accelerated, "accelerated connections");
  assert(
    (after.closedByReason.disabled ?? 0) > (before.closedByReason.disabled ?? 0),
    `reasons: ${JSON.stringify(after.closedByReason)}`,
  );

  await lab.monitor.post("/v1/drain", { on: false });
  await connectUntilAccelerated(lab, client, port);
});

const wrongPaths: Record<string, (lab: Lab) => Promise<string> | string> = {
  "is not there": (lab) => lab.path("nothing/here.sock"),
  "is a folder": (lab) => lab.dir,
  "is a file": async (lab) => {
    await Deno.writeTextFile(lab.path("file"), "not a socket");
    return lab.path("file");
  },
  "is longer than a socket address": (lab) => lab.path("x".repeat(200)),
  "is empty": () => "",
};
for (const [what, makePath] of Object.entries(wrongPaths)) {
  labTest(`a control socket that ${what}: plain TCP, silently`, needs, async (lab) => {
    const controlSocket = await makePath(lab);
    const { client, port } = await startPair(lab, { controlSocket });
    await client.do(`connect c ${port}`);
    await client.do(`ask c ${enough}`);
  });
}

for (const kind of ["stream", "seqpacket"]) {
  labTest(`a ${kind} control socket where nobody ever answers`, needs, async (lab) => {
    const mute = lab.start([python!, pythonProgram("mute.py"), kind, lab.socket], { name: "mute" });
    await mute.said(/listening/);
    const { client, port } = await startPair(lab);
    await client.do(`connect c ${port}`);
    await client.do(`ask c ${enough}`);
  });
}

labTest("SOCKSDIRECT_LOG speaks on stderr and leaves stdout alone", needs, async (lab) => {
  const env = { SOCKSDIRECT_LOG: "info" };
  const talk = ["-c", "import socket; s = socket.socket(); s.listen(); print('done')"];
  const { stdout, stderr } = await lab.run([python!, ...talk], { preload: true, env });
  assertEquals(stdout, "done\n");
  assertMatch(stderr, /socksdirect/i);
  assert(stderr.trim().split("\n").length <= 3, `few lines, not: ${stderr}`);
});

labTest("SOCKSDIRECT_DISABLE keeps a program on TCP and says so", needs, async (lab) => {
  await lab.startMonitor();
  const port = freePort();
  const server = Script.start(lab, "server");
  const client = Script.start(lab, "client", { env: { SOCKSDIRECT_DISABLE: "1" } });
  await server.do(`serve ${port}`);
  await waitForPort(port, server.program);
  await client.do(`connect c ${port}`);
  await client.do(`ask c ${enough}`);
  assertEquals(trafficOf(await lab.monitor.totals()).ringBytes, 0);
});

preloadedTest("a library's ping and ours are counted", needs, async (lab) => {
  const counted = async () => {
    const text = await lab.monitor.metrics();
    return Number(text.match(/^socksdirect_ctl_requests_total (\d+)$/m)?.[1]);
  };
  const before = await counted();
  await expectCarrier(lab, both, {}, async () => {
    const { client, port } = await startPair(lab);
    await client.do(`connect c ${port}`);
    await client.do("ask c 20000 100");
  });
  assert(await counted() > before, "socksdirect_ctl_requests_total grows");
});

/** An echoing server and a client that has not connected yet. */
async function startPair(lab: Lab, options: { controlSocket?: string } = {}) {
  const port = freePort();
  const server = Script.start(lab, "server", options);
  const client = Script.start(lab, "client", options);
  await server.do(`serve ${port}`);
  await waitForPort(port, server.program);
  return { server, client, port };
}

/** Makes connections until one is on the ring: the first may come before everybody knows. */
async function connectUntilAccelerated(lab: Lab, client: Script, port: number) {
  let made = 0;
  await until("a new connection to be accelerated", async () => {
    const before = trafficOf(await lab.monitor.totals());
    const name = `new${++made}`;
    await client.do(`connect ${name} ${port}`);
    await client.do(`ask ${name} ${enough}`);
    await client.do(`close ${name}`);
    const after = trafficOf(await lab.monitor.totals());
    const ring = after.ringBytes - before.ringBytes;
    return ring > 0.9 * (ring + after.tcpBytes - before.tcpBytes);
  });
}
