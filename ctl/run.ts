/**
 * `run -- PROGRAM`: becomes the program, preloaded. (The launcher does the plain case itself.)
 */

import type { Call } from "./cli.ts";
import { CtlError } from "./errors.ts";
import { become } from "./exec.ts";
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
  return become(call.operands, {
    ...environment,
    ...preloadEnvironment(socket, environment.LD_PRELOAD),
  });
}

/** Without the variables that the launcher set for our own Deno. */
export function userEnvironment(environment: Record<string, string>): Record<string, string> {
  const marker = "SOCKSDIRECT_OWN_VARIABLES";
  const own = new Set([marker, ...(environment[marker] ?? "").split(" ")]);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !own.has(name)));
}
