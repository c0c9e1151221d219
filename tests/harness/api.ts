/** The intercepted functions, as docs/API.md lists them (a test compares it with the sources). */

import { root } from "./files.ts";

export const apiPage = `${root}/docs/API.md`;

const row = /^\| `(\w+)` +\| /gm;

/** Names that the library exports. */
export function interceptedNames(): string[] {
  const text = Deno.readTextFileSync(apiPage);
  return [...text.matchAll(row)].map(([, name]) => name);
}
