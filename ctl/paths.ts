/** Where things are in the checkout, and how our own programs are called. */

import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
export const library = `${root}/zig/zig-out/lib/libsd.so`;
/** Of another architecture than this machine's: `build --all` makes it. */
export const foreignLibrary = (arch: string) => `${root}/zig/zig-out/${arch}-linux-gnu/libsd.so`;
export const benchProgram = `${root}/zig/zig-out/bin/sdbench`;
export const interleaveProgram = `${root}/zig/zig-out/bin/interleave`;
export const installedZig = `${root}/.toolchain/bin/zig`;

/** The command that runs one of our TypeScript programs. */
export function denoProgram(file: string, args: readonly string[]): string[] {
  return [Deno.execPath(), "run", "--quiet", "-A", `${root}/${file}`, ...args];
}

export function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
