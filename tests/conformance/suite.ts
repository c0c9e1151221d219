/** The whole suite: every case over kernel TCP, then in the other combinations, several at once. */

import { type Combination, combinations, type Lab, type Traffic } from "../harness.ts";
import { type Case, pathOf, program } from "./cases.ts";
import { runPair, type Sighting } from "./pair.ts";
import { complaintsOf } from "./verdict.ts";

export interface Result {
  case: string;
  combination: string;
  complaints: string[];
  /** It differs, and the case says why. */
  knownDifference: boolean;
  lines: string[];
  traffic?: Traffic;
}

export interface SuiteOptions {
  jobs: number;
  deadlineSeconds: number;
  /** Besides neither, which is what is compared with. */
  combinations?: readonly Combination[];
  onResult?: (result: Result) => void;
}

const [neither, ...preloaded] = combinations;

/** Runs the cases in a lab that has a monitor. Results come in the cases' order. */
export async function runSuite(
  lab: Lab,
  cases: readonly Case[],
  options: SuiteOptions,
): Promise<Result[]> {
  const copy = lab.path("sdconform");
  await Deno.copyFile(program, copy);
  const results: Result[][] = cases.map(() => []);
  let next = 0;
  const work = async () => {
    while (next < cases.length) {
      const index = next++;
      results[index] = await runCase(lab, copy, cases[index], options);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return results.flat();
}

async function runCase(
  lab: Lab,
  copy: string,
  tested: Case,
  options: SuiteOptions,
): Promise<Result[]> {
  const results: Result[] = [];
  let kernel: Sighting | undefined;
  for (const combination of [neither, ...options.combinations ?? preloaded]) {
    const seen = await runPair(lab, pathOf(tested), combination, {
      program: copy,
      deadlineSeconds: options.deadlineSeconds,
      warmToRing: tested.carrier !== "either",
    });
    kernel ??= seen;
    const complaints = complaintsOf(tested, combination, kernel, seen);
    const result = {
      case: pathOf(tested),
      combination: combination.name,
      complaints,
      knownDifference: false,
      lines: seen.lines,
      traffic: seen.traffic,
    };
    results.push(result);
  }
  forgiveKnown(tested, results);
  results.forEach((result) => options.onResult?.(result));
  return results;
}

/** A difference that the case explains is none; an explanation without a difference is stale. */
function forgiveKnown(tested: Case, results: Result[]) {
  if (tested.differs === null) return;
  const differing = results.filter((result) => result.complaints.some(isDifference));
  for (const result of differing) {
    result.knownDifference = true;
    result.complaints = result.complaints.filter((complaint) => !isDifference(complaint));
  }
  if (differing.length > 0 || results.length < combinations.length) return;
  results.at(-1)!.complaints.push("differs no longer: take `differs` out of the case");
}

const isDifference = (complaint: string) => /^[-+ ] /.test(complaint);
