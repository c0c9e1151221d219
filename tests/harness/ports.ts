/** TCP ports: free ones, and who listens (from /proc/net/tcp: a probe would use up an accept). */

import { until } from "./waiting.ts";
import type { Program } from "./program.ts";

const stateListen = "0A";

/** A port that was free a moment ago. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Waits until somebody listens on the port; an early end of the program is an error at once. */
export async function waitForPort(port: number, program?: Program): Promise<void> {
  await until(
    `${program?.name ?? "a server"} to listen on port ${port}`,
    () => {
      if (program?.ended) throw new Error(`${program.name} ended early: ${program.summary()}`);
      return isListening(port);
    },
    { lateNote: () => program?.summary() ?? "" },
  );
}

export function isListening(port: number): boolean {
  return socketStates(port).includes(stateListen);
}

/** Connections of this local port that are not over (listeners and TIME_WAIT left out). */
export function openConnections(port: number): number {
  const over = [stateListen, "06", "07"];
  return socketStates(port).filter((state) => !over.includes(state)).length;
}

function socketStates(port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  const states: string[] = [];
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of readTable(table).split("\n").slice(1)) {
      const [, local, , state] = line.trim().split(/\s+/);
      if (local?.endsWith(`:${wanted}`)) states.push(state);
    }
  }
  return states;
}

function readTable(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return ""; // no IPv6 in this kernel
  }
}
