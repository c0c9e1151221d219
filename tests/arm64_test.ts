/**
 * The arm64 library, its programs run by qemu's user-mode emulation beside programs of this machine:
 * two architectures on one ring. The emulator knows neither sock_diag nor all of getsockopt, so this
 * also tests what a process does that must borrow its sock_diag socket from the monitor.
 *
 * It shows that the arm64 code is right, not that its memory ordering is: x86 orders the emulated
 * loads and stores too. For that, see "Memory order" in docs/VERIFICATION.md.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  both,
  built,
  compiled,
  expectCarrier,
  freePort,
  installed,
  type Lab,
  labTest,
  preloadedTest,
  type Program,
  sdbench,
  waitForPort,
} from "./harness.ts";

const target = "aarch64-linux-gnu";
/** Debian: libc6-arm64-cross. */
const system = "/usr/aarch64-linux-gnu";
const needs = { programs: ["zig", "qemu-aarch64"], hindrance: withoutSystem() };

function withoutSystem(): string | undefined {
  try {
    Deno.statSync(`${system}/lib/ld-linux-aarch64.so.1`);
  } catch {
    return `${system}/lib/ld-linux-aarch64.so.1 not installed`;
  }
}

type Arch = "arm64" | "native";

/** Starts a program of either architecture with its own libsd.so. */
async function start(lab: Lab, arch: Arch, role: string, words: string[]): Promise<Program> {
  const name = `${arch} ${role}`;
  if (arch === "native") return lab.start([sdbench, ...words], { preload: true, name });
  return lab.start([...await emulator(lab), await built(target, "sdbench"), ...words], { name });
}

/** The words before an arm64 program; `preload` only there, not for the emulator itself. */
async function emulator(lab: Lab): Promise<string[]> {
  const environment = [
    `LD_PRELOAD=${await built(target, "libsd.so")}`,
    `SOCKSDIRECT_CTL_SOCKET=${lab.socket}`,
  ];
  return ["qemu-aarch64", "-L", system, ...environment.flatMap((each) => ["-E", each])];
}

interface Work {
  server: Arch;
  client: Arch;
  io: string;
  mode: string;
  /** Bytes of a message; in "source" the server's. */
  size: number;
  amount: string[];
}

async function exchange(lab: Lab, { server, client, io, mode, size, amount }: Work) {
  const port = freePort();
  const serverMode = mode === "rtt" ? "echo" : "transfer";
  const common = ["--io", io, "--size", `${size}`, "--port", `${port}`];
  const listening = await start(lab, server, "server", [
    ...["server", "--mode", serverMode],
    ...common,
  ]);
  await waitForPort(port, listening);
  // A stream starts on TCP and waits for nobody, and emulated ends take their time to agree.
  const share = mode === "rtt" ? { settlingBytes: 1 << 20 } : { atLeast: 0.5 };
  await expectCarrier(lab, both, share, async () => {
    const words = ["client", "--mode", mode, ...common, ...amount];
    const fixed = ["--warmup-ms", "400", "--checksum", "--deadline", "50", "--json"];
    const ended = await (await start(lab, client, "client", [...words, ...fixed])).end();
    assertEquals(ended.code, 0, ended.stderr);
    assertEquals(JSON.parse(ended.stdout).checksum_ok, true);
  });
  const { code, stderr } = await listening.stop();
  assert(code !== 139 && !stderr.includes("qemu: uncaught"), `the server crashed: ${stderr}`);
}

const pairs: [Arch, Arch][] = [["arm64", "arm64"], ["arm64", "native"], ["native", "arm64"]];
for (const [server, client] of pairs) {
  preloadedTest(`${client} client of ${server} server, ping-pong`, needs, async (lab) => {
    await exchange(lab, {
      server,
      client,
      io: "blocking",
      mode: "rtt",
      size: 8,
      amount: ["--count", "3000"],
    });
  });
  preloadedTest(`${client} client of ${server} server, streams`, needs, async (lab) => {
    for (const mode of ["stream", "source"]) {
      const amount = ["--bytes", "60000000"];
      await exchange(lab, { server, client, io: "blocking", mode, size: 30_000, amount });
    }
  });
}

for (const io of ["poll", "select", "epoll-lt", "epoll-et", "threads", "fork"]) {
  preloadedTest(`arm64 programs, ${io}: ping-pong`, needs, async (lab) => {
    const amount = ["--count", "2000"];
    await exchange(lab, { server: "arm64", client: "arm64", io, mode: "rtt", size: 8, amount });
  });
}

preloadedTest(
  "the monitor lends a sock_diag socket to who may not make one",
  needs,
  async (lab) => {
    const amount = ["--count", "500"];
    await exchange(lab, {
      server: "arm64",
      client: "native",
      io: "blocking",
      mode: "rtt",
      size: 8,
      amount,
    });
    assertStringIncludes(lab.monitor.program.stderr, "lent it a socket");
  },
);

for (const arch of ["native", "arm64"] as const) {
  const wanted = arch === "arm64" ? needs : { programs: ["zig"] };
  labTest(`functions with any number of arguments get them all, ${arch}`, wanted, async (lab) => {
    assert(installed("echo") !== undefined);
    const program = await compiled(
      "variadic",
      arch === "arm64" ? `${target}.2.31` : `${Deno.build.arch}-linux-gnu.2.31`,
      lab.dir,
    );
    const { stdout } = arch === "arm64"
      ? await lab.run([...await emulator(lab), program])
      : await lab.run([program], { preload: true });
    assertEquals(stdout.trim().split("\n"), [
      "-1 two 1.0 4 5 6 7 8 0.50 ten 1099511627776",
      "execl 2 3 4 5 6 7 8 9",
      "execlp 2",
      "execle 1 8 came",
    ]);
  });
}
