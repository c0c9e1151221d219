/** How many tests passed, from what each test program prints. Pure. */

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

export interface Outcome {
  code: number;
  text: string;
}

export function addCounts(a: Counts, b: Counts): Counts {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
  };
}

export function countsText({ passed, failed, skipped }: Counts): string {
  const skips = skipped > 0 ? `, ${skipped} skipped` : "";
  return `${passed} passed, ${failed} failed${skips}`;
}

/** A program without counts of its own is one test. */
export function countsOfCheck({ code }: Outcome): Counts {
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

/** "Build Summary: 1/3 steps succeeded (1 failed); 2/5 tests passed (1 skipped, 2 failed)". */
export function countsOfZig(outcome: Outcome): Counts {
  const match = outcome.text.match(/(\d+)\/(\d+) tests passed(?: \(([^)]*)\))?/);
  if (match === null) return believable(outcome, { passed: 0, failed: 0, skipped: 0 });
  const passed = Number(match[1]);
  const skipped = Number(match[3]?.match(/(\d+) skipped/)?.[1] ?? 0);
  return believable(outcome, { passed, skipped, failed: Number(match[2]) - passed - skipped });
}

/** Last line "N passed, N failed". */
export function countsOfInterleave(outcome: Outcome): Counts {
  const match = outcome.text.trimEnd().match(/(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/);
  const [, passed, failed, skipped] = (match ?? []).map((each) => Number(each ?? 0));
  return believable(outcome, { passed: passed ?? 0, failed: failed ?? 0, skipped: skipped ?? 0 });
}

/** "FAILED | 2 passed (1 step) | 1 failed | 1 ignored (11ms)". */
export function countsOfDeno(outcome: Outcome): Counts {
  const lines = outcome.text.match(/^(?:ok|FAILED) \| .*$/gm) ?? [];
  const last = lines.at(-1) ?? "";
  const count = (what: string) => Number(last.match(new RegExp(`(\\d+) ${what}`))?.[1] ?? 0);
  return believable(outcome, {
    passed: count("passed"),
    failed: count("failed"),
    skipped: count("ignored"),
  });
}

/** A bad exit code, or no test at all, is a failure whatever was printed. */
function believable({ code }: Outcome, counts: Counts): Counts {
  const ranNothing = counts.passed + counts.failed + counts.skipped === 0;
  if (counts.failed === 0 && (code !== 0 || ranNothing)) return { ...counts, failed: 1 };
  return counts;
}
