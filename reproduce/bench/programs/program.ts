/** What a known program's file provides. */

import type { Case } from "../model.ts";

export interface KnownProgram {
  name: string;
  /** Programs that must be on PATH. */
  needs: readonly string[];
  /** Debian packages that have them. */
  packages: string;
  cases: readonly Omit<Case, "group">[];
}

/** The number that a pattern's first group finds in a program's output. */
export function numberIn(text: string, pattern: RegExp, program: string): number {
  const found = Number(text.match(pattern)?.[1]);
  if (Number.isNaN(found)) {
    throw new Error(`${program} printed nothing like ${pattern}: '${text.trim().slice(-400)}'`);
  }
  return found;
}

/** As root, words that make a program start other processes as root too, and not as nobody. */
export function whenRoot(...words: string[]): string[] {
  return Deno.uid() === 0 ? words : [];
}
