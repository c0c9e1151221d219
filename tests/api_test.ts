/** The intercept table, its page and the library say the same; the library wants little of libc. */

import { assert, assertEquals } from "@std/assert";
import { apiPage, interceptedNames } from "./harness/api.ts";
import { dynamicSymbols } from "./harness/elf.ts";
import { installed, library, root } from "./harness/files.ts";

/**
 * What libsd.so may import, with the reason. Everything else it asks of the kernel by itself, or
 * looks up by dlsym at the time of use, so that it works inside any other library.
 */
const importReasons: Readonly<Record<string, string>> = {
  __errno_location: "errno is libc's",
  clock_gettime: "the vDSO's clock, without a system call",
  dlsym: "finds the functions behind ours",
  getenv: "the SOCKSDIRECT_ variables",
  memcpy: "compilers write calls to it for copies of structs",
  memmove: "compilers write calls to it for copies within arrays",
  memset: "cleans rings",
  strlen: "the length of a variable's text",
  __cxa_finalize: "the linker's, weak",
  __gmon_start__: "the linker's, weak",
  _ITM_deregisterTMCloneTable: "the linker's, weak",
  _ITM_registerTMCloneTable: "the linker's, weak",
};

Deno.test("libsd.so exports the functions of docs/API.md and nothing else", () => {
  const exported = dynamicSymbols(library).filter(({ defined }) => defined);
  assertEquals(exported.map(({ name }) => name).sort(), interceptedNames().sort());
});

Deno.test("libsd.so imports only what is on the short list", () => {
  const wanted = dynamicSymbols(library).filter(({ defined }) => !defined);
  const unknown = wanted.filter(({ name }) => !(name in importReasons));
  assertEquals(unknown.map(({ name }) => name), [], "each import needs a reason in importReasons");
});

Deno.test("libsd.so imports no function that it exports", () => {
  const names = new Set(interceptedNames());
  const wanted = dynamicSymbols(library).filter(({ defined }) => !defined);
  assertEquals(wanted.filter(({ name }) => names.has(name)), []);
});

Deno.test("docs/API.md lists each function once", () => {
  const names = interceptedNames();
  assert(names.length > 70, `only ${names.length} functions`);
  assertEquals(names.length, new Set(names).size);
});

Deno.test({
  name: "docs/API.md is what the Zig sources say now",
  ignore: installed("zig") === undefined,
  async fn() {
    const { success, stdout, stderr } = await new Deno.Command("zig", {
      args: ["build", "api"],
      cwd: `${root}/zig`,
      env: { ZIG_DEBUG_CMD: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    const page = Deno.readTextFileSync(apiPage);
    assertEquals(new TextDecoder().decode(stdout), page, "stale: run `deno task api`");
  },
});
