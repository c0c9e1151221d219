/**
 * The regression gate: a few cases, measured beside kernel TCP and the bare ring of the same run,
 * against ratios that are checked in. A machine's speed is in both sides of a ratio and drops out.
 *
 * A case has lost when its ratio is worse than the baseline's by more than 10 % and the noise that
 * both measurements saw in themselves; and, where it has two references, when it has lost against
 * both: SocksDirect that got slower lost against everything, while TCP that got faster (another
 * kernel, another mood of the host) changes one ratio only. What has lost is measured once more with
 * twice the runs before it counts.
 *
 * How far apart the cpus are changes what a ring can do beside TCP, so each condition has a baseline
 * of its own.
 */

import { root } from "../../tests/harness.ts";
import type { Better, Row, Transport } from "./model.ts";
import { figures, pairedRatio, type Ratio } from "./statistics.ts";
import { markdownTable, number } from "./text.ts";

export const baselinePath = `${root}/reproduce/bench/baseline.json`;

/** What may be lost beyond the noise. */
const tolerance = 0.1;

export const gateCases: readonly string[] = [
  ...["rtt-8", "rtt-65536", "stream-8", "stream-64", "stream-1024", "stream-65536"],
  ...["stream-1048576", "rtt-epoll-lt", "rtt-epoll-et", "rtt-two-threads", "think-1000", "one-cpu"],
  ...["connect-0", "connect-1", "many-all-100", "redis-c50"],
];

export const gateTransports: readonly Transport[] = ["tcp", "sd", "bare"];

/** Gains by reference: how many times better than it (below 1: so much worse). */
export type Gains = Partial<Record<"tcp" | "bare", Ratio>>;

export interface Baseline {
  machine: string;
  revision: string;
  date: string;
  gains: Record<string, Gains>;
}

export type Baselines = Record<string, Baseline>;

/** A name for how far apart the cpus are: the way of a cache line there and back. */
export function conditionOf(cacheLineNs: number): string {
  if (cacheLineNs < 75) return "threads of one core";
  return cacheLineNs < 160 ? "cores with one cache" : "far apart";
}

export function gainsOf({ measured, better }: Row): Gains {
  const gains: Gains = {};
  for (const name of ["tcp", "bare"] as const) {
    const reference = measured[name];
    if (measured.sd === undefined || reference === undefined) continue;
    const gain = gainBetween(figures(measured.sd, "value"), figures(reference, "value"), better);
    if (gain !== undefined) gains[name] = gain;
  }
  return gains;
}

function gainBetween(mine: number[], reference: number[], better: Better): Ratio | undefined {
  return better === "higher" ? pairedRatio(mine, reference) : pairedRatio(reference, mine);
}

export interface Finding {
  id: string;
  reference: "tcp" | "bare";
  was: Ratio;
  is: Ratio;
  /** Part that is lost; negative when something was won. */
  loss: number;
  /** What may be lost by chance and by tolerance. */
  allowed: number;
}

export interface Judged {
  findings: Finding[];
  /** Cases that have lost against everything they have. */
  lost: string[];
  /** Cases without a baseline under this condition. */
  unknown: string[];
}

export function judgeGate(rows: readonly Row[], baseline: Baseline): Judged {
  const findings: Finding[] = [];
  const judged: Judged = { findings, lost: [], unknown: [] };
  for (const row of rows) {
    const before = baseline.gains[row.id];
    const own = before === undefined ? [] : findingsOf(row, before);
    if (own.length === 0) judged.unknown.push(row.id);
    else if (own.every(({ loss, allowed }) => loss > allowed)) judged.lost.push(row.id);
    findings.push(...own);
  }
  return judged;
}

function findingsOf(row: Row, before: Gains): Finding[] {
  const now = gainsOf(row);
  return (["tcp", "bare"] as const).flatMap((reference) => {
    const was = before[reference];
    const is = now[reference];
    if (was === undefined || is === undefined) return [];
    const noise = Math.hypot(was.noise, is.noise);
    const loss = 1 - is.median / was.median;
    return [{ id: row.id, reference, was, is, loss, allowed: tolerance + noise }];
  });
}

export function gateText({ findings, lost, unknown }: Judged): string {
  const percent = (part: number) => `${(part * 100).toFixed(0)} %`;
  const lines = findings.map(({ id, reference, was, is, loss, allowed }) => [
    id,
    reference === "tcp" ? "kernel TCP" : "bare ring",
    `${number(was.median)}x`,
    `${number(is.median)}x`,
    loss > 0 ? `${percent(loss)} lost` : `${percent(-loss)} won`,
    percent(allowed),
    loss > allowed ? (lost.includes(id) ? "LOST" : "not by the other") : "holds",
  ]);
  const titles = ["case", "beside", "was", "is", "change", "allowed loss", "verdict"];
  const notes = unknown.length > 0 ? [`\nno baseline: ${unknown.join(", ")}`] : [];
  return [markdownTable(titles, lines), ...notes].join("\n");
}

export async function readBaselines(): Promise<Baselines> {
  try {
    return JSON.parse(await Deno.readTextFile(baselinePath));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

/** The condition's baseline with these rows' gains in place of their older ones. */
export async function updateBaseline(
  condition: string,
  rows: readonly Row[],
  about: { machine: string; revision: string },
) {
  const baselines = await readBaselines();
  const fresh = Object.fromEntries(rows.map((row) => [row.id, gainsOf(row)]));
  const gains = { ...baselines[condition]?.gains, ...fresh };
  baselines[condition] = { ...about, date: new Date().toISOString().slice(0, 10), gains };
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(4)) : value;
  await Deno.writeTextFile(baselinePath, `${JSON.stringify(baselines, rounded, 2)}\n`);
}
