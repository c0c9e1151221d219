/** Rows and records with known numbers, for tests. */

import type { BenchRecord, Better, Measured, Row, Sample, Transport } from "./model.ts";
import { measuredOf } from "./statistics.ts";

/** Runs with these figures, and latencies and CPU times that follow from them. */
export function runsOf(...values: number[]): Measured {
  return measuredOf(values.map((value): Sample => ({
    value,
    latency_ns: {
      p50: value * 1000,
      p99: value * 2000,
      p999: value * 5000,
      min: value * 900,
      max: value * 9000,
    },
    cpu_us_per_message: value / 10,
    memory_kib: 2048,
  })));
}

export function exampleRow(
  id: string,
  measured: Partial<Record<Transport, number[]>>,
  better: Better = "lower",
  about: Partial<Row> = {},
): Row {
  return {
    ...{
      id,
      group: "round trips",
      title: `title of ${id}`,
      unit: better === "lower" ? "us" : "M/s",
    },
    better,
    condition: {
      cache_line_ns: 85,
      runs_repeated: 0,
      runs_kept_anyway: 0,
      date: "2026-01-02T03:04:05.000Z",
    },
    measured: Object.fromEntries(
      Object.entries(measured).map(([name, values]) => [name, runsOf(...values)]),
    ),
    ...about,
  };
}

export function exampleRecord(rows: Row[]): BenchRecord {
  return {
    schema_version: 2,
    machine: {
      cpu: "Example CPU",
      cpus: 2,
      memory_gib: 24,
      kernel: "6.18.44",
      hypervisor: "yes",
    },
    revision: "0123456789ab",
    settings: { runs: 5, seconds: 0.5, idle_seconds: 10, idle_connections: 10_000 },
    busy_before: 0.01,
    floor: { syscall_ns: 260, cache_line_round_trip_ns: 85, eventfd_round_trip_ns: 30_000 },
    rows,
    carried: { ring_bytes: 1000, tcp_bytes: 10 },
    left_out: [],
  };
}
