/** What can be said behind `socksdirect bench`. */

import { parseArgs } from "@std/cli/parse-args";
import { type Transport, transports } from "./model.ts";

export class UsageError extends Error {}

export interface Options {
  runs: number;
  seconds: number;
  idleSeconds: number;
  idleConnections: number;
  /** Ids, or texts in a case's group or title; none: everything. */
  only: string[];
  transports?: Transport[];
  into?: string;
  json: boolean;
  list: boolean;
  gate: boolean;
  updateBaseline: boolean;
}

const switches = ["quick", "json", "list", "gate", "update-baseline"];
const values = ["runs", "seconds", "only", "transports", "into"];

export function optionsOf(args: readonly string[]): Options {
  const given = parseArgs(args, { boolean: switches, string: values, unknown: refuse });
  const paces = {
    gate: { runs: 5, seconds: 0.3, idleSeconds: 10, idleConnections: 10_000 },
    usual: { runs: 5, seconds: 0.5, idleSeconds: 10, idleConnections: 10_000 },
    quick: { runs: 3, seconds: 0.2, idleSeconds: 3, idleConnections: 1000 },
  };
  const isGate = given.gate || given["update-baseline"];
  const pace = given.quick ? paces.quick : isGate ? paces.gate : paces.usual;
  return {
    ...pace,
    runs: positive("runs", given.runs, pace.runs, Number.isInteger),
    seconds: positive("seconds", given.seconds, pace.seconds, Number.isFinite),
    only: list(given.only),
    ...(given.transports === undefined ? {} : { transports: transportsOf(given.transports) }),
    ...(given.into === undefined ? {} : { into: String(given.into) }),
    json: given.json === true,
    list: given.list === true,
    gate: given.gate === true,
    updateBaseline: given["update-baseline"] === true,
  };
}

function refuse(word: string): never {
  const known = [...switches, ...values].map((name) => `--${name}`).join(", ");
  throw new UsageError(`no option '${word}'; there are ${known}`);
}

function list(value: unknown): string[] {
  return String(value ?? "").split(",").filter((text) => text !== "");
}

function positive(
  name: string,
  value: unknown,
  usual: number,
  isRight: (number: number) => boolean,
): number {
  if (value === undefined) return usual;
  const number = Number(value);
  if (isRight(number) && number > 0) return number;
  throw new UsageError(`--${name} '${value}' is not such a number`);
}

function transportsOf(value: unknown): Transport[] {
  return list(value).map((name) => {
    const known = transports.find((one) => one === name);
    if (known !== undefined) return known;
    throw new UsageError(`--transports '${name}' is none of ${transports.join(", ")}`);
  });
}
