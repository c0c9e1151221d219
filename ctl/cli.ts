/**
 * The command line as data: what a command is, how its arguments are parsed, how its help reads.
 *
 * Commands are entries of one table (commands.ts), from which parsing, help, shell completion and
 * the tests are made. Written by hand instead of on a library because every `socksdirect status`
 * pays for start-up: the usual ones cost 40-60 ms of it, this none.
 */

import { UsageError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

export interface OptionSpec {
  name: string;
  /** What its value is called in help; absent for a flag. */
  value?: string;
  choices?: readonly string[];
  summary: string;
}

export interface CommandSpec {
  name: string;
  summary: string;
  /** As help shows them, e.g. "PID[:FD]". */
  operands?: string;
  /** Least and most operands; none by default. */
  operandCount?: readonly [number, number];
  /** Words that an operand must be one of. */
  operandChoices?: readonly string[];
  options?: readonly OptionSpec[];
  /** Options end at the first operand: what follows belongs to another program. */
  stopAtOperand?: boolean;
  /** Takes every argument as it is, options too, except a leading --help. */
  passThrough?: boolean;
  /** More paragraphs for `help COMMAND`. */
  detail?: string;
  examples: readonly string[];
  load(): Promise<{ run(call: Call): Promise<number> }>;
}

/** A command's arguments after parsing. */
export interface Call {
  operands: readonly string[];
  flags: ReadonlySet<string>;
  values: ReadonlyMap<string, string>;
}

export const helpOption: OptionSpec = { name: "help", summary: "show this help" };
export const jsonOption: OptionSpec = { name: "json", summary: "print JSON" };
export const socketOption: OptionSpec = {
  name: "control-socket",
  value: "PATH",
  summary: "the monitor to talk to; 'help monitor' says which else",
};

export function optionsOf(spec: CommandSpec): readonly OptionSpec[] {
  return [...(spec.options ?? []), helpOption];
}

export function parse(spec: CommandSpec, args: readonly string[]): Call {
  const operands: string[] = [];
  const flags = new Set<string>();
  const values = new Map<string, string>();
  for (let index = 0; index < args.length; index++) {
    const argument = args[index];
    const isOption = argument.startsWith("-") && argument !== "-";
    if (spec.passThrough && !(index === 0 && isHelp(argument))) {
      operands.push(...args.slice(index));
      break;
    }
    if (argument === "--") {
      operands.push(...args.slice(index + 1));
      break;
    }
    if (!isOption) {
      operands.push(argument);
      if (!spec.stopAtOperand) continue;
      operands.push(...args.slice(index + 1));
      break;
    }
    const { option, attached } = parseOption(spec, argument);
    if (option.value === undefined) {
      if (attached !== undefined) throw wrongUse(spec, `option '--${option.name}' takes no value`);
      flags.add(option.name);
    } else {
      values.set(option.name, parseValue(spec, option, attached ?? args[++index]));
    }
  }
  if (!flags.has("help")) parseOperands(spec, operands);
  return { operands, flags, values };
}

function parseOption(spec: CommandSpec, argument: string) {
  const [, name, attached] = argument.match(/^--([^=]+)(?:=(.*))?$/s) ?? [];
  const known = optionsOf(spec);
  const option = isHelp(argument) ? helpOption : known.find((each) => each.name === name);
  if (option !== undefined) return { option, attached };
  const names = known.map((each) => `--${each.name}`);
  throw wrongUse(spec, `unknown option '${argument}'${didYouMean(argument, names)}`);
}

function parseValue(spec: CommandSpec, option: OptionSpec, value: string | undefined): string {
  if (value === undefined || value === "") {
    throw wrongUse(spec, `option '--${option.name}' needs a value: ${option.value}`);
  }
  if (option.choices !== undefined && !option.choices.includes(value)) {
    const wanted = option.choices.join(", ");
    throw wrongUse(spec, `option '--${option.name}' is '${value}', must be one of ${wanted}`);
  }
  return value;
}

function parseOperands(spec: CommandSpec, operands: readonly string[]) {
  const [least, most] = spec.operandCount ?? [0, 0];
  if (!spec.passThrough && operands.length > most) {
    throw wrongUse(spec, `too many arguments at '${operands[most]}'`);
  }
  if (operands.length < least) throw wrongUse(spec, `missing ${spec.operands}`);
  const wrong = operands.find((each) => spec.operandChoices?.includes(each) === false);
  if (wrong !== undefined) {
    const choices = spec.operandChoices!;
    throw wrongUse(
      spec,
      `'${wrong}' must be one of ${choices.join(", ")}${didYouMean(wrong, choices)}`,
    );
  }
}

function isHelp(argument: string): boolean {
  return argument === "-h" || argument === "--help";
}

/** An error that also says how the command is used. */
export function wrongUse(spec: CommandSpec, problem: string): UsageError {
  return new UsageError(`${spec.name}: ${problem} (usage: ${usageOf(spec)})`);
}

/** The value of a numeric option. */
export function integerOption(
  call: Call,
  name: string,
  range: { fallback: number; min: number; max: number },
): number {
  const text = call.values.get(name);
  if (text === undefined) return range.fallback;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= range.min && value <= range.max) return value;
  throw new UsageError(
    `option '--${name}' is '${text}', must be a whole number from ${range.min} to ${range.max}`,
  );
}

export function usageOf(spec: CommandSpec): string {
  const options = spec.passThrough ? "" : " [OPTION...]";
  return `socksdirect ${spec.name}${options}${spec.operands ? ` ${spec.operands}` : ""}`;
}

/** The page that `help COMMAND` shows. */
export function commandHelp(spec: CommandSpec): string {
  const lines = [`${spec.summary}`, "", `usage: ${usageOf(spec)}`];
  if (spec.detail !== undefined) lines.push("", spec.detail.trim());
  lines.push("", "options:");
  const labels = optionsOf(spec).map((option) => optionLabel(option));
  const width = Math.max(...labels.map((label) => label.length));
  optionsOf(spec).forEach((option, index) => {
    const choices = option.choices ? ` (${option.choices.join(", ")})` : "";
    lines.push(`  ${labels[index].padEnd(width)}  ${option.summary}${choices}`);
  });
  lines.push("", "examples:", ...spec.examples.map((example) => `  ${example}`));
  return lines.join("\n");
}

function optionLabel(option: OptionSpec): string {
  return `--${option.name}${option.value === undefined ? "" : ` ${option.value}`}`;
}

/** The page that `help` shows. */
export function overview(specs: readonly CommandSpec[]): string {
  const width = Math.max(...specs.map((spec) => spec.name.length));
  return [
    "SocksDirect: unmodified programs on one machine talk through shared memory instead of",
    "kernel TCP.",
    "",
    "usage: socksdirect COMMAND [OPTION...]",
    "",
    ...specs.map((spec) => `  ${spec.name.padEnd(width)}  ${spec.summary}`),
    "",
    "examples:",
    "  socksdirect demo",
    "  socksdirect run -- redis-server --port 7000",
    "  socksdirect run -- redis-benchmark -p 7000 -q",
    "  socksdirect connections",
    "",
    "'socksdirect help COMMAND' says more. Exit codes: 0 done, 1 failed, 2 wrong use, 3 no monitor",
    "answers, 4 set-up failed; 'run' ends with the program's own.",
  ].join("\n");
}
