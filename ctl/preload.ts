/**
 * The environment that makes a program accelerated: LD_PRELOAD and SOCKSDIRECT_CTL_SOCKET.
 */

import { dirname } from "node:path";
import { CtlError, exitCode } from "./errors.ts";
import { foreignLibrary, isFile, library } from "./paths.ts";

export interface PreloadEnvironment {
  LD_PRELOAD: string;
  SOCKSDIRECT_CTL_SOCKET: string;
}

/** What `run` and `env` set, given the caller's own LD_PRELOAD. */
export function preloadEnvironment(
  socket: string,
  existing?: string,
  arch: string = Deno.build.arch,
): PreloadEnvironment {
  const foreign = arch !== Deno.build.arch;
  const file = foreign ? foreignLibrary(arch) : library;
  if (!isFile(file)) {
    const builder = foreign ? "build --all" : "doctor";
    throw new CtlError(
      exitCode.failed,
      `the preload library is not built: '${file}' is missing; './socksdirect ${builder}' builds it`,
    );
  }
  return {
    LD_PRELOAD: withPreload(existing, preloadable(file)),
    SOCKSDIRECT_CTL_SOCKET: socket,
  };
}

/** LD_PRELOAD with `path` behind what is preloaded already; two of our libraries would not do. */
export function withPreload(existing: string | undefined, path: string): string {
  return [...foreignPreloads(existing), path].join(":");
}

/** `environment` for a program that stays on kernel TCP: everything but our library. */
export function withoutPreload(environment: Record<string, string>): Record<string, string> {
  const { LD_PRELOAD, ...rest } = environment;
  const others = foreignPreloads(LD_PRELOAD);
  return others.length === 0 ? rest : { ...rest, LD_PRELOAD: others.join(":") };
}

/** What is preloaded beside our library, of whichever checkout. */
function foreignPreloads(value: string | undefined): string[] {
  return (value ?? "").split(/[ :]+/)
    .filter((each) => each !== "" && !/\/libsd(-[0-9a-f]{8})?\.so$/.test(each));
}

/**
 * ld.so takes blanks and colons for separators, so a checkout whose path holds one is reached
 * through a link in a folder of the user's own.
 */
function preloadable(library: string): string {
  if (!/[ :]/.test(library)) return library;
  const uid = Deno.uid() ?? 0;
  const folder = uid === 0 ? "/run/socksdirect" : `/tmp/socksdirect-${uid}`;
  makeOwnFolder(folder);
  const link = `${folder}/libsd-${shortHash(library)}.so`;
  try {
    if (Deno.readLinkSync(link) === library) return link;
  } catch {
    // Not there yet.
  }
  const fresh = `${link}.${Deno.pid}`;
  Deno.symlinkSync(library, fresh);
  Deno.renameSync(fresh, link);
  return link;
}

/**
 * Makes `folder` unless it is there. Where everybody may make folders (/tmp), one that is there
 * already may be a stranger's trap, so the owner counts.
 */
export function makeOwnFolder(folder: string) {
  const uid = Deno.uid() ?? 0;
  try {
    Deno.mkdirSync(folder, { recursive: true, mode: uid === 0 ? 0o755 : 0o700 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new CtlError(exitCode.failed, `cannot make the folder '${folder}': ${reason}`);
  }
  const { uid: owner } = Deno.lstatSync(folder);
  const inPublicFolder = ((Deno.statSync(dirname(folder)).mode ?? 0) & 0o002) !== 0;
  if (!inPublicFolder || owner === uid || owner === 0) return;
  throw new CtlError(
    exitCode.failed,
    `cannot use the folder '${folder}': it belongs to uid ${owner}, not to you (uid ${uid})`,
  );
}

function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, "0");
}
