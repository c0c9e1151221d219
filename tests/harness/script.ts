/** A process that does one socket operation after the other, as the test tells it to. */

import { AssertionError } from "@std/assert";
import { python, pythonProgram } from "./files.ts";
import type { Lab, StartOptions } from "./lab.ts";
import type { Program } from "./program.ts";
import { patienceMs, until } from "./waiting.ts";

export interface ScriptOptions extends StartOptions {
  /** Words for a shell's ulimit. */
  underLimit?: string;
}

export class Script {
  #commands = 0;

  private constructor(readonly program: Program) {}

  static start(lab: Lab, name: string, options: ScriptOptions = {}): Script {
    const script = [python!, "-u", pythonProgram("script.py")];
    const words = options.underLimit === undefined
      ? script
      : ["sh", "-c", `ulimit ${options.underLimit}; exec "$@"`, "sh", ...script];
    return new Script(lab.start(words, { preload: true, name, stdin: "open", ...options }));
  }

  get pid(): number {
    return this.program.pid;
  }

  /** Tells it a command (programs/script.py lists them) and waits for its answer. */
  async do(command: string, ms = patienceMs): Promise<string> {
    return await (await this.begin(command))(ms);
  }

  /** Tells it a command; what is returned waits for the answer. */
  async begin(command: string): Promise<(ms?: number) => Promise<string>> {
    const number = ++this.#commands;
    await this.program.tell(`${number} ${command}`);
    return async (ms = patienceMs) => {
      const pattern = new RegExp(`^${number} (ok|error)(?: (.*))?$`, "m");
      const [, outcome, text] = await until(
        `${this.program.name} to answer "${command}"`,
        () => {
          const answer = this.program.stdout.match(pattern);
          if (!answer && this.program.ended) throw new Error(this.program.summary());
          return answer;
        },
        { ms, lateNote: () => this.program.summary() },
      );
      if (outcome === "ok") return text ?? "";
      throw new AssertionError(`${this.program.name}: "${command}" failed: ${text}`);
    };
  }
}
