import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { Totals } from "./api.ts";
import { requestsPerSecondOf } from "./demo_cases.ts";
import { carriedBetween, caseResult, type DemoReport, reportText, spread } from "./demo_report.ts";
import { CtlError } from "./errors.ts";

const counters = (ring: number, tcp: number): Totals["tx"] => ({
  ring_bytes: ring,
  ring_messages: ring / 10,
  tcp_bytes: tcp,
  tcp_messages: tcp / 10,
});

const totals = (ring: number, tcp: number) => ({ tx: counters(ring, tcp) });

const report: DemoReport = {
  machine: { cpu: "Test CPU", cpus: 2, kernel: "6.1", date: "2025-01-01" },
  runs: 5,
  cases: [caseResult(
    { name: "ping-pong 8 B", unit: "us", better: "lower" },
    { kernel: [70, 72, 71], socksdirect: [0.5, 0.4, 0.6] },
  )],
  carried: carriedBetween(totals(0, 0), totals(2 * 1024 ** 3, 0)),
  checksum: { bytes: 1024 ** 3, seconds: 1, ok: true },
  skipped: [{ name: "redis", reason: "not installed" }],
};

Deno.test("the median is the middle one, or the mean of the middle two", () => {
  assertEquals(spread([3, 1, 2]).median, 2);
  assertEquals(spread([4, 1, 2, 3]).median, 2.5);
  assertEquals(spread([7, 7.5, 3]), { median: 7, min: 3, max: 7.5, runs: [7, 7.5, 3] });
});

Deno.test("a ratio above one always means that SocksDirect is better", () => {
  const runs = { kernel: [10], socksdirect: [40] };
  assertEquals(caseResult({ name: "", unit: "", better: "higher" }, runs).ratio, 4);
  assertEquals(caseResult({ name: "", unit: "", better: "lower" }, runs).ratio, 0.25);
});

Deno.test("what was carried is the difference of the monitor's totals", () => {
  assertEquals(carriedBetween(totals(100, 10), totals(300, 50)), counters(200, 40));
});

Deno.test("the report shows medians, spread, ratio, carriers, checksum and what was skipped", () => {
  const text = reportText(report);
  for (
    const part of [
      "71.0 (70.0 to 72.0)",
      "0.500 (0.400 to 0.600)",
      "142x",
      "2.00 GiB by ring, 0 B by kernel TCP (100.00 % by ring)",
      "1.00 GiB streamed under SocksDirect, every byte compared: right",
      "not run: redis: not installed",
    ]
  ) assertStringIncludes(text, part);
});

Deno.test("one byte by kernel TCP is not 100 % by ring", () => {
  const carried = carriedBetween(totals(0, 0), totals(1e9, 1));
  assertStringIncludes(reportText({ ...report, carried }), "(99.99 % by ring)");
});

Deno.test("a single run has no spread to show", () => {
  const about = { name: "x", unit: "u", better: "higher" } as const;
  const one = caseResult(about, { kernel: [123], socksdirect: [456] });
  const text = reportText({ ...report, runs: 1, cases: [one] });
  assertStringIncludes(text, "one run of each");
  assertEquals(text.includes(" to "), false);
});

Deno.test("a wrong checksum cannot be overlooked", () => {
  const checksum = { ...report.checksum, ok: false };
  assertStringIncludes(reportText({ ...report, checksum }), "WRONG");
});

Deno.test("the rate is read from redis-benchmark's CSV, and its absence is an error", () => {
  const text = '"test","rps","avg_latency_ms"\n"GET","8403.36","0.112"\n';
  assertEquals(requestsPerSecondOf(text), 8403.36);
  assertThrows(() => requestsPerSecondOf("ERR unknown"), CtlError, "no GET line");
});
