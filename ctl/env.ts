/** `env`: prints, for `eval`, the exports that `run` would set. */

import type { Call } from "./cli.ts";
import { CtlError } from "./errors.ts";
import { preloadEnvironment } from "./preload.ts";
import { controlSocket } from "./socket.ts";
import { ensureMonitor } from "./start.ts";

export async function run(call: Call): Promise<number> {
  const socket = controlSocket(call);
  const environment = preloadEnvironment(socket, Deno.env.get("LD_PRELOAD"));
  try {
    if (await ensureMonitor(socket)) {
      console.error(`socksdirect: started a monitor at '${socket}'`);
    }
  } catch (error) {
    if (!(error instanceof CtlError)) throw error;
    console.error(`socksdirect: ${error.message}; programs will use kernel TCP until one runs`);
  }
  for (const [name, value] of Object.entries(environment)) {
    console.log(`export ${name}=${shellQuote(value)}`);
  }
  return 0;
}

export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
