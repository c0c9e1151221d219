import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { shellQuote } from "./env.ts";
import { CtlError } from "./errors.ts";
import { makeOwnFolder, preloadEnvironment, withoutPreload, withPreload } from "./preload.ts";
import { userEnvironment } from "./run.ts";

Deno.test("the library goes behind what is preloaded already, once", () => {
  assertEquals(withPreload(undefined, "/x/libsd.so"), "/x/libsd.so");
  assertEquals(withPreload("/a.so /b.so", "/x/libsd.so"), "/a.so:/b.so:/x/libsd.so");
  assertEquals(withPreload("/x/libsd.so:/a.so", "/x/libsd.so"), "/a.so:/x/libsd.so");
  assertEquals(withPreload("/other/libsd.so", "/x/libsd.so"), "/x/libsd.so");
});

Deno.test("a program of another architecture gets its own library, or a word on how to build it", () => {
  const arch = Deno.build.arch === "x86_64" ? "aarch64" : "x86_64";
  let outcome: string;
  try {
    outcome = preloadEnvironment("/x.sock", undefined, arch).LD_PRELOAD;
  } catch (error) {
    outcome = `${error}`;
    assertStringIncludes(outcome, "'./socksdirect build --all' builds it");
  }
  assertStringIncludes(outcome, `/${arch}-linux-gnu/libsd.so`);
});

Deno.test("a program on kernel TCP keeps every preload but ours", () => {
  assertEquals(withoutPreload({ A: "1", LD_PRELOAD: "/x/libsd.so" }), { A: "1" });
  assertEquals(withoutPreload({ LD_PRELOAD: "/tmp/libsd-0a1b2c3d.so:/j.so" }), {
    LD_PRELOAD: "/j.so",
  });
  assertEquals(withoutPreload({ LD_PRELOAD: "/my-libsd.so.1" }), { LD_PRELOAD: "/my-libsd.so.1" });
});

Deno.test("programs do not see what the launcher set for our own Deno", () => {
  const environment = { HOME: "/h", DENO_DIR: "/d", SOCKSDIRECT_OWN_VARIABLES: "DENO_DIR" };
  assertEquals(userEnvironment(environment), { HOME: "/h" });
  assertEquals(userEnvironment({ DENO_DIR: "/mine" }), { DENO_DIR: "/mine" });
});

Deno.test("exports survive eval whatever the path holds", () => {
  assertEquals(shellQuote("/a b/it's"), `'/a b/it'\\''s'`);
});

Deno.test("a stranger's folder in a public one is refused", { ignore: Deno.uid() !== 0 }, () => {
  const publicFolder = Deno.makeTempDirSync();
  Deno.chmodSync(publicFolder, 0o1777);
  Deno.mkdirSync(`${publicFolder}/trap`);
  Deno.chownSync(`${publicFolder}/trap`, 12345, 12345);
  assertThrows(() => makeOwnFolder(`${publicFolder}/trap`), CtlError, "belongs to uid 12345");
  makeOwnFolder(`${publicFolder}/own`);
  assertEquals(Deno.statSync(`${publicFolder}/own`).isDirectory, true);
  Deno.removeSync(publicFolder, { recursive: true });
});
