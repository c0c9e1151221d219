/**
 * One libsd.so an architecture serves programs of glibc (2.31 and newer) and of musl: what it asks of
 * them, and programs of both, alone and with each other over one ring.
 */

import { assert, assertEquals } from "@std/assert";
import { neededLibraries, neededVersions } from "./harness/elf.ts";
import {
  both,
  built,
  type Combination,
  compiled,
  expectCarrier,
  freePort,
  installed,
  type Lab,
  labTest,
  library,
  preloadedTest,
  root,
  sdbench,
  waitForPort,
  withCombinations,
  withoutMusl,
} from "./harness.ts";

const musl = "x86_64-linux-musl";
const needsMusl = { hindrance: withoutMusl() };
const needsZig = { programs: ["zig"] };

// -- what the files ask for ---------------------------------------------------------------------

/** musl's loader takes these names for itself; a further one would not be found there. */
const knownToMusl = ["libc.so.6", "libdl.so.2"];

labTest("libsd.so needs only libraries whose names musl's loader knows", {}, () => {
  assertEquals(neededLibraries(library).sort(), knownToMusl);
  return Promise.resolve();
});

labTest("nothing that is built for this machine asks for a glibc newer than 2.31", {}, () => {
  for (const file of ["lib/libsd.so", "lib/libsdffi.so", "bin/sdbench"]) {
    assertOldGlibc(`${root}/zig/zig-out/${file}`);
  }
  return Promise.resolve();
});

labTest("nothing that is built for arm64 asks for a glibc newer than 2.31", needsZig, async () => {
  const arm = await built("aarch64-linux-gnu", "libsd.so");
  assertEquals(neededLibraries(arm).sort(), knownToMusl);
  assertOldGlibc(arm);
  assertOldGlibc(await built("aarch64-linux-gnu", "sdbench"));
});

function assertOldGlibc(file: string) {
  const versions = neededVersions(file);
  assert(versions.length > 0, `${file} names no version of glibc`);
  const newer = versions.filter((version) => {
    const [, major, minor] = version.match(/^GLIBC_(\d+)\.(\d+)/) ?? [];
    return !(Number(major) === 2 && Number(minor) <= 31);
  });
  assertEquals(newer, [], file);
}

// -- programs of musl ---------------------------------------------------------------------------

const pairs = [["glibc", "musl"], ["musl", "glibc"], ["musl", "musl"]] as const;

for (const [server, client] of pairs) {
  withCombinations(
    `${client} client of a ${server} server`,
    needsMusl,
    async (lab, combination) => {
      for (const mode of ["rtt", "stream"]) await measure(lab, combination, server, client, mode);
    },
  );
}

async function measure(
  lab: Lab,
  combination: Combination,
  server: "glibc" | "musl",
  client: "glibc" | "musl",
  mode: string,
) {
  const port = freePort();
  const serverMode = mode === "rtt" ? "echo" : "transfer";
  const listening = lab.start(
    [await programOf(server), "server", "--mode", serverMode, "--port", `${port}`],
    { preload: combination.server, name: `${server} server` },
  );
  await waitForPort(port, listening);
  // A stream starts on TCP and does not wait for the ring.
  const share = mode === "rtt" ? {} : { settlingBytes: 8 << 20 };
  await expectCarrier(lab, combination, share, async () => {
    const amount = mode === "rtt"
      ? ["--count", "5000"]
      : ["--size", "30000", "--bytes", "40000000"];
    const words = ["--mode", mode, ...amount, "--checksum", "--deadline", "30", "--json"];
    const { stdout } = await lab.run([
      await programOf(client),
      "client",
      "--port",
      `${port}`,
      ...words,
    ], {
      preload: combination.client,
      name: `${client} client`,
    });
    assertEquals(JSON.parse(stdout).checksum_ok, true);
  });
}

async function programOf(libc: "glibc" | "musl"): Promise<string> {
  return libc === "glibc" ? sdbench : await built(musl, "sdbench");
}

for (const io of ["blocking", "poll", "select", "epoll-lt", "epoll-et", "threads", "fork"]) {
  preloadedTest(`musl programs, ${io}: ping-pong and stream`, needsMusl, async (lab) => {
    const program = await built(musl, "sdbench");
    for (const work of [["rtt", "--count", "50000"], ["stream", "--bytes", "100000000"]]) {
      const [mode, ...amount] = work;
      await expectCarrier(lab, both, { settlingBytes: 8 << 20 }, async () => {
        const words = ["--mode", mode, "--io", io, ...amount, "--warmup-ms", "200"];
        const fixed = ["--checksum", "--deadline", "30", "--json"];
        const { stdout } = await lab.run([program, "pair", ...words, ...fixed], { preload: true });
        assertEquals(JSON.parse(stdout).checksum_ok, true);
      });
    }
  });
}

preloadedTest("sendmsg and recvmsg of musl, whose lengths have padding", needsMusl, async (lab) => {
  const program = await compiled("messages", musl, lab.dir);
  await expectCarrier(lab, both, {}, async () => {
    const { stdout } = await lab.run([program], { preload: true });
    assertEquals(stdout, "done\n");
  });
});

preloadedTest("a glibc program starts musl programs, all preloaded", needsMusl, async (lab) => {
  assert(installed("sh") !== undefined);
  const program = await built(musl, "sdbench");
  const pair = `'${program}' pair --mode rtt --count 50000 --warmup-ms 200 --deadline 30`;
  await expectCarrier(lab, both, {}, async () => {
    await lab.run(["sh", "-c", `${pair} && env true && ${pair}`], { preload: true });
  });
});
