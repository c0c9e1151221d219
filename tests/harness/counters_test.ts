import { assertEquals, assertThrows } from "@std/assert";
import { assertNoRing, assertRingShare, trafficOf } from "./counters.ts";
import type { ProcessTotals, Totals } from "./monitor.ts";

function processTotals(ring: number, tcp: number, reasons = {}): ProcessTotals {
  const counters = { ring_bytes: ring, ring_messages: 1, tcp_bytes: tcp, tcp_messages: 1 };
  const none = { ring_bytes: 0, ring_messages: 0, tcp_bytes: 0, tcp_messages: 0 };
  return {
    tx: counters,
    rx: none,
    accelerated_count: 1,
    moves_to_tcp: 0,
    guard_verdicts: 0,
    crowded: 0,
    signals_deferred: 0,
    closed_by_reason: reasons,
  };
}

function totals(ring: number, tcp: number, reasons = {}): Totals {
  return { ...processTotals(ring, tcp, reasons), processes: [], dead: [] };
}

const nothing = totals(0, 0);

Deno.test("99 % by ring are enough, 98 % are not", () => {
  assertRingShare(nothing, totals(990, 10));
  assertThrows(() => assertRingShare(nothing, totals(980, 20)), Error, "less than 99 %");
});

Deno.test("no bytes at all are no proof", () => {
  assertThrows(() => assertRingShare(nothing, nothing), Error, "no bytes were counted");
  assertThrows(() => assertNoRing(nothing, nothing), Error, "no bytes were counted");
});

Deno.test("only what came between the two looks counts", () => {
  const before = totals(0, 1_000_000, { undecided: 5 });
  assertRingShare(before, totals(1000, 1_000_000, { undecided: 5 }));
});

Deno.test("a named reason explains bytes by TCP, another does not", () => {
  const after = totals(500, 500, { none: 1, ring_full: 1 });
  assertRingShare(nothing, after, { orReasons: ["ring_full"] });
  assertThrows(() => assertRingShare(nothing, after, { orReasons: ["quota"] }), Error, "ring_full");
  assertThrows(() => assertRingShare(nothing, after), Error, "less than 99 %");
});

Deno.test("a named reason does not explain less than the least share", () => {
  const options = { orReasons: ["ring_full"], orAtLeast: 0.7 };
  assertThrows(() => assertRingShare(nothing, totals(600, 400, { ring_full: 1 }), options));
  assertRingShare(nothing, totals(800, 200, { ring_full: 1 }), options);
});

Deno.test("settling bytes are left out, but something must have gone by ring", () => {
  assertRingShare(nothing, totals(1000, 500), { settlingBytes: 500 });
  assertThrows(() => assertRingShare(nothing, totals(1000, 600), { settlingBytes: 500 }));
  assertThrows(() => assertRingShare(nothing, totals(0, 400), { settlingBytes: 500 }));
});

Deno.test("one byte by ring is too many where there must be none", () => {
  assertNoRing(nothing, totals(0, 10));
  assertThrows(() => assertNoRing(nothing, totals(1, 10)), Error, "bytes went by ring");
});

Deno.test("processes are found among the living and the dead", () => {
  const all: Totals = {
    ...totals(100, 100),
    processes: [{ pid: 1, program: "a", totals: processTotals(1, 2) }],
    dead: [{ pid: 2, program: "b", totals: processTotals(10, 20) }],
  };
  assertEquals(trafficOf(all, [1, 2]).ringBytes, 11);
  assertEquals(trafficOf(all, [2]).tcpBytes, 20);
  assertEquals(trafficOf(all, [3]).tcpBytes, 0);
});
