/**
 * `run -- PROGRAM`: becomes the program, preloaded. (The launcher does the plain case itself; here
 * are also the programs of other architectures, run by an emulator, and the question why one will
 * not be accelerated.)
 */

import type { Call } from "./cli.ts";
import { CtlError } from "./errors.ts";
import { become } from "./exec.ts";
import { inspect, verdictOf } from "./executable.ts";
import { preloadEnvironment } from "./preload.ts";
import { controlSocket } from "./socket.ts";
import { ensureMonitor } from "./start.ts";

export async function run(call: Call): Promise<number> {
  const socket = controlSocket(call);
  try {
    await ensureMonitor(socket);
  } catch (error) {
    if (!(error instanceof CtlError)) throw error;
    console.error(`socksdirect: ${error.message}`);
    console.error(`socksdirect: going on without: '${call.operands[0]}' will use kernel TCP`);
  }
  const environment = userEnvironment(Deno.env.toObject());
  const program = inspect(call.operands[0], environment.PATH);
  if (program !== undefined && environment.SOCKSDIRECT_LOG) {
    const { canBeAccelerated, why } = verdictOf(program);
    if (!canBeAccelerated) console.error(`socksdirect: '${program.path}' uses kernel TCP: ${why}`);
  }
  return become(call.operands, { ...environment, ...preloads(socket, environment, program?.arch) });
}

/** An emulated program runs without the library when that has not been built for it. */
function preloads(socket: string, { LD_PRELOAD }: Record<string, string>, arch?: string) {
  try {
    return preloadEnvironment(socket, LD_PRELOAD, arch);
  } catch (error) {
    if (!(error instanceof CtlError) || arch === undefined || arch === Deno.build.arch) throw error;
    console.error(`socksdirect: ${error.message}; until then this program uses kernel TCP`);
    return {};
  }
}

/** Without the variables that the launcher set for our own Deno. */
export function userEnvironment(environment: Record<string, string>): Record<string, string> {
  const marker = "SOCKSDIRECT_OWN_VARIABLES";
  const own = new Set([marker, ...(environment[marker] ?? "").split(" ")]);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !own.has(name)));
}
