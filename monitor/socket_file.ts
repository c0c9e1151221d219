/**
 * The control socket's place in the file system: the default path of each user, its directory, and
 * the lock that keeps a second monitor away. The lock (flock on PATH.lock) goes with the process
 * that holds it, however it ends; the socket file of a dead monitor stays, and is replaced.
 */

import { dirname } from "@std/path";

/** What a user can mend: shown as it is, exit code 1. */
export class SetupError extends Error {
  override readonly name = "SetupError";
}

/** Of the one monitor that serves all users. */
export const systemSocket = "/run/socksdirect/control.sock";

/** Where programs that start with the library say so (see `Server.countStarts`). */
export function startsSocketOf(controlSocket: string): string {
  return `${controlSocket}.ping`;
}

export interface PathInputs {
  uid: number;
  env: (name: string) => string | undefined;
}

/** SOCKSDIRECT_CTL_SOCKET, else the system's (root) or the user's own. */
export function defaultControlSocket(inputs: PathInputs): string {
  return inputs.env("SOCKSDIRECT_CTL_SOCKET") || `${defaultDirectory(inputs)}/control.sock`;
}

export function defaultDirectory({ uid, env }: PathInputs): string {
  if (uid === 0) return dirname(systemSocket);
  const runtime = env("XDG_RUNTIME_DIR");
  return runtime ? `${runtime}/socksdirect` : `/tmp/socksdirect-${uid}`;
}

/** Makes the default directory, or checks that the one there is ours and nobody else's. */
export function prepareDirectory(path: string, uid: number): void {
  const mode = uid === 0 ? 0o755 : 0o700;
  try {
    Deno.mkdirSync(path, { mode });
    Deno.chmodSync(path, mode);
    return;
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) {
      throw new SetupError(`cannot make the directory "${path}": ${messageOf(error)}`);
    }
  }
  const info = Deno.lstatSync(path);
  if (!info.isDirectory) throw new SetupError(`"${path}" is no directory; remove it`);
  if (info.uid !== uid) {
    throw new SetupError(
      `"${path}" belongs to uid ${info.uid}, not ${uid}; choose another place with --control-socket`,
    );
  }
  if ((info.mode! & 0o022) !== 0) {
    throw new SetupError(`others may write to "${path}"; run chmod ${mode.toString(8)} on it`);
  }
}

/** The right to serve at a path, for as long as this process lives. */
export class SocketClaim {
  readonly path: string;
  readonly #lock: Deno.FsFile;

  constructor(path: string, lock: Deno.FsFile) {
    this.path = path;
    this.#lock = lock;
  }

  get lockPath(): string {
    return lockPathOf(this.path);
  }

  /** Removes the given files and gives the path up. */
  release(files: readonly string[]): void {
    for (const file of [...files, this.lockPath]) removeIfThere(file);
    this.#lock.close();
  }
}

/** Takes the path for this process and clears what a dead monitor left there. */
export function claimSocket(path: string): SocketClaim {
  const directory = dirname(path);
  if (!isDirectory(directory)) {
    throw new SetupError(`cannot serve at "${path}": there is no directory "${directory}"`);
  }
  const lock = takeLock(path);
  try {
    removeStale(path);
    writePid(lock);
  } catch (error) {
    lock.close();
    throw error;
  }
  return new SocketClaim(path, lock);
}

/** A monitor that is just ending removes its lock file: then the lock got is of no file, again. */
function takeLock(path: string): Deno.FsFile {
  const lockPath = lockPathOf(path);
  while (true) {
    const file = openLock(lockPath);
    if (!file.tryLockSync(true)) {
      file.close();
      throw new SetupError(
        `a monitor${holderOf(lockPath)} already serves "${path}"; ` +
          "stop it first, or choose another path with --control-socket",
      );
    }
    if (isSameFile(file, lockPath)) return file;
    file.close();
  }
}

function openLock(lockPath: string): Deno.FsFile {
  try {
    return Deno.openSync(lockPath, { read: true, write: true, create: true, mode: 0o600 });
  } catch (error) {
    throw new SetupError(`cannot open the lock "${lockPath}": ${messageOf(error)}`);
  }
}

function isSameFile(file: Deno.FsFile, path: string): boolean {
  try {
    return file.statSync().ino === Deno.lstatSync(path).ino;
  } catch {
    return false;
  }
}

function writePid(lock: Deno.FsFile): void {
  lock.truncateSync(0);
  lock.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
}

function holderOf(lockPath: string): string {
  try {
    const pid = Deno.readTextFileSync(lockPath).trim();
    return pid === "" ? "" : ` (pid ${pid})`;
  } catch {
    return "";
  }
}

/** Removes a socket; anything else there is somebody's file, and is left alone. */
export function removeStale(path: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (!info.isSocket) {
    throw new SetupError(`"${path}" exists and is no socket; choose another path`);
  }
  Deno.removeSync(path);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function lockPathOf(path: string): string {
  return `${path}.lock`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
