/**
 * The monitor's HTTP interface, on a Unix stream socket beside the control socket: PATH.http.
 * docs/MONITOR.md lists what it answers.
 *
 * HTTP has no peer credentials, so permissions are those of the socket files: PATH.http of a user's
 * own monitor is for that user alone. The system-wide monitor lets everybody look (PATH.http) and
 * root alone change things (PATH.admin).
 */

import type { Logger } from "./log.ts";
import { formatMetrics } from "./metrics.ts";
import {
  collectTotals,
  connectionCount,
  connectionReports,
  processReports,
  totalsReport,
} from "./report.ts";
import type { Server } from "./server.ts";
import { version } from "./version.ts";

export interface ApiOptions {
  server: Server;
  logger: Logger;
  controlSocket: string;
  /** Everybody may look, only root may change. */
  open: boolean;
  /** Clears the way for a socket file. */
  removeStale: (path: string) => void;
  stop: (why: string) => void;
}

export interface Api {
  /** Socket files, to be removed at the end. */
  readonly paths: readonly string[];
  shutdown(): Promise<void>;
}

/** Serves from when it returns until `shutdown`. */
export function startApi(options: ApiOptions): Api {
  const { controlSocket, open } = options;
  const handler = new ApiHandler(options);
  const served = open
    ? [
      serve(options, `${controlSocket}.http`, 0o666, (request) => handler.answer(request, false)),
      serve(options, `${controlSocket}.admin`, 0o600, (request) => handler.answer(request, true)),
    ]
    : [serve(options, `${controlSocket}.http`, 0o600, (request) => handler.answer(request, true))];
  return {
    paths: served.map(({ path }) => path),
    shutdown: async () => {
      await Promise.all(served.map(({ server }) => server.shutdown()));
    },
  };
}

function serve(
  options: ApiOptions,
  path: string,
  mode: number,
  handle: (request: Request) => Promise<Response>,
) {
  options.removeStale(path);
  const onError = (error: unknown) => {
    options.logger.error(`internal error while answering a request: ${error}`);
    return failure(500, "internal error; the monitor's log has the details");
  };
  const server = Deno.serve({ path, onListen() {}, onError }, handle);
  Deno.chmodSync(path, mode);
  return { path, server };
}

type Route = (request: Request, url: URL) => Promise<Response> | Response;

class ApiHandler {
  readonly #options: ApiOptions;
  readonly #reading: ReadonlyMap<string, Route>;
  readonly #changing: ReadonlyMap<string, Route>;
  #requests = 0;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#reading = new Map<string, Route>(Object.entries({
      "GET /v1/status": () => this.#status(),
      "GET /v1/processes": async () => json(await processReports(options.server)),
      "GET /v1/connections": (_, url) => this.#connections(url),
      "GET /v1/totals": async () => json(await totalsReport(options.server)),
      "GET /metrics": () => this.#metrics(),
      "POST /v1/ping": () => json({ pong: true, pid: Deno.pid }),
    }));
    this.#changing = new Map<string, Route>(Object.entries({
      "POST /v1/drain": (request) => this.#drain(request),
      "POST /v1/shutdown": () => this.#shutdown(),
    }));
  }

  async answer(request: Request, mayChange: boolean): Promise<Response> {
    this.#requests += 1;
    const url = new URL(request.url);
    const name = `${request.method} ${url.pathname}`;
    const read = this.#reading.get(name);
    if (read) return await read(request, url);
    const change = this.#changing.get(name);
    if (change && mayChange) return await change(request, url);
    if (change) {
      const admin = `${this.#options.controlSocket}.admin`;
      return failure(403, `${name} is for root, who has "${admin}" for it`);
    }
    const known = [...this.#reading.keys(), ...this.#changing.keys()].join(", ");
    return failure(404, `there is no ${name}, but ${known}`);
  }

  get #uptimeSec(): number {
    return (Date.now() - this.#options.server.startedMs) / 1000;
  }

  async #status(): Promise<Response> {
    const { server, controlSocket } = this.#options;
    const { state } = server;
    return json({
      pid: Deno.pid,
      uptime_sec: this.#uptimeSec,
      control_socket: controlSocket,
      draining: state.draining,
      processes: [...state.clients.values()].filter((c) => c.phase === "registered").length,
      connections: await connectionCount(server),
      version,
      generation: state.generation.toString(16),
    });
  }

  async #connections(url: URL): Promise<Response> {
    const text = url.searchParams.get("pid");
    if (text !== null && !/^\d+$/.test(text)) return failure(400, `pid is "${text}", no number`);
    const all = await connectionReports(this.#options.server);
    if (text === null) return json(all);
    const pid = Number(text);
    return json(all.filter(({ client, server }) => client?.pid === pid || server?.pid === pid));
  }

  async #metrics(): Promise<Response> {
    const { server } = this.#options;
    server.countStarts();
    const { sum } = await collectTotals(server);
    const text = formatMetrics({
      state: server.state,
      totals: sum,
      uptimeSec: this.#uptimeSec,
      version,
      requests: this.#requests + server.state.counts.pings,
      connections: await connectionCount(server),
    });
    return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4" } });
  }

  async #drain(request: Request): Promise<Response> {
    const body = await request.json().catch(() => null);
    if (typeof body?.on !== "boolean") {
      return failure(400, 'the body is to be {"on": true} or {"on": false}');
    }
    this.#options.server.drain(body.on);
    return json({ draining: body.on });
  }

  #shutdown(): Response {
    // After the answer is on its way.
    setTimeout(() => this.#options.stop("asked to over HTTP"), 1);
    return json({ ending: true });
  }
}

function json(value: unknown): Response {
  return Response.json(value);
}

function failure(status: number, error: string): Response {
  return Response.json({ error }, { status });
}
