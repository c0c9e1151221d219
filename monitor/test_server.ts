/** A monitor inside the test's own process, on a socket in a directory of its own. */

import { nativeLibraryPath } from "../ffi/locate.ts";
import { type Native, openNative } from "../ffi/native.ts";
import { type Api, startApi } from "./api.ts";
import { FakeLibrary } from "./fake_library.ts";
import { Logger } from "./log.ts";
import type { Quotas } from "./policy.ts";
import { Server } from "./server.ts";
import { removeStale, startsSocketOf } from "./socket_file.ts";

export class TestServer implements AsyncDisposable {
  readonly native: Native;
  readonly directory: string;
  readonly path: string;
  readonly server: Server;
  readonly logLines: string[] = [];
  readonly #running: Promise<void>;
  readonly #listeners: Deno.Listener[] = [];
  readonly #connections: Deno.Conn[] = [];
  readonly #libraries: FakeLibrary[] = [];
  readonly #apis: Api[] = [];

  constructor(quotas: Partial<Quotas> = {}) {
    this.native = openNative(nativeLibraryPath());
    this.directory = Deno.makeTempDirSync({ prefix: "sd-monitor-test-" });
    this.path = `${this.directory}/control.sock`;
    const listener = this.native.listen(this.path, 0o600);
    const starts = this.native.bindDatagrams(startsSocketOf(this.path), 0o600);
    const logger = new Logger({ level: "debug", write: (line) => this.logLines.push(line) });
    this.server = new Server({ native: this.native, listener, starts, logger, quotas });
    this.#running = this.server.run();
  }

  library(): FakeLibrary {
    const library = new FakeLibrary(this.native, this.path);
    this.#libraries.push(library);
    return library;
  }

  /** A library that has said HELLO. */
  async process(): Promise<FakeLibrary> {
    const library = this.library();
    await library.hello();
    return library;
  }

  /** Ends a library now rather than with the server. */
  end(library: FakeLibrary): void {
    this.#libraries.splice(this.#libraries.indexOf(library), 1);
    library[Symbol.dispose]();
  }

  /** A listening TCP socket, as its descriptor. */
  listener(hostname = "127.0.0.1"): { fd: number; port: number } {
    const listener = Deno.listen({ hostname, port: 0 });
    this.#listeners.push(listener);
    const port = portOf(listener);
    return { fd: descriptorAt(this.native, port, true), port };
  }

  /** The descriptor of a connection that the listener at this port has just accepted. */
  async accepted(port: number, hostname = "127.0.0.1"): Promise<{ fd: number; peerPort: number }> {
    const listener = this.#listeners.find((candidate) => portOf(candidate) === port)!;
    const [client, served] = await Promise.all([
      Deno.connect({ hostname, port }),
      listener.accept(),
    ]);
    this.#connections.push(client, served);
    const peerPort = (client.localAddr as Deno.NetAddr).port;
    return { fd: descriptorAt(this.native, port, false), peerPort };
  }

  /** A library that listens, and its group. */
  async worker(): Promise<{ library: FakeLibrary; group: number; fd: number }> {
    const library = await this.process();
    const { fd } = this.listener();
    return { library, group: (await library.listen(fd)).body.group, fd };
  }

  api(options: { open?: boolean; stop?: (why: string) => void } = {}): Api {
    const api = startApi({
      server: this.server,
      logger: new Logger({ level: "debug", write: (line) => this.logLines.push(line) }),
      controlSocket: this.path,
      open: options.open ?? false,
      removeStale,
      stop: options.stop ?? (() => {}),
    });
    this.#apis.push(api);
    return api;
  }

  /** Waits until the monitor has come to a state. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadlineMs = Date.now() + 5_000;
    while (!condition()) {
      if (Date.now() > deadlineMs) throw new Error(`waited 5 s for: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const library of this.#libraries) library[Symbol.dispose]();
    for (const socket of [...this.#connections, ...this.#listeners]) socket.close();
    for (const api of this.#apis) await api.shutdown();
    this.server.stop();
    await this.#running;
    this.server.close();
    this.native[Symbol.dispose]();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

function portOf(listener: Deno.Listener): number {
  return (listener.addr as Deno.NetAddr).port;
}

/** Deno does not tell a socket's descriptor; the kernel tells which one has the port. */
export function descriptorAt(native: Native, port: number, listening: boolean): number {
  for (const entry of Deno.readDirSync("/proc/self/fd")) {
    try {
      const fd = Number(entry.name);
      const facts = native.checkListener(fd);
      if (facts.endpoint.port === port && (facts.listening === 1) === listening) return fd;
    } catch {
      // Another kind of descriptor.
    }
  }
  throw new Error(`no descriptor ${listening ? "listens" : "is connected"} at port ${port}`);
}

/** Descriptors that this process has. */
export function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}
