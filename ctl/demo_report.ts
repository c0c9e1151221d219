/**
 * What the demo found: medians, ratios, and the text or JSON that shows them. Pure.
 */

import type { Totals } from "./api.ts";
import { formatBytes, significant, table } from "./table.ts";

export type Kind = "kernel" | "socksdirect";

export interface Spread {
  median: number;
  min: number;
  max: number;
  runs: number[];
}

export interface CaseResult {
  name: string;
  unit: string;
  better: "lower" | "higher";
  kernel: Spread;
  socksdirect: Spread;
  /** How many times better SocksDirect is. */
  ratio: number;
}

export interface Machine {
  cpu: string;
  cpus: number;
  kernel: string;
  date: string;
}

export interface DemoReport {
  machine: Machine;
  runs: number;
  cases: CaseResult[];
  /** What the accelerated programs sent, as the monitor counted it. */
  carried: Totals["tx"];
  checksum: { bytes: number; seconds: number; ok: boolean };
  skipped: { name: string; reason: string }[];
}

export function spread(runs: readonly number[]): Spread {
  const sorted = [...runs].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1
    ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], runs: [...runs] };
}

export function caseResult(
  about: { name: string; unit: string; better: "lower" | "higher" },
  runs: Record<Kind, readonly number[]>,
): CaseResult {
  const kernel = spread(runs.kernel);
  const socksdirect = spread(runs.socksdirect);
  const { name, unit, better } = about;
  const ratio = better === "lower"
    ? kernel.median / socksdirect.median
    : socksdirect.median / kernel.median;
  return { name, unit, better, kernel, socksdirect, ratio };
}

/** Bytes sent between two looks at the monitor's totals. */
export function carriedBetween(
  before: Pick<Totals, "tx">,
  after: Pick<Totals, "tx">,
): DemoReport["carried"] {
  return {
    ring_bytes: after.tx.ring_bytes - before.tx.ring_bytes,
    ring_messages: after.tx.ring_messages - before.tx.ring_messages,
    tcp_bytes: after.tx.tcp_bytes - before.tx.tcp_bytes,
    tcp_messages: after.tx.tcp_messages - before.tx.tcp_messages,
  };
}

export function reportText(report: DemoReport): string {
  const { machine, runs, cases, checksum, skipped } = report;
  return [
    `${machine.cpu}, ${machine.cpus} cpus, Linux ${machine.kernel}, ${machine.date}`,
    runs === 1 ? "one run of each" : `median of ${runs} alternating runs (least to most)`,
    "",
    casesText(cases),
    "",
    carriedText(report.carried),
    `checksum: ${formatBytes(checksum.bytes)} streamed under SocksDirect, every byte compared: ` +
    (checksum.ok ? "right" : "WRONG"),
    ...skipped.map(({ name, reason }) => `not run: ${name}: ${reason}`),
  ].join("\n");
}

function casesText(cases: readonly CaseResult[]): string {
  return table<CaseResult>([
    { title: "", cell: ({ name }) => name },
    { title: "kernel TCP", cell: (row) => spreadText(row.kernel), right: true },
    { title: "SocksDirect", cell: (row) => spreadText(row.socksdirect), right: true },
    { title: "unit", cell: ({ unit }) => unit },
    { title: "ratio", cell: ({ ratio }) => `${significant(ratio)}x`, right: true },
  ], cases);
}

function spreadText({ median, min, max, runs }: Spread): string {
  if (runs.length === 1) return significant(median);
  return `${significant(median)} (${significant(min)} to ${significant(max)})`;
}

function carriedText({ ring_bytes, tcp_bytes }: DemoReport["carried"]): string {
  const all = ring_bytes + tcp_bytes;
  // Rounded down: 100 % means every byte.
  const percent = all === 0 ? "0" : (Math.floor(10_000 * ring_bytes / all) / 100).toFixed(2);
  return `carried, as the monitor counted: ${formatBytes(ring_bytes)} by ring, ` +
    `${formatBytes(tcp_bytes)} by kernel TCP (${percent} % by ring)`;
}
