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

/** So many that what goes by TCP while a busy machine's monitor introduces the two is no hundredth. */
const exchanges = 500_000;

for (const io of all) {
  preloadedTest(`sdbench ${io}: ping-pong`, none, async (lab) => {
    await expectCarrier(lab, both, {}, async () => {
      const report = await pair(lab, ["--mode", "rtt", "--io", io, "--count", `${exchanges}`]);
      assertEquals(report.messages, exchanges);
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
      const report = await pair(lab, ["--mode", mode, "--count", `${exchanges}`]);
      assertEquals(report.messages, exchanges);
      assertEquals(report.checksum_ok, true);
    });
  });
}

for (const io of eventDriven) {
  preloadedTest(`sdbench ${io}: 100 connections in one loop`, none, async (lab) => {
    await expectCarrier(lab, both, {}, async () => {
      const words = ["--io", io, "--connections", "100", "--count", `${exchanges}`];
      const report = await pair(lab, words);
      assert(report.messages >= exchanges);
    });
  });
}

/** What connections of 8-byte messages send by TCP until they are adopted, on a busy machine. */
const crowd = { settlingBytes: 300_000 };

/** Ways to use many connections at once; 40,000 messages each. */
const crowds: Record<string, string[]> = {
  "one of 200 connections talks at a time": ["--connections", "200", "--active", "1"],
  "three event loops on each side": ["--connections", "60", "--threads", "3"],
  "connections in epolls nested in another": ["--connections", "60", "--epolls", "5"],
};

for (const [name, words] of Object.entries(crowds)) {
  preloadedTest(`sdbench: ${name}`, none, async (lab) => {
    await expectCarrier(lab, both, crowd, async () => {
      const report = await pair(lab, ["--io", "epoll-lt", ...words, "--count", "40000"]);
      assert(report.messages >= 40_000);
    });
  });
}

preloadedTest("sdbench: pre-forked workers share a listener", none, async (lab) => {
  await expectCarrier(lab, both, crowd, async () => {
    const words = ["--io", "epoll-lt", "--connections", "40", "--workers", "3"];
    const report = await pair(lab, [...words, "--count", "40000"]);
    assert(report.messages >= 40_000);
  });
});

preloadedTest("sdbench: bursts come back as they were sent", none, async (lab) => {
  await expectCarrier(lab, both, {}, async () => {
    const report = await pair(lab, [
      "--mode",
      "bursts",
      "--burst",
      "20",
      "--count",
      `${exchanges}`,
    ]);
    assertEquals(report.messages, exchanges);
    assertEquals(report.checksum_ok, true);
  });
});

for (const mode of ["fan-in", "fan-out"]) {
  preloadedTest(`sdbench ${mode}: streams over 30 connections at once`, none, async (lab) => {
    await expectCarrier(lab, both, { orReasons: ["ring_full"], orAtLeast: 0.8 }, async () => {
      const words = ["--mode", mode, "--io", "epoll-lt", "--connections", "30", "--size", "1000"];
      const report = await pair(lab, [...words, "--seconds", "0.5"]);
      assert(report.messages >= 1_000, `${report.messages} messages`);
      assertEquals(report.checksum_ok, true);
    });
  });
}

labTest("sdbench measures Unix sockets, pipes and the bare ring alike", none, async (lab) => {
  const short = ["--seconds", "0.05", "--warmup-ms", "20", "--json"];
  const commands = {
    unix: ["pair", "--transport", "unix"],
    pipe: ["pipe"],
    "bare-ring": ["bare-ring"],
  };
  for (const [transport, words] of Object.entries(commands)) {
    for (const mode of ["rtt", "stream"]) {
      const { stdout } = await lab.run([sdbench, ...words, "--mode", mode, ...short]);
      const report = JSON.parse(stdout);
      assertEquals([report.transport, report.mode], [transport, mode]);
      assert(report.messages > 0 && report.per_second > 0, stdout);
    }
  }
});

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
  assertStringIncludes(await wrong("pair", "--threads", "0"), "at least one");
  assertStringIncludes(await wrong("pair", "--connections", "9"), "mode rtt with --io blocking");
  assertStringIncludes(await wrong("pair", "--mode", "fan-in"), "needs poll, select or epoll-lt");
});

async function pair(lab: Lab, words: string[]): Promise<Report> {
  const fixed = ["--checksum", "--warmup-ms", "200", "--deadline", "20", "--json"];
  const { stdout } = await lab.run([sdbench, "pair", ...words, ...fixed], { preload: true });
  return JSON.parse(stdout);
}
