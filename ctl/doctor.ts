/** `doctor`: is this machine fit? One line a check; what to do under each that is not ok. */

import type { Call } from "./cli.ts";
import { type Check, check, type Level } from "./doctor_checks.ts";
import { exitCode } from "./errors.ts";
import { controlSocket } from "./socket.ts";

export async function run(call: Call): Promise<number> {
  const checks = await check(controlSocket(call));
  if (call.flags.has("json")) console.log(JSON.stringify(checks, null, 2));
  else console.log(doctorText(checks, Deno.stdout.isTerminal() && !Deno.noColor));
  return checks.some(({ level }) => level === "fail") ? exitCode.failed : exitCode.ok;
}

const colors: Record<Level, number> = { ok: 32, warn: 33, fail: 31 };

export function doctorText(checks: readonly Check[], inColor = false): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, level, detail, todo }) => {
    const label = level.padEnd(4);
    const mark = inColor ? `\x1b[${colors[level]}m${label}\x1b[0m` : label;
    const line = `${mark}  ${name.padEnd(width)}  ${detail}`;
    return todo === undefined ? [line] : [line, `${" ".repeat(width + 8)}to do: ${todo}`];
  });
  return [...lines, "", summaryOf(checks)].join("\n");
}

function summaryOf(checks: readonly Check[]): string {
  const count = (level: Level) => checks.filter((each) => each.level === level).length;
  if (count("fail") > 0) {
    return `not fit: ${count("fail")} failed, ${count("warn")} to look at; programs use kernel TCP`;
  }
  return count("warn") > 0 ? `fit, with ${count("warn")} to look at` : "fit";
}
