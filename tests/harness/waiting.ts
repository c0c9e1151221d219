/** Waiting for something to become true, with a deadline that says who waited for what. */

/** Long enough for a loaded machine with two cores; nothing that works comes near it. */
export const patienceMs = 20_000;

const lookAgainMs = 5;

/** The promise's value, or an error after so long. `lateNote` adds what is known by then. */
export async function within<T>(
  what: string,
  ms: number,
  promise: Promise<T>,
  lateNote: () => string = () => "",
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(lateError(what, ms, lateNote())), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks until `condition` gives something that is neither false, null nor undefined. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { ms = patienceMs, lateNote = () => "" }: { ms?: number; lateNote?: () => string } = {},
): Promise<NonNullable<T>> {
  const end = performance.now() + ms;
  while (true) {
    const value = await condition();
    if (value !== false && value !== null && value !== undefined) return value;
    if (performance.now() >= end) throw lateError(what, ms, lateNote());
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

function lateError(what: string, ms: number, note: string): Error {
  return new Error(`waited ${ms / 1000} s for ${what}, in vain${note === "" ? "" : `: ${note}`}`);
}
