/**
 * Network namespaces of a test's own, with nothing but loopback: no port is taken by another test,
 * nor by what it left in TIME_WAIT. They end with the program that holds them.
 */

import { installed } from "./files.ts";
import type { Program } from "./program.ts";

export class Network {
  private constructor(readonly holder: Program) {}

  /** Only root makes network namespaces without a user namespace, in which tests would change. */
  static readonly possible: boolean = Deno.uid() === 0 &&
    ["unshare", "nsenter", "ip"].every((tool) => installed(tool) !== undefined) &&
    new Deno.Command("unshare", { args: ["--net", "true"], stderr: "null" }).outputSync().success;

  /** `start` starts the program that holds the namespace. */
  static async create(start: (command: readonly string[]) => Program): Promise<Network> {
    const hold = "ip link set lo up && echo up && exec sleep infinity";
    const holder = start(["unshare", "--net", "sh", "-c", hold]);
    await holder.said(/^up$/m);
    return new Network(holder);
  }

  /** The command that runs `command` in this namespace, with this environment and no other. */
  entering(command: readonly string[], environment: Record<string, string>): string[] {
    const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const namespace = `--net=/proc/${this.holder.pid}/ns/net`;
    return ["nsenter", namespace, "env", "-i", ...settings, ...command];
  }
}
