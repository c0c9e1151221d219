/** memcached with its four threads; sdbench asks for one small value over 1 and 50 connections. */

import { freePort, sdbench, waitForPort } from "../../../tests/harness.ts";
import type { Ground, Sample, Transport } from "../model.ts";
import { type Report, sampleOf } from "../sdbench.ts";
import { type KnownProgram, whenRoot } from "./program.ts";

const timeoutMs = 60_000;
const value = "12345678";
const reply = `VALUE k 0 ${value.length}\r\n${value}\r\nEND\r\n`;

async function measure(ground: Ground, transport: Transport, words: string[]): Promise<Sample> {
  const { lab, seconds } = ground;
  const port = freePort();
  const preload = transport === "sd";
  const server = lab.start(
    ["memcached", "-p", `${port}`, "-U", "0", "-l", "127.0.0.1", ...whenRoot("-u", "root")],
    { preload },
  );
  await waitForPort(port, server);
  await store(port);
  const { stdout } = await lab.run([
    ...[sdbench, "client", "--mode", "rtt", "--json", "--port", `${port}`],
    ...["--seconds", `${seconds}`, "--request", "get k\r\n", "--reply-bytes", `${reply.length}`],
    ...words,
  ], { preload, timeoutMs });
  await server.stop();
  const report: Report = JSON.parse(stdout);
  return { value: report.per_second / 1e3, latency_ns: sampleOf(report, 0).latency_ns };
}

/** The value that is asked for, by a plain connection. */
async function store(port: number) {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(`set k 0 0 ${value.length}\r\n${value}\r\n`));
  const answer = new Uint8Array(64);
  const count = await connection.read(answer);
  const text = new TextDecoder().decode(answer.subarray(0, count ?? 0));
  if (text !== "STORED\r\n") throw new Error(`memcached answered '${text}' to a set`);
}

export const memcached: KnownProgram = {
  name: "memcached",
  needs: ["memcached"],
  packages: "memcached",
  cases: [
    { id: "memcached-c1", title: "memcached get, 1 connection", words: [] },
    {
      id: "memcached-c50",
      title: "memcached get, 50 connections",
      words: ["--io", "epoll-lt", "--connections", "50"],
    },
  ].map(({ id, title, words }) => ({
    id,
    title,
    unit: "K/s",
    better: "higher",
    transports: ["tcp", "sd"],
    measure: (ground, transport) => measure(ground, transport, words),
  })),
};
