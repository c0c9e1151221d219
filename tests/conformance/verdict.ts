/** What is wrong with a run: differences from the kernel's transcript, crashes, hangs, the wrong
 * carrier. Pure. */

import type { Combination } from "../harness.ts";
import type { Case } from "./cases.ts";
import type { Sighting } from "./pair.ts";

/** Ends that have an ordinary reason to be off the ring, in every case. */
const ordinaryReasons = ["none", "peer_closed"];

/** Everything that is wrong with one run; empty: nothing. `kernel` is the plain run's. */
export function complaintsOf(
  tested: Case,
  combination: Combination,
  kernel: Sighting,
  seen: Sighting,
): string[] {
  const complaints = complaintsOfOne(seen);
  if (seen !== kernel) complaints.push(...differences(kernel.lines, seen.lines));
  if (combination.server && combination.client) complaints.push(...wrongCarrier(tested, seen));
  return complaints;
}

function complaintsOfOne(seen: Sighting): string[] {
  const complaints: string[] = [];
  if (seen.waiting.length > 0) complaints.push(`deadline: ${seen.waiting.join("; ")}`);
  for (const side of ["server", "client"] as const) {
    if (seen[side] !== "exit 0") complaints.push(`the ${side} ended with ${seen[side]}`);
  }
  if (seen.leftovers) complaints.push("a process of the case was left behind");
  if (seen.stderr !== "") complaints.push(`somebody said: ${seen.stderr.trim()}`);
  const failed = seen.lines.filter((line) => line.includes(": FAILED: "));
  return [...complaints, ...failed];
}

/** Transcript lines that the kernel has and we do not ("-"), and the other way round ("+"). */
export function differences(kernel: readonly string[], seen: readonly string[]): string[] {
  const found: string[] = [];
  const stages = new Set([...kernel, ...seen].map(stageOf));
  for (const stage of stages) {
    const inStage = (line: string) => stageOf(line) === stage;
    found.push(...differencesOfStage(kernel.filter(inStage), seen.filter(inStage)));
  }
  return found;
}

const stageOf = (line: string) => line.slice(0, line.indexOf(": "));

/** By the longest common subsequence; one line before each difference says where it is. */
function differencesOfStage(kernel: readonly string[], seen: readonly string[]): string[] {
  const common = commonLengths(kernel, seen);
  const found: string[] = [];
  let [i, j] = [0, 0];
  let where: string | undefined;
  const say = (line: string) => {
    if (where !== undefined) found.push(`  ${where}`);
    where = undefined;
    found.push(line);
  };
  while (i < kernel.length || j < seen.length) {
    if (i < kernel.length && j < seen.length && kernel[i] === seen[j]) {
      where = kernel[i];
      [i, j] = [i + 1, j + 1];
    } else if (i < kernel.length && (j === seen.length || common[i + 1][j] >= common[i][j + 1])) {
      say(`- ${kernel[i++]}`);
    } else {
      say(`+ ${seen[j++]}`);
    }
  }
  return found;
}

/** common[i][j]: length of the longest common subsequence of the lines from i and from j on. */
function commonLengths(a: readonly string[], b: readonly string[]): number[][] {
  const common = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i][j] = a[i] === b[j]
        ? common[i + 1][j + 1] + 1
        : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  return common;
}

function wrongCarrier(tested: Case, { traffic }: Sighting): string[] {
  if (tested.carrier === "either" || traffic === undefined) return [];
  const { ringBytes, tcpBytes, accelerated, closedByReason } = traffic;
  const reasons = Object.keys(closedByReason);
  const counted = `${ringBytes} bytes by ring, ${tcpBytes} by TCP, ${accelerated} ends ` +
    `accelerated, reasons: ${reasons.join(", ") || "none"}`;
  const allowed = [...ordinaryReasons, ...tested.reasons];
  const complaints = reasons
    .filter((reason) => !allowed.includes(reason))
    .map((reason) =>
      `left the ring for a reason that the case does not list, ${reason}: ${counted}`
    );
  if (tested.carrier === "ring" && (accelerated < 2 || ringBytes === 0)) {
    complaints.push(`was not on a ring: ${counted}`);
  }
  if (tested.carrier === "tcp" && !tested.reasons.some((reason) => reasons.includes(reason))) {
    complaints.push(`expected to leave the ring for ${tested.reasons.join(" or ")}: ${counted}`);
  }
  return complaints;
}
