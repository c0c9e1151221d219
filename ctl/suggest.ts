/** "Did you mean ...?": the known word that a mistyped one is closest to. */

/** The closest of `words`, or undefined when none is close enough to be what was meant. */
export function closest(wrong: string, words: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(wrong.length / 3)) + 1;
  for (const word of words) {
    const distance = word.startsWith(wrong) && wrong.length >= 2 ? 1 : editDistance(wrong, word);
    if (distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  return best;
}

/** A sentence to put behind an error: empty when nothing is close. */
export function didYouMean(wrong: string, words: readonly string[]): string {
  const word = closest(wrong, words);
  return word === undefined ? "" : `; did you mean '${word}'?`;
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const differs = a[row - 1] === b[column - 1] ? 0 : 1;
      let cost = Math.min(last[column] + 1, current[column - 1] + 1, last[column - 1] + differs);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, beforeLast[column - 2] + 1);
      }
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length];
}
