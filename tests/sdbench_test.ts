/** Our own plain libc program: every way of waiting, every direction, every byte checked. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  both,
  expectCarrier,
  freePort,
  type Lab,
  labTest,
  preloadedTest,
  sdbench,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const eventDriven = ["poll", "select", "epoll-lt", "epoll-et"];
const all = ["blocking", ...eventDriven, "threads", "fork"];
const none = {};

/** What a run must have, besides its carrier. */
interface Report {
  messages: number;
  bytes: number;
  checksum_ok: boolean | null;
}

for (const io of all) {
  preloadedTest(`sdbench ${io}: ping-pong`, none, async (lab) => {
    await expectCarrier(lab, both, {}, async () => {
      const report = await pair(lab, ["--mode", "rtt", "--io", io, "--count", "100000"]);
      assertEquals(report.messages, 100_000);
      assertEquals(report.checksum_ok, true);
    });
  });
  for (const mode of ["stream", "source", "duplex"]) {
    for (const size of [64, 65536]) {
      preloadedTest(`sdbench ${io}: ${mode} of ${size} B messages`, none, async (lab) => {
        const bytes = size === 64 ? 30_000_000 : 400_000_000;
        // Where both sides send and neither reads, TCP's larger buffers take over.
        const share = mode === "duplex" ? { orReasons: ["ring_full"], orAtLeast: 0.8 } : {};
        await expectCarrier(lab, both, share, async () => {
          const words = ["--mode", mode, "--io", io, "--size", `${size}`, "--bytes", `${bytes}`];
          const report = await pair(lab, words);
          assertEquals(report.bytes, mode === "duplex" ? 2 * bytes : bytes);
          assertEquals(report.checksum_ok, true);
        });
      });
    }
  }
}

for (const mode of ["two-threads", "after-fork", "fork-both"]) {
  preloadedTest(`sdbench ${mode}: ping-pong`, none, async (lab) => {
    await expectCarrier(lab, both, {}, async () => {
      const report = await pair(lab, ["--mode", mode, "--count", "100000"]);
      assertEquals(report.messages, 100_000);
      assertEquals(report.checksum_ok, true);
    });
  });
}

for (const io of eventDriven) {
  preloadedTest(`sdbench ${io}: 100 connections in one loop`, none, async (lab) => {
    await expectCarrier(lab, both, {}, async () => {
      const words = ["--io", io, "--connections", "100", "--count", "100000"];
      const report = await pair(lab, words);
      assert(report.messages >= 100_000);
    });
  });
}

for (
  const [client, server] of [["blocking", "epoll-et"], ["epoll-lt", "fork"], ["poll", "threads"]]
) {
  preloadedTest(`sdbench ${client} client with ${server} server`, none, async (lab) => {
    await expectCarrier(lab, both, {}, async () => {
      const words = ["--mode", "stream", "--io", client, "--server-io", server];
      const report = await pair(lab, [...words, "--size", "10000", "--bytes", "200000000"]);
      assertEquals(report.checksum_ok, true);
    });
  });
}

for (const io of ["blocking", "epoll-lt", "epoll-et"]) {
  withCombinations(`sdbench ${io}: new connections`, none, async (lab, combination) => {
    const port = freePort();
    const server = lab.start(
      [sdbench, "server", "--mode", "echo", "--io", io, "--port", `${port}`],
      { preload: combination.server, name: "server" },
    );
    await waitForPort(port, server);
    // Short connections may stay on TCP throughout; that they work is the point here.
    const share = { atLeast: 0, orReasons: ["undecided"] };
    await expectCarrier(lab, combination, share, async () => {
      const words = ["--mode", "connect", "--requests", "3", "--count", "2000", "--io", io];
      const client = await lab.run([sdbench, "client", ...words, "--port", `${port}`, "--json"], {
        preload: combination.client,
        name: "client",
      });
      assertEquals(JSON.parse(client.stdout).messages, 2000);
    });
  });
}

preloadedTest("sdbench duplex of messages larger than a ring", none, async (lab) => {
  await expectCarrier(lab, both, { orReasons: ["ring_full"] }, async () => {
    const words = ["--mode", "duplex", "--io", "epoll-lt", "--size", "3000000"];
    const report = await pair(lab, [...words, "--bytes", "600000000"]);
    assertEquals(report.checksum_ok, true);
  });
});

labTest("sdbench says what is wrong with its arguments", none, async (lab) => {
  const wrong = async (...words: string[]) => {
    const { code, stderr } = await lab.run([sdbench, ...words], { mayFail: true });
    assertEquals(code, 2, stderr);
    return stderr;
  };
  assertStringIncludes(await wrong("dance"), 'no command "dance"');
  assertStringIncludes(await wrong("pair", "--io", "epol"), "not one of blocking, poll, select");
  assertStringIncludes(await wrong("pair", "--size"), "--size needs a value");
  assertStringIncludes(await wrong("pair", "--size", "0"), "at least one byte");
  assertStringIncludes(await wrong("client"), "client needs --port");
});

async function pair(lab: Lab, words: string[]): Promise<Report> {
  const fixed = ["--checksum", "--warmup-ms", "200", "--deadline", "20", "--json"];
  const { stdout } = await lab.run([sdbench, "pair", ...words, ...fixed], { preload: true });
  return JSON.parse(stdout);
}
