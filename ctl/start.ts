/**
 * Starts a monitor in the background when none answers: detached from terminal and session, its
 * log beside its socket, and only then done when it answers a ping.
 */

import { dirname } from "node:path";
import { MonitorClient } from "./client.ts";
import { CtlError, exitCode } from "./errors.ts";
import { denoProgram } from "./paths.ts";
import { makeOwnFolder, withoutPreload } from "./preload.ts";
import { logFile } from "./socket.ts";

const startTimeoutMs = 15_000;
const logBytesMax = 4 * 1024 * 1024;

export interface StartOptions {
  logLevel?: string;
  /** Told at once, so that whoever must leave nothing behind knows it from the start. */
  onSpawn?(child: Deno.ChildProcess): void;
}

/** Resolves to whether a monitor had to be started. */
export async function ensureMonitor(socket: string, options: StartOptions = {}): Promise<boolean> {
  using client = new MonitorClient(socket);
  if (await client.isAnswering()) return false;
  const child = await startMonitor(socket, options);
  child.unref();
  return true;
}

/** Starts a monitor and resolves when it answers. */
export async function startMonitor(
  socket: string,
  { logLevel, onSpawn }: StartOptions = {},
): Promise<Deno.ChildProcess> {
  makeOwnFolder(dirname(socket));
  const log = logFile(socket);
  const logOffset = trimmedLogBytes(log);
  const level = logLevel === undefined ? [] : ["--log-level", logLevel];
  const command = denoProgram("monitor/main.ts", ["--control-socket", socket, ...level]);
  const child = spawnDetached(command, log);
  onSpawn?.(child);
  using client = new MonitorClient(socket);
  await answerOf(client, child, { path: log, offset: logOffset });
  return child;
}

async function answerOf(
  client: MonitorClient,
  child: Deno.ChildProcess,
  log: { path: string; offset: number },
) {
  const deadline = Date.now() + startTimeoutMs;
  let ended: Deno.CommandStatus | undefined;
  child.status.then((status) => ended = status);
  while (!await client.isAnswering()) {
    // Another start may have won the race: then ours ends and theirs answers.
    if (ended !== undefined && !await client.isAnswering()) {
      throw new CtlError(
        exitCode.noMonitor,
        `the monitor did not start at '${client.controlSocket}': ` +
          `${complaint(log.path, log.offset)} (log: ${log.path})`,
      );
    }
    if (Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new CtlError(
        exitCode.noMonitor,
        `the monitor (pid ${child.pid}) does not answer at '${client.controlSocket}' within ` +
          `${startTimeoutMs / 1000} s (log: ${log.path})`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * A session of its own; no terminal, no pipe of ours (someone may wait for its end), no preload.
 */
function spawnDetached(command: readonly string[], log: string): Deno.ChildProcess {
  const script = 'log=$1; shift; exec "$@" </dev/null >>"$log" 2>&1 ' +
    "3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-";
  return new Deno.Command("/bin/sh", {
    args: ["-c", script, "sh", log, ...command],
    clearEnv: true,
    env: { ...monitorEnvironment(), NO_COLOR: "1" },
    cwd: "/",
    detached: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

/** Not preloaded, and without Deno's own look for updates, which asks a name server. */
export function monitorEnvironment(): Record<string, string> {
  return { ...withoutPreload(Deno.env.toObject()), DENO_NO_UPDATE_CHECK: "1" };
}

/** Drops a log that got long; gives the bytes of one that stays. */
function trimmedLogBytes(log: string): number {
  try {
    const { size } = Deno.statSync(log);
    if (size <= logBytesMax) return size;
    Deno.removeSync(log);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return 0;
}

/** The first line that names an error, else the last one, of what the log got since `offset`. */
function complaint(log: string, offset: number): string {
  let lines: string[];
  try {
    const said = new TextDecoder().decode(Deno.readFileSync(log).subarray(offset));
    lines = said.trim().split("\n");
  } catch (error) {
    return `its log cannot be read: ${error}`;
  }
  return lines.find((line) => /error/i.test(line)) ?? (lines.at(-1) || "it said nothing");
}
