/**
 * Where libsdffi.so is: SOCKSDIRECT_FFI if set, else beside the running script, else where
 * `zig build` puts it in the checkout.
 */

const libraryName = "libsdffi.so";

export function nativeLibraryPath(): string {
  const chosen = Deno.env.get("SOCKSDIRECT_FFI");
  if (chosen) return chosen;
  const candidates = nativeLibraryCandidates(import.meta.dirname ?? ".");
  return candidates.find(isFile) ?? candidates[candidates.length - 1];
}

/** `directory`: of this file, or of the bundle that it became part of. */
export function nativeLibraryCandidates(directory: string): string[] {
  return [`${directory}/${libraryName}`, `${directory}/../zig/zig-out/lib/${libraryName}`];
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
