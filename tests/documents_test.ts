/** What docs/ARCHITECTURE.md and docs/COMPATIBILITY.md name is there, and nothing is left out. */

import { assert, assertEquals } from "@std/assert";
import { Reason } from "../ffi/layout.gen.ts";
import { root } from "./harness/files.ts";

const read = (path: string) => Deno.readTextFileSync(`${root}/${path}`);

Deno.test("docs/COMPATIBILITY.md explains every reason code, and no other", () => {
  const section = read("docs/COMPATIBILITY.md").split(/^## /m).find((text) =>
    text.startsWith("What goes to TCP")
  );
  const explained = [...section!.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
  assertEquals(explained.sort(), Object.keys(Reason).sort());
});

Deno.test("every source file that docs/ARCHITECTURE.md names exists", () => {
  const names = [...read("docs/ARCHITECTURE.md").matchAll(/`([\w/.]+\.(?:zig|ts))`/g)]
    .map(([, name]) => name);
  assert(names.length > 40, `${names.length} names`);
  const folders = ["", "zig/src/", "zig/src/preload/", "zig/src/carrier/"];
  const missing = names.filter((name) => !folders.some((folder) => exists(folder + name)));
  assertEquals(missing, []);
});

Deno.test("docs/ARCHITECTURE.md names every source file of the preload library", () => {
  const text = read("docs/ARCHITECTURE.md");
  const files = [...Deno.readDirSync(`${root}/zig/src/preload`)].map(({ name }) => name);
  const left = files.filter((name) => !name.startsWith("api_") && !text.includes(`\`${name}\``));
  assertEquals(left, [], "add each to section 14");
});

function exists(path: string): boolean {
  try {
    return Deno.statSync(`${root}/${path}`).isFile;
  } catch {
    return false;
  }
}
