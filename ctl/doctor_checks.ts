/**
 * What `doctor` looks at. Each check is one line: a verdict, what was found, and what to do when it
 * is not ok. "fail" means that nothing can be accelerated here, "warn" that something is worse than
 * it could be.
 */

import { MonitorClient } from "./client.ts";
import { Kernel, type Trouble } from "./kernel.ts";
import { isFile, library, root } from "./paths.ts";
import { preloadEnvironment } from "./preload.ts";
import { formatBytes } from "./table.ts";

export type Level = "ok" | "warn" | "fail";

export interface Check {
  name: string;
  level: Level;
  detail: string;
  todo?: string;
}

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const newerKernel = "use Linux 5.15 or newer, or allow the call in the container's seccomp profile";

export async function check(socket: string): Promise<Check[]> {
  return [
    ...machineChecks(),
    ...kernelChecks(),
    ...limitChecks(Deno.readTextFileSync(`/proc/${Deno.ppid}/limits`)),
    memoryCgroup(cgroupMemoryMax()),
    cpus(navigator.hardwareConcurrency),
    await preloads(socket),
    ffiLoads(),
    await monitorAnswers(socket),
  ];
}

function machineChecks(): Check[] {
  const { os, arch } = Deno.build;
  const machine: Check = os === "linux" && (arch === "x86_64" || arch === "aarch64")
    ? { name: "machine", level: "ok", detail: `${os} ${arch}` }
    : {
      name: "machine",
      level: "fail",
      detail: `${os} ${arch}`,
      todo: "use Linux on x86-64 or arm64",
    };
  return [machine, kernelVersion(Deno.osRelease())];
}

export function kernelVersion(release: string): Check {
  if (isAtLeast(release, 5, 15)) return { name: "kernel", level: "ok", detail: release };
  return { name: "kernel", level: "fail", detail: release, todo: "use Linux 5.15 or newer" };
}

/** `version`: of glibc. Programs of musl are served on any machine. */
export function libcVersion(version: string | undefined, maps = ""): Check {
  const name = "libc";
  if (version === undefined) {
    if (/\/ld-musl-|\/libc\.musl-/.test(maps)) return { name, level: "ok", detail: "musl" };
    return {
      name,
      level: "warn",
      detail: "neither glibc nor musl",
      todo: "use glibc 2.31 or newer, or musl 1.2",
    };
  }
  if (isAtLeast(version, 2, 31)) return { name, level: "ok", detail: `glibc ${version}` };
  return { name, level: "fail", detail: `glibc ${version}`, todo: "use glibc 2.31 or newer" };
}

function isAtLeast(version: string, major: number, minor: number): boolean {
  const [haveMajor, haveMinor] = version.split(/[.-]/).map(Number);
  return haveMajor > major || (haveMajor === major && haveMinor >= minor);
}

function kernelChecks(): Check[] {
  using kernel = new Kernel();
  const needed = (name: string, trouble: Trouble): Check =>
    feature(name, trouble, "fail", newerKernel);
  return [
    libcVersion(kernel.libcVersion(), readText("/proc/self/maps")),
    needed("pidfd", kernel.pidfd()),
    needed("memfd seals", kernel.memfdSeals()),
    needed("SO_NETNS_COOKIE", kernel.netnsCookie()),
    needed("eventfd", kernel.eventfd()),
    needed("Unix SEQPACKET", kernel.seqpacketPair()),
    needed("sock_diag", kernel.sockDiag()),
    feature(
      "membarrier",
      kernel.membarrier(),
      "warn",
      "allow membarrier(2) in the seccomp profile; without it each message costs a fence",
    ),
    feature(
      "rseq",
      kernel.rseq(),
      "warn",
      "use glibc 2.35 or newer; without it a waiting thread cannot tell which cpu its peer is on",
    ),
  ];
}

function feature(name: string, trouble: Trouble, level: Level, todo: string): Check {
  if (trouble === undefined) return { name, level: "ok", detail: "works" };
  return { name, level, detail: trouble, todo };
}

/** From the text of /proc/PID/limits: of our parent, as Deno raises its own. */
export function limitChecks(limits: string): Check[] {
  const soft = (title: string) => {
    const value = limits.match(new RegExp(`^${title}\\s+(\\S+)`, "m"))?.[1];
    return value === undefined || value === "unlimited" ? Infinity : Number(value);
  };
  return [openFiles(soft("Max open files")), addressSpace(soft("Max address space"))];
}

function openFiles(limit: number): Check {
  const name = "RLIMIT_NOFILE";
  const detail = `${limit} open files`;
  if (limit >= 1024) return { name, level: "ok", detail };
  return {
    name,
    level: "warn",
    detail,
    todo: "raise it ('ulimit -n 4096'): the library needs a few beside the program's own",
  };
}

function addressSpace(limit: number): Check {
  const name = "RLIMIT_AS";
  if (limit === Infinity) return { name, level: "ok", detail: "unlimited" };
  return {
    name,
    level: "warn",
    detail: formatBytes(limit),
    todo: "raise it ('ulimit -v unlimited'): rings take address space, 0.5 MiB a connection",
  };
}

export function memoryCgroup(bytesMax: number): Check {
  const name = "memory cgroup";
  if (bytesMax === Infinity) return { name, level: "ok", detail: "no limit" };
  if (bytesMax >= GiB) return { name, level: "ok", detail: `limit ${formatBytes(bytesMax)}` };
  return {
    name,
    level: "warn",
    detail: `limit ${formatBytes(bytesMax)}`,
    todo: "raise it: the pages of busy rings count, up to 0.5 MiB a connection",
  };
}

/** The least memory.max from our own cgroup up to the root. */
function cgroupMemoryMax(): number {
  let path = readText("/proc/self/cgroup").match(/^0::(.*)$/m)?.[1] ?? "";
  let least = Infinity;
  while (path !== "") {
    const text = readText(`/sys/fs/cgroup${path}/memory.max`).trim();
    if (/^\d+$/.test(text)) least = Math.min(least, Number(text));
    path = path.slice(0, path.lastIndexOf("/"));
  }
  return least;
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

export function cpus(count: number): Check {
  if (count > 1) return { name: "cpus", level: "ok", detail: `${count}` };
  return {
    name: "cpus",
    level: "warn",
    detail: "1: spinning is off, each message to a waiting program costs a wake-up",
    todo: "give the programs two cpus or more",
  };
}

async function preloads(socket: string): Promise<Check> {
  const name = "libsd.so";
  if (!isFile(library)) {
    return {
      name,
      level: "fail",
      detail: `'${library}' is missing`,
      todo: "./socksdirect doctor",
    };
  }
  const { code, stderr } = await new Deno.Command("/bin/true", {
    env: { ...preloadEnvironment(socket) },
    stdin: "null",
  }).output();
  const said = new TextDecoder().decode(stderr).trim().split("\n")[0];
  if (code === 0 && said === "") return { name, level: "ok", detail: "loads under /bin/true" };
  return {
    name,
    level: "fail",
    detail: `/bin/true ends with ${code}${said === "" ? "" : ` and says: ${said}`}`,
    todo: "build it on this machine: remove zig/zig-out, then ./socksdirect doctor",
  };
}

function ffiLoads(): Check {
  const name = "libsdffi.so";
  try {
    Deno.dlopen(`${root}/zig/zig-out/lib/libsdffi.so`, {}).close();
    return { name, level: "ok", detail: "loads into Deno" };
  } catch (error) {
    return {
      name,
      level: "fail",
      detail: `${error instanceof Error ? error.message : error}`.split("\n")[0],
      todo: "build it on this machine: remove zig/zig-out, then ./socksdirect doctor",
    };
  }
}

async function monitorAnswers(socket: string): Promise<Check> {
  using client = new MonitorClient(socket);
  if (await client.isAnswering()) {
    return { name: "monitor", level: "ok", detail: `answers at '${socket}'` };
  }
  return {
    name: "monitor",
    level: "warn",
    detail: `none answers at '${socket}'`,
    todo: "nothing ('socksdirect run' starts one), or 'socksdirect monitor --detach'",
  };
}
