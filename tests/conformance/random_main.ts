/**
 * The random generator by hand: `./socksdirect test random`, or with more options
 * `deno run -A tests/conformance/random_main.ts [OPTION...]`.
 *
 * Prints what differs, shrunk, with the command that repeats it; at the end what was done and, as
 * the last line, 'N passed, N failed' (runs).
 */

import { buildChecks } from "../../ctl/build.ts";
import { parseArgs } from "@std/cli/parse-args";
import { combinations, Lab } from "../harness.ts";
import { program } from "./cases.ts";
import { type Calls, type Difference, keepList, RandomLab, type RunResult } from "./random.ts";
import { differences } from "./verdict.ts";

const help = `Runs random programs of socket calls over kernel TCP and preloaded, and compares.

  --runs N              so many seeds (20)
  --steps N             steps of each run (2000)
  --seed N              the first seed (1); the others follow
  --episode N           only this program of the seed
  --episode-steps N     a run is cut into programs of so many steps, each with processes of its
                        own (100)
  --keep LIST           only these steps of it: 0-4,7,12
  --combination NAME    both (the default), server or client: who is preloaded (side A, side B)
  --shrink SECONDS      how long to look for a shorter program with the same difference (60)
  --seconds N           begin no further run after so long
`;

/** At least so much of what is sent and received must go by ring when both sides are preloaded. */
const ringShareMin = 0.5;

/** Differences of one call of this program that are shrunk; the others are counted. */
const shrunkMax = 6;

interface Options {
  runs: number;
  steps: number;
  seed: number;
  episode?: number;
  episodeSteps: number;
  keep?: number[];
  combination: string;
  shrink: number;
  seconds: number;
}

async function main(): Promise<number> {
  const options = optionsOf(Deno.args);
  const combination = combinations.find(({ name }) => name.startsWith(options.combination));
  if (combination === undefined) throw new Error(`no combination '${options.combination}'`);
  await buildChecks();
  const kinds = kindNames();
  const sum: RunResult = { steps: 0, byKind: [], calls: { ring: 0, tcp: 0 }, differing: [] };
  const found: Difference[] = [];
  let [passed, failed] = [0, 0];
  await Lab.with(async (lab) => {
    await lab.startMonitor();
    const random = await RandomLab.in(lab, combination);
    const start = performance.now();
    for (let run = 0; run < options.runs; run++) {
      const seconds = (performance.now() - start) / 1000;
      if (seconds > options.seconds) {
        console.log(`${options.seconds} s are over: ${options.runs - run} runs were not begun`);
        break;
      }
      const seed = options.seed + run;
      const result = await random.run(rangeOf(options, seed));
      addTo(sum, result);
      const bad = result.differing.length;
      if (bad === 0) passed++;
      else failed++;
      console.log(
        `run ${run + 1} of ${options.runs}, seed ${seed}: ${result.steps} steps, ` +
          `${shareText(result.calls)} by ring, ${bad} programs differ`,
      );
      for (const seen of result.differing.slice(0, shrunkMax - found.length)) {
        const steps = options.episodeSteps;
        const difference = await random.shrink(seed, seen, steps, options.shrink);
        found.push(difference);
        print(difference);
      }
    }
  });
  const taken = sum.byKind.map((count, index) => `${kinds[index]} ${count}`).join(", ");
  console.log(`\n${sum.steps} steps: ${taken}`);
  console.log(`${shareText(sum.calls)} of ${sum.calls.ring + sum.calls.tcp} data calls by ring`);
  const tooFew = options.episode === undefined && combination.server && combination.client &&
    shareOf(sum.calls) < ringShareMin;
  if (tooFew) {
    console.log(`FAILED: at least ${ringShareMin * 100} % must go by ring`);
    failed++;
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function optionsOf(args: string[]): Options {
  const numbers = ["runs", "steps", "seed", "episode", "episode-steps", "shrink", "seconds"];
  const given = parseArgs(args, {
    string: [...numbers, "keep", "combination"],
    boolean: ["help"],
    unknown: (name: string) => {
      console.error(`no option '${name}'; --help lists them`);
      Deno.exit(2);
    },
  });
  if (given.help) {
    console.log(help);
    Deno.exit(0);
  }
  const textOf = (name: string) => given[name as keyof typeof given] as string | undefined;
  const number = (name: string, otherwise: number) => {
    const text = textOf(name);
    if (text === undefined) return otherwise;
    if (/^\d+$/.test(text)) return Number(text);
    console.error(`--${name} wants a number, not '${text}'`);
    Deno.exit(2);
  };
  const episode = textOf("episode") === undefined ? undefined : number("episode", 0);
  const keep = textOf("keep");
  return {
    runs: episode === undefined ? number("runs", 20) : 1,
    steps: number("steps", 2000),
    seed: number("seed", 1),
    episode,
    episodeSteps: number("episode-steps", 100),
    keep: keep === undefined ? undefined : numbersOf(keep),
    combination: textOf("combination") ?? "both",
    shrink: number("shrink", 60),
    seconds: number("seconds", Infinity),
  };
}

/** "0-2,5" as [0, 1, 2, 5]. */
function numbersOf(list: string): number[] {
  return list.split(",").flatMap((part) => {
    const [from, to = from] = part.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

function rangeOf(options: Options, seed: number) {
  const { episode, episodeSteps: steps, keep } = options;
  if (episode !== undefined) return { seed, first: episode, episodes: 1, steps, keep };
  return { seed, first: 0, episodes: Math.ceil(options.steps / steps), steps, keep };
}

function addTo(sum: RunResult, result: RunResult) {
  sum.steps += result.steps;
  result.byKind.forEach((count, index) => sum.byKind[index] = (sum.byKind[index] ?? 0) + count);
  sum.calls.ring += result.calls.ring;
  sum.calls.tcp += result.calls.tcp;
}

const shareOf = ({ ring, tcp }: Calls) => ring / Math.max(1, ring + tcp);
const shareText = (calls: Calls) => `${Math.floor(100 * shareOf(calls))} %`;

function print({ seed, episode, steps, keep, kernel, ours, repeats }: Difference) {
  const how = repeats ? `shrunk to ${keep.length} steps` : "once, and not again";
  console.log(`\nFAILED seed ${seed}, episode ${episode}, ${how}:`);
  for (const line of kernel) console.log(`    ${line}`);
  console.log("  kernel (-) and ours (+):");
  const asStage = (lines: string[]) => lines.map((line) => `step: ${line}`);
  for (const line of differences(asStage(kernel), asStage(ours))) {
    console.log(`    ${line.replace("step: ", "")}`);
  }
  console.log(
    `  again: deno run -A tests/conformance/random_main.ts --seed ${seed} --episode ${episode} ` +
      `--episode-steps ${steps} --keep ${keepList(keep)}\n`,
  );
}

function kindNames(): string[] {
  const { stdout } = new Deno.Command(program, { args: ["random-kinds"] }).outputSync();
  return new TextDecoder().decode(stdout).trim().split("\n");
}

if (import.meta.main) Deno.exit(await main());
