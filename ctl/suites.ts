/**
 * `test [SUITE...] [--full]`: every test of the project, one suite after the other, and the sum.
 *
 * The output of each suite passes through as it comes. The last line is 'N passed, N failed' (and
 * ', N skipped' when there were some), which .ci/run relies on.
 */

import { buildChecks } from "./build.ts";
import { type Call, type CommandSpec, wrongUse } from "./cli.ts";
import { commands } from "./commands.ts";
import { exitCode } from "./errors.ts";
import { interleaveProgram, root } from "./paths.ts";
import { withoutPreload } from "./preload.ts";
import { didYouMean } from "./suggest.ts";
import {
  addCounts,
  type Counts,
  countsOfCheck,
  countsOfDeno,
  countsOfInterleave,
  countsOfZig,
  countsText,
  type Outcome,
} from "./test_counts.ts";

interface Suite {
  name: string;
  summary: string;
  /** `full`: also what takes too long for every day. `values`: options that have some. */
  command(full: boolean, values: ReadonlyMap<string, string>): string[];
  folder?: string;
  /** It runs a program that is built for tests only. */
  needsChecks?: boolean;
  counts(outcome: Outcome): Counts;
}

const deno = (...args: string[]) => [Deno.execPath(), ...args];

const suites: readonly Suite[] = [
  {
    name: "zig",
    summary: "unit tests of the native code",
    command: () => ["zig", "build", "test", "--summary", "all"],
    folder: `${root}/zig`,
    counts: countsOfZig,
  },
  {
    name: "interleave",
    summary: "every interleaving of ring, switch-over and wake-up",
    command: () => [interleaveProgram],
    needsChecks: true,
    counts: countsOfInterleave,
  },
  {
    name: "format",
    summary: "format of the TypeScript sources",
    command: () => deno("fmt", "--check"),
    counts: countsOfCheck,
  },
  { name: "lint", summary: "lint", command: () => deno("lint"), counts: countsOfCheck },
  {
    name: "types",
    summary: "types",
    command: () => deno("check", "--quiet", "."),
    counts: countsOfCheck,
  },
  {
    name: "unit",
    summary: "unit tests of monitor, ffi, ctl and reproduce",
    command: () => deno("test", "-A", "--no-check", "monitor", "ffi", "ctl", "reproduce"),
    counts: countsOfDeno,
  },
  {
    name: "integration",
    summary: "real programs, faults, all combinations of preloaded and plain",
    command: () => deno("test", "-A", "--no-check", "tests"),
    needsChecks: true,
    counts: countsOfDeno,
  },
  {
    name: "conformance",
    summary: "the same calls over kernel TCP and over rings: what they return, compared",
    command: () => deno("run", "-A", "--no-check", "tests/conformance/main.ts"),
    needsChecks: true,
    counts: countsOfInterleave,
  },
  {
    name: "random",
    summary: "random programs of socket calls over kernel TCP and over rings, compared",
    command: (full, values) => deno(...randomWords(full, values)),
    needsChecks: true,
    counts: countsOfInterleave,
  },
  {
    name: "suites",
    summary: "other people's test suites, over kernel TCP and preloaded",
    command: (full) => denoTest("tests/suites/main.ts", full),
    counts: countsOfDeno,
  },
  {
    name: "apps",
    summary: "unmodified applications: real work, restart, SIGKILL, all combinations",
    command: (full) => denoTest("tests/apps/main.ts", full),
    counts: countsOfDeno,
  },
];

/** A minute of fixed seeds; `--full`, or a number of runs, for what is run before a release. */
function randomWords(full: boolean, values: ReadonlyMap<string, string>): string[] {
  const words = ["run", "-A", "--no-check", "tests/conformance/random_main.ts"];
  for (const [name, value] of values) words.push(`--${name}`, value);
  if (full) return [...words, "--runs", "100", "--steps", "10000"];
  return values.size > 0 ? words : [...words, "--seconds", "60"];
}

/** A file of tests that takes `--full`. */
function denoTest(file: string, full: boolean): string[] {
  return deno("test", "-A", "--no-check", file, ...full ? ["--", "--full"] : []);
}

export async function run(call: Call): Promise<number> {
  let sum: Counts = { passed: 0, failed: 0, skipped: 0 };
  const failures: string[] = [];
  const chosen = chosenSuites(call.operands);
  if (chosen.some(({ needsChecks }) => needsChecks)) {
    console.log("building the programs that only tests run (a minute the first time)");
    await buildChecks();
  }
  for (const suite of chosen) {
    console.log(`\n==> ${suite.name}: ${suite.summary}`);
    const start = performance.now();
    const counts = await runSuite(suite, call);
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log(`<== ${suite.name}: ${countsText(counts)} in ${seconds} s`);
    if (counts.failed > 0) failures.push(suite.name);
    sum = addCounts(sum, counts);
  }
  if (failures.length > 0) console.log(`\nfailed: ${failures.join(", ")}`);
  console.log(`\n${countsText(sum)}`);
  return sum.failed === 0 ? exitCode.ok : exitCode.failed;
}

function chosenSuites(names: readonly string[]): readonly Suite[] {
  const known = suites.map(({ name }) => name);
  const wrong = names.find((name) => !known.includes(name));
  if (wrong !== undefined) {
    const hint = didYouMean(wrong, known) || `; there are ${known.join(", ")}`;
    throw wrongUse(testSpec(), `no suite '${wrong}'${hint}`);
  }
  return names.length === 0 ? suites : suites.filter(({ name }) => names.includes(name));
}

function testSpec(): CommandSpec {
  return commands.find(({ name }) => name === "test")!;
}

async function runSuite(suite: Suite, call: Call): Promise<Counts> {
  try {
    return suite.counts(await runThrough(suite, call));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log(`cannot run '${commandOf(suite, call)[0]}': ${error.message}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

function commandOf(suite: Suite, call: Call): string[] {
  return suite.command(call.flags.has("full"), call.values);
}

/** Runs the suite's command; its output goes to stdout and is kept. */
async function runThrough(suite: Suite, call: Call): Promise<Outcome> {
  const [program, ...args] = commandOf(suite, call);
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'exec "$@" 2>&1', "sh", program, ...args],
    cwd: suite.folder ?? root,
    clearEnv: true,
    env: testEnvironment(),
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const pieces: Uint8Array[] = [];
  for await (const piece of child.stdout) {
    Deno.stdout.writeSync(piece);
    pieces.push(piece);
  }
  const { code } = await child.status;
  return { code, text: await new Blob(pieces as Uint8Array<ArrayBuffer>[]).text() };
}

/**
 * Tests start from a known environment: the tools of this checkout, not preloaded, no monitor of
 * the user's, no colours.
 */
function testEnvironment(): Record<string, string> {
  const environment = withoutPreload(Deno.env.toObject());
  delete environment.SOCKSDIRECT_CTL_SOCKET;
  return {
    ZIG_GLOBAL_CACHE_DIR: `${root}/.toolchain/zig-cache`,
    ...environment,
    PATH: `${root}/.toolchain/bin:${environment.PATH ?? "/usr/bin:/bin"}`,
    NO_COLOR: "1",
    ZIG_DEBUG_CMD: "1",
  };
}
