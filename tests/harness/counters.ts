/**
 * The proof that bytes went by ring: counters that each process keeps in memory it shares with the
 * monitor, read after the programs' work (also after their end).
 */

import { assert, assertEquals } from "@std/assert";
import type { Combination } from "./combinations.ts";
import type { Lab } from "./lab.ts";
import type { Counters, ProcessTotals, Totals } from "./monitor.ts";

export interface Traffic {
  ringBytes: number;
  tcpBytes: number;
  accelerated: number;
  closedByReason: Record<string, number>;
}

export interface RingShareOptions {
  /** Least part of all bytes, sent and received, of these processes. */
  atLeast?: number;
  /**
   * Bytes by TCP that do not count: what a program sends at full speed before the monitor and the
   * peer have answered. Nothing waits for them, so a stream's first megabytes go by TCP.
   */
  settlingBytes?: number;
  /** Only these processes; else everybody. */
  pids?: readonly number[];
  /**
   * Reasons that explain less than that: then every connection of these processes that has ended
   * must have ended with one of them (or with none, if it was on the ring).
   */
  orReasons?: readonly string[];
  /** What must have gone by ring even then. */
  orAtLeast?: number;
}

/**
 * Does the work, then demands what this combination must show: its share by ring if both ends are
 * preloaded, and otherwise not one byte by ring.
 */
export async function expectCarrier(
  lab: Lab,
  combination: Combination,
  options: RingShareOptions,
  work: () => Promise<void>,
) {
  if (!combination.server && !combination.client) return await work();
  const before = await lab.monitor.totals();
  await work();
  const after = await lab.monitor.totals();
  if (combination.server && combination.client) return assertRingShare(before, after, options);
  assertNoRing(before, after, options.pids);
  const reasons = combination.server ? reasonsOfServerAlone : reasonsOfClientAlone;
  const { closedByReason } = difference(trafficOf(before), trafficOf(after));
  const others = Object.keys(closedByReason).filter((reason) => !reasons.includes(reason));
  assertEquals(others, [], `${combination.name}: reasons are ${JSON.stringify(closedByReason)}`);
}

/** What a preloaded end says when its peer is plain. */
const reasonsOfServerAlone = ["undecided", "not_adopted"];
const reasonsOfClientAlone = ["undecided", "no_listener", "arena_pending"];

/** Fails unless the ring carried its share between two looks at the monitor's totals. */
export function assertRingShare(before: Totals, after: Totals, options: RingShareOptions = {}) {
  const traffic = difference(trafficOf(before, options.pids), trafficOf(after, options.pids));
  const { ringBytes } = traffic;
  const tcpBytes = Math.max(0, traffic.tcpBytes - (options.settlingBytes ?? 0));
  const wanted = options.atLeast ?? 0.99;
  assert(ringBytes + traffic.tcpBytes > 0, `no bytes were counted at all: ${describe(traffic)}`);
  if (ringBytes > 0 && ringBytes >= wanted * (ringBytes + tcpBytes)) return;
  const allowed = ["none", ...options.orReasons ?? []];
  const others = Object.keys(traffic.closedByReason).filter((reason) => !allowed.includes(reason));
  const explained = ringBytes >= (options.orAtLeast ?? 0) * (ringBytes + tcpBytes);
  assert(
    explained && allowed.length > 1 && others.length === 0,
    `the ring carried less than ${wanted * 100} %: ${describe(traffic)}` +
      (allowed.length > 1 ? `; only ${allowed.join(", ")} may explain that` : ""),
  );
}

/** Fails if a single byte went by ring, or if nobody counted: then the library was not there. */
export function assertNoRing(before: Totals, after: Totals, pids?: readonly number[]) {
  const traffic = difference(trafficOf(before, pids), trafficOf(after, pids));
  assert(traffic.tcpBytes > 0, `no bytes were counted at all: ${describe(traffic)}`);
  assertEquals(traffic.ringBytes, 0, `bytes went by ring: ${describe(traffic)}`);
}

/** Fails unless so many connection ends have been on a ring by now. */
export async function assertAccelerated(lab: Lab, ends: number) {
  const traffic = trafficOf(await lab.monitor.totals());
  assert(traffic.accelerated >= ends, `not accelerated: ${describe(traffic)}`);
}

/** What went between two looks at the monitor's totals. */
export function trafficBetween(before: Totals, after: Totals): Traffic {
  return difference(trafficOf(before), trafficOf(after));
}

/** Sum over the processes asked for, alive or not. */
export function trafficOf(totals: Totals, pids?: readonly number[]): Traffic {
  const parts: ProcessTotals[] = pids === undefined
    ? [totals]
    : [...totals.processes, ...totals.dead]
      .filter(({ pid }) => pids.includes(pid))
      .map(({ totals }) => totals);
  const sum: Traffic = { ringBytes: 0, tcpBytes: 0, accelerated: 0, closedByReason: {} };
  for (const part of parts) {
    const both: Counters[] = [part.tx, part.rx];
    for (const counters of both) {
      sum.ringBytes += counters.ring_bytes;
      sum.tcpBytes += counters.tcp_bytes;
    }
    sum.accelerated += part.accelerated_count;
    for (const [reason, count] of Object.entries(part.closed_by_reason)) {
      sum.closedByReason[reason] = (sum.closedByReason[reason] ?? 0) + count;
    }
  }
  return sum;
}

function difference(before: Traffic, after: Traffic): Traffic {
  const reasons = Object.entries(after.closedByReason)
    .map(([reason, count]) => [reason, count - (before.closedByReason[reason] ?? 0)] as const)
    .filter(([, count]) => count > 0);
  return {
    ringBytes: after.ringBytes - before.ringBytes,
    tcpBytes: after.tcpBytes - before.tcpBytes,
    accelerated: after.accelerated - before.accelerated,
    closedByReason: Object.fromEntries(reasons),
  };
}

function describe(traffic: Traffic): string {
  const reasons = Object.entries(traffic.closedByReason).map(([name, n]) => `${name} ${n}`);
  return `${traffic.ringBytes} bytes by ring, ${traffic.tcpBytes} by TCP, ` +
    `${traffic.accelerated} connections accelerated; ended: ${reasons.join(", ") || "none"}`;
}
