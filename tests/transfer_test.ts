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

const fileBytes = 200_000_000;

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
  const file = noise(fileBytes, 4);
  await Deno.writeFile(lab.path("file"), file);
  const server = lab.start(["socat", `TCP-LISTEN:${port},bind=127.0.0.1,fork`, "EXEC:cat"], {
    preload: true,
    name: "server",
  });
  await waitForPort(port, server);
  await expectCarrier(lab, both, { settlingBytes }, async () => {
    for (const copy of ["first", "second"]) {
      const words = `socat -t30 - TCP:127.0.0.1:${port} < ${lab.path("file")} > ${lab.path(copy)}`;
      await lab.run(["sh", "-c", `exec ${words}`], { preload: true, name: "client" });
      assertEquals(await sha256OfFile(lab.path(copy)), await sha256(file), `${copy} connection`);
    }
  });
});

withCombinations("ncat sends a file", { programs: ["ncat"] }, async (lab, combination) => {
  const port = freePort();
  const file = noise(fileBytes, 5);
  await Deno.writeFile(lab.path("file"), file);
  const shell = (words: string) => ["sh", "-c", `exec ncat ${words}`];
  const receiver = lab.start(
    shell(`-l --recv-only 127.0.0.1 ${port} > ${lab.path("copy")}`),
    { preload: combination.server, name: "receiver" },
  );
  await waitForPort(port, receiver);
  await expectCarrier(lab, combination, oneConnection, async () => {
    await lab.run(shell(`--send-only 127.0.0.1 ${port} < ${lab.path("file")}`), {
      preload: combination.client,
      name: "sender",
    });
    assertEquals((await receiver.end()).code, 0, receiver.summary());
  });
  assertEquals(await sha256OfFile(lab.path("copy")), await sha256(file));
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
