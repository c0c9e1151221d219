import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type Call, commandHelp, type CommandSpec, integerOption, parse } from "./cli.ts";
import { UsageError } from "./errors.ts";

const spec: CommandSpec = {
  name: "paint",
  summary: "paint a wall",
  operands: "WALL",
  operandCount: [1, 1],
  options: [
    { name: "color", value: "COLOR", choices: ["red", "blue"], summary: "which paint" },
    { name: "coats", value: "N", summary: "how often" },
    { name: "dry", summary: "only talk" },
  ],
  examples: ["paint north"],
  load: () => Promise.reject(new Error("not loaded here")),
};

const range = { fallback: 1, min: 1, max: 9 };

function problemOf(args: string[], of: CommandSpec = spec): string {
  const error = assertThrows(() => parse(of, args), UsageError);
  assertEquals(error.code, 2);
  return error.message;
}

Deno.test("options are taken before and after operands, with = or a blank", () => {
  const call = parse(spec, ["--color=red", "north", "--coats", "3", "--dry"]);
  assertEquals(call.operands, ["north"]);
  assertEquals(call.values, new Map([["color", "red"], ["coats", "3"]]));
  assertEquals(call.flags, new Set(["dry"]));
});

Deno.test("what follows -- is an operand even with a dash", () => {
  assertEquals(parse(spec, ["--", "--dry"]).operands, ["--dry"]);
});

Deno.test("a mistyped option names the one that was meant", () => {
  assertStringIncludes(problemOf(["north", "--colr", "red"]), "did you mean '--color'?");
});

Deno.test("a value outside the choices lists them", () => {
  assertStringIncludes(problemOf(["north", "--color", "green"]), "must be one of red, blue");
});

Deno.test("an option without its value, and a flag with one, are wrong use", () => {
  assertStringIncludes(problemOf(["north", "--coats"]), "needs a value: N");
  assertStringIncludes(problemOf(["north", "--dry=yes"]), "takes no value");
});

Deno.test("missing and surplus operands are wrong use", () => {
  assertStringIncludes(problemOf([]), "missing WALL");
  assertStringIncludes(problemOf(["north", "south"]), "too many arguments at 'south'");
});

Deno.test("--help needs no operands", () => {
  assertEquals(parse(spec, ["--help"]).flags, new Set(["help"]));
  assertEquals(parse(spec, ["-h"]).flags, new Set(["help"]));
});

Deno.test("options behind the first operand belong to the program when the spec says so", () => {
  const runner = { ...spec, stopAtOperand: true, operandCount: [1, Infinity] as const };
  assertEquals(parse(runner, ["--dry", "ls", "--dry", "-l"]).operands, ["ls", "--dry", "-l"]);
  assertEquals(parse(runner, ["--", "ls", "--", "x"]).operands, ["ls", "--", "x"]);
});

Deno.test("a pass-through command takes every argument but a leading --help", () => {
  const through = { ...spec, passThrough: true, operandCount: [0, Infinity] as const };
  assertEquals(parse(through, ["--quick", "-x"]).operands, ["--quick", "-x"]);
  assertEquals(parse(through, ["--help"]).flags, new Set(["help"]));
});

Deno.test("a number outside its range is refused and quoted", () => {
  const call: Call = { operands: [], flags: new Set(), values: new Map([["coats", "12"]]) };
  const error = assertThrows(() => integerOption(call, "coats", range), UsageError);
  assertStringIncludes(error.message, "'12', must be a whole number from 1 to 9");
  const none: Call = { ...call, values: new Map() };
  assertEquals(integerOption(none, "coats", range), 1);
});

Deno.test("help shows usage, every option and the examples", () => {
  const help = commandHelp(spec);
  assertStringIncludes(help, "usage: socksdirect paint [OPTION...] WALL");
  for (const text of ["--color COLOR", "--coats N", "--dry", "--help", "  paint north"]) {
    assertStringIncludes(help, text);
  }
});
