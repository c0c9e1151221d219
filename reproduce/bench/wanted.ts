/**
 * What must hold, as data, and whether it does. Figures are SocksDirect's medians unless they say
 * otherwise; a level in times of another transport of the same row is judged by the median of the
 * paired ratios, since the two alternated.
 */

import type { BenchRecord, Metric, Row, Transport } from "./model.ts";
import { figures, median, pairedRatio } from "./statistics.ts";

/** A number in the row's unit, or so many times another figure, or so much more than it. */
export type Level =
  | number
  | { times: number; row?: string; transport?: Transport; metric?: Metric }
  | { over: number; transport: Transport };

export interface Wanted {
  what: string;
  row: string;
  transport?: Transport;
  metric?: Metric;
  atMost?: Level;
  atLeast?: Level;
}

export interface Verdict {
  wanted: Wanted;
  /** In the level's terms: a ratio where the level is one, else in the row's unit. */
  figure?: number;
  /** Absent: there was nothing to judge by. */
  holds?: boolean;
}

const twiceBlocking = { times: 2, row: "rtt-8", metric: "p50" } as const;

function waysToWait(): Wanted[] {
  const ways = ["epoll-lt", "epoll-et", "poll", "two-threads", "after-fork", "fork-both"];
  return ways.map((way) => ({
    what: `RTT 8 B, ${way}, p50`,
    row: `rtt-${way}`,
    metric: "p50",
    atMost: twiceBlocking,
  }));
}

export const wanted: readonly Wanted[] = [
  ...[8, 64].flatMap((size): Wanted[] => [
    {
      what: `RTT ${size} B, p50, blocking`,
      row: `rtt-${size}`,
      metric: "p50",
      atMost: { times: 2, transport: "bare" },
    },
    {
      what: `RTT ${size} B, p99`,
      row: `rtt-${size}`,
      metric: "p99",
      atMost: { times: 3, metric: "p50" },
    },
  ]),
  ...waysToWait(),
  { what: "stream of 8 B", row: "stream-8", atLeast: 12 },
  { what: "stream of 64 B", row: "stream-64", atLeast: 10 },
  { what: "stream of 1 KiB", row: "stream-1024", atLeast: 4 },
  {
    what: "stream of 64 KiB",
    row: "stream-65536",
    atLeast: { times: 0.9, transport: "bare" },
  },
  {
    what: "stream of 1 MiB",
    row: "stream-1048576",
    atLeast: { times: 0.8, transport: "bare" },
  },
  ...[1000, 10_000].map((us): Wanted => ({
    what: `RTT over a sleeping peer, think time ${us / 1000} ms`,
    row: `think-${us}`,
    metric: "p50",
    atMost: { times: 1, transport: "tcp" },
  })),
  {
    what: "both ends on one cpu, p50",
    row: "one-cpu",
    metric: "p50",
    atMost: { times: 1, transport: "pipe" },
  },
  {
    what: "a busy loop on each cpu, p50",
    row: "hogs",
    metric: "p50",
    atMost: { times: 1.1, transport: "tcp" },
  },
  {
    what: "a busy loop on each cpu, p99",
    row: "hogs",
    metric: "p99",
    atMost: { times: 1.5, transport: "tcp" },
  },
  {
    what: "10,000 connections, one active",
    row: "many-one-10000",
    atLeast: { times: 0.8, row: "many-one-1" },
  },
  {
    what: "10,000 connections, all active",
    row: "many-all-10000",
    atLeast: { times: 3, transport: "tcp" },
  },
  ...([["c1", 40], ["c50", 8], ["c50-p16", 1.4]] as const).map(([words, times]): Wanted => ({
    what: `redis-benchmark GET -${words.replace("-p", " -P ").replace("c", "c ")}`,
    row: `redis-${words}`,
    atLeast: { times, transport: "tcp" },
  })),
  { what: "nginx and wrk", row: "nginx-wrk", atLeast: { times: 2, transport: "tcp" } },
  { what: "pgbench -S -c 1", row: "pgbench-c1", atLeast: { times: 2, transport: "tcp" } },
  {
    what: "connect, request, response, close",
    row: "connect-1",
    atLeast: { times: 1, transport: "tcp" },
  },
  ...["stream-64", "stream-65536", "think-1000"].map((row): Wanted => ({
    what: `CPU by message, ${row}`,
    row,
    metric: "cpu",
    atMost: { times: 1, transport: "tcp" },
  })),
  { what: "idle, 10,000 connections: 0 ms of CPU in 10 s", row: "idle-many", atMost: 0.5 },
  {
    what: "memory of an idle connection",
    row: "idle-memory",
    atMost: { over: 16, transport: "tcp" },
  },
  { what: "the bare ring itself, RTT 8 B", row: "rtt-8", transport: "bare", atMost: 0.156 },
  { what: "the bare ring itself, 64 B", row: "stream-64", transport: "bare", atLeast: 14.4 },
  { what: "the bare ring itself, 64 KiB", row: "stream-65536", transport: "bare", atLeast: 9.3 },
];

/** Judges everything that has been measured; what has not is left out. */
export function judge(rows: readonly Row[], all: readonly Wanted[] = wanted): Verdict[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return all.filter(({ row }) => byId.has(row)).map((one) => {
    const level = one.atMost ?? one.atLeast!;
    const figure = figureOf(one, level, byId);
    if (figure === undefined) return { wanted: one };
    const limit = limitOf(level);
    const holds = one.atMost !== undefined ? figure <= limit : figure >= limit;
    return { wanted: one, figure, holds };
  });
}

function limitOf(level: Level): number {
  if (typeof level === "number") return level;
  return "times" in level ? level.times : level.over;
}

function figureOf(one: Wanted, level: Level, rows: Map<string, Row>): number | undefined {
  const { transport = "sd", metric = "value" } = one;
  const mine = runsOf(rows.get(one.row), transport, metric);
  if (mine === undefined) return undefined;
  if (typeof level === "number") return median(mine);
  if ("over" in level) {
    const other = runsOf(rows.get(one.row), level.transport, metric);
    return other && median(mine) - median(other);
  }
  const otherRow = level.row ?? one.row;
  const otherMetric = level.metric ?? metric;
  const other = runsOf(rows.get(otherRow), level.transport ?? transport, otherMetric);
  if (other === undefined) return undefined;
  // Runs of one row alternated and belong together; those of two rows do not.
  if (otherRow !== one.row) return median(mine) / median(other);
  return pairedRatio(mine, other)?.median;
}

function runsOf(row: Row | undefined, transport: Transport, metric: Metric): number[] | undefined {
  const measured = row?.measured[transport];
  const found = measured === undefined ? [] : figures(measured, metric);
  return found.length === 0 ? undefined : found;
}

/** "at most 2x bare ring" and the like. */
export function levelText({ atMost, atLeast, transport = "sd", ...one }: Wanted): string {
  const level = atMost ?? atLeast!;
  const word = atMost === undefined ? "at least" : "at most";
  if (typeof level === "number") return `${word} ${level}`;
  const short: Record<Transport, string> = {
    ...{ tcp: "TCP", sd: "SocksDirect", unix: "a Unix socket", pipe: "a pipe" },
    bare: "the bare ring",
  };
  if ("over" in level) return `${word} ${short[level.transport]} + ${level.over}`;
  if (level.row !== undefined) return `${word} ${level.times}x '${level.row}'`;
  if (level.metric !== undefined && level.metric !== one.metric) {
    return `${word} ${level.times}x its own ${level.metric}`;
  }
  return `${word} ${level.times}x ${short[level.transport ?? transport]}`;
}

/** Whether something that must hold does not. */
export function anyBroken(record: Pick<BenchRecord, "rows">): boolean {
  return judge(record.rows).some(({ holds }) => holds === false);
}
