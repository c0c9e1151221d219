/**
 * A monitor: `deno run -A monitor/main.ts [--control-socket PATH]`. See docs/MONITOR.md.
 *
 * Exit codes: 0 ended by a signal or by request; 1 could not start, e.g. another monitor serves the
 * same socket; 2 wrong use.
 */

import { isNativeError } from "../ffi/error.ts";
import { nativeLibraryPath } from "../ffi/locate.ts";
import { openNative } from "../ffi/native.ts";
import { dirname } from "@std/path";
import { startApi } from "./api.ts";
import { Logger } from "./log.ts";
import { type Options, parseOptions, usage, UsageError } from "./options.ts";
import { Server } from "./server.ts";
import {
  claimSocket,
  defaultControlSocket,
  defaultDirectory,
  prepareDirectory,
  removeStale,
  SetupError,
  startsSocketOf,
  systemSocket,
} from "./socket_file.ts";

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options.help) {
      console.log(usage);
      return 0;
    }
    return await serve(options);
  } catch (error) {
    const known = error instanceof UsageError || error instanceof SetupError;
    if (!known && !isNativeError(error)) throw error;
    console.error(`monitor: ${error.message}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function serve(options: Options): Promise<number> {
  const uid = Deno.uid()!;
  const inputs = { uid, env: (name: string) => Deno.env.get(name) };
  const path = options.controlSocket ?? defaultControlSocket(inputs);
  if (dirname(path) === defaultDirectory(inputs)) prepareDirectory(dirname(path), uid);
  // Files that others may use are opened up explicitly, and only once they are ready.
  Deno.umask(0o077);
  using native = openNative(nativeLibraryPath());
  const logger = new Logger({ level: options.logLevel });
  const claim = claimSocket(path);
  native.raiseFdLimit();
  const mode = uid === 0 ? 0o666 : 0o600;
  const startsPath = startsSocketOf(path);
  removeStale(startsPath);
  const starts = native.bindDatagrams(startsPath, mode);
  const listener = native.listen(path, mode);
  const server = new Server({ native, listener, starts, logger, quotas: options.quotas });
  const stop = (why: string) => {
    logger.info(`ending: ${why}`);
    server.stop();
  };
  const open = uid === 0 && path === systemSocket;
  const api = startApi({ server, logger, controlSocket: path, open, removeStale, stop });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => stop(signal));
  }
  logger.info(`serving at ${path}, pid ${Deno.pid}`);
  await server.run();
  claim.release([path, startsPath, ...api.paths]);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
