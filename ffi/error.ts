/** The one error that native calls throw, with a code that does not change between versions. */

import { errnoNames } from "./layout.gen.ts";

export class NativeError extends Error {
  override readonly name = "NativeError";
  /** Name of the errno, e.g. "EMFILE"; or "ELIBRARY" when the library itself does not fit. */
  readonly code: string;

  /** `why`: more than the code says, and what to do about it. */
  constructor(action: string, code: string, why: string = code) {
    super(`cannot ${action}: ${why}`);
    this.code = code;
  }
}

/** Returns a status that is no error; throws one that is. */
export function checked(status: number, action: string): number {
  if (status >= 0) return status;
  throw new NativeError(action, errnoName(-status));
}

export function errnoName(errno: number): string {
  return errnoNames[errno] ?? `errno ${errno}`;
}

export function isNativeError(error: unknown, ...codes: string[]): error is NativeError {
  return error instanceof NativeError && (codes.length === 0 || codes.includes(error.code));
}
