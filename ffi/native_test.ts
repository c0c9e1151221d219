import { assert, assertEquals, assertThrows } from "@std/assert";
import { NativeError } from "./error.ts";
import { constants } from "./layout.gen.ts";
import { nativeLibraryCandidates, nativeLibraryPath } from "./locate.ts";
import { type Native, openNative } from "./native.ts";
import { symbols } from "./symbols.ts";

function withNative(test: (native: Native, directory: string) => void | Promise<void>) {
  return async () => {
    const directory = Deno.makeTempDirSync({ prefix: "sd-native-" });
    using native = openNative(nativeLibraryPath());
    try {
      await test(native, directory);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  };
}

Deno.test("the table of symbols is exactly what the library exports", () => {
  const source = Deno.readTextFileSync(new URL("../zig/src/root_ffi.zig", import.meta.url));
  const exported = [...source.matchAll(/^export fn (\w+)\(/gm)].map((match) => match[1]);
  const listed = Object.entries(symbols).map(([key, symbol]) =>
    "name" in symbol ? symbol.name : key
  );
  assertEquals([...new Set(listed)].sort(), exported.sort());
});

Deno.test(
  "the kernel says who connected",
  withNative((native, directory) => {
    const listener = native.listen(`${directory}/s`, 0o600);
    assertEquals(native.accept(listener), null);
    const client = native.connect(`${directory}/s`);
    const peer = native.accept(listener)!;
    assertEquals([peer.pid, peer.uid, peer.gid], [Deno.pid, Deno.uid()!, Deno.gid()!]);
    assert(peer.pidfd >= 0);
    assert(peer.netns !== 0n);
    for (const fd of [peer.fd, peer.pidfd, client, listener]) native.close(fd);
  }),
);

Deno.test(
  "a socket file has the permissions that were asked for",
  withNative((native, directory) => {
    for (const mode of [0o600, 0o666]) {
      const listener = native.listen(`${directory}/s${mode}`, mode);
      assertEquals(Deno.statSync(`${directory}/s${mode}`).mode! & 0o777, mode);
      native.close(listener);
    }
  }),
);

Deno.test(
  "errors name the action, the value and a stable code",
  withNative((native, directory) => {
    const path = `${directory}/nobody`;
    const error = assertThrows(() => native.connect(path), NativeError);
    assertEquals(error.code, "ENOENT");
    assertEquals(error.message, `cannot connect to "${path}": ENOENT`);
    const long = assertThrows(() => native.listen("x".repeat(200), 0o600), NativeError);
    assertEquals(long.code, "ENAMETOOLONG");
    assertEquals(assertThrows(() => native.close(-1), NativeError).code, "EBADF");
  }),
);

Deno.test(
  "packets keep their borders and their descriptors",
  withNative((native) => {
    const [a, b] = native.socketPair();
    native.send(a, new Uint8Array([1, 2]), [a]);
    native.send(a, new Uint8Array([3]));
    const first = native.receive(b)!;
    assertEquals([...first.bytes], [1, 2]);
    assertEquals(first.fds.length, 1);
    assertEquals([...native.receive(b)!.bytes], [3]);
    assertEquals(native.receive(b), null);
    for (const fd of [...first.fds, a, b]) native.close(fd);
  }),
);

Deno.test(
  "a full socket is told apart from a broken one",
  withNative((native) => {
    const [a, b] = native.socketPair();
    const packet = new Uint8Array(1000);
    let sent = 0;
    while (native.send(a, packet) === "sent") sent += 1;
    assert(sent > 10);
    native.close(b);
    const error = assertThrows(() => native.send(a, packet), NativeError);
    assertEquals(error.code, "ECONNRESET");
    native.close(a);
  }),
);

Deno.test(
  "a packet longer than any message is marked",
  withNative((native) => {
    const [a, b] = native.socketPair();
    native.send(a, new Uint8Array(constants.messageBytesMax + 1));
    const packet = native.receive(b)!;
    assertEquals([packet.truncated, packet.bytes.length], [true, constants.messageBytesMax]);
    for (const fd of [a, b]) native.close(fd);
  }),
);

Deno.test(
  "a wait ends when it is woken, and leaves the event loop alone meanwhile",
  withNative(async (native) => {
    const poller = native.createPoller();
    poller.armWaker(constants.pollIn, 9);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const waiting = poller.wait();
    await new Promise((resolve) => setTimeout(resolve, 20));
    clearInterval(timer);
    assert(turns > 0);
    poller.wake();
    const [ready, ...others] = await waiting;
    assertEquals([ready.kind, others.length], [9, 0]);
    poller.close();
  }),
);

Deno.test(
  "an arena has the size of its slots",
  withNative((native) => {
    const fd = native.createArena(64, 5n);
    assertEquals(assertThrows(() => native.createArena(65, 5n), NativeError).code, "EINVAL");
    native.close(fd);
  }),
);

Deno.test(
  "an end table is taken for what it is",
  withNative((native) => {
    const table = native.createMemory(constants.endTableBytes);
    native.checkEndTable(table, constants.endTableBytes);
    assertEquals(native.readTotals(table).closed_count, 0n);
    assertEquals([...native.readEnds(table)], []);
    const small = native.createMemory(4096n);
    const error = assertThrows(() => native.checkEndTable(small, constants.endTableBytes));
    assertEquals((error as NativeError).code, "EINVAL");
    for (const fd of [table, small]) native.close(fd);
  }),
);

Deno.test("a bundle finds the library beside itself first", () => {
  assertEquals(nativeLibraryCandidates("/opt/sd")[0], "/opt/sd/libsdffi.so");
});
