/**
 * Programs that a command of ctl runs and must not leave behind: each in a process group of its
 * own, so that what it forked ends with it.
 */

import { CtlError, exitCode } from "./errors.ts";

export interface ProgramOptions {
  env: Record<string, string>;
  timeoutMs: number;
}

export class Programs implements AsyncDisposable {
  readonly #running = new Map<Deno.ChildProcess, string>();

  /** Starts a program that goes on until the end of this object. */
  start(command: readonly string[], env: Record<string, string>): Deno.ChildProcess {
    return this.#spawn(command, env, "null");
  }

  /** Adds one that somebody else started. */
  adopt(child: Deno.ChildProcess, name: string) {
    this.#track(child, name);
  }

  /** Runs a program to its end and gives what it printed; anything but exit code 0 is an error. */
  async output(command: readonly string[], options: ProgramOptions): Promise<string> {
    const child = this.#spawn(command, options.env, "piped");
    const timer = setTimeout(() => killGroup(child), options.timeoutMs);
    const { code, stdout, stderr } = await child.output();
    clearTimeout(timer);
    if (code === 0) return new TextDecoder().decode(stdout);
    const said = new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "";
    throw new CtlError(
      exitCode.failed,
      `'${command.join(" ")}' ended with ${code}${said === "" ? "" : `: ${said}`}`,
    );
  }

  /** Ends everything at once, without waiting: for signal handlers. */
  kill() {
    for (const child of this.#running.keys()) killGroup(child);
  }

  async [Symbol.asyncDispose]() {
    for (const child of this.#running.keys()) killGroup(child, "SIGTERM");
    const impatience = setTimeout(() => this.kill(), 2_000);
    await Promise.all([...this.#running.keys()].map((child) => child.status));
    clearTimeout(impatience);
  }

  #spawn(
    command: readonly string[],
    env: Record<string, string>,
    stdio: "null" | "piped",
  ): Deno.ChildProcess {
    const [program, ...args] = command;
    const child = new Deno.Command(program, {
      args,
      env,
      clearEnv: true,
      detached: true,
      stdin: "null",
      stdout: stdio,
      stderr: stdio,
    }).spawn();
    return this.#track(child, program);
  }

  #track(child: Deno.ChildProcess, name: string): Deno.ChildProcess {
    this.#running.set(child, name);
    child.status.then(() => this.#running.delete(child));
    return child;
  }
}

/** A group whose leader ended may still have members. */
function killGroup(child: Deno.ChildProcess, signal: Deno.Signal = "SIGKILL") {
  try {
    Deno.kill(-child.pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The program's path, looked for as a shell does. */
export function findProgram(name: string, path = Deno.env.get("PATH")): string | undefined {
  const folders = [...(path ?? "/usr/bin:/bin").split(":"), "/usr/sbin", "/sbin"];
  return folders.map((folder) => `${folder}/${name}`).find((file) => {
    try {
      const { isFile, mode } = Deno.statSync(file);
      return isFile && ((mode ?? 0) & 0o111) !== 0;
    } catch {
      return false;
    }
  });
}

/** Resolves when something accepts connections at this port. */
export async function untilListening(port: number, who: string, timeoutMs = 10_000) {
  const deadline = Date.now() + timeoutMs;
  while (true) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    }
    if (Date.now() > deadline) {
      throw new CtlError(exitCode.failed, `${who} does not listen at port ${port} in time`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A port that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
