/** Files through socat, ncat and iperf3: programs that splice, fork, select and send big blocks. */

import { assert, assertEquals } from "@std/assert";
import {
  both,
  expectCarrier,
  freePort,
  noise,
  preloadedTest,
  sha256,
  sha256OfFile,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const fileBytes = 100_000_000;

/** What goes by TCP at full speed before the monitor and the peer have answered. */
const settlingBytes = 60_000_000;

/** These close their listener as soon as they have their one connection. */
const oneConnection = { settlingBytes, orReasons: ["no_listener", "not_adopted"] };

withCombinations("socat sends a file", { programs: ["socat"] }, async (lab, combination) => {
  const port = freePort();
  const file = noise(fileBytes, 3);
  await Deno.writeFile(lab.path("file"), file);
  const receiver = lab.start(
    ["socat", "-u", `TCP-LISTEN:${port},bind=127.0.0.1`, `CREATE:${lab.path("copy")}`],
    { preload: combination.server, name: "receiver" },
  );
  await waitForPort(port, receiver);
  await expectCarrier(lab, combination, oneConnection, async () => {
    await lab.run(["socat", "-u", `FILE:${lab.path("file")}`, `TCP:127.0.0.1:${port}`], {
      preload: combination.client,
      name: "sender",
    });
    assertEquals((await receiver.end()).code, 0, receiver.summary());
  });
  assertEquals(await sha256OfFile(lab.path("copy")), await sha256(file));
});

preloadedTest("socat forks a child for each connection", { programs: ["socat"] }, async (lab) => {
  const port = freePort();
  const file = noise(100_000_000, 4);
  const server = lab.start(
    ["socat", `TCP-LISTEN:${port},bind=127.0.0.1,fork`, "PIPE"],
    { preload: true, name: "server" },
  );
  await waitForPort(port, server);
  await expectCarrier(lab, both, { settlingBytes }, async () => {
    for (let i = 0; i < 3; i++) {
      const echoed = await lab.run(["socat", "-t10", "-", `TCP:127.0.0.1:${port}`], {
        preload: true,
        stdin: file,
      });
      assertEquals(await sha256(echoed.stdoutBytes), await sha256(file), `connection ${i}`);
    }
  });
});

withCombinations("ncat sends a file", { programs: ["ncat"] }, async (lab, combination) => {
  const port = freePort();
  const file = noise(20_000_000, 5);
  const receiver = lab.start(["ncat", "-l", "--recv-only", "127.0.0.1", `${port}`], {
    preload: combination.server,
    name: "receiver",
  });
  await waitForPort(port, receiver);
  await expectCarrier(lab, combination, oneConnection, async () => {
    await lab.run(["ncat", "--send-only", "127.0.0.1", `${port}`], {
      preload: combination.client,
      stdin: file,
      name: "sender",
    });
    const received = await receiver.end();
    assertEquals(await sha256(received.stdoutBytes), await sha256(file));
  });
});

for (const direction of ["to the server", "to the client", "both ways", "from a file"]) {
  const flags: Record<string, string[]> = {
    "to the server": [],
    "to the client": ["-R"],
    "both ways": ["--bidir"],
    "from a file": ["-Z"],
  };
  const name = `iperf3 ${direction}`;
  withCombinations(name, { programs: ["iperf3"] }, async (lab, combination) => {
    const port = freePort();
    const server = lab.start(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", `${port}`], {
      preload: combination.server,
      name: "server",
    });
    await waitForPort(port, server);
    await expectCarrier(lab, combination, { settlingBytes }, async () => {
      const command = [
        "iperf3",
        "-c",
        "127.0.0.1",
        "-p",
        `${port}`,
        "-n",
        "1000M",
        "-P",
        "2",
        "-J",
      ];
      const { stdout } = await lab.run([...command, ...flags[direction]], {
        preload: combination.client,
        name: "client",
      });
      const report = JSON.parse(stdout);
      assertEquals(report.error, undefined);
      // With both ways, whichever side is done first ends the other's.
      const least = direction === "both ways" ? 1_000_000 : 100_000_000;
      assert(report.end.sum_received.bytes > least, "bytes received");
      await server.end();
    });
  });
}
