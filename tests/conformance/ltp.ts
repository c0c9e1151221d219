/**
 * An installed Linux Test Project's tests of sockets and of waiting, plain and preloaded:
 *
 *     deno run -A tests/conformance/main.ts --ltp /opt/ltp [PATTERN...]
 *
 * They are one process each, with threads or children, so there are two runs and not four. What a
 * test says of the kernel (how often it passed, failed, was broken or could not be configured) and
 * its exit code have to be the same preloaded. As for other people's suites, connections try for a
 * ring from their first data call on: most of these end after a few.
 */

import { type Lab, type Program, trafficOf } from "../harness.ts";

/** What a test said: how often each, and how it ended. */
export interface Verdicts {
  counts: Partial<Record<Verdict, number>>;
  ended: string;
}

export type Verdict = (typeof verdictNames)[number];
const verdictNames = ["TPASS", "TFAIL", "TBROK", "TWARN", "TCONF"] as const;

export interface LtpTest {
  name: string;
  words: string[];
}

/** Tests whose names begin so and go on with a digit, `_` or nothing. */
const groups = [
  ...["socket", "socketpair", "socketcall", "sockioctl", "bind", "listen", "accept", "accept4"],
  ...["connect", "getpeername", "getsockname", "getsockopt", "setsockopt", "shutdown"],
  ...["recv", "recvfrom", "recvmsg", "recvmmsg", "send", "sendto", "sendmsg", "sendmmsg"],
  ...["sendfile", "splice", "tee", "vmsplice", "readv", "writev", "preadv2", "pwritev2"],
  ...["epoll", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait"],
  ...["poll", "ppoll", "select", "pselect", "eventfd", "eventfd2", "signalfd", "signalfd4"],
  ...["dup", "dup2", "dup3", "fcntl", "close", "close_range"],
];
const inGroups = new RegExp(`^(${groups.join("|")})(\\d|_|$)`);

/** The tests of the groups, from a runtest file: a name and a command on each line. */
export function chosenTests(runtest: string, patterns: readonly string[] = []): LtpTest[] {
  return runtest.split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(/\s+/))
    .map(([name, ...words]) => ({ name, words }))
    .filter(({ name, words }) => words.length > 0 && inGroups.test(name))
    .filter(({ name }) => !patterns.length || patterns.some((pattern) => name.includes(pattern)));
}

/** Of both kinds of output: "x.c:42: TPASS: text" and "x 1  TPASS  :  text". */
export function countVerdicts(output: string): Verdicts["counts"] {
  const counts: Verdicts["counts"] = {};
  for (const [, verdict] of output.matchAll(/^\S.*?\b(TPASS|TFAIL|TBROK|TWARN|TCONF)\b *:/gm)) {
    counts[verdict as Verdict] = (counts[verdict as Verdict] ?? 0) + 1;
  }
  return counts;
}

/** In words, to be compared. */
export function describe({ counts, ended }: Verdicts): string {
  const parts = verdictNames.filter((name) => counts[name]).map((name) =>
    `${name} ${counts[name]}`
  );
  return [...parts, ended].join(", ");
}

/** Why there is nothing to run, or undefined. */
export function obstacleAt(dir: string): string | undefined {
  for (const path of [`${dir}/testcases/bin`, `${dir}/runtest/syscalls`]) {
    try {
      Deno.statSync(path);
    } catch {
      return `no Linux Test Project is installed at ${dir}: there is no ${path}`;
    }
  }
}

const testTimeoutMs = 120_000;

/** Runs the tests one after another; `say` hears of each difference. */
export async function runLtp(
  lab: Lab,
  dir: string,
  { patterns = [], say = console.log }: {
    patterns?: readonly string[];
    say?: (line: string) => void;
  },
): Promise<{ passed: number; failed: number }> {
  const tests = chosenTests(await Deno.readTextFile(`${dir}/runtest/syscalls`), patterns);
  const start = performance.now();
  let failed = 0;
  for (const test of tests) {
    const plain = await runTest(lab, dir, test, false);
    const preloaded = await runTest(lab, dir, test, true);
    if (describe(plain.verdicts) === describe(preloaded.verdicts)) continue;
    failed++;
    say(`\nFAILED ltp/${test.name}:`);
    say(`  - ${describe(plain.verdicts)}\n  + ${describe(preloaded.verdicts)}`);
    for (const line of preloaded.output.trim().split("\n").slice(-12)) say(`    ${line}`);
  }
  const { accelerated } = trafficOf(await lab.monitor.totals());
  const seconds = Math.round((performance.now() - start) / 1000);
  say(`\n${tests.length} tests of LTP in ${seconds} s; ${accelerated} ends were on a ring`);
  return { passed: tests.length - failed, failed };
}

async function runTest(lab: Lab, dir: string, { name, words }: LtpTest, preload: boolean) {
  const folder = lab.path(`${name}-${preload ? "preloaded" : "plain"}`);
  await Deno.mkdir(folder, { recursive: true });
  await Deno.chmod(lab.dir, 0o755);
  await Deno.chmod(folder, 0o1777);
  const path = `${dir}/testcases/bin:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`;
  // Through a shell: some commands use its words, and all are looked up in PATH.
  const program = lab.start(["/bin/sh", "-c", `exec ${words.join(" ")}`], {
    name,
    preload,
    cwd: folder,
    env: {
      ...{ PATH: path, LTPROOT: dir, TMPDIR: folder, LTP_COLORIZE_OUTPUT: "0" },
      ...{ SOCKSDIRECT_EAGER: "1", LTP_TIMEOUT_MUL: "1" },
    },
  });
  const ended = await endOf(program);
  const output = program.stdout + program.stderr;
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  return { verdicts: { counts: countVerdicts(output), ended }, output };
}

async function endOf(program: Program): Promise<string> {
  try {
    const { code, signal } = await program.end(testTimeoutMs);
    return signal === null ? `exit ${code}` : signal;
  } catch {
    await program.stop();
    return `did not end in ${testTimeoutMs / 1000} s`;
  }
}
