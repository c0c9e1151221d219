/** The intercepted functions, as docs/API.md lists them (a test compares it with the sources). */

import { root } from "./files.ts";

export const apiPage = `${root}/docs/API.md`;

const row = /^\| `(\w+)`( †)? +\| /gm;

/** Names that this machine's library exports: the variadic ones only where Zig can read them. */
export function interceptedNames(): string[] {
  const text = Deno.readTextFileSync(apiPage);
  return [...text.matchAll(row)]
    .filter(([, , variadic]) => variadic === undefined || Deno.build.arch === "x86_64")
    .map(([, name]) => name);
}
