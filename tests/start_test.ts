/** What the library does before a program's first connection, and with SOCKSDIRECT_EAGER at it. */

import { assert, assertEquals } from "@std/assert";
import { freePort, preloadedTest, python, Script, waitForPort } from "./harness.ts";

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
