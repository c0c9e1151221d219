/**
 * The conformance suite by hand: `./socksdirect test conformance`, or with options
 * `deno run -A tests/conformance/main.ts [OPTION...] [PATTERN...]`.
 *
 * Prints what differs and, at the end, 'N passed, N failed'; writes results/conformance.json.
 */

import { parseArgs } from "@std/cli/parse-args";
import { buildChecks } from "../../ctl/build.ts";
import { type Combination, combinations, Lab, root } from "../harness.ts";
import { type Case, listCases, pathOf } from "./cases.ts";
import { page, withGeneratedPart } from "./document.ts";
import { obstacleAt, runLtp } from "./ltp.ts";
import { type Result, runSuite } from "./suite.ts";

const help = `Runs the conformance cases in every combination of preloaded and plain ends.

  [PATTERN...]          only cases whose topic/name contains one of these
  --combination NAME    only this one: both, server or client (besides neither, for comparison)
  --jobs N              so many cases at once (3)
  --times N             everything so many times (1)
  --deadline SECONDS    for one pair (20)
  --print               print the transcripts too
  --ltp DIR             not these, but the tests of the Linux Test Project installed there
  --document            write the results into docs/COMPATIBILITY.md (a full run, nothing failed)
`;

const resultsFile = `${root}/results/conformance.json`;

async function main(): Promise<number> {
  const options = parseArgs(Deno.args, {
    string: ["combination", "jobs", "times", "deadline", "ltp"],
    boolean: ["print", "document", "help"],
    unknown: (name: string) => {
      if (!name.startsWith("-")) return true;
      console.error(`no option '${name}'; --help lists them`);
      Deno.exit(2);
    },
  });
  if (options.help) {
    console.log(help);
    return 0;
  }
  if (options.ltp !== undefined) return await ltp(String(options.ltp), options._.map(String));
  await buildChecks();
  const combination = options.combination as string | undefined;
  const patterns = options._.map(String);
  const cases = chosenCases(patterns);
  const results: Result[] = [];
  const start = performance.now();
  await Lab.with(async (lab) => {
    await lab.startMonitor();
    for (let time = 0; time < Number(options.times ?? 1); time++) {
      results.push(
        ...await runSuite(lab, cases, {
          jobs: Number(options.jobs ?? 3),
          deadlineSeconds: Number(options.deadline ?? 20),
          combinations: chosenCombinations(combination),
          onResult: (result) => print(result, Boolean(options.print)),
        }),
      );
    }
  });
  writeResults(results);
  const failed = results.filter(({ complaints }) => complaints.length > 0).length;
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(`\n${cases.length} cases in ${seconds} s; details in ${resultsFile}`);
  const full = patterns.length === 0 && combination === undefined;
  if (options.document) document(cases, full && failed === 0);
  console.log(`${results.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

async function ltp(dir: string, patterns: string[]): Promise<number> {
  const obstacle = obstacleAt(dir);
  if (obstacle !== undefined) {
    console.log(`skipped: ${obstacle}`);
    return 0;
  }
  let counts = { passed: 0, failed: 0 };
  await Lab.with(async (lab) => {
    await lab.startMonitor();
    counts = await runLtp(lab, dir, { patterns });
  });
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0 ? 0 : 1;
}

function chosenCases(patterns: readonly string[]): Case[] {
  const cases = listCases().filter((tested) =>
    patterns.length === 0 || patterns.some((pattern) => pathOf(tested).includes(pattern))
  );
  if (cases.length === 0) throw new Error(`no case's name contains ${patterns.join(" or ")}`);
  return cases;
}

function chosenCombinations(name?: string): readonly Combination[] | undefined {
  if (name === undefined) return undefined;
  const chosen = combinations.filter((combination) => combination.name.startsWith(name));
  if (chosen.length > 0) return chosen;
  throw new Error(`no combination '${name}'; there are both, server, client`);
}

function print(result: Result, transcript: boolean) {
  if (transcript) {
    console.log(`\n${result.case}, ${result.combination}:`);
    for (const line of result.lines) console.log(`  ${line}`);
  }
  if (result.complaints.length === 0) return;
  console.log(`\nFAILED ${result.case}, ${result.combination}:`);
  for (const complaint of result.complaints) console.log(`  ${complaint}`);
}

function writeResults(results: readonly Result[]) {
  Deno.mkdirSync(`${root}/results`, { recursive: true });
  Deno.writeTextFileSync(resultsFile, JSON.stringify(results, null, 1));
}

function document(cases: readonly Case[], good: boolean) {
  if (!good) {
    return console.log("docs/COMPATIBILITY.md stays: that takes a full run without failures");
  }
  Deno.writeTextFileSync(page, withGeneratedPart(Deno.readTextFileSync(page), cases));
  console.log(`wrote ${page}`);
}

if (import.meta.main) Deno.exit(await main());
