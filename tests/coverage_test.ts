/** Which functions of this machine's libc the library intercepts, and why not the others. */

import { assert, assertEquals } from "@std/assert";
import { interceptedNames, listedOptions } from "./harness/api.ts";
import { muslLoader } from "./harness/builds.ts";
import { dynamicSymbols } from "./harness/elf.ts";
import { candidatePatterns, families, passesThrough } from "./passes_through.ts";

const intercepted = new Set(interceptedNames());
const listed = passesThrough.flatMap(({ names }) => names);

Deno.test("every libc function that may touch a socket is intercepted or has a reason", () => {
  assertDecided(libcFunctions());
});

const withoutMusl = isFile(muslLoader) ? "" : ` (skipped: ${muslLoader} not installed)`;

Deno.test({
  name:
    `every function of musl that may touch a socket is intercepted or has a reason${withoutMusl}`,
  ignore: withoutMusl !== "",
  fn: () => assertDecided(functionsOf(muslLoader)),
});

function assertDecided(functions: readonly string[]) {
  assert(functions.length > 1000, `${functions.length} functions`);
  const undecided = functions.filter((name) =>
    isCandidate(name) && !intercepted.has(name) && !isOfFamily(name) && !listed.includes(name)
  );
  assertEquals(
    undecided,
    [],
    "decide about each: add it to zig/src/preload/table.zig or, with a reason, to tests/passes_through.ts",
  );
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

const headers = {
  "/usr/include/asm-generic/socket.h": /^#define (SO_[A-Z0-9_]+)\s+\d+\b/gm,
  "/usr/include/linux/tcp.h": /^#define (TCP_[A-Z0-9_]+)\s+\d+\b/gm,
};

for (const [header, pattern] of Object.entries(headers)) {
  Deno.test({
    name: `every option of ${header} is on the page` +
      (isFile(header) ? "" : " (skipped: it is not there; Debian's package 'linux-libc-dev')"),
    ignore: !isFile(header),
    fn() {
      const names = [...Deno.readTextFileSync(header).matchAll(pattern)].map(([, name]) =>
        name.replace(/_OLD$/, "")
      );
      assert(names.length > 30, `only ${names.length} options in ${header}`);
      const known = listedOptions();
      assertEquals(
        names.filter((name) => !known.includes(name) && !notOptions.test(name)),
        [],
        "decide about each: add it to zig/src/preload/options.zig and run `deno task api`",
      );
    },
  });
}

/** Values of options and sizes, which the same headers name alike. */
const notOptions = /_MSS_|_MAXKEYLEN$|^TCP_REPAIR_(ON|OFF|OFF_NO_WP)$/;

Deno.test("no function is both intercepted and said to pass through", () => {
  assertEquals(listed.filter((name) => intercepted.has(name)), []);
  assertEquals([...intercepted].filter(isOfFamily), []);
});

Deno.test("a function has one reason", () => {
  assertEquals(listed.length, new Set(listed).size);
  for (const { because } of passesThrough) assert(because.length > 10, because);
});

Deno.test("the candidates include what every program uses on sockets", () => {
  const names = ["read", "write", "sendmsg", "accept4", "epoll_wait", "close_range", "vfork"];
  assertEquals(names.filter((name) => !isCandidate(name)), []);
  const functions = functionsOf(libcPath());
  assertEquals(names.filter((name) => !functions.includes(name)), []);
});

function isCandidate(name: string): boolean {
  return candidatePatterns.some((pattern) => pattern.test(name));
}

function isOfFamily(name: string): boolean {
  return families.some(({ pattern }) => pattern.test(name));
}

function libcFunctions(): string[] {
  return functionsOf(libcPath());
}

function functionsOf(library: string): string[] {
  const functions = dynamicSymbols(library).filter((symbol) =>
    symbol.defined && symbol.kind === "function"
  );
  return [...new Set(functions.map(({ name }) => name))].sort();
}

/** The libc that this very process runs on. */
function libcPath(): string {
  const maps = Deno.readTextFileSync("/proc/self/maps");
  const path = maps.match(/\/\S*\/(libc\.so\.6|libc-[\d.]+\.so|ld-musl-\S+)$/m)?.[0];
  assert(path !== undefined, "find libc: no line of /proc/self/maps names it");
  return path;
}
