/**
 * Random programs of socket calls (zig/conformance/random/), run over kernel TCP and preloaded:
 * what differs, and the fewest steps of the program that still show it.
 */

import type { Combination, Lab, Totals } from "../harness.ts";
import { program } from "./cases.ts";

/** What `sdconform random` prints for each episode. */
interface Report {
  seed: number;
  episode: number;
  /** Steps made, by kind. */
  steps: number[];
  lines: string[];
  whole: boolean;
  pids: number[];
}

/** Which programs: `episodes` of them from number `first` on, each of `steps` steps or fewer. */
export interface Range {
  seed: number;
  first: number;
  episodes: number;
  steps: number;
  /** Only these steps of each, ascending; else all. */
  keep?: readonly number[];
}

export interface Difference {
  seed: number;
  episode: number;
  steps: number;
  /** The fewest steps that were found to show it. */
  keep: number[];
  kernel: string[];
  ours: string[];
  /** False: it differed once, and not when it was run again. */
  repeats: boolean;
}

/** What went by ring and by TCP: data calls, each way. */
export interface Calls {
  ring: number;
  tcp: number;
}

export interface RunResult {
  steps: number;
  byKind: number[];
  calls: Calls;
  differing: Seen[];
}

/** An episode that differed when it was run, and what was seen. */
export interface Seen {
  episode: number;
  kernel: string[];
  ours: string[];
}

/** The longest time that one episode may take; each call in it has a deadline of its own. */
const episodeMsMax = 120_000;

export class RandomLab {
  readonly #program: string;

  private constructor(readonly lab: Lab, readonly combination: Combination) {
    this.#program = lab.path("sdconform");
  }

  /** A lab with a monitor; the program is copied, so that a build meanwhile changes nothing. */
  static async in(lab: Lab, combination: Combination): Promise<RandomLab> {
    const random = new RandomLab(lab, combination);
    await Deno.copyFile(program, random.#program);
    return random;
  }

  /** Runs the programs on both; says which episodes differ. */
  async run(range: Range): Promise<RunResult> {
    const before = await this.lab.monitor.totals();
    // At the same time: one of them mostly waits.
    const [kernel, ours] = await Promise.all([this.#play(range, false), this.#play(range, true)]);
    const calls = callsBetween(before, await this.lab.monitor.totals());
    const byKind: number[] = [];
    for (const { steps } of ours) steps.forEach((n, i) => byKind[i] = (byKind[i] ?? 0) + n);
    const differing = kernel.flatMap((report, index) =>
      isSame(report, ours[index])
        ? []
        : [{ episode: report.episode, kernel: report.lines, ours: ours[index]?.lines ?? [] }]
    );
    return { steps: byKind.reduce((a, b) => a + b, 0), byKind, calls, differing };
  }

  async #play(range: Range, preloaded: boolean): Promise<Report[]> {
    const words = [this.#program, "random", ...wordsOf(range)];
    if (preloaded) words.push(...this.#environment());
    const started = this.lab.start(words, { name: words.join(" ") });
    const ended = await started.end(60_000 + range.episodes * episodeMsMax);
    if (ended.code !== 0) throw new Error(`failed: ${started.summary()}`);
    return ended.stdout.trim().split("\n").map((line) => JSON.parse(line));
  }

  #environment(): string[] {
    const entries = [
      `LD_PRELOAD=${this.lab.library}`,
      `SOCKSDIRECT_CTL_SOCKET=${this.lab.socket}`,
      "SOCKSDIRECT_EAGER=1",
    ];
    return (["server", "client"] as const)
      .filter((role) => this.combination[role])
      .flatMap((role) => entries.flatMap((entry) => [`--${role}-env`, entry]));
  }

  // -- shrinking --------------------------------------------------------------------------------

  /**
   * The fewest steps that still differ, as far as `seconds` go; what was seen at first, whole, if it
   * does not differ again.
   */
  async shrink(seed: number, seen: Seen, steps: number, seconds: number): Promise<Difference> {
    const { episode } = seen;
    const deadline = performance.now() + seconds * 1000;
    const range = { seed, first: episode, episodes: 1, steps };
    let best = await this.#look(range);
    const repeats = best !== undefined;
    let keep = Array.from({ length: steps }, (_, index) => index);
    if (best !== undefined) {
      keep = keep.slice(0, firstDifferentStep(best.kernel, best.ours) + 1);
    }
    const differs = async (candidate: readonly number[]) => {
      if (performance.now() > deadline) return false;
      const found = await this.#look({ ...range, keep: candidate });
      if (found !== undefined) best = found;
      return found !== undefined;
    };
    if (best !== undefined) keep = await minimised(keep, differs);
    const { kernel, ours } = best ?? seen;
    return { seed, episode, steps, keep, kernel, ours, repeats };
  }

  /** Twice, if need be: what depends on timing may not show at once. */
  async #look(range: Range): Promise<{ kernel: string[]; ours: string[] } | undefined> {
    for (let time = 0; time < 2; time++) {
      const [[kernel], [ours]] = await Promise.all([
        this.#play(range, false),
        this.#play(range, true),
      ]);
      // A program that Linux itself cannot end shows nothing.
      if (!kernel.whole) return undefined;
      if (!isSame(kernel, ours)) return { kernel: kernel.lines, ours: ours.lines };
    }
    return undefined;
  }
}

/** The words of `sdconform random` for these programs. */
export function wordsOf({ seed, first, episodes, steps, keep }: Range): string[] {
  return [
    ...["--seed", `${seed}`, "--episode", `${first}`, "--episodes", `${episodes}`],
    ...["--steps", `${steps}`],
    ...keep === undefined ? [] : ["--keep", keepList(keep)],
  ];
}

/** [0, 1, 2, 5] as "0-2,5"; of nothing, a step that no program has. */
export function keepList(keep: readonly number[]): string {
  const parts: string[] = [];
  for (let from = 0; from < keep.length;) {
    let to = from;
    while (keep[to + 1] === keep[to] + 1) to++;
    parts.push(from === to ? `${keep[from]}` : `${keep[from]}-${keep[to]}`);
    from = to + 1;
  }
  return parts.join(",") || "999999999";
}

/**
 * Takes away as many of `steps` as it can while `differs` says that what is left still differs:
 * halves first, then smaller and smaller parts, at last one by one (delta debugging).
 */
export async function minimised(
  steps: readonly number[],
  differs: (candidate: readonly number[]) => Promise<boolean>,
): Promise<number[]> {
  let kept = [...steps];
  let size = Math.ceil(kept.length / 2);
  while (size >= 1) {
    let removed = false;
    // From the end: what comes late depends on what came before, and not the other way round.
    for (let end = kept.length; end > 0; end -= size) {
      const candidate = [...kept.slice(0, Math.max(0, end - size)), ...kept.slice(end)];
      if (!(await differs(candidate))) continue;
      kept = candidate;
      removed = true;
    }
    if (size === 1 && !removed) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return kept;
}

/** The step of the first line that differs. */
function firstDifferentStep(kernel: readonly string[], ours: readonly string[]): number {
  const at = kernel.findIndex((line, index) => line !== ours[index]);
  return Number.parseInt(kernel[at] ?? ours[kernel.length] ?? "999999");
}

function isSame(kernel: Report, ours: Report | undefined): boolean {
  return kernel.whole && ours !== undefined && ours.whole &&
    kernel.lines.length === ours.lines.length &&
    kernel.lines.every((line, index) => line === ours.lines[index]);
}

function callsBetween(before: Totals, after: Totals): Calls {
  const ring = ({ tx, rx }: Totals) => tx.ring_messages + rx.ring_messages;
  const tcp = ({ tx, rx }: Totals) => tx.tcp_messages + rx.tcp_messages;
  return { ring: ring(after) - ring(before), tcp: tcp(after) - tcp(before) };
}
