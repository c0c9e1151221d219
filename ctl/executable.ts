/**
 * What a program is, from its file: whether a preloaded library can reach it, and which one. The
 * file's first page has it all: an ELF header with its program headers and the loader's name, or a
 * "#!" line, which is followed.
 */

import { isFile } from "./paths.ts";

export type Arch = "x86_64" | "aarch64";

export interface Executable {
  /** The file that the kernel will run: of a script, its interpreter. */
  path: string;
  kind: "dynamic" | "static" | "unknown";
  /** Undefined: another one than we have a library for. */
  arch?: Arch;
  libc?: "glibc" | "musl";
  /** Runs with other rights than its caller's. */
  elevated: boolean;
}

const firstPage = 4096;
const scriptsMax = 4;
const machines: Record<number, Arch> = { 62: "x86_64", 183: "aarch64" };
const headerInterpreter = 3;

/** Undefined: there is no such program. `path` is PATH's value. */
export function inspect(
  program: string,
  path = Deno.env.get("PATH") ?? "",
): Executable | undefined {
  let file = locate(program, path);
  for (let scripts = 0; file !== undefined && scripts <= scriptsMax; scripts++) {
    const bytes = readFirstPage(file);
    const words = scriptWords(bytes);
    if (words === undefined) return describe(file, bytes);
    file = locate(interpreterOf(words), path);
  }
  return undefined;
}

function locate(program: string, path: string): string | undefined {
  if (program.includes("/")) return isFile(program) ? program : undefined;
  return path.split(":").map((folder) => `${folder || "."}/${program}`).find(isFile);
}

function readFirstPage(file: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(firstPage);
  try {
    using open = Deno.openSync(file);
    return bytes.subarray(0, open.readSync(bytes) ?? 0);
  } catch {
    return bytes.subarray(0, 0); // executable, but not readable
  }
}

function scriptWords(bytes: Uint8Array): string[] | undefined {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 256));
  return text.match(/^#!(.*)/)?.[1].trim().split(/\s+/);
}

/** `env PROGRAM` and `env -S PROGRAM` become PROGRAM. */
function interpreterOf(words: readonly string[]): string {
  if (!/(^|\/)env$/.test(words[0])) return words[0];
  return words.slice(1).find((word) => !word.startsWith("-") && !word.includes("=")) ?? words[0];
}

function describe(path: string, bytes: Uint8Array<ArrayBuffer>): Executable {
  const mode = Deno.statSync(path).mode ?? 0;
  const elevated = (mode & 0o6000) !== 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 64 || view.getUint32(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    return { path, kind: "unknown", elevated };
  }
  const arch = machines[view.getUint16(18, true)];
  const loader = loaderOf(view, bytes);
  if (loader === undefined) return { path, kind: "static", arch, elevated };
  const libc = /\/ld-musl-/.test(loader) ? "musl" : /\/ld-linux/.test(loader) ? "glibc" : undefined;
  return { path, kind: "dynamic", arch, libc, elevated };
}

/** The path in PT_INTERP. */
function loaderOf(view: DataView, bytes: Uint8Array): string | undefined {
  const start = Number(view.getBigUint64(32, true));
  const stride = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  for (let at = start; at < start + count * stride && at + 56 <= bytes.length; at += stride) {
    if (view.getUint32(at, true) !== headerInterpreter) continue;
    const offset = Number(view.getBigUint64(at + 8, true));
    const size = Number(view.getBigUint64(at + 32, true));
    return new TextDecoder().decode(bytes.subarray(offset, offset + size - 1));
  }
  return undefined;
}

export interface Verdict {
  canBeAccelerated: boolean;
  why: string;
  todo?: string;
}

export function verdictOf(program: Executable): Verdict {
  const no = (why: string, todo?: string) => ({ canBeAccelerated: false, why, todo });
  const { kind, arch, libc } = program;
  if (kind === "unknown") return no("not a 64-bit ELF program, or not readable");
  if (kind === "static") {
    return no(
      "statically linked: it loads no libraries, so its connections stay on kernel TCP",
      "use a dynamically linked build (Go: build with cgo)",
    );
  }
  if (arch === undefined) return no("of an architecture other than x86-64 and arm64");
  if (libc === undefined) return no("its loader is neither glibc's nor musl's");
  if (program.elevated) {
    return no("setuid or setgid: the loader ignores LD_PRELOAD", "start it as the user it becomes");
  }
  return { canBeAccelerated: true, why: `dynamically linked, ${libc}, ${arch}` };
}
