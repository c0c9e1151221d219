/**
 * `build [--all]`: builds the native code; with --all for every architecture and libc. The tests
 * build what only they need the same way.
 */

import type { Call } from "./cli.ts";
import { CtlError, exitCode } from "./errors.ts";
import { installedZig, isFile, root } from "./paths.ts";

export async function run(call: Call): Promise<number> {
  await buildNative(call.flags.has("all") ? ["all"] : []);
  for (const folder of ["lib", "bin", ...targets()]) {
    for (const name of namesIn(`${root}/zig/zig-out/${folder}`)) {
      console.log(`zig/zig-out/${folder}/${name}`);
    }
  }
  return exitCode.ok;
}

/** The programs that only tests run: those that compare and the interleaving test. */
export function buildChecks(): Promise<void> {
  return buildNative(["checks"]);
}

/** `zig build` of these steps of zig/build.zig. Throws CtlError, after the compiler's words. */
async function buildNative(steps: readonly string[]) {
  const words = ["build", ...steps, "-Doptimize=fast"];
  const { success, stderr } = await new Deno.Command(isFile(installedZig) ? installedZig : "zig", {
    args: words,
    cwd: `${root}/zig`,
    env: {
      ZIG_DEBUG_CMD: "1",
      ZIG_GLOBAL_CACHE_DIR: Deno.env.get("ZIG_GLOBAL_CACHE_DIR") ?? `${root}/.toolchain/zig-cache`,
    },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  console.error(new TextDecoder().decode(stderr));
  throw new CtlError(exitCode.failed, `'zig ${words.join(" ")}' failed: its words are above`);
}

/** Folders of what other machines run. */
function targets(): string[] {
  return namesIn(`${root}/zig/zig-out`).filter((name) => name.includes("-linux-"));
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch {
    return [];
  }
}
