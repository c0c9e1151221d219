/**
 * The arithmetic of docs/SCALE.md: what many cores and a million connections cost, from constants
 * that the published benchmark measured and from the library's own limits. Pure;
 * reproduce/scale.ts writes the table.
 */

import { constants as limits, structs } from "../../ffi/layout.gen.ts";
import type { BenchRecord, Metric, Transport } from "./model.ts";
import { figures, median } from "./statistics.ts";
import { markdownTable, number } from "./text.ts";

export interface Target {
  cores: number;
  connections: number;
  /** Client processes, and workers of the one listener group that they talk to. */
  processes: number;
  /** Messages a second on each connection, when most of them sleep. */
  messagesPerSecond: number;
}

export const target: Target = {
  cores: 64,
  connections: 1_000_000,
  processes: 32,
  messagesPerSecond: 1,
};

/** What the benchmark measured, in the units of the names. */
export interface Constants {
  idleKib: number;
  idleKibTcp: number;
  exchangesPerSecond: number;
  exchangesPerSecondTcp: number;
  exchangesPerSecondAt10k: number;
  streamGbytes: number;
  connectsPerSecond: number;
  sleepingCpuUs: number;
  sleepingCpuUsTcp: number;
  cacheLineNs: number;
}

export function constantsOf(record: BenchRecord): Constants {
  const of = (id: string, transport: Transport = "sd", metric: Metric = "value") => {
    const measured = record.rows.find((row) => row.id === id)?.measured[transport];
    const found = measured === undefined ? [] : figures(measured, metric);
    if (found.length > 0) return median(found);
    throw new Error(`the record has no ${metric} of '${id}' over ${transport}: measure it first`);
  };
  return {
    idleKib: of("idle-memory"),
    idleKibTcp: of("idle-memory", "tcp"),
    exchangesPerSecond: of("many-all-100") * 1e3,
    exchangesPerSecondTcp: of("many-all-100", "tcp") * 1e3,
    exchangesPerSecondAt10k: of("many-all-10000") * 1e3,
    streamGbytes: of("stream-65536"),
    connectsPerSecond: of("connect-1") * 1e3,
    sleepingCpuUs: of("think-1000", "sd", "cpu"),
    sleepingCpuUsTcp: of("think-1000", "tcp", "cpu"),
    cacheLineNs: record.floor.cache_line_round_trip_ns,
  };
}

export interface PlanLine {
  what: string;
  how: string;
  result: string;
}

export function planOf(c: Constants, t: Target): PlanLine[] {
  return [...memory(c, t), ...tables(t), ...time(c, t)];
}

function memory(c: Constants, { connections }: Target): PlanLine[] {
  const count = thousands(connections);
  const ringKib = 2 * limits.ringBytes / 1024;
  return [
    {
      what: "memory of idle connections, user space, both ends",
      how: `${count} x ${number(c.idleKib)} KiB (kernel TCP: ${number(c.idleKibTcp)})`,
      result: `${number(connections * c.idleKib / 1024 ** 2)} GiB`,
    },
    {
      what: "the same if every ring had once been full",
      how: `${count} x 2 x ${limits.ringBytes / 1024} KiB`,
      result: `${number(connections * ringKib / 1024 ** 2)} GiB`,
    },
  ];
}

/** Slots that a pair's arenas have when the last one is large enough: each four times the former. */
export function arenasFor(connections: number): number[] {
  const arenas: number[] = [];
  let slots = 0;
  for (let next: number = limits.arenaSlotsMin; slots < connections;) {
    arenas.push(next);
    slots += next;
    next = Math.min(next * 4, limits.arenaSlotsMax);
  }
  return arenas;
}

/** A bit of a summary for each 64 slots. */
function summaryWords(arenas: number[]): number {
  return arenas.reduce((sum, slots) => sum + Math.ceil(slots / 4096), 0);
}

function tables({ connections, processes }: Target): PlanLine[] {
  const each = Math.ceil(connections / processes);
  const arenas = arenasFor(each);
  const slots = arenas.reduce((sum, count) => sum + count, 0);
  const virtualGib = slots * 2 * limits.ringBytes / 1024 ** 3;
  return [
    {
      what: "processes a side, at least",
      how: `${thousands(connections)} / ${thousands(limits.endCapacity)} ends of one process`,
      result: `${Math.ceil(connections / limits.endCapacity)}`,
    },
    {
      what: `arenas of one client (${thousands(each)} connections)`,
      how: arenas.join(" + "),
      result: `${thousands(slots)} slots, ${number(virtualGib)} GiB of addresses`,
    },
    {
      what: "addresses that one worker maps",
      how: `${processes} clients x ${number(virtualGib)} GiB`,
      result: `${number(virtualGib * processes)} GiB of 131,072`,
    },
    {
      what: "slot words and ends",
      how: `${thousands(connections)} x (768 + 2 x ${structs.End.size} B)`,
      result: `${number(connections * (768 + 2 * structs.End.size) / 1024 ** 3)} GiB`,
    },
    {
      what: "channels, one a pair of processes",
      how: `${processes} x ${processes}`,
      result: thousands(processes * processes),
    },
    {
      what: "descriptors of a process beyond its connections",
      how: `${processes} peers x (channel + 2 ends of doorbells), one waiter each`,
      result: thousands(processes * 3),
    },
    {
      what: "summary words of ready rows that one event loop looks at",
      how: `${processes} clients x one for each 4,096 slots of an arena, or part of that`,
      result: thousands(processes * summaryWords(arenas)),
    },
  ];
}

function time(c: Constants, { cores, connections, messagesPerSecond }: Target): PlanLine[] {
  const pairs = cores / 2;
  const messages = connections * messagesPerSecond;
  const millions = (value: number) => `${number(value / 1e6)} M/s`;
  return [
    {
      what: "exchanges of 8 B, event loops on all cores",
      how: `${pairs} pairs of cores x ${millions(c.exchangesPerSecond)}`,
      result: `${millions(pairs * c.exchangesPerSecond)} (kernel TCP: ${
        millions(pairs * c.exchangesPerSecondTcp)
      })`,
    },
    {
      what: "the same when each loop has 10,000 connections and more",
      how: `${pairs} x ${millions(c.exchangesPerSecondAt10k)}`,
      result: millions(pairs * c.exchangesPerSecondAt10k),
    },
    {
      what: "streams of 64 KiB, a pair of cores each, rings in caches",
      how: `${pairs} x ${number(c.streamGbytes)} GB/s`,
      result: `${number(pairs * c.streamGbytes)} GB/s`,
    },
    {
      what: "opening all connections, one at a time on each pair",
      how: `${thousands(connections)} / (${pairs} x ${thousands(c.connectsPerSecond)}/s)`,
      result: `${number(connections / (pairs * c.connectsPerSecond))} s`,
    },
    {
      what: `cores for ${messagesPerSecond} message/s on each, every peer asleep`,
      how: `${millions(messages)} x ${number(c.sleepingCpuUs)} us`,
      result: `${number(messages * c.sleepingCpuUs / 1e6)} (kernel TCP: ${
        number(messages * c.sleepingCpuUsTcp / 1e6)
      })`,
    },
    {
      what: "cache lines that an exchange moves between two cores, at least",
      how: `2 x (bytes with their head, and the tail) x ${number(c.cacheLineNs / 2)} ns one way`,
      result: `${number(2 * c.cacheLineNs)} ns`,
    },
  ];
}

export function planTable(record: BenchRecord): string {
  const lines = planOf(constantsOf(record), target);
  return markdownTable(
    ["what", "how", "result"],
    lines.map((one) => [one.what, one.how, one.result]),
  );
}

const begin = "<!-- made by `deno task scale` from docs/performance/results.json; do not edit -->";
const end = "<!-- end of what is made -->";

/** The page with the table in place of the one it had. */
export function pageWith(page: string, table: string): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/SCALE.md lacks the lines '${begin}', '${end}'`);
  return `${page.slice(0, from)}${begin}\n\n${table}\n\n${page.slice(to)}`;
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString("en");
}
