/** Runs sdbench over a transport and reads what it found. */

import { sdbench } from "../../tests/harness.ts";
import type { Case, Ground, Sample, Transport } from "./model.ts";

const timeoutMs = 240_000;

/** What sdbench prints with --json, as far as it is used here. */
export interface Report {
  messages: number;
  per_second: number;
  gbytes_per_second: number;
  rtt_ns: { p50: number; p99: number; p999: number; min: number; max: number } | null;
  cpu_seconds: { client: number; server: number };
  client_rss_kib: number;
  server_rss_kib: number;
  idle: { client_cpu_ms: number; server_cpu_ms: number; bytes_per_connection: number } | null;
}

/** The command that measures a transport. `--pin` puts the two sides on a cpu each. */
function command(transport: Transport): string[] {
  switch (transport) {
    case "tcp":
    case "sd":
      return [sdbench, "pair"];
    case "unix":
      return [sdbench, "pair", "--transport", "unix"];
    case "pipe":
      return [sdbench, "pipe"];
    case "bare":
      return [sdbench, "bare-ring"];
  }
}

export async function runSdbench(
  ground: Ground,
  transport: Transport,
  words: readonly string[],
): Promise<Report> {
  const pinned = words.includes("--one-cpu") ? [] : ["--pin"];
  const fixed = [...pinned, "--json", "--seconds", `${ground.seconds}`];
  const { stdout } = await ground.lab.run([...command(transport), ...fixed, ...words], {
    preload: transport === "sd",
    timeoutMs,
  });
  return JSON.parse(stdout);
}

/** A sample of what every mode reports; `value` is what the case is about. */
export function sampleOf(report: Report, value: number): Sample {
  const cpuSeconds = report.cpu_seconds.client + report.cpu_seconds.server;
  const { rtt_ns: rtt } = report;
  return {
    value,
    ...(rtt === null ? {} : {
      latency_ns: { p50: rtt.p50, p99: rtt.p99, p999: rtt.p999, min: rtt.min, max: rtt.max },
    }),
    ...(report.messages > 0 ? { cpu_us_per_message: cpuSeconds * 1e6 / report.messages } : {}),
    memory_kib: report.client_rss_kib + report.server_rss_kib,
  };
}

type About =
  & Pick<Case, "id" | "group" | "title" | "transports">
  & Partial<Pick<Case, "x" | "runs">>;

/** A case whose figure is the median latency. */
export function latencyCase(about: About, ...words: string[]): Case {
  return {
    ...about,
    unit: "us",
    better: "lower",
    measure: async (ground, transport) => {
      const report = await runSdbench(ground, transport, words);
      return sampleOf(report, report.rtt_ns!.p50 / 1000);
    },
  };
}

/** A case whose figure is messages (exchanges, connections) a second. */
export function rateCase(about: About & { unit: "K/s" | "M/s" }, ...words: string[]): Case {
  const scale = about.unit === "M/s" ? 1e6 : 1e3;
  return {
    ...about,
    better: "higher",
    measure: async (ground, transport) => {
      const report = await runSdbench(ground, transport, words);
      return sampleOf(report, report.per_second / scale);
    },
  };
}

/** A case whose figure is 10^9 bytes a second. */
export function bandwidthCase(about: About, ...words: string[]): Case {
  return {
    ...about,
    unit: "GB/s",
    better: "higher",
    measure: async (ground, transport) => {
      const report = await runSdbench(ground, transport, words);
      return sampleOf(report, report.gbytes_per_second);
    },
  };
}
