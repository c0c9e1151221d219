/**
 * What the demo measures: our own plain libc client and server (sdbench), and redis.
 *
 * A case gives one number a run. Both kinds run the same program with the same arguments; only the
 * environment differs.
 */

import { CtlError, exitCode } from "./errors.ts";
import type { Kind } from "./demo_report.ts";
import { benchProgram, isFile } from "./paths.ts";
import { findProgram, freePort, type Programs, untilListening } from "./programs.ts";

export interface DemoCase {
  name: string;
  unit: string;
  better: "lower" | "higher";
  measure(kind: Kind): Promise<number>;
}

/** What a case runs in. */
export interface DemoGround {
  programs: Programs;
  env: Record<Kind, Record<string, string>>;
  folder: string;
  /** How long one run measures. */
  seconds: number;
}

const runTimeoutMs = 60_000;

/** What sdbench prints with --json, as far as it is used here. */
interface BenchResult {
  per_second: number;
  gbytes_per_second: number;
  bytes: number;
  seconds: number;
  rtt_ns: { p50: number } | null;
  checksum_ok: boolean | null;
}

async function bench(
  { programs, env }: DemoGround,
  kind: Kind,
  args: readonly string[],
): Promise<BenchResult> {
  if (!isFile(benchProgram)) {
    throw new CtlError(exitCode.failed, `cannot measure: '${benchProgram}' is not built`);
  }
  const command = [benchProgram, "pair", "--json", ...args];
  const text = await programs.output(command, { env: env[kind], timeoutMs: runTimeoutMs });
  return JSON.parse(text);
}

export function benchCases(ground: DemoGround): DemoCase[] {
  const seconds = ["--seconds", `${ground.seconds}`];
  const run = (kind: Kind, mode: string, size: number) =>
    bench(ground, kind, ["--mode", mode, "--size", `${size}`, ...seconds]);
  return [
    {
      name: "ping-pong 8 B",
      unit: "us round trip",
      better: "lower",
      measure: async (kind) => (await run(kind, "rtt", 8)).rtt_ns!.p50 / 1000,
    },
    {
      name: "stream 64 B",
      unit: "M messages/s",
      better: "higher",
      measure: async (kind) => (await run(kind, "stream", 64)).per_second / 1e6,
    },
    {
      name: "stream 64 KiB",
      unit: "GB/s",
      better: "higher",
      measure: async (kind) => (await run(kind, "stream", 65536)).gbytes_per_second,
    },
    {
      name: "connect, accept, close",
      unit: "K connections/s",
      better: "higher",
      measure: async (kind) => (await run(kind, "connect", 8)).per_second / 1e3,
    },
  ];
}

/** Streams so much that any lost, doubled or swapped byte would show. */
export async function streamChecked(ground: DemoGround, bytes: number) {
  const args = ["--mode", "stream", "--size", "65536", "--bytes", `${bytes}`, "--checksum"];
  const result = await bench(ground, "socksdirect", args);
  const ok = result.checksum_ok === true && result.bytes >= bytes;
  return { bytes: result.bytes, seconds: result.seconds, ok };
}

const redisRuns = [
  { name: "redis GET, 1 client", args: ["-c", "1"] },
  { name: "redis GET, 50 clients", args: ["-c", "50"] },
  { name: "redis GET, 50 clients, pipeline 16", args: ["-c", "50", "-P", "16"] },
] as const;

export const howToGetRedis = "redis-server or redis-benchmark is not installed " +
  "(Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install redis)";

/** The redis cases, with a server of each kind started for them; undefined without redis. */
export async function redisCases(ground: DemoGround): Promise<DemoCase[] | undefined> {
  const server = findProgram("redis-server");
  const benchmark = findProgram("redis-benchmark");
  if (server === undefined || benchmark === undefined) return undefined;
  const ports = {
    kernel: await startRedis(ground, "kernel", server, benchmark),
    socksdirect: await startRedis(ground, "socksdirect", server, benchmark),
  };
  return redisRuns.map(({ name, args }) => {
    const run = (kind: Kind, requests: number) =>
      requestsPerSecond(ground, kind, [benchmark, "-p", `${ports[kind]}`, ...args], requests);
    const requests: Partial<Record<Kind, number>> = {};
    return {
      name,
      unit: "K requests/s",
      better: "higher",
      async measure(kind) {
        // A first short run says how many requests fill the time.
        requests[kind] ??= Math.ceil(await run(kind, 5_000) * ground.seconds / 1000) * 1000;
        return await run(kind, requests[kind]) / 1e3;
      },
    };
  });
}

/** A server that holds the key which redis-benchmark asks for. */
async function startRedis(
  { programs, folder, env }: DemoGround,
  kind: Kind,
  server: string,
  benchmark: string,
): Promise<number> {
  const port = freePort();
  const options = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--dir", folder];
  programs.start([server, ...options], env[kind]);
  await untilListening(port, "redis-server");
  const seed = [benchmark, "-p", `${port}`, "-t", "set", "-n", "1", "-c", "1", "-q"];
  await programs.output(seed, { env: env[kind], timeoutMs: runTimeoutMs });
  return port;
}

async function requestsPerSecond(
  { programs, env }: DemoGround,
  kind: Kind,
  command: readonly string[],
  requests: number,
): Promise<number> {
  const args = ["-t", "get", "-n", `${requests}`, "--csv"];
  const options = { env: env[kind], timeoutMs: runTimeoutMs };
  return requestsPerSecondOf(await programs.output([...command, ...args], options));
}

/** From `redis-benchmark --csv`: lines such as "GET","8403.36","0.11",... */
export function requestsPerSecondOf(text: string): number {
  const rate = text.match(/^"GET[^"]*","([\d.]+)"/m)?.[1];
  if (rate === undefined) {
    throw new CtlError(exitCode.failed, `redis-benchmark printed no GET line: '${text.trim()}'`);
  }
  return Number(rate);
}
