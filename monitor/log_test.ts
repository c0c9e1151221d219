import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Logger, type LogLevel } from "./log.ts";

function capture(level: LogLevel) {
  const lines: string[] = [];
  const clock = { ms: 0 };
  const logger = new Logger({ level, write: (line) => lines.push(line), nowMs: () => clock.ms });
  return { logger, lines, clock };
}

Deno.test("lines above the level are left out", () => {
  const { logger, lines } = capture("warn");
  logger.info("quiet");
  logger.warn("loud");
  assertEquals(lines, ["1970-01-01T00:00:00.000Z warn  loud\n"]);
});

Deno.test("an event is one line, whatever a program calls itself", () => {
  const { logger, lines } = capture("info");
  logger.info("program\n2026 error forged\x1b[31m");
  assertEquals(lines[0].split("\n").length, 2);
  assert(!lines[0].includes("\x1b"));
});

Deno.test("a flood is cut short and counted", () => {
  const { logger, lines, clock } = capture("info");
  for (let i = 0; i < 1000; i++) logger.warn("flood");
  assertEquals(lines.length, 200);
  clock.ms += 1000;
  logger.warn("later");
  assertStringIncludes(lines[200], "800 lines left out");
  assertStringIncludes(lines[201], "later");
});

Deno.test("errors are never cut short", () => {
  const { logger, lines } = capture("info");
  for (let i = 0; i < 1000; i++) logger.error("flood");
  assertEquals(lines.length, 1000);
});
