/** A running program: its output as it comes, its end, its descriptors, and nothing left behind. */

import { patienceMs, until, within } from "./waiting.ts";

export interface ProgramOptions {
  /** The whole environment. */
  env: Record<string, string>;
  cwd?: string;
  /** Fed to the program, then closed; or "open", for `tell`. */
  stdin?: Uint8Array<ArrayBuffer> | "open";
  /** Name in messages; else the program's. */
  name?: string;
}

export interface Ended {
  pid: number;
  code: number;
  signal: Deno.Signal | null;
  stdout: string;
  stdoutBytes: Uint8Array<ArrayBuffer>;
  stderr: string;
}

export class Program {
  readonly name: string;
  readonly pid: number;
  ended = false;
  readonly #child: Deno.ChildProcess;
  readonly #stdout: Uint8Array<ArrayBuffer>[] = [];
  readonly #stderr: Uint8Array<ArrayBuffer>[] = [];
  readonly #end: Promise<Deno.CommandStatus>;
  readonly #input?: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  constructor(command: readonly string[], options: ProgramOptions) {
    const [file, ...args] = command;
    this.name = options.name ?? file.split("/").at(-1)!;
    this.#child = new Deno.Command(file, {
      args,
      cwd: options.cwd,
      clearEnv: true,
      env: options.env,
      stdin: options.stdin ? "piped" : "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#child.pid;
    if (options.stdin !== undefined) this.#input = this.#child.stdin.getWriter();
    this.#end = this.#follow(options.stdin);
  }

  get stdout(): string {
    return decode(this.#stdout);
  }

  get stderr(): string {
    return decode(this.#stderr);
  }

  /** The last of what it said, for messages. */
  summary(): string {
    const said = `${this.stdout}\n${this.stderr}`.trim().split("\n").slice(-8).join(" | ");
    return `${this.name} (pid ${this.pid}${this.ended ? ", ended" : ""}) said: ${
      said || "nothing"
    }`;
  }

  /** Waits for a line on stdout or stderr that matches. */
  async said(pattern: RegExp, ms = patienceMs): Promise<RegExpMatchArray> {
    return await until(
      `${this.name} to say ${pattern}`,
      () => {
        const match = this.stdout.match(pattern) ?? this.stderr.match(pattern);
        if (!match && this.ended) throw new Error(`${this.name} ended early: ${this.summary()}`);
        return match;
      },
      { ms, lateNote: () => this.summary() },
    );
  }

  /** Waits for its end. */
  async end(ms = 60_000): Promise<Ended> {
    const { code, signal } = await within(
      `${this.name} to end`,
      ms,
      this.#end,
      () => this.summary(),
    );
    const stdoutBytes = joined(this.#stdout);
    return { pid: this.pid, code, signal, stdout: this.stdout, stdoutBytes, stderr: this.stderr };
  }

  /** Writes a line to the stdin of a program that was started with "open". */
  async tell(line: string) {
    await this.#input!.write(new TextEncoder().encode(`${line}\n`));
  }

  kill(signal: Deno.Signal = "SIGKILL") {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended already.
    }
  }

  /** SIGTERM, its end, and SIGKILL if that does not help. */
  async stop(): Promise<Ended> {
    this.kill("SIGTERM");
    try {
      return await this.end(3_000);
    } catch {
      this.kill("SIGKILL");
      return await this.end();
    }
  }

  async #follow(stdin: ProgramOptions["stdin"]): Promise<Deno.CommandStatus> {
    const [status] = await Promise.all([
      this.#child.status,
      collect(this.#child.stdout, this.#stdout),
      collect(this.#child.stderr, this.#stderr),
      stdin instanceof Uint8Array ? feed(this.#input!, stdin) : undefined,
    ]);
    if (stdin === "open") await this.#input!.close().catch(() => {});
    this.ended = true;
    return status;
  }
}

async function collect(from: ReadableStream<Uint8Array<ArrayBuffer>>, to: Uint8Array[]) {
  for await (const piece of from) to.push(piece);
}

async function feed(
  to: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>,
  bytes: Uint8Array<ArrayBuffer>,
) {
  try {
    await to.write(bytes);
    await to.close();
  } catch {
    // It ended without reading all: its exit code says whether that is a fault.
  }
}

function joined(pieces: Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function decode(pieces: Uint8Array<ArrayBuffer>[]): string {
  return new TextDecoder().decode(joined(pieces));
}

// -- what the kernel says about a process -----------------------------------------------------

/** Open descriptors: number to target ("socket:[123]", "/memfd:... (deleted)"). */
export function descriptorsOf(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      found.set(Number(name), Deno.readLinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      // Closed between the two looks.
    }
  }
  return found;
}

/** How many mappings of memfds a process has. */
export function memfdMappingsOf(pid: number): number {
  const maps = Deno.readTextFileSync(`/proc/${pid}/maps`);
  return maps.split("\n").filter((line) => line.includes("/memfd:")).length;
}

/** CPU time that a process has used, all threads, in milliseconds (to 10 ms). */
export function cpuMsOf(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Processes whose environment has this entry. */
export function processesWithEnv(entry: string): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (Deno.readTextFileSync(`/proc/${name}/environ`).split("\0").includes(entry)) {
        found.push(Number(name));
      }
    } catch {
      // Ended meanwhile, or not ours to read.
    }
  }
  return found;
}
