/**
 * The monitor's HTTP API (docs/MONITOR.md) over its Unix socket.
 */

import { CtlError, exitCode } from "./errors.ts";
import { adminSocket, httpSocket } from "./socket.ts";

const answerTimeoutMs = 10_000;

/** An address, because fetch() would ask a name server for a name, which can take seconds. */
const origin = "http://127.0.0.1";

export class MonitorClient implements Disposable {
  readonly #http: Deno.HttpClient;

  constructor(readonly controlSocket: string, readonly path = httpSocket(controlSocket)) {
    this.#http = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  }

  /** For drain and shutdown, which a system-wide monitor hears from root alone. */
  static forChanges(controlSocket: string): MonitorClient {
    const admin = adminSocket(controlSocket);
    return new MonitorClient(controlSocket, exists(admin) ? admin : httpSocket(controlSocket));
  }

  async json<T>(path: string): Promise<T> {
    return await (await this.#request("GET", path)).json();
  }

  async text(path: string): Promise<string> {
    return await (await this.#request("GET", path)).text();
  }

  /** Posts, and gives the answer's JSON, or {} when it has none. */
  async post(path: string, body?: unknown): Promise<Record<string, unknown>> {
    const text = await (await this.#request("POST", path, body)).text();
    return text.startsWith("{") ? JSON.parse(text) : {};
  }

  /** Whether the monitor answers, without an error when it does not. */
  async isAnswering(): Promise<boolean> {
    try {
      await this.post("/v1/ping");
      return true;
    } catch {
      return false;
    }
  }

  [Symbol.dispose]() {
    this.#http.close();
  }

  async #request(method: string, path: string, body?: unknown): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${origin}${path}`, {
        method,
        client: this.#http,
        body: body === undefined ? undefined : JSON.stringify(body),
        headers: body === undefined ? {} : { "content-type": "application/json" },
        signal: AbortSignal.timeout(answerTimeoutMs),
      });
    } catch (error) {
      throw await this.#unreachable(error);
    }
    if (response.ok) return response;
    const answer = complaintOf(await response.text());
    throw new CtlError(
      exitCode.failed,
      `the monitor at '${this.controlSocket}' answers ${method} ${path} with ` +
        `${response.status}: ${answer || response.statusText}`,
    );
  }

  /** fetch() hides why it could not connect: ask again in a way that tells. */
  async #unreachable(error: unknown): Promise<CtlError> {
    const where = `'${this.controlSocket}'`;
    if (error instanceof DOMException && error.name === "TimeoutError") {
      return new CtlError(
        exitCode.noMonitor,
        `the monitor at ${where} does not answer within ${answerTimeoutMs / 1000} s`,
      );
    }
    try {
      (await Deno.connect({ transport: "unix", path: this.path })).close();
    } catch (reason) {
      if (reason instanceof Deno.errors.PermissionDenied) {
        const what = this.path === httpSocket(this.controlSocket) ? "use" : "change";
        return new CtlError(exitCode.failed, `you may not ${what} the monitor at ${where}`);
      }
      return new CtlError(
        exitCode.noMonitor,
        `no monitor answers at ${where}; 'socksdirect monitor --detach' starts one`,
      );
    }
    return new CtlError(exitCode.noMonitor, `the monitor at ${where} hung up: ${error}`);
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The monitor answers a failure with {"error": "..."}. */
function complaintOf(body: string): string {
  try {
    return JSON.parse(body).error ?? body;
  } catch {
    return body.trim().split("\n")[0];
  }
}
