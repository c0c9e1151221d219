/** Medians, spreads, paired ratios and their noise. Pure. */

import type { Latency, Measured, Metric, Sample, Spread } from "./model.ts";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

export function measuredOf(runs: Sample[]): Measured {
  return {
    ...spreadOf(runs.map(({ value }) => value)),
    ...defined("latency_ns", medianLatency(runs)),
    ...defined("cpu_us_per_message", medianOf(runs.map((run) => run.cpu_us_per_message))),
    ...defined("memory_kib", medianOf(runs.map((run) => run.memory_kib))),
    runs,
  };
}

/** `{ [key]: value }`, or nothing when there is none: absent is not null in the record. */
function defined<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : { [key]: value } as { [key in K]: V };
}

function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const present = values.filter((value) => value !== undefined);
  return present.length === 0 ? undefined : median(present);
}

function medianLatency(runs: readonly Sample[]): Latency | undefined {
  const found = runs.flatMap(({ latency_ns }) => latency_ns ?? []);
  if (found.length === 0) return undefined;
  const of = (key: keyof Latency) => median(found.map((latency) => latency[key]));
  return { p50: of("p50"), p99: of("p99"), p999: of("p999"), min: of("min"), max: of("max") };
}

export function metricOf(sample: Sample, metric: Metric): number | undefined {
  switch (metric) {
    case "value":
      return sample.value;
    case "cpu":
      return sample.cpu_us_per_message;
    case "p50":
    case "p99":
    case "p999":
      return sample.latency_ns?.[metric];
  }
}

/** Every run's figure; runs without it are left out. */
export function figures(measured: Measured, metric: Metric): number[] {
  return measured.runs.map((run) => metricOf(run, metric)).filter((value) => value !== undefined);
}

export interface Ratio {
  median: number;
  /** How far the median may be off by chance, as a part of it: twice its standard error. */
  noise: number;
}

/**
 * a / b, run by run: the first run of one belongs to the first of the other, made right after it,
 * so that what the machine did to both cancels out.
 */
export function pairedRatio(a: readonly number[], b: readonly number[]): Ratio | undefined {
  const count = Math.min(a.length, b.length);
  if (count === 0) return undefined;
  const ratios = a.slice(0, count).map((value, i) => value / b[i]);
  const middle = median(ratios);
  return { median: middle, noise: noiseOf(ratios) };
}

/** From the median absolute deviation, as of a normal distribution (whose median's error it is). */
function noiseOf(values: readonly number[]): number {
  const middle = median(values);
  const deviation = 1.4826 * median(values.map((value) => Math.abs(value - middle)));
  return 2 * 1.2533 * deviation / Math.sqrt(values.length) / middle;
}
