/**
 * A test's world: a folder, a monitor, the programs it started. When it ends, everything that was
 * started is stopped, and whatever is left (a process, a complaint of the library on somebody's
 * stderr) fails the test.
 */

import { assertEquals, AssertionError } from "@std/assert";
import { library } from "./files.ts";
import { Monitor } from "./monitor.ts";
import type { Network } from "./network.ts";
import { type Ended, processesWithEnv, Program } from "./program.ts";

export interface StartOptions {
  preload?: boolean;
  /** Added to the environment. */
  env?: Record<string, string>;
  cwd?: string;
  stdin?: Uint8Array<ArrayBuffer> | "open";
  name?: string;
  /** The control socket that it is told; else the lab's. */
  controlSocket?: string;
  /** Where it runs; else in the lab's network. */
  network?: Network;
}

export interface RunOptions extends StartOptions {
  timeoutMs?: number;
  /** Any exit code is an answer. */
  mayFail?: boolean;
}

/** Anything that the library or a loader that could not load it would say. */
const libraryTalk = /^.*(libsd|socksdirect|cannot be preloaded).*$/im;

export class Lab {
  readonly socket: string;
  /** Where programs and the monitor run; without, in the network of the test itself. */
  network?: Network;
  /**
   * SOCKSDIRECT_JOIN_AFTER_MS of preloaded programs. Tests demand what goes by ring of programs whose
   * whole life is short; so here they join at their first connection. Undefined: as by default.
   */
  joinAfterMs: number | undefined = 0;
  readonly #marker: string;
  readonly #programs: Program[] = [];
  readonly #silent: Program[] = [];
  #monitor?: Monitor;
  #libraryCopied = false;

  private constructor(readonly dir: string) {
    this.socket = `${dir}/control.sock`;
    this.#marker = `SD_TEST_LAB=${dir}`;
  }

  static create(): Lab {
    return new Lab(Deno.makeTempDirSync({ prefix: "sd-test-" }));
  }

  /** Runs a test in a lab of its own. */
  static async with(test: (lab: Lab) => Promise<void>): Promise<void> {
    const lab = Lab.create();
    let failure: unknown;
    try {
      await test(lab);
    } catch (error) {
      failure = error;
    }
    const complaints = await lab.#close();
    if (failure !== undefined) throw lab.#explained(failure);
    if (complaints.length > 0) throw new AssertionError(complaints.join("; "));
  }

  /** A copy, so that a build during the test does not change the code of running programs. */
  get library(): string {
    const copy = this.path("libsd.so");
    if (!this.#libraryCopied) Deno.copyFileSync(library, copy);
    this.#libraryCopied = true;
    return copy;
  }

  path(name: string): string {
    return `${this.dir}/${name}`;
  }

  // -- monitor ----------------------------------------------------------------------------------

  get monitor(): Monitor {
    if (this.#monitor === undefined) throw new Error("this test has not started a monitor");
    return this.#monitor;
  }

  async startMonitor(...options: string[]): Promise<Monitor> {
    this.#monitor?.close();
    this.#monitor = await Monitor.start(this, this.socket, options);
    return this.#monitor;
  }

  // -- programs ---------------------------------------------------------------------------------

  /** Starts a program that goes on beside the test. */
  start(command: readonly string[], options: StartOptions = {}): Program {
    const env = this.#environment(options);
    const network = options.network ?? this.network;
    const program = network === undefined
      ? new Program(command, { ...options, env })
      : new Program(network.entering(command, env), {
        ...options,
        name: options.name ?? command[0].split("/").at(-1)!,
        env: { PATH: env.PATH, SD_TEST_LAB: env.SD_TEST_LAB },
      });
    this.#programs.push(program);
    if (options.preload && options.env?.SOCKSDIRECT_LOG === undefined) this.#silent.push(program);
    return program;
  }

  /** Runs a program to its end, which must be a good one. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const program = this.start(command, options);
    const ended = await program.end(options.timeoutMs);
    if (ended.code !== 0 && !options.mayFail) {
      throw new AssertionError(
        `'${command.join(" ")}' ended with ${ended.signal ?? ended.code}: ${program.summary()}`,
      );
    }
    return ended;
  }

  /** Is this a program that the lab started, not one of its children. */
  isOwn(pid: number): boolean {
    return this.#programs.some((program) => program.pid === pid);
  }

  #environment(options: StartOptions): Record<string, string> {
    const environment: Record<string, string> = {
      PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
      HOME: this.dir,
      LC_ALL: "C",
      SD_TEST_LAB: this.dir,
      PYTHONDONTWRITEBYTECODE: "1",
    };
    if (options.preload) {
      environment.LD_PRELOAD = this.library;
      environment.SOCKSDIRECT_CTL_SOCKET = options.controlSocket ?? this.socket;
      if (this.joinAfterMs !== undefined) {
        environment.SOCKSDIRECT_JOIN_AFTER_MS = `${this.joinAfterMs}`;
      }
    }
    return { ...environment, ...options.env };
  }

  // -- the end ----------------------------------------------------------------------------------

  /** Stops everything; returns what was not as it should be. */
  async #close(): Promise<string[]> {
    const complaints: string[] = [];
    for (const program of this.#programs.reverse()) {
      if (!program.ended) await program.stop();
    }
    for (const program of this.#silent) {
      const talk = program.stderr.match(libraryTalk) ?? program.stdout.match(libraryTalk);
      if (talk) complaints.push(`the library spoke unasked in ${program.name}: ${talk[0]}`);
    }
    complaints.push(...this.#killLeftovers());
    this.#monitor?.close();
    await Deno.remove(this.dir, { recursive: true });
    return complaints;
  }

  #killLeftovers(): string[] {
    return processesWithEnv(this.#marker).map((pid) => {
      const command = readOrEmpty(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself in this moment.
      }
      return `process ${pid} (${command}) was left behind`;
    });
  }

  /** A failure with what the programs had said by then. */
  #explained(failure: unknown): unknown {
    if (!(failure instanceof Error)) return failure;
    const said = this.#programs.map((program) => `\n  ${program.summary()}`).join("");
    failure.message += said;
    return failure;
  }
}

function readOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** Fails unless the two byte strings are the same, without printing megabytes. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string) {
  assertEquals(actual.length, expected.length, `${what}: length`);
  const wrong = actual.findIndex((byte, index) => byte !== expected[index]);
  assertEquals(wrong, -1, `${what}: first wrong byte`);
}
