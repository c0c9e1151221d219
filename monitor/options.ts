/** The monitor's command line. */

import { parseArgs } from "@std/cli/parse-args";
import { type LogLevel, logLevels } from "./log.ts";
import { defaultQuotas, type Quotas } from "./policy.ts";

export const usage = `Usage: monitor/main.ts [options]

Serves the processes of this host (as root) or of one user, in the foreground, until SIGTERM.

  --control-socket PATH   where processes find it (also: SOCKSDIRECT_CTL_SOCKET);
                          PATH.http is its HTTP interface
  --log-level LEVEL       error, warn, info (default) or debug, on stderr
  --foreground            stay in the foreground: what it does anyway
  --quota NAME=NUMBER     limit for each user, may be repeated; names and defaults:
${
  Object.entries(defaultQuotas).map(([name, value]) =>
    `                            ${name}=${value}`
  )
    .join("\n")
}
  --help                  this text
`;

export interface Options {
  controlSocket?: string;
  logLevel: LogLevel;
  quotas: Partial<Quotas>;
  help: boolean;
}

/** Wrong use: shown as it is, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export function parseOptions(args: readonly string[]): Options {
  const parsed = parseArgs(args, {
    string: ["control-socket", "log-level", "quota"],
    boolean: ["foreground", "help"],
    collect: ["quota"],
    alias: { help: "h" },
    unknown: (arg) => {
      throw new UsageError(`unknown argument "${arg}"; --help lists what there is`);
    },
  });
  return {
    controlSocket: textOption(parsed["control-socket"], "--control-socket", "a path"),
    logLevel: logLevelOption(parsed["log-level"]),
    quotas: quotaOptions((parsed.quota ?? []) as unknown[]),
    help: parsed.help === true,
  };
}

function textOption(value: unknown, name: string, what: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string" || value === "") throw new UsageError(`${name} needs ${what}`);
  return value;
}

function logLevelOption(value: unknown): LogLevel {
  const text = textOption(value, "--log-level", "a level") ?? "info";
  const level = logLevels.find((known) => known === text);
  if (level) return level;
  throw new UsageError(`--log-level is "${text}", but can be ${logLevels.join(", ")}`);
}

function quotaOptions(values: unknown[]): Partial<Quotas> {
  return Object.fromEntries(values.map((value) => quotaOption(String(value))));
}

function quotaOption(text: string): [string, number] {
  const [name, amount] = text.split("=", 2);
  if (!(name in defaultQuotas)) {
    throw new UsageError(
      `--quota knows no "${name}", but ${Object.keys(defaultQuotas).join(", ")}`,
    );
  }
  if (!/^\d+$/.test(amount ?? "")) {
    throw new UsageError(
      `--quota ${name} needs a number, as in ${name}=100, not "${amount ?? ""}"`,
    );
  }
  return [name, Number(amount)];
}
