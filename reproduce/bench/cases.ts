/**
 * Everything that sdbench measures, in groups. A case gives one sample a run; all transports run
 * the same program with the same arguments. docs/BENCHMARKING.md says what each group is about.
 */

import { bandwidthCase, latencyCase, rateCase, runSdbench, sampleOf } from "./sdbench.ts";
import type { Case, Transport } from "./model.ts";
import { programCases } from "./programs.ts";

const everything: readonly Transport[] = ["tcp", "sd", "unix", "pipe", "bare"];
const sockets: readonly Transport[] = ["tcp", "sd", "unix"];
const kernelAndUs: readonly Transport[] = ["tcp", "sd"];

/** What both directions of a Unix socket hold by default, nearly. */
const unixSocketBytes = 262_144;

const sizes = [8, 64, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

export function sizeText(bytes: number): string {
  if (bytes >= 1_048_576) return `${bytes / 1_048_576} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`;
}

/**
 * Round trips by size of the message; both sides are awake all the time. The server sends back what
 * it has before everything has come, so a Unix socket's buffers must hold the whole message.
 */
const roundTrips = sizes.map((size) =>
  latencyCase({
    id: `rtt-${size}`,
    group: "round trips",
    title: `ping-pong of ${sizeText(size)}`,
    x: size,
    transports: everything.filter((name) => name !== "unix" || size <= unixSocketBytes),
  }, ...["--mode", "rtt", "--size", `${size}`])
);

/** One way, one send a message. Small messages are counted, large ones weighed. */
const streams = sizes.map((size) => {
  const about = {
    id: `stream-${size}`,
    group: "streams",
    title: `stream of ${sizeText(size)}`,
    x: size,
    transports: everything,
  };
  const words = ["--mode", "stream", "--size", `${size}`];
  if (size >= 4096) return bandwidthCase(about, ...words);
  return rateCase({ ...about, unit: "M/s" }, ...words);
});

const bothWays = [
  rateCase(
    {
      id: "duplex-64",
      group: "streams",
      title: "both ways, 64 B",
      unit: "M/s",
      transports: sockets,
    },
    ...["--mode", "duplex", "--size", "64"],
  ),
  bandwidthCase(
    { id: "duplex-65536", group: "streams", title: "both ways, 64 KiB", transports: sockets },
    ...["--mode", "duplex", "--size", "65536"],
  ),
  latencyCase(
    {
      id: "bursts-32",
      group: "streams",
      title: "burst of 32 x 64 B and back",
      transports: sockets,
    },
    ...["--mode", "bursts", "--burst", "32", "--size", "64"],
  ),
];

/** The same exchange through every way of waiting, and by ends that several threads or forks share. */
const ways = [
  ...["epoll-lt", "epoll-et", "poll", "select"].map((io) => ({ id: io, words: ["--io", io] })),
  ...["two-threads", "after-fork", "fork-both"].map((mode) => ({
    id: mode,
    words: ["--mode", mode],
  })),
].map(({ id, words }) =>
  latencyCase({
    id: `rtt-${id}`,
    group: "ways to wait",
    title: `ping-pong of 8 B, ${id}`,
    transports: kernelAndUs,
  }, ...words)
);

/** The client sleeps before each exchange, so that the server has to be woken. */
const sleepers = [10, 100, 1000, 10_000].map((us) =>
  latencyCase({
    id: `think-${us}`,
    group: "sleeping peers",
    title: `ping-pong of 8 B, think time ${us >= 1000 ? `${us / 1000} ms` : `${us} us`}`,
    x: us,
    transports: ["tcp", "sd", "unix", "pipe"],
  }, ...["--mode", "rtt", "--think-us", `${us}`])
);

/** Fewer cpus than sides that want one. */
const crowded = [
  latencyCase({
    id: "one-cpu",
    group: "shared cpus",
    title: "ping-pong of 8 B, both ends on one cpu",
    transports: ["tcp", "sd", "unix", "pipe"],
  }, "--one-cpu"),
  latencyCase({
    id: "one-cpu-epoll",
    group: "shared cpus",
    title: "the same by epoll",
    transports: sockets,
  }, ...["--one-cpu", "--io", "epoll-lt"]),
  rateCase({
    id: "one-cpu-stream",
    group: "shared cpus",
    title: "stream of 64 B, both ends on one cpu",
    unit: "M/s",
    transports: ["tcp", "sd", "unix", "pipe"],
  }, ...["--mode", "stream", "--size", "64", "--one-cpu"]),
  latencyCase({
    id: "hogs",
    group: "shared cpus",
    title: "ping-pong of 8 B, a busy loop on each cpu",
    transports: sockets,
  }, ...["--mode", "hog"]),
];

/** 20,000, or in thousands what the limit of open files leaves beside a program's other files. */
function connectionsMax(): number {
  const limits = Deno.readTextFileSync("/proc/self/limits");
  const hard = Number(limits.match(/^Max open files\s+\d+\s+(\d+)/m)?.[1] ?? 0);
  return Math.min(20_000, Math.floor((hard - 500) / 1000) * 1000);
}

const crowds = [1, 10, 100, 1000, 10_000].map((count) => ({ count, name: `${count}` }));

/** One event loop a side; `one` of them talks at a time, or `all` at once. */
const many = [...crowds, { count: connectionsMax(), name: "max" }].flatMap(({ count, name }) =>
  (["one", "all"] as const).map((active) =>
    rateCase(
      {
        id: `many-${active}-${name}`,
        group: active === "one" ? "many connections, one active" : "many connections, all active",
        title: `${count.toLocaleString("en")} connections, ${active} active`,
        x: count,
        unit: "K/s",
        transports: count > 10_000
          ? kernelAndUs
          : active === "one"
          ? [...sockets, "bare"]
          : sockets,
        ...(count >= 10_000 ? { runs: 3 } : {}),
      },
      ...["--io", "epoll-lt", "--connections", `${count}`],
      ...(active === "one" ? ["--active", "1"] : []),
      // Until each has had its turns on the carrier that it ends up on.
      ...(count >= 10_000 ? ["--warmup-ms", "2000"] : []),
    )
  )
);

const shapes = [
  ...["fan-in", "fan-out"].flatMap((mode) =>
    [10, 1000].map((count) => ({
      id: `${mode}-${count}`,
      title: `${mode} over ${count} connections, 1 KiB`,
      words: ["--mode", mode, "--size", "1024", "--connections", `${count}`],
    }))
  ),
  {
    id: "many-epolls",
    title: "64 connections in 16 nested epolls",
    words: ["--connections", "64", "--epolls", "16"],
  },
  {
    id: "many-threads",
    title: "64 connections, 4 event loops a side",
    words: ["--connections", "64", "--threads", "4"],
  },
  {
    id: "many-workers",
    title: "64 connections, 4 pre-forked workers",
    words: ["--connections", "64", "--workers", "4"],
  },
].map(({ id, title, words }) =>
  rateCase(
    { id, group: "shapes of load", title, unit: "K/s", transports: sockets },
    ...["--io", "epoll-lt", ...words],
  )
);

const connections = [
  { id: "connect-0", title: "connect, accept, close", requests: 0, transports: sockets },
  { id: "connect-1", title: "connect, one request, close", requests: 1, transports: sockets },
  { id: "connect-100", title: "connect, 100 requests, close", requests: 100, transports: sockets },
].map(({ requests, ...about }) =>
  rateCase(
    { ...about, group: "connections", unit: "K/s" },
    ...["--mode", "connect", "--requests", `${requests}`],
  )
);

/** CPU milliseconds of both sides in ten seconds of nothing. */
function idleCpu(id: string, title: string, words: (connections: number) => string[]): Case {
  return {
    id,
    group: "idle",
    title,
    unit: "ms in 10 s",
    better: "lower",
    transports: kernelAndUs,
    runs: 1,
    measure: async (ground, transport) => {
      const time = ["--seconds", `${ground.idleSeconds}`];
      const idle = ["--mode", "idle", ...words(ground.idleConnections), ...time];
      const report = await runSdbench(ground, transport, idle);
      const { client_cpu_ms, server_cpu_ms } = report.idle!;
      return { value: (client_cpu_ms + server_cpu_ms) * 10 / ground.idleSeconds };
    },
  };
}

const crowdOf = (count: number) => ["--io", "epoll-lt", "--connections", `${count}`];

const idle: Case[] = [
  idleCpu("idle-blocking", "CPU of a connection that blocks in recv", () => []),
  idleCpu("idle-epoll", "CPU of a connection in epoll", () => ["--io", "epoll-lt"]),
  idleCpu("idle-many", "CPU of 10,000 connections in epoll", crowdOf),
  {
    id: "idle-memory",
    group: "idle",
    title: "memory of one of 10,000 connections, both sides",
    unit: "KiB",
    better: "lower",
    transports: kernelAndUs,
    runs: 1,
    measure: async (ground, transport) => {
      const words = ["--mode", "idle", ...crowdOf(ground.idleConnections), "--seconds", "1"];
      const report = await runSdbench(ground, transport, words);
      return { value: report.idle!.bytes_per_connection / 1024 };
    },
  },
  {
    id: "busy-memory",
    group: "idle",
    title: "resident memory of a busy pair, 1 MiB stream",
    unit: "KiB",
    better: "lower",
    transports: kernelAndUs,
    runs: 1,
    measure: async (ground, transport) => {
      const report = await runSdbench(ground, transport, ["--mode", "stream", "--size", "1048576"]);
      return { ...sampleOf(report, report.client_rss_kib + report.server_rss_kib) };
    },
  },
];

export function allCases(): Case[] {
  return [
    ...roundTrips,
    ...streams,
    ...bothWays,
    ...ways,
    ...sleepers,
    ...crowded,
    ...connections,
    ...many,
    ...shapes,
    ...idle,
    ...programCases(),
  ];
}
