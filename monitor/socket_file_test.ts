import { assert, assertEquals, assertThrows } from "@std/assert";
import { claimSocket, defaultControlSocket, prepareDirectory, SetupError } from "./socket_file.ts";

function inTempDir(test: (directory: string) => void): void {
  const directory = Deno.makeTempDirSync({ prefix: "sd-socket-file-" });
  try {
    test(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function inputs(uid: number, env: Record<string, string> = {}) {
  return { uid, env: (name: string) => env[name] };
}

Deno.test("root serves the system, others themselves, and the environment decides first", () => {
  assertEquals(defaultControlSocket(inputs(0)), "/run/socksdirect/control.sock");
  const runtime = { XDG_RUNTIME_DIR: "/run/user/7" };
  assertEquals(defaultControlSocket(inputs(7, runtime)), "/run/user/7/socksdirect/control.sock");
  assertEquals(defaultControlSocket(inputs(7)), "/tmp/socksdirect-7/control.sock");
  assertEquals(defaultControlSocket(inputs(7, { SOCKSDIRECT_CTL_SOCKET: "/a" })), "/a");
});

Deno.test("root's directory is open to look into, a user's is private", () => {
  inTempDir((directory) => {
    const uid = Deno.uid()!;
    prepareDirectory(`${directory}/d`, uid);
    const expected = uid === 0 ? 0o755 : 0o700;
    assertEquals(Deno.statSync(`${directory}/d`).mode! & 0o777, expected);
    prepareDirectory(`${directory}/d`, uid);
  });
});

Deno.test("a directory that others own or may write to is refused", () => {
  inTempDir((directory) => {
    const uid = Deno.uid()!;
    const path = `${directory}/d`;
    Deno.mkdirSync(path);
    assertThrows(() => prepareDirectory(path, uid + 1), SetupError, "belongs to uid");
    Deno.chmodSync(path, 0o777);
    assertThrows(() => prepareDirectory(path, uid), SetupError, "chmod");
    Deno.symlinkSync("/tmp", `${directory}/link`);
    assertThrows(() => prepareDirectory(`${directory}/link`, uid), SetupError, "no directory");
    assertThrows(() => prepareDirectory("/nowhere/d", uid), SetupError, '"/nowhere/d"');
  });
});

Deno.test("a path can be claimed once, and again after it was released", () => {
  inTempDir((directory) => {
    const path = `${directory}/s`;
    const claim = claimSocket(path);
    const error = assertThrows(() => claimSocket(path), SetupError, "already serves");
    assert(error.message.includes(`pid ${Deno.pid}`), error.message);
    claim.release([]);
    claimSocket(path).release([]);
    assertEquals([...Deno.readDirSync(directory)].length, 0);
  });
});

Deno.test("a dead monitor's socket is replaced", () => {
  inTempDir((directory) => {
    const path = `${directory}/s`;
    Deno.listen({ transport: "unix", path }).close();
    // Deno removes it when it closes; a killed monitor would have left it.
    new Deno.Command("python3", {
      args: ["-c", `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(path)})`],
    }).outputSync();
    assert(Deno.lstatSync(path).isSocket);
    const claim = claimSocket(path);
    assertThrows(() => Deno.lstatSync(path), Deno.errors.NotFound);
    claim.release([]);
  });
});

Deno.test("a file that is no socket is never removed", () => {
  inTempDir((directory) => {
    const path = `${directory}/precious`;
    Deno.writeTextFileSync(path, "data");
    assertThrows(() => claimSocket(path), SetupError, "no socket");
    assertEquals(Deno.readTextFileSync(path), "data");
  });
});

Deno.test("a missing directory is named", () => {
  assertThrows(() => claimSocket("/nowhere/at/all/s"), SetupError, '"/nowhere/at/all"');
});
