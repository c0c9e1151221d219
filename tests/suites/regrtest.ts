/** Runs a module of CPython's tests by its own runner, regrtest, and reads what came out. */

import { installed, python } from "../harness/files.ts";
import type { Lab, RunOptions } from "../harness/lab.ts";
import { leftOut, type Module } from "./cpython.ts";

export type Outcome = "passed" | "skipped" | "failed";

export interface Run {
  /** By test: `test.test_socket.BasicTCPTest.testRecv`. */
  outcomes: Map<string, Outcome>;
  /** All that it said. */
  output: string;
}

/** A module that takes longer hangs: regrtest ends it, and shows what every thread was doing. */
const moduleTimeoutSeconds = 400;

/** An interpreter that has its tests: Debian's, or the one on PATH. */
export const testedPython: string | undefined = await findTestedPython();

async function findTestedPython(): Promise<string | undefined> {
  for (const candidate of [python, installed("/usr/bin/python3"), "/usr/bin/python3"]) {
    if (candidate !== undefined && await hasTests(candidate)) return candidate;
  }
  return undefined;
}

async function hasTests(interpreter: string): Promise<boolean> {
  const code = "import test.libregrtest, test.test_socket, test.test_multiprocessing_fork";
  try {
    const options = { stdout: "null", stderr: "null" } as const;
    const command = new Deno.Command(interpreter, { args: ["-c", code], ...options });
    return (await command.output()).success;
  } catch {
    return false;
  }
}

/** One run of the module; its name tells it from others in the lab. */
export async function runModule(
  lab: Lab,
  { name: module, only = [] }: Pick<Module, "name" | "only">,
  options: Required<Pick<RunOptions, "name" | "preload">> & Pick<RunOptions, "network">,
): Promise<Run> {
  const { name } = options;
  const folder = lab.path(name);
  await Deno.mkdir(folder);
  const report = `${folder}/report.xml`;
  const ended = await lab.run([
    ...[testedPython!, "-m", "test", "-v", "-u", "network,cpu,subprocess"],
    ...leftOut.flatMap(({ pattern }) => ["-i", pattern]),
    ...only.flatMap((pattern) => ["-m", pattern]),
    ...["--timeout", `${moduleTimeoutSeconds}`, "--junit-xml", report, module],
  ], {
    ...options,
    cwd: folder,
    env: { SOCKSDIRECT_EAGER: "1", TMPDIR: folder },
    mayFail: true,
    timeoutMs: (moduleTimeoutSeconds + 20) * 1000,
  });
  const output = ended.stdout + ended.stderr;
  return { outcomes: outcomesOf(readOrEmpty(report)), output };
}

/** From regrtest's JUnit report. A test with several entries (subtests) is as bad as its worst. */
export function outcomesOf(report: string): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  for (const [, name, end, body] of report.matchAll(testcase)) {
    const before = outcomes.get(name);
    const outcome = outcomeOf(end === "/>" ? "" : body);
    if (before === undefined || rank[outcome] > rank[before]) outcomes.set(name, outcome);
  }
  return outcomes;
}

const testcase = /<testcase name="([^"]+)"[^>]*?(\/>|>([\s\S]*?)<\/testcase>)/g;
const rank: Record<Outcome, number> = { skipped: 0, passed: 1, failed: 2 };

function outcomeOf(body: string): Outcome {
  if (/<(failure|error)\b/.test(body)) return "failed";
  return body.includes("<skipped") ? "skipped" : "passed";
}

/** Tests that kernel TCP passes and SocksDirect does not, with what it did instead. */
export function regressions(plain: Run, preloaded: Run): string[] {
  const found: string[] = [];
  for (const [test, outcome] of plain.outcomes) {
    if (outcome === "failed") continue; // kernel TCP has it too
    const ours = preloaded.outcomes.get(test) ?? "not run";
    if (ours !== outcome) found.push(`${test}: ${ours}, ${outcome} over kernel TCP`);
  }
  return found;
}

/** What regrtest said about its failures, or its last words. */
export function account(run: Run): string {
  const failures = [
    ...run.output.matchAll(/^={70}\n(?:FAIL|ERROR): [\s\S]*?(?=^={70}$|^-{70}\nRan)/gm),
  ]
    .map(([text]) => text);
  return failures.length > 0 ? failures.join("\n") : run.output.slice(-4000);
}

function readOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return ""; // it did not get so far
  }
}
