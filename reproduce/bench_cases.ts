/**
 * What is measured: the rows of the table. A case gives one number a run; both kinds run the same
 * program with the same arguments, and only the environment differs.
 */

import { freePort, installed, type Lab, sdbench, waitForPort } from "../tests/harness.ts";
import type { Bound, Kind } from "./bench_report.ts";

export interface Ground {
  lab: Lab;
  /** How long one run measures. */
  seconds: number;
  /** How long a program stays idle. */
  idleSeconds: number;
  /** How many idle connections. */
  idleConnections: number;
}

export interface BenchCase {
  name: string;
  unit: string;
  better: "lower" | "higher";
  bound?: Bound;
  /** Runs, when it is not the usual number: a wait of ten seconds is not repeated. */
  runs?: number;
  /** Kinds that make sense; both by default. */
  kinds?: readonly Kind[];
  measure(ground: Ground, kind: Kind): Promise<number>;
}

/** What sdbench prints with --json, as far as it is used here. */
interface Report {
  per_second: number;
  gbytes_per_second: number;
  rtt_ns: { p50: number };
  idle: { client_cpu_ms: number; server_cpu_ms: number; bytes_per_connection: number };
}

interface BareRing {
  rtt_ns: { p50: number };
  per_second: number;
  gbytes_per_second: number;
}

async function pair(ground: Ground, kind: Kind, ...words: string[]): Promise<Report> {
  const command = [sdbench, "pair", "--pin", "--json", "--seconds", `${ground.seconds}`, ...words];
  const { stdout } = await ground.lab.run(command, {
    preload: kind === "sd",
    timeoutMs: 180_000,
  });
  return JSON.parse(stdout);
}

const blockingName = "ping-pong 8 B, blocking";

function rtt(name: string, words: string[], bound?: Bound): BenchCase {
  return {
    name,
    unit: "us",
    better: "lower",
    bound,
    measure: async (ground, kind) => (await pair(ground, kind, ...words)).rtt_ns.p50 / 1000,
  };
}

const roundTrips: BenchCase[] = [
  rtt(blockingName, ["--mode", "rtt"], { atMost: 0.5 }),
  ...["epoll-lt", "epoll-et", "poll", "select"].map((io) =>
    rtt(`ping-pong 8 B, ${io}`, ["--mode", "rtt", "--io", io], {
      timesRowAtMost: 2,
      row: blockingName,
    })
  ),
  ...["two-threads", "after-fork", "fork-both"].map((mode) =>
    rtt(`ping-pong 8 B, ${mode}`, ["--mode", mode], { timesRowAtMost: 2, row: blockingName })
  ),
  rtt("ping-pong 8 B, a busy loop on each cpu", ["--mode", "hog"], { timesTcpAtMost: 1.2 }),
];

const streams: BenchCase[] = [
  {
    name: "stream of 64 B",
    unit: "M/s",
    better: "higher",
    bound: { atLeast: 10 },
    measure: async (ground, kind) =>
      (await pair(ground, kind, "--mode", "stream", "--size", "64")).per_second / 1e6,
  },
  {
    name: "stream of 64 KiB",
    unit: "GB/s",
    better: "higher",
    bound: { atLeast: 9 },
    measure: async (ground, kind) =>
      (await pair(ground, kind, "--mode", "stream", "--size", "65536")).gbytes_per_second,
  },
];

const connections: BenchCase[] = [
  {
    name: "connect, accept, close",
    unit: "K/s",
    better: "higher",
    bound: { timesTcpAtLeast: 0.9 },
    measure: async (ground, kind) =>
      (await pair(ground, kind, "--mode", "connect")).per_second / 1e3,
  },
  {
    name: "connect, one request, close",
    unit: "K/s",
    better: "higher",
    measure: async (ground, kind) =>
      (await pair(ground, kind, "--mode", "connect", "--requests", "1")).per_second / 1e3,
  },
];

function idleCpu(io: string): BenchCase {
  return {
    name: `CPU of both sides, idle, ${io}`,
    unit: "ms in 10 s",
    better: "lower",
    bound: { atMost: 1 },
    runs: 1,
    measure: async (ground, kind) => {
      const seconds = ["--seconds", `${ground.idleSeconds}`];
      const { idle } = await pair(ground, kind, "--mode", "idle", "--io", io, ...seconds);
      return (idle.client_cpu_ms + idle.server_cpu_ms) * 10 / ground.idleSeconds;
    },
  };
}

const idle: BenchCase[] = [
  idleCpu("blocking"),
  idleCpu("epoll-lt"),
  {
    name: "memory of an idle connection, both sides",
    unit: "KiB",
    better: "lower",
    bound: { overTcpAtMost: 16 },
    runs: 1,
    measure: async (ground, kind) => {
      const many = ["--connections", `${ground.idleConnections}`, "--io", "epoll-lt"];
      const { idle } = await pair(ground, kind, "--mode", "idle", ...many, "--seconds", "1");
      return idle.bytes_per_connection / 1024;
    },
  },
];

function redis(name: string, words: string[], bound?: Bound): BenchCase {
  return {
    name: `redis-benchmark GET ${name}`,
    unit: "K/s",
    better: "higher",
    bound,
    measure: (ground, kind) => measureRedis(ground, kind, words),
  };
}

async function measureRedis({ lab, seconds }: Ground, kind: Kind, words: string[]) {
  const port = freePort();
  const preload = kind === "sd";
  const server = lab.start([
    ...["redis-server", "--port", `${port}`, "--bind", "127.0.0.1"],
    ...["--save", "", "--appendonly", "no", "--dir", lab.dir],
  ], { preload });
  await waitForPort(port, server);
  // A short run says how many requests a run of the wanted length takes.
  const rate = async (requests: number) => {
    const { stdout } = await lab.run(
      ["redis-benchmark", "-p", `${port}`, "-t", "get", "--csv", "-n", `${requests}`, ...words],
      { preload, timeoutMs: 180_000 },
    );
    return Number(stdout.match(/^"GET","([\d.]+)"/m)?.[1]);
  };
  const perSecond = await rate(Math.ceil(await rate(3_000) * seconds));
  await server.stop();
  return perSecond / 1e3;
}

const redisCases: BenchCase[] = [
  redis("-c 1", ["-c", "1"], { timesTcpAtLeast: 20 }),
  redis("-c 50", ["-c", "50"], { timesTcpAtLeast: 5 }),
  redis("-c 50 -P 16", ["-c", "50", "-P", "16"]),
];

/** Two processes and a ring in shared memory, nothing else: the best that can be. */
function bareRing(
  name: string,
  unit: string,
  better: "lower" | "higher",
  bound: Bound,
  words: string[],
  read: (result: BareRing) => number,
): BenchCase {
  return {
    name: `bare ring, ${name}`,
    unit,
    better,
    bound,
    kinds: ["sd"],
    measure: async ({ lab, seconds }) => {
      const command = [sdbench, "bare-ring", "--json", "--seconds", `${seconds}`];
      return read(JSON.parse((await lab.run([...command, ...words])).stdout));
    },
  };
}

const limits: BenchCase[] = [
  // 20 % around the reference machine's 0.13 us and 18 M/s.
  bareRing(
    "ping-pong 8 B",
    "us",
    "lower",
    { atMost: 0.156 },
    ["--mode", "rtt", "--size", "8"],
    ({ rtt_ns }) => rtt_ns.p50 / 1000,
  ),
  bareRing(
    "64 B",
    "M/s",
    "higher",
    { atLeast: 14.4 },
    ["--mode", "stream", "--size", "64"],
    ({ per_second }) => per_second / 1e6,
  ),
  bareRing(
    "64 KiB",
    "GB/s",
    "higher",
    { atLeast: 9 },
    ["--mode", "stream", "--size", "65536"],
    ({ gbytes_per_second }) => gbytes_per_second,
  ),
];

export function benchCases(): BenchCase[] {
  const hasRedis = installed("redis-server") && installed("redis-benchmark");
  return [
    ...limits,
    ...roundTrips,
    ...streams,
    ...(hasRedis ? redisCases : []),
    ...connections,
    ...idle,
  ];
}

/** What is left out, and why. */
export function leftOut(): string[] {
  if (installed("redis-server") && installed("redis-benchmark")) return [];
  return ["redis: redis-server is not installed (Debian: apt-get install redis-server)"];
}
