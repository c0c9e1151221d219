/**
 * What is measured and what was found: cases, samples of single runs, rows over all runs, and the
 * record of a whole benchmark as it is written (docs/bench.schema.json is its schema).
 */

import type { Lab } from "../../tests/harness.ts";

/** What carries the bytes. `sd` is TCP under SocksDirect; `bare` is a ring and nothing else. */
export const transports = ["tcp", "sd", "unix", "pipe", "bare"] as const;
export type Transport = (typeof transports)[number];

export const transportNames: Record<Transport, string> = {
  tcp: "kernel TCP",
  sd: "SocksDirect",
  unix: "Unix socket",
  pipe: "pipe",
  bare: "bare ring",
};

export type Better = "lower" | "higher";

/** Percentiles from one run's HDR histogram. */
export interface Latency {
  p50: number;
  p99: number;
  p999: number;
  min: number;
  max: number;
}

/** One run. */
export interface Sample {
  /** The number that the row is about, in its unit. */
  value: number;
  latency_ns?: Latency;
  /** CPU seconds of both ends by a million messages, which is microseconds by message. */
  cpu_us_per_message?: number;
  /** Resident memory of both ends at the end. */
  memory_kib?: number;
}

/** What of a sample a bound or a plot is about. */
export type Metric = "value" | "p50" | "p99" | "p999" | "cpu";

export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** All runs of a case over one transport, in the order in which they were made. */
export interface Measured extends Spread {
  runs: Sample[];
  /** Medians over the runs. */
  latency_ns?: Latency;
  cpu_us_per_message?: number;
  memory_kib?: number;
}

export interface Row {
  id: string;
  group: string;
  title: string;
  unit: string;
  better: Better;
  /** Where the case stands on its group's axis (bytes, connections, think time). */
  x?: number;
  /** How far apart the cpus were, and when. */
  condition: Condition;
  measured: Partial<Record<Transport, Measured>>;
}

export interface Condition {
  cache_line_ns: number;
  runs_repeated: number;
  runs_kept_anyway: number;
  date: string;
}

/** What a case works with. */
export interface Ground {
  lab: Lab;
  /** How long one run measures. */
  seconds: number;
  idleSeconds: number;
  idleConnections: number;
}

export interface Case {
  id: string;
  group: string;
  title: string;
  unit: string;
  better: Better;
  x?: number;
  transports: readonly Transport[];
  /** Runs, when it is not the usual number: a wait of ten seconds is not repeated. */
  runs?: number;
  measure(ground: Ground, transport: Transport): Promise<Sample>;
}

export interface Machine {
  cpu: string;
  cpus: number;
  memory_gib: number;
  kernel: string;
  hypervisor: string;
}

export interface Settings {
  runs: number;
  seconds: number;
  idle_seconds: number;
  idle_connections: number;
}

/** sdbench floor: what the machine charges for what no library can avoid. */
export type Floor = Record<string, number>;

export interface BenchRecord {
  schema_version: 2;
  machine: Machine;
  /** The sources' revision, with "+" behind it when they were changed since. */
  revision: string;
  settings: Settings;
  /** Part of all CPU time that others used before the start. */
  busy_before: number;
  floor: Floor;
  rows: Row[];
  /** Bytes that the accelerated programs sent, as the monitor counted them. */
  carried: { ring_bytes: number; tcp_bytes: number };
  left_out: string[];
}
