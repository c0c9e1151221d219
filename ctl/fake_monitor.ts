/**
 * For ctl's tests: the monitor's HTTP API with answers that the test chooses, and a way to run ctl
 * against it.
 */

import { main } from "./main.ts";
import { httpSocket } from "./socket.ts";

export interface FakeRequest {
  method: string;
  path: string;
  body: unknown;
}

type Answer = unknown | ((request: FakeRequest) => Response);

export class FakeMonitor implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "ctl test " });
  readonly socket = `${this.folder}/control.sock`;
  readonly requests: FakeRequest[] = [];
  readonly #server: Deno.HttpServer<Deno.UnixAddr>;

  /** `answers` by path: JSON to send, text, or a function. Unknown paths get 404. */
  constructor(readonly answers: Record<string, Answer> = {}) {
    this.#server = Deno.serve(
      { path: httpSocket(this.socket), onListen() {} },
      (request) => this.#handle(request),
    );
  }

  async #handle(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const text = await request.text();
    const seen = {
      method: request.method,
      path: url.pathname + url.search,
      body: text === "" ? undefined : JSON.parse(text),
    };
    this.requests.push(seen);
    const answer = this.answers[seen.path] ?? this.answers[url.pathname];
    if (answer === undefined) return new Response("no such path", { status: 404 });
    if (typeof answer === "function") return answer(seen);
    return typeof answer === "string" ? new Response(answer) : Response.json(answer);
  }

  async [Symbol.asyncDispose]() {
    await this.#server.shutdown();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

export interface CtlResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs ctl in this process and gives what it printed. */
export async function ctl(...args: string[]): Promise<CtlResult> {
  const { log, error } = console;
  const lines = { stdout: [] as string[], stderr: [] as string[] };
  console.log = (...words) => lines.stdout.push(words.join(" "));
  console.error = (...words) => lines.stderr.push(words.join(" "));
  try {
    const code = await main(args);
    return { code, stdout: lines.stdout.join("\n"), stderr: lines.stderr.join("\n") };
  } finally {
    console.log = log;
    console.error = error;
  }
}
