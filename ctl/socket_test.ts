import { assertEquals, assertThrows } from "@std/assert";
import type { Call } from "./cli.ts";
import { UsageError } from "./errors.ts";
import { controlSocket, isListening, type Surroundings, systemSocket } from "./socket.ts";

function socketOf(
  given: { option?: string; environment?: Record<string, string>; uid?: number; system?: boolean },
): string {
  const values = new Map(given.option === undefined ? [] : [["control-socket", given.option]]);
  const call: Call = { operands: [], flags: new Set(), values };
  const around: Surroundings = {
    uid: given.uid ?? 1000,
    environment: { get: (name) => given.environment?.[name] },
    isListening: () => given.system ?? false,
  };
  return controlSocket(call, around);
}

const environment = { SOCKSDIRECT_CTL_SOCKET: "/e/sock", XDG_RUNTIME_DIR: "/run/user/1000" };

Deno.test("the option goes before the environment, which goes before everything else", () => {
  assertEquals(socketOf({ option: "/o/sock", environment, system: true }), "/o/sock");
  assertEquals(socketOf({ environment, system: true }), "/e/sock");
});

Deno.test("the system-wide monitor goes before the user's own, if it runs", () => {
  const { XDG_RUNTIME_DIR } = environment;
  assertEquals(socketOf({ environment: { XDG_RUNTIME_DIR }, system: true }), systemSocket);
  assertEquals(
    socketOf({ environment: { XDG_RUNTIME_DIR } }),
    "/run/user/1000/socksdirect/control.sock",
  );
  assertEquals(socketOf({}), "/tmp/socksdirect-1000/control.sock");
});

Deno.test("root's own monitor is the system-wide one", () => {
  assertEquals(socketOf({ uid: 0, environment: { XDG_RUNTIME_DIR: "/x" } }), systemSocket);
});

Deno.test("a relative path is resolved, so that programs in other folders find it", () => {
  assertEquals(socketOf({ option: "a/../b.sock" }), `${Deno.cwd()}/b.sock`);
});

Deno.test("a path that no Unix socket can have is wrong use", () => {
  assertThrows(() => socketOf({ option: `/${"x".repeat(120)}` }), UsageError, "too long");
});

Deno.test("only a path that a live process has bound counts as listening", () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/s`;
  assertEquals(isListening(path), false);
  const listener = Deno.listen({ transport: "unix", path });
  assertEquals(isListening(path), true);
  listener.close();
  assertEquals(isListening(path), false);
  Deno.removeSync(folder, { recursive: true });
});
