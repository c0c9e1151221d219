/**
 * How a command of ctl ends badly: one clear line on stderr and one of the exit codes below
 * (docs/CLI.md tells users what they mean).
 */

export const exitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  noMonitor: 3,
  notExecutable: 126,
  notFound: 127,
  interrupted: 130,
} as const;

/** An expected failure. The message is the whole line for the user: no stack follows it. */
export class CtlError extends Error {
  override name = "CtlError";
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** Wrong use of the command line. */
export class UsageError extends CtlError {
  constructor(message: string) {
    super(exitCode.usage, message);
  }
}
