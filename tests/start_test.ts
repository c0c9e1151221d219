/** What the library does before a program's first connection, and with SOCKSDIRECT_EAGER at it. */

import { assert, assertEquals } from "@std/assert";
import {
  freePort,
  type Lab,
  preloadedTest,
  python,
  Script,
  trafficOf,
  waitForPort,
} from "./harness.ts";

const needs = { programs: ["python3"] };

/** Every open descriptor, by asking the kernel for each number as tests of programs do. */
const openDescriptors = `
import os
def is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False
print([fd for fd in range(4096) if is_open(fd)])
`;

preloadedTest("a program without sockets has no descriptor of ours", needs, async (lab) => {
  const words = [python!, "-c", openDescriptors];
  const plain = await lab.run(words);
  const preloaded = await lab.run(words, { preload: true });
  assertEquals(preloaded.stdout, plain.stdout);
});

for (const eager of [true, false]) {
  const outcome = eager ? "is offered" : "is undecided";
  const name = `SOCKSDIRECT_EAGER ${eager ? "set" : "unset"}: one exchange, and the end ${outcome}`;
  preloadedTest(name, needs, async (lab) => {
    const env: Record<string, string> = eager ? { SOCKSDIRECT_EAGER: "1" } : {};
    const port = freePort();
    const server = Script.start(lab, "server", { env });
    const client = Script.start(lab, "client", { env });
    await server.do(`serve ${port}`);
    await waitForPort(port, server.program);
    await client.do(`connect c ${port}`);
    await client.do("ask c 1 100");
    const reasons = (await lab.monitor.connections()).map(({ client }) => client?.reason)
      .filter((reason) => reason !== undefined);
    const wanted = eager ? ["offered", "none"] : ["undecided"];
    assert(reasons.length === 1 && wanted.includes(reasons[0]!), `reasons: ${reasons}`);
  });
}

/** How many processes have joined, and how much went by ring, when a client has asked `times`. */
async function askAtStart(lab: Lab, times: number) {
  const port = freePort();
  const server = Script.start(lab, "server");
  await server.do(`serve ${port}`);
  await waitForPort(port, server.program);
  const client = Script.start(lab, "client");
  await client.do(`connect c ${port}`);
  await client.do(`ask c ${times} 100`);
  const { joined } = await startCounts(lab);
  return { joined, ringBytes: trafficOf(await lab.monitor.totals()).ringBytes };
}

preloadedTest("a process that is not long in use joins no monitor", needs, async (lab) => {
  lab.joinAfterMs = 600_000;
  const { joined, ringBytes } = await askAtStart(lab, 2000);
  assertEquals([joined, ringBytes], [1, 0]); // the listener's
});

preloadedTest(
  "a process that goes on joins, and its connection moves to a ring",
  needs,
  async (lab) => {
    lab.joinAfterMs = undefined;
    const { joined, ringBytes } = await askAtStart(lab, 20_000);
    assertEquals(joined, 2);
    assert(ringBytes > 0, "bytes by ring");
  },
);

preloadedTest("each program that starts is counted, and none of them joins", needs, async (lab) => {
  const before = await startCounts(lab);
  for (let i = 0; i < 30; i++) await lab.run(["true"], { preload: true });
  const after = await startCounts(lab);
  assertEquals(after.requests - before.requests, 30 + 1); // and ours
  assertEquals(after.joined, 0);
});

async function startCounts(lab: Lab): Promise<{ requests: number; joined: number }> {
  const text = await lab.monitor.metrics();
  const valueOf = (name: string) =>
    Number(text.match(new RegExp(`^socksdirect_${name} (\\d+)$`, "m"))![1]);
  return {
    requests: valueOf("ctl_requests_total"),
    joined: valueOf("process_registrations_total"),
  };
}

/** Each port is listened at, left, and asked: nobody may answer, and it can be had again. */
const shortListeners = `
import socket
for _ in range(300):
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    listener.close()
    with socket.socket() as client:
        assert client.connect_ex(address) == 111, "somebody still listens"
    with socket.socket() as again:
        again.bind(address)
print("right")
`;

preloadedTest("a port is free as soon as its listener is closed", needs, async (lab) => {
  const { stdout } = await lab.run([python!, "-c", shortListeners], { preload: true });
  assertEquals(stdout, "right\n");
});
