/** The program as a whole: started, signalled, killed, started again. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { nativeLibraryPath } from "../ffi/locate.ts";
import { openNative } from "../ffi/native.ts";
import { FakeLibrary } from "./fake_library.ts";

const program = new URL("main.ts", import.meta.url).pathname;

class Place implements Disposable {
  readonly directory: string = Deno.makeTempDirSync({ prefix: "sd-main-test-" });
  readonly path: string = `${this.directory}/control.sock`;

  files(): string[] {
    return [...Deno.readDirSync(this.directory)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** `prefix`: a command that runs the rest of its arguments. */
function command(
  args: string[],
  env: Record<string, string> = {},
  prefix: string[] = [],
): Deno.Command {
  const [first, ...rest] = [...prefix, Deno.execPath(), "run", "--quiet", "-A", program, ...args];
  return new Deno.Command(first, {
    args: rest,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** A running monitor, answering. */
async function start(place: Place, prefix: string[] = []): Promise<Deno.ChildProcess> {
  const child = command(["--control-socket", place.path], {}, prefix).spawn();
  try {
    await answering(place);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return child;
}

/** Waits until the monitor answers. */
async function answering(place: Place): Promise<void> {
  const deadlineMs = Date.now() + 20_000;
  using native = openNative(nativeLibraryPath());
  while (Date.now() < deadlineMs) {
    try {
      using library = new FakeLibrary(native, place.path);
      await library.ping();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  throw new Error(`no monitor answers at "${place.path}" within 20 s`);
}

async function end(child: Deno.ChildProcess, signal: Deno.Signal = "SIGTERM") {
  child.kill(signal);
  const { code, stderr } = await child.output();
  return { code, said: new TextDecoder().decode(stderr) };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} ends it with 0 and leaves no file`, async () => {
    using place = new Place();
    const child = await start(place);
    assert(place.files().includes("control.sock.http"));
    const { code, said } = await end(child, signal);
    assertEquals(code, 0, said);
    assertEquals(place.files(), []);
  });
}

Deno.test("a request over HTTP ends it with 0 and leaves no file", async () => {
  using place = new Place();
  const child = await start(place);
  const client = Deno.createHttpClient({
    proxy: { transport: "unix", path: `${place.path}.http` },
  });
  const response = await fetch("http://monitor/v1/shutdown", { method: "POST", client });
  assertEquals(await response.json(), { ending: true });
  client.close();
  const { code } = await child.output();
  assertEquals(code, 0);
  assertEquals(place.files(), []);
});

Deno.test("a second monitor on a live socket says so and exits with 1", async () => {
  using place = new Place();
  const child = await start(place);
  const { code, stderr, stdout } = await command(["--control-socket", place.path]).output();
  const said = new TextDecoder().decode(stderr);
  assertEquals([code, stdout.length, said.trimEnd().split("\n").length], [1, 0, 1], said);
  assertStringIncludes(said, `a monitor (pid ${child.pid}) already serves "${place.path}"`);
  await end(child);
});

Deno.test("after SIGKILL another one serves at the same path", async () => {
  using place = new Place();
  await end(await start(place), "SIGKILL");
  assert(place.files().includes("control.sock"));
  const { code } = await end(await start(place));
  assertEquals(code, 0);
  assertEquals(place.files(), []);
});

Deno.test("processes see the end and register with the next one", async () => {
  using place = new Place();
  using native = openNative(nativeLibraryPath());
  const first = await start(place);
  using before = new FakeLibrary(native, place.path);
  const { generation } = (await before.hello()).body;
  await end(first, "SIGKILL");
  assertEquals(await before.next(), null);
  const second = await start(place);
  using after = new FakeLibrary(native, place.path);
  assert((await after.hello()).body.generation !== generation);
  await end(second);
});

Deno.test("out of descriptors it turns newcomers away, and serves again when there is room", async () => {
  using place = new Place();
  using native = openNative(nativeLibraryPath());
  const child = await start(place, ["sh", "-c", 'ulimit -n 60 && exec "$@"', "sh"]);
  const crowd = Array.from({ length: 60 }, () => new FakeLibrary(native, place.path));
  const answers = await Promise.all(
    crowd.map((library) => library.ping().then(() => "pong", () => "turned away")),
  );
  assert(answers.includes("pong") && answers.includes("turned away"), answers.join());
  for (const library of crowd) library[Symbol.dispose]();
  await answering(place);
  const { code, said } = await end(child);
  assertEquals(code, 0);
  assertStringIncludes(said, "out of descriptors");
});

Deno.test("wrong use exits with 2 and one line", async () => {
  const { code, stderr } = await command(["--contol-socket", "/x"]).output();
  const said = new TextDecoder().decode(stderr);
  assertEquals(code, 2);
  assertEquals(said.trimEnd().split("\n").length, 1, said);
  assertStringIncludes(said, '"--contol-socket"');
});

Deno.test("a native library that is not there is named, with what to do", async () => {
  using place = new Place();
  const env = { SOCKSDIRECT_FFI: `${place.directory}/missing.so` };
  const { code, stderr } = await command(["--control-socket", place.path], env).output();
  const said = new TextDecoder().decode(stderr);
  assertEquals(code, 1);
  assertStringIncludes(said, "missing.so");
  assertStringIncludes(said, "deno task build");
});

Deno.test("help goes to stdout", async () => {
  const { code, stdout, stderr } = await command(["--help"]).output();
  assertEquals([code, stderr.length], [0, 0]);
  assertStringIncludes(new TextDecoder().decode(stdout), "--control-socket PATH");
});

Deno.test("an idle monitor uses no CPU", async () => {
  using place = new Place();
  const child = await start(place);
  // What it does at its start (compiling, a first garbage collection) is over by then.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const before = cpuTicks(child.pid);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const used = cpuTicks(child.pid) - before;
  await end(child);
  // A tick is 10 ms; a garbage collection may fall into the two seconds.
  assert(used <= 4, `${used} ticks in 2 s`);
});

function cpuTicks(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
