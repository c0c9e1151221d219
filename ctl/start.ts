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
  { logLevel }: StartOptions = {},
): Promise<Deno.ChildProcess> {
  makeOwnFolder(dirname(socket));
  const log = logFile(socket);
  dropLongLog(log);
  const level = logLevel === undefined ? [] : ["--log-level", logLevel];
  const command = denoProgram("monitor/main.ts", ["--control-socket", socket, ...level]);
  const child = spawnDetached(command, log);
  using client = new MonitorClient(socket);
  await answerOf(client, child, log);
  return child;
}

async function answerOf(client: MonitorClient, child: Deno.ChildProcess, log: string) {
  const deadline = Date.now() + startTimeoutMs;
  let ended: Deno.CommandStatus | undefined;
  child.status.then((status) => ended = status);
  while (!await client.isAnswering()) {
    // Another start may have won the race: then ours ends and theirs answers.
    if (ended !== undefined && !await client.isAnswering()) {
      throw new CtlError(
        exitCode.noMonitor,
        `the monitor did not start at '${client.controlSocket}': ${lastLine(log)} (log: ${log})`,
      );
    }
    if (Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new CtlError(
        exitCode.noMonitor,
        `the monitor (pid ${child.pid}) does not answer at '${client.controlSocket}' within ` +
          `${startTimeoutMs / 1000} s (log: ${log})`,
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
    env: withoutPreload(Deno.env.toObject()),
    cwd: "/",
    detached: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

function dropLongLog(log: string) {
  try {
    if (Deno.statSync(log).size > logBytesMax) Deno.removeSync(log);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function lastLine(log: string): string {
  try {
    return Deno.readTextFileSync(log).trim().split("\n").at(-1) || "it said nothing";
  } catch (error) {
    return `its log cannot be read: ${error}`;
  }
}
