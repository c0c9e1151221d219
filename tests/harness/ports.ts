/** TCP ports: free ones, and who listens (from /proc/net/tcp: a probe would use up an accept). */

import { until } from "./waiting.ts";
import type { Program } from "./program.ts";

const stateListen = "0A";

const lowest = 10_000;
const given = new Set<number>();

/**
 * A port that no socket has, and that only a program which asks for this very number can get: it is
 * below those that the kernel gives to whoever connects or listens meanwhile (where these leave room).
 */
export function freePort(): number {
  const end = Math.max(firstEphemeralPort(), 2 * lowest);
  while (true) {
    const port = lowest + Math.floor(Math.random() * (end - lowest));
    if (given.has(port) || socketStates(port).length > 0) continue;
    given.add(port);
    return port;
  }
}

function firstEphemeralPort(): number {
  const [first] = Deno.readTextFileSync("/proc/sys/net/ipv4/ip_local_port_range").split("\t");
  return Number(first);
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
