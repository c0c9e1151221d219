import { assertEquals, assertThrows } from "@std/assert";
import { parseOptions, UsageError } from "./options.ts";

Deno.test("without options the level is info and the place is the default", () => {
  const options = parseOptions([]);
  assertEquals(options.logLevel, "info");
  assertEquals(options.controlSocket, undefined);
  assertEquals(options.quotas, {});
});

Deno.test("options are read in both forms", () => {
  const options = parseOptions(["--control-socket", "/a/b", "--log-level=debug", "--foreground"]);
  assertEquals([options.controlSocket, options.logLevel], ["/a/b", "debug"]);
});

Deno.test("quotas may be given one by one", () => {
  assertEquals(parseOptions(["--quota", "arenas=5", "--quota=listeners=7"]).quotas, {
    arenas: 5,
    listeners: 7,
  });
});

Deno.test("wrong use is told with the word that was wrong", () => {
  const cases: [string[], string][] = [
    [["--socket", "x"], '"--socket"'],
    [["serve"], '"serve"'],
    [["--log-level", "loud"], '"loud"'],
    [["--log-level"], "--log-level needs"],
    [["--control-socket="], "--control-socket needs"],
    [["--quota", "arena=1"], '"arena"'],
    [["--quota", "arenas=many"], '"many"'],
    [["--quota", "arenas"], "arenas=100"],
  ];
  for (const [args, part] of cases) assertThrows(() => parseOptions(args), UsageError, part);
});
