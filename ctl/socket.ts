/**
 * Which monitor a command talks to: the rule for control socket paths.
 *
 * --control-socket, else SOCKSDIRECT_CTL_SOCKET, else the system-wide monitor if one runs, else the
 * user's own. libsd.so and the launcher (default_socket) follow the same rule.
 */

import { resolve } from "node:path";
import { UsageError } from "./errors.ts";
import type { Call } from "./cli.ts";

export const systemSocket = "/run/socksdirect/control.sock";

/** sockaddr_un holds 107 bytes, and the name of the longest socket beside it is 6 longer. */
const socketPathBytesMax = 101;

/** What the rule depends on, so that tests can say it. */
export interface Surroundings {
  uid: number;
  environment: { get(name: string): string | undefined };
  isListening(path: string): boolean;
}

export const surroundings: Surroundings = {
  uid: Deno.uid() ?? 0,
  environment: Deno.env,
  isListening,
};

/** The control socket that `call` means, as an absolute path. */
export function controlSocket(call: Call, around: Surroundings = surroundings): string {
  const given = call.values.get("control-socket") ??
    around.environment.get("SOCKSDIRECT_CTL_SOCKET");
  const path = given ? resolve(given) : defaultSocket(around);
  if (new TextEncoder().encode(path).length > socketPathBytesMax) {
    throw new UsageError(
      `control socket '${path}' is too long: Unix sockets allow ${socketPathBytesMax} bytes here`,
    );
  }
  return path;
}

function defaultSocket({ uid, environment, isListening }: Surroundings): string {
  if (uid === 0 || isListening(systemSocket)) return systemSocket;
  const runtimeDir = environment.get("XDG_RUNTIME_DIR");
  if (runtimeDir) return `${runtimeDir}/socksdirect/control.sock`;
  return `/tmp/socksdirect-${uid}/control.sock`;
}

/**
 * Whether a process has this path bound. The kernel forgets a name when its process is gone, the
 * file system does not: so this asks the kernel, and connects nowhere.
 */
export function isListening(path: string): boolean {
  try {
    return Deno.readTextFileSync("/proc/net/unix").split("\n")
      .some((line) => line.endsWith(` ${path}`));
  } catch {
    return false;
  }
}

export function httpSocket(path: string): string {
  return `${path}.http`;
}

/** Where changes are asked for when everybody may look: a system-wide monitor has it. */
export function adminSocket(path: string): string {
  return `${path}.admin`;
}

export function logFile(path: string): string {
  return `${path}.log`;
}
