/** The machine that is measured: what it is, and whether others use it just now. */

import { root } from "../../tests/harness.ts";
import type { Machine } from "./model.ts";

export function machine(): Machine {
  const info = readOrEmpty("/proc/cpuinfo");
  const kib = Number(readOrEmpty("/proc/meminfo").match(/^MemTotal:\s+(\d+)/m)?.[1] ?? 0);
  return {
    cpu: info.match(/^model name\s*: (.*)$/m)?.[1] ?? Deno.build.arch,
    cpus: navigator.hardwareConcurrency,
    memory_gib: Math.round(kib / 1024 ** 2),
    kernel: readOrEmpty("/proc/sys/kernel/osrelease").trim(),
    hypervisor: /^flags\s*:.*\bhypervisor\b/m.test(info) ? "yes" : "no",
  };
}

/** Part of all CPU time that somebody uses while we do nothing. */
export async function othersShare(): Promise<number> {
  const before = ticks();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = ticks();
  return 1 - (after.idle - before.idle) / Math.max(after.all - before.all, 1);
}

function ticks(): { all: number; idle: number } {
  const words = readOrEmpty("/proc/stat").split("\n")[0].trim().split(/\s+/).slice(1, 9);
  const counts = words.map(Number);
  return { all: counts.reduce((sum, tick) => sum + tick, 0), idle: counts[3] + counts[4] };
}

/** The revision of the sources, with "+" behind it when they were changed since. */
export async function revision(): Promise<string> {
  const head = await git("rev-parse", "--short=12", "HEAD");
  if (head === undefined) return "unknown";
  const changed = await git("status", "--porcelain", "--untracked-files=no");
  return changed === "" ? head : `${head}+`;
}

async function git(...args: string[]): Promise<string | undefined> {
  try {
    const command = new Deno.Command("git", { args, cwd: root, stderr: "null" });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined; // no git here
  }
}

function readOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
