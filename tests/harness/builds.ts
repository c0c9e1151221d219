/**
 * Programs and libraries of other architectures and libcs than this machine's own: what `zig build
 * all` makes, and how they are run here.
 */

import { installed, root } from "./files.ts";

export const muslLoader = "/lib/ld-musl-x86_64.so.1";

/** A file that `zig build all` makes, made now if it is missing or older than its sources. */
export async function built(target: string, file: string): Promise<string> {
  await buildAll();
  return `${root}/zig/zig-out/${target}/${file}`;
}

let building: Promise<void> | undefined;

function buildAll(): Promise<void> {
  return building ??= zig(["build", "all", "-Doptimize=fast"], `${root}/zig`);
}

/** A plain program from tests/programs, compiled for a target. */
export async function compiled(name: string, target: string, into: string): Promise<string> {
  const output = `${into}/${name}-${target}`;
  const source = `${root}/tests/programs/${name}.zig`;
  await zig([
    ...["build-exe", source, "-target", target, "-dynamic", "-lc"],
    ...["-OReleaseSmall", "-fstrip", "-fllvm", "-flld", `-femit-bin=${output}`],
  ], into);
  return output;
}

async function zig(args: string[], cwd: string) {
  const { success, stderr } = await new Deno.Command("zig", {
    args,
    cwd,
    env: { ZIG_DEBUG_CMD: "1" },
    stdin: "null",
  }).output();
  if (!success) {
    throw new Error(`zig ${args.slice(0, 2).join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
}

/** Why programs of musl cannot run here; undefined if they can. */
export function withoutMusl(): string | undefined {
  if (installed("zig") === undefined) return "zig is not on PATH";
  if (Deno.build.arch !== "x86_64") return "needs x86-64";
  try {
    Deno.statSync(muslLoader);
    return undefined;
  } catch {
    return `${muslLoader} not installed`;
  }
}
