/** What the web servers of the matrix have in common: files, and clients that fetch and compare. */

import { assert, assertEquals } from "@std/assert";
import { type Lab, noise, sha256OfFile } from "../harness.ts";
import { client, type Use } from "./application.ts";

export const sizes = [1, 100, 4096, 65_536, 1_000_000, 20_000_000];

/**
 * The biggest file's first bytes go by TCP while the ends find each other, and a connection that
 * ends early says how far it had come.
 */
export const webShare = {
  settlingBytes: 40_000_000,
  orReasons: ["undecided", "arena_pending", "offered", "not_adopted", "no_listener", "peer_closed"],
  orAtLeast: 0.5,
};

/** A folder with a file of each size, its name being the size. */
export async function makeFiles(lab: Lab): Promise<string> {
  const folder = lab.path("files");
  await Deno.mkdir(folder, { recursive: true });
  await Deno.chmod(lab.dir, 0o755);
  for (const size of sizes) await Deno.writeFile(`${folder}/${size}`, noise(size, size));
  return folder;
}

/** Every file twice over one connection of curl, and compared. */
export async function fetchAll(use: Use, path = "") {
  const files = [...sizes, ...sizes];
  const to = (i: number) => use.lab.path(`got-${use.port}-${i}`);
  const base = `http://127.0.0.1:${use.port}/${path}`;
  const words = files.flatMap((size, i) => ["-o", to(i), `${base}${size}`]);
  await client(use, ["curl", "-sSf", "--max-time", "60", ...words]);
  for (const [i, size] of files.entries()) {
    const wanted = await sha256OfFile(use.lab.path(`files/${size}`));
    assertEquals(await sha256OfFile(to(i)), wanted, `${size} bytes`);
    await Deno.remove(to(i));
  }
}

/** A moment of wrk with keep-alive; every answer must be a good one. Requests a second. */
export async function load(use: Use, path = ""): Promise<number> {
  const url = `http://127.0.0.1:${use.port}/${path}4096`;
  const { stdout } = await client(use, ["wrk", "-t2", "-c16", "-d1s", url]);
  const requests = Number(stdout.match(/(\d+) requests in/)?.[1]);
  assert(requests > 100 && !/Socket errors|Non-2xx/.test(stdout), stdout);
  return Number(stdout.match(/^Requests\/sec: +([\d.]+)/m)?.[1]);
}
