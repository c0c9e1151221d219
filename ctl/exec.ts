/**
 * Becomes another program, which Deno itself has no call for: execvp() of libc, reached through
 * Deno.dlopen. So that the program starts as if from the shell, what Deno changed in this process
 * goes back first: SIGPIPE is not ignored, and the soft limit of open files is the parent's.
 */

import { CtlError, exitCode } from "./errors.ts";

const symbols = {
  execvpe: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
  signal: { parameters: ["i32", "pointer"], result: "pointer" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

const sigpipe = 13;
const rlimitNofile = 7;
const errnoText: Record<number, string> = {
  2: "not found",
  7: "the arguments and environment are too long",
  8: "not a program of this machine",
  13: "permission denied",
};

/** Returns never: this process is `command` now, or the error says why not. */
export function become(command: readonly string[], environment: Record<string, string>): never {
  const libc = Deno.dlopen("libc.so.6", symbols).symbols;
  libc.signal(sigpipe, null);
  const openFiles = parentOpenFiles();
  if (openFiles !== undefined) libc.setrlimit(rlimitNofile, openFiles);
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  libc.execvpe(cString(command[0]), cStrings(command), cStrings(variables));
  const errno = new Deno.UnsafePointerView(libc.__errno_location()!).getInt32();
  throw new CtlError(
    errno === 2 ? exitCode.notFound : exitCode.notExecutable,
    `cannot run '${command[0]}': ${errnoText[errno] ?? `error ${errno}`}`,
  );
}

/** struct rlimit of the parent process. */
function parentOpenFiles(): BigUint64Array<ArrayBuffer> | undefined {
  try {
    const limits = Deno.readTextFileSync(`/proc/${Deno.ppid}/limits`);
    const match = limits.match(/^Max open files\s+(\d+)\s+(\d+)/m);
    return match === null ? undefined : BigUint64Array.of(BigInt(match[1]), BigInt(match[2]));
  } catch {
    return undefined;
  }
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** A null-terminated array of strings, alive as long as the strings are: kept by `keepAlive`. */
function cStrings(texts: readonly string[]): BigUint64Array<ArrayBuffer> {
  const strings = texts.map(cString);
  keepAlive.push(...strings);
  const pointers = strings.map((each) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(each)));
  return BigUint64Array.from([...pointers, 0n]);
}

const keepAlive: Uint8Array[] = [];
