import { assertEquals, assertThrows } from "@std/assert";
import { optionsOf, UsageError } from "./options.ts";

Deno.test("without words everything is measured five times", () => {
  const { runs, only, gate, transports } = optionsOf([]);
  assertEquals([runs, only, gate, transports], [5, [], false, undefined]);
});

Deno.test("words change what and how", () => {
  const options = optionsOf([
    "--quick",
    "--runs",
    "7",
    "--only",
    "rtt-8,redis",
    "--transports=tcp,sd",
  ]);
  assertEquals([options.runs, options.seconds], [7, 0.2]);
  assertEquals(options.only, ["rtt-8", "redis"]);
  assertEquals(options.transports, ["tcp", "sd"]);
});

Deno.test("the gate's runs are shorter, and as long for its baseline", () => {
  const pace = (...words: string[]) => {
    const { runs, seconds } = optionsOf(words);
    return [runs, seconds];
  };
  assertEquals(pace("--gate"), [5, 0.3]);
  assertEquals(pace("--update-baseline"), [5, 0.3]);
  assertEquals(pace("--gate", "--runs", "9"), [9, 0.3]);
});

Deno.test("what is not understood is said", () => {
  const wrong = (words: string[], says: string) =>
    assertThrows(() => optionsOf(words), UsageError, says);
  wrong(["--fast"], "no option '--fast'");
  wrong(["--runs", "0"], "--runs '0'");
  wrong(["--runs", "1.5"], "--runs '1.5'");
  wrong(["--transports", "tcp,pigeon"], "'pigeon' is none of tcp, sd");
});
