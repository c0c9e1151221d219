/** `monitor`: runs the monitor here, starts one in the background, or stops the one that runs. */

import type { Call } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { CtlError, exitCode, UsageError } from "./errors.ts";
import { become } from "./exec.ts";
import { denoProgram } from "./paths.ts";
import { controlSocket } from "./socket.ts";
import { ensureMonitor, monitorEnvironment } from "./start.ts";

const stopTimeoutMs = 5_000;

export async function run(call: Call): Promise<number> {
  const modes = ["foreground", "detach", "stop"].filter((each) => call.flags.has(each));
  if (modes.length > 1) {
    throw new UsageError(`monitor: '--${modes[0]}' and '--${modes[1]}' exclude each other`);
  }
  const socket = controlSocket(call);
  const logLevel = call.values.get("log-level");
  if (modes[0] === "stop") return await stop(socket);
  if (modes[0] === "detach") return await detach(socket, logLevel, call.flags.has("quiet"));
  const level = logLevel === undefined ? [] : ["--log-level", logLevel];
  const command = denoProgram("monitor/main.ts", ["--control-socket", socket, ...level]);
  return become(command, monitorEnvironment());
}

async function detach(socket: string, logLevel: string | undefined, quiet: boolean) {
  const started = await ensureMonitor(socket, { logLevel });
  if (!quiet) console.log(`${started ? "started" : "already running"}: ${socket}`);
  return exitCode.ok;
}

async function stop(socket: string): Promise<number> {
  using client = MonitorClient.forChanges(socket);
  await client.post("/v1/shutdown");
  const deadline = Date.now() + stopTimeoutMs;
  while (await isAnswering(socket)) {
    if (Date.now() > deadline) {
      throw new CtlError(exitCode.failed, `the monitor at '${socket}' does not end`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  console.log(`stopped: ${socket}`);
  return exitCode.ok;
}

/** By a connection of its own: one that is open already may be served while the monitor ends. */
async function isAnswering(socket: string): Promise<boolean> {
  using client = new MonitorClient(socket);
  return await client.isAnswering();
}
