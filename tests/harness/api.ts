/** The intercepted functions, as docs/API.md lists them (a test compares it with the sources). */

import { root } from "./files.ts";

export const apiPage = `${root}/docs/API.md`;

const row = /^\| `(\w+)` +\| /gm;

/** Names that the library exports. */
export function interceptedNames(): string[] {
  return [...parts()[0].matchAll(row)].map(([, name]) => name);
}

/** Options of sockets, requests and commands that the page has a row for. */
export function listedOptions(): string[] {
  return [...parts()[1].matchAll(row)].map(([, name]) => name);
}

/** The page's functions and its options. */
function parts(): [string, string] {
  const text = Deno.readTextFileSync(apiPage);
  const at = text.indexOf("\n## Options\n");
  if (at < 0) throw new Error(`read '${apiPage}': it has no section 'Options'`);
  return [text.slice(0, at), text.slice(at)];
}
