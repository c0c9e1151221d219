/**
 * What an application of the matrix is: how it is started, and the work that its clients do with it,
 * checked to the byte. The rest (restart, SIGKILL, who is preloaded) is the same for all: life.ts.
 */

import {
  type Ended,
  type Lab,
  type Program,
  type RingShareOptions,
  type RunOptions,
  waitForPort,
} from "../harness.ts";

export interface Application {
  /** As the table in docs/COMPATIBILITY.md names it. */
  name: string;
  /** What has to be installed. */
  programs: readonly string[];
  /** Says its version somewhere in its output. */
  version: readonly string[];
  /** What was done with it, for the table. */
  does: string;
  /** Only in the full run: heavy, or of packages that .ci/run does not install. */
  rare?: boolean;
  /** More that it needs: why it cannot run here, or undefined. */
  obstacle?(): Promise<string | undefined>;
  /** What must go by ring with both ends preloaded; "none" if it never can. */
  share: RingShareOptions | "none";
  /** Processes of the server talk among themselves: by ring, also when clients are plain. */
  talksToItself?: boolean;
  /** Binds without SO_REUSEADDR: after SIGKILL its port is not to be had for a minute. */
  wantsFreshPort?: boolean;
  start(use: Use): Promise<Program>;
  work(use: Use): Promise<void>;
  /** Work a second, for speed.ts. Without it: how often `work` can be done in one. */
  rate?(use: Use): Promise<number>;
  /** More work, with both ends preloaded and the server running. */
  also?(use: Use, server: Program): Promise<void>;
}

const nobodyId = 65534;

/** One use of an application: where, and who is preloaded. */
export interface Use {
  lab: Lab;
  port: number;
  server: boolean;
  client: boolean;
}

/** Runs a client to its good end. */
export function client(
  { lab, client: preload }: Use,
  words: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  return lab.run(words, { preload, ...options });
}

/** Starts a server, and waits until it listens. */
export async function listening(
  { lab, port, server: preload }: Use,
  words: readonly string[],
): Promise<Program> {
  const server = lab.start(words, { preload });
  await waitForPort(port, server);
  return server;
}

/** The words to run a program as an ordinary user when we are root: some refuse to be root. */
export async function asOrdinaryUser(lab: Lab, ...words: string[]): Promise<string[]> {
  if (Deno.uid() !== 0) return words;
  await Deno.chmod(lab.dir, 0o755);

  return ["setpriv", `--reuid=${nobodyId}`, `--regid=${nobodyId}`, "--clear-groups", ...words];
}

/** A folder that such a program owns. */
export async function folderFor(lab: Lab, name: string): Promise<string> {
  const path = lab.path(name);
  await Deno.mkdir(path, { recursive: true });
  if (Deno.uid() === 0) await Deno.chown(path, nobodyId, nobodyId);
  return path;
}
