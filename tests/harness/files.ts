/** Where things are, and files with known contents. */

import { fromFileUrl } from "@std/path";

export const root = fromFileUrl(new URL("../..", import.meta.url)).replace(/\/$/, "");
export const library = `${root}/zig/zig-out/lib/libsd.so`;
export const sdbench = `${root}/zig/zig-out/bin/sdbench`;

/** A Python program of this folder. */
export function pythonProgram(name: string): string {
  return `${root}/tests/programs/${name}`;
}

/** The interpreter itself: what `python3` on PATH is may be a shell script. */
export const python: string | undefined = await findPython();

async function findPython(): Promise<string | undefined> {
  try {
    const { code, stdout } = await new Deno.Command("python3", {
      args: ["-c", "import sys; print(sys.executable)"],
      stderr: "null",
    }).output();
    return code === 0 ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/** The program's path, or undefined if it is not installed. */
export function installed(program: string): string | undefined {
  if (program === "python3") return python;
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/usr/bin"];
  return folders.map((folder) => `${folder}/${program}`).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** Bytes that look random and are the same for the same seed. */
export function noise(count: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(count / 4));
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, count);
}

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function sha256OfFile(path: string): Promise<string> {
  return await sha256(await Deno.readFile(path));
}
