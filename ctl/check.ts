/** `check PROGRAM...`: before the start, can these be accelerated? */

import type { Call } from "./cli.ts";
import { exitCode } from "./errors.ts";
import { inspect, type Verdict, verdictOf } from "./executable.ts";

export function run(call: Call): Promise<number> {
  const found = call.operands.map((program) => ({ program, ...judge(program) }));
  if (call.flags.has("json")) console.log(JSON.stringify(found, null, 2));
  else console.log(found.map(checkText).join("\n"));
  const all = found.every(({ canBeAccelerated }) => canBeAccelerated);
  return Promise.resolve(all ? exitCode.ok : exitCode.failed);
}

function judge(program: string): Verdict & { path?: string } {
  const executable = inspect(program);
  if (executable === undefined) return { canBeAccelerated: false, why: "not found" };
  return { path: executable.path, ...verdictOf(executable) };
}

export function checkText(check: Verdict & { program: string; path?: string }): string {
  const { program, path, canBeAccelerated, why, todo } = check;
  const runs = path === undefined || path === program ? "" : ` (runs '${path}')`;
  const line = `${canBeAccelerated ? "yes" : "no "}  ${program}${runs}: ${why}`;
  return todo === undefined ? line : `${line}\n     to do: ${todo}`;
}
