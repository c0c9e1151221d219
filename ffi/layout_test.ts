import { assert, assertEquals, assertThrows } from "@std/assert";
import { NativeError } from "./error.ts";
import { layoutHash, MessageType, Reason, structs } from "./layout.gen.ts";
import { nativeLibraryPath } from "./locate.ts";
import { openNative } from "./native.ts";

const root = new URL("..", import.meta.url).pathname;
const text = Deno.readTextFileSync(`${root}ffi/layout.gen.ts`);

Deno.test("layout.gen.ts was not edited by hand", () => {
  const body = text.slice(text.indexOf("\nexport const structs"));
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(body)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  assertEquals(hash, layoutHash);
});

Deno.test("the native library was built with the same layouts", () => {
  openNative(nativeLibraryPath())[Symbol.dispose]();
});

Deno.test("a library that is none of ours is refused with what to do", () => {
  const error = assertThrows(() => openNative("/nowhere/libsdffi.so"), NativeError);
  assertEquals(error.code, "ELIBRARY");
  assert(error.message.includes("/nowhere/libsdffi.so"), error.message);
  assert(error.message.includes("deno task build"), error.message);
});

Deno.test({
  name: "layout.gen.ts is what the Zig sources say now",
  ignore: !await hasZig(),
  async fn() {
    const { success, stdout, stderr } = await new Deno.Command("zig", {
      args: ["build", "layout"],
      cwd: `${root}zig`,
      env: { ZIG_DEBUG_CMD: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    assertEquals(new TextDecoder().decode(stdout), text, "stale: run `deno task layout`");
  },
});

async function hasZig(): Promise<boolean> {
  try {
    return (await new Deno.Command("zig", { args: ["version"] }).output()).success;
  } catch {
    return false;
  }
}

Deno.test("messages have the sizes that the protocol says", () => {
  assertEquals(structs.Header.size, 16);
  assertEquals(structs.Hello.size, 48);
  assertEquals(structs.Arena.size, 56);
  assertEquals([MessageType.hello, MessageType.welcome, MessageType.pong], [1, 101, 106]);
});

Deno.test("reason names are unique and lower case", () => {
  const names = Object.keys(Reason);
  assertEquals(new Set(Object.values(Reason)).size, names.length);
  assert(names.every((name) => /^[a-z_0-9]+$/.test(name)));
});
