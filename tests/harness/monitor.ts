/** A monitor of the test's own, and its HTTP API (docs/MONITOR.md) as far as tests read it. */

import type { Lab } from "./lab.ts";
import { root } from "./files.ts";
import type { Program } from "./program.ts";
import { until, within } from "./waiting.ts";

export interface Counters {
  ring_bytes: number;
  ring_messages: number;
  tcp_bytes: number;
  tcp_messages: number;
}

export interface ProcessTotals {
  tx: Counters;
  rx: Counters;
  accelerated_count: number;
  moves_to_tcp: number;
  guard_verdicts: number;
  crowded: number;
  signals_deferred: number;
  closed_by_reason: Record<string, number>;
}

export interface ProcessEntry {
  pid: number;
  program: string;
  totals: ProcessTotals;
}

export interface Totals extends ProcessTotals {
  /** Live processes, and the last that ended. */
  processes: ProcessEntry[];
  dead: ProcessEntry[];
}

export interface ConnectionEnd {
  pid: number;
  program: string;
  fd: number;
  address: string;
  port: number;
  reason: string;
}

export interface Connection {
  state: string;
  reason: string;
  client: ConnectionEnd | null;
  server: ConnectionEnd | null;
  carrier: { client_to_server: string; server_to_client: string };
}

export interface Status {
  pid: number;
  processes: number;
  connections: number;
  generation: string;
}

export class Monitor {
  #http: Deno.HttpClient;

  private constructor(readonly socket: string, readonly program: Program) {
    this.#http = Deno.createHttpClient({
      proxy: { transport: "unix", path: `${socket}.http` },
    });
  }

  /** Starts one on this socket and waits until it answers. */
  static async start(lab: Lab, socket: string, options: readonly string[]): Promise<Monitor> {
    const program = lab.start([
      Deno.execPath(),
      ...["run", "-A", "--no-check", `${root}/monitor/main.ts`],
      ...["--control-socket", socket, ...options],
    ], { name: "monitor", env: denoEnvironment() });
    const monitor = new Monitor(socket, program);
    await until("the monitor to answer", async () => {
      if (program.ended) throw new Error(`the monitor ended early: ${program.summary()}`);
      return await monitor.answers();
    }, { lateNote: () => program.summary() });
    return monitor;
  }

  async answers(): Promise<boolean> {
    try {
      await this.#ask("/v1/status");
      return true;
    } catch {
      return false;
    }
  }

  async status(): Promise<Status> {
    return await (await this.#ask("/v1/status")).json();
  }

  async totals(): Promise<Totals> {
    return await (await this.#ask("/v1/totals")).json();
  }

  async connections(): Promise<Connection[]> {
    return await (await this.#ask("/v1/connections")).json();
  }

  async metrics(): Promise<string> {
    return await (await this.#ask("/metrics")).text();
  }

  async post(path: string, body: unknown): Promise<void> {
    const request = { method: "POST", body: JSON.stringify(body) };
    await (await this.#ask(path, request)).text();
  }

  close() {
    this.#http.close();
  }

  async #ask(path: string, init: RequestInit = {}): Promise<Response> {
    // A number and no name: Deno looks names up, and waits for it, even when the proxy is a socket.
    const request = fetch(`http://127.0.0.1${path}`, { ...init, client: this.#http });
    const response = await within(`the monitor to answer ${path}`, 10_000, request);
    if (response.ok) return response;
    throw new Error(`${path}: ${response.status} ${await response.text()}`);
  }
}

/** Deno's cache must be the one that this test runs with, or it would download again. */
function denoEnvironment(): Record<string, string> {
  const names = ["HOME", "DENO_DIR"];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
