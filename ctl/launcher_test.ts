/**
 * The launcher and the commands that start things, with a real monitor on a private socket.
 *
 * The launcher is tested in this checkout, whose tools and native code are there already; set-up
 * from nothing needs the network and minutes.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { inspect } from "./executable.ts";
import { library, root } from "./paths.ts";
import { findProgram } from "./programs.ts";

const launcher = `${root}/socksdirect`;

interface Result {
  code: number;
  signal: Deno.Signal | null;
  stdout: string;
  stderr: string;
}

async function execute(
  command: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Promise<Result> {
  const [program, ...args] = command;
  const path = Deno.env.get("PATH") ?? "/usr/bin:/bin";
  const { code, signal, stdout, stderr } = await new Deno.Command(program, {
    args,
    clearEnv: true,
    env: { PATH: path, ...options.env },
    cwd: options.cwd,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, signal, stdout: text(stdout), stderr: text(stderr) };
}

/** The same, without the launcher. */
const direct = [Deno.execPath(), "run", "-A", `${root}/ctl/main.ts`];

/** A folder for a control socket; a monitor that was started there ends with it. */
class Place implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "launcher test " });
  readonly socket = `${this.folder}/control.sock`;
  readonly env = { SOCKSDIRECT_CTL_SOCKET: this.socket };

  async [Symbol.asyncDispose]() {
    await execute([...direct, "monitor", "--stop"], { env: this.env });
    Deno.removeSync(this.folder, { recursive: true });
  }
}

// What an edit since the last build needs happens here, so that the tests see only their own output.
Deno.test.beforeAll(async () => {
  const { code, stderr } = await execute([launcher, "run", "--help"]);
  assertEquals(code, 0, stderr);
});

Deno.test("the launcher is clean POSIX sh", async () => {
  const files = [launcher, `${root}/.ci/run`];
  for (const file of files) assertEquals((await execute(["sh", "-n", file])).code, 0);
});

const staticProgram = "/sbin/ldconfig";
Deno.test({
  name: "a static program runs, and SOCKSDIRECT_LOG has run say why it stays on kernel TCP",
  ignore: inspect(staticProgram)?.kind !== "static",
  fn: async () => {
    await using place = new Place();
    const command = [launcher, "run", "--", staticProgram, "--version"];
    const env = { ...place.env, SOCKSDIRECT_LOG: "warn" };
    const { code, stdout, stderr } = await execute(command, { env });
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^ldconfig/);
    assertStringIncludes(stderr, `'${staticProgram}' uses kernel TCP: statically linked`);
    assertEquals((await execute(command, { env: place.env })).stderr, "", "silent unless asked");
  },
});

Deno.test("a program of another architecture is not given this machine's library", async () => {
  await using place = new Place();
  const program = `${place.folder}/foreign`;
  const header = Deno.readFileSync("/bin/sh").slice(0, 4096);
  header[18] = Deno.build.arch === "x86_64" ? 183 : 62; // e_machine: the other one
  Deno.writeFileSync(program, header, { mode: 0o755 });
  const { code, stderr } = await execute([launcher, "run", "--", program], { env: place.env });
  assert(code !== 0, "a page of a program ran");
  assert(!stderr.includes(library), stderr);
});

const shellcheck = findProgram("shellcheck");
Deno.test(
  "shellcheck has nothing to say about it",
  { ignore: shellcheck === undefined },
  async () => {
    const files = ["socksdirect", ".ci/run"];
    const { stdout } = await execute([shellcheck!, "-x", ...files], { cwd: root });
    assertEquals(stdout, "");
  },
);

Deno.test("without arguments the launcher prints help", async () => {
  const { code, stdout } = await execute([launcher]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "usage: socksdirect COMMAND");
});

for (const [way, ctl] of [["the launcher", [launcher]], ["ctl itself", direct]] as const) {
  Deno.test(`run by ${way} starts a monitor, preloads, and ends as the program does`, async () => {
    await using place = new Place();
    const script = 'echo "$LD_PRELOAD|$SOCKSDIRECT_CTL_SOCKET|${DENO_DIR-unset}"; exit 42';
    const env = { ...place.env, LD_PRELOAD: "" };
    const { code, stdout, stderr } = await execute([...ctl, "run", "--", "sh", "-c", script], {
      env,
    });
    assertEquals([code, stderr], [42, ""]);
    assertEquals(stdout, `${library}|${place.socket}|unset\n`);
    const ping = await execute([launcher, "ping"], { env: place.env });
    assertEquals(ping.code, 0, ping.stderr);
  });

  Deno.test(`run by ${way} becomes the program: same pid, the caller's signals`, async () => {
    await using place = new Place();
    const look = "echo $$; grep SigIgn /proc/self/status";
    const script = `${look}; exec "$@" run -- sh -c '${look}; kill -TERM $$'`;
    const { signal, stdout } = await execute(["sh", "-c", script, "sh", ...ctl], {
      env: place.env,
    });
    const [[pid, ignored], [ownPid, ownIgnored]] = stdout.trim().split(/\n(?=\d+\n)/)
      .map((each) => each.split("\nSigIgn:\t"));
    assertEquals(ownPid, pid);
    // Above 31 are libc's own.
    assertEquals(parseInt(ownIgnored, 16) | 0, parseInt(ignored, 16) | 0);
    assertEquals(signal, "SIGTERM");
  });

  Deno.test(`run by ${way} leaves the caller's limit of open files alone`, async () => {
    await using place = new Place();
    const script = 'ulimit -Sn 777; "$@" run -- sh -c "ulimit -Sn"; true';
    const { stdout } = await execute(["sh", "-c", script, "sh", ...ctl], { env: place.env });
    assertEquals(stdout.trim(), "777");
  });

  Deno.test(`run by ${way} says 127 for a program that is not there, 126 for a folder`, async () => {
    await using place = new Place();
    const missing = await execute([...ctl, "run", "no-such-program-here"], { env: place.env });
    assertEquals(missing.code, 127);
    assertStringIncludes(missing.stderr, "no-such-program-here");
    assertEquals((await execute([...ctl, "run", "/usr"], { env: place.env })).code, 126);
  });

  Deno.test(`env by ${way} prints what run sets, ready for eval`, async () => {
    await using place = new Place();
    const { code, stdout, stderr } = await execute([...ctl, "env"], { env: place.env });
    assertEquals(code, 0);
    assertStringIncludes(stderr, `started a monitor at '${place.socket}'`);
    const show = 'eval "$1"; echo "$LD_PRELOAD"; echo "$SOCKSDIRECT_CTL_SOCKET"';
    const shown = await execute(["sh", "-c", show, "sh", stdout]);
    assertEquals(shown.stdout, `${library}\n${place.socket}\n`);
  });
}

Deno.test("an existing LD_PRELOAD stays in front, and ours is there once", async () => {
  await using place = new Place();
  const other = "libm.so.6";
  const env = { ...place.env, LD_PRELOAD: `${other}:${library}` };
  const wanted = `${other}:${library}`;
  const ran = await execute([launcher, "run", "sh", "-c", "echo $LD_PRELOAD"], { env });
  assertEquals(ran.stdout.trim(), wanted);
  const printed = await execute([launcher, "env"], { env });
  assertStringIncludes(printed.stdout, `LD_PRELOAD='${wanted}'`);
});

Deno.test("--control-socket goes before the environment, relative to the caller's folder", async () => {
  await using place = new Place();
  const env = { SOCKSDIRECT_CTL_SOCKET: "/nowhere/else.sock" };
  const script = "echo $SOCKSDIRECT_CTL_SOCKET";
  const command = [launcher, "run", "--control-socket", "control.sock", "--", "sh", "-c", script];
  const { stdout } = await execute(command, { env, cwd: place.folder });
  assertEquals(stdout.trim(), place.socket);
});

Deno.test("the launcher and ctl agree on the default socket", async () => {
  const env = { XDG_RUNTIME_DIR: "/nowhere/runtime" };
  const ping = await execute([...direct, "ping"], { env });
  const path = ping.stderr.match(/at '([^']+)'/)?.[1] ?? ping.stdout.match(/from '([^']+)'/)?.[1];
  const main = /^main "\$@"$/m;
  const functions = Deno.readTextFileSync(launcher).replace(main, "default_socket");
  const folder = Deno.makeTempDirSync();
  Deno.writeTextFileSync(`${folder}/launcher`, functions);
  assertEquals((await execute(["sh", `${folder}/launcher`], { env })).stdout.trim(), path);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a program runs over kernel TCP, and a line says so, when no monitor can start", async () => {
  const env = { SOCKSDIRECT_CTL_SOCKET: "/proc/nowhere/control.sock" };
  for (const ctl of [[launcher], direct]) {
    const { code, stdout, stderr } = await execute([...ctl, "run", "echo", "still works"], { env });
    assertEquals([code, stdout], [0, "still works\n"]);
    assertMatch(stderr, /going on without[^\n]*'echo' will use kernel TCP/);
  }
});

Deno.test("monitor --detach starts one monitor, however often; --stop ends it", async () => {
  await using place = new Place();
  const monitor = (option: string) => execute([launcher, "monitor", option], { env: place.env });
  const first = await monitor("--detach");
  assertEquals([first.code, first.stdout], [0, `started: ${place.socket}\n`], first.stderr);
  const pid = async () =>
    JSON.parse((await execute([launcher, "status", "--json"], { env: place.env })).stdout).pid;
  const before = await pid();
  assertEquals((await monitor("--detach")).stdout, `already running: ${place.socket}\n`);
  assertEquals(await pid(), before);
  assertEquals((await monitor("--stop")).code, 0);
  assertEquals((await execute([launcher, "ping"], { env: place.env })).code, 3);
  assertEquals((await monitor("--stop")).code, 3);
});

Deno.test("a detached monitor holds no pipe of its starter and has no preload", async () => {
  await using place = new Place();
  // Command substitution ends only when nobody holds the pipe any more.
  const script = 'out=$("$1" monitor --detach 3>&1); echo "$out"';
  const env = { ...place.env, LD_PRELOAD: library };
  const { stdout } = await execute(["sh", "-c", script, "sh", launcher], { env });
  assertStringIncludes(stdout, "started:");
  const status = await execute([launcher, "status", "--json"], { env: place.env });
  const { pid } = JSON.parse(status.stdout);
  assert(!Deno.readTextFileSync(`/proc/${pid}/environ`).includes("LD_PRELOAD"));
});

Deno.test("wrong use of run is ctl's to explain", async () => {
  const none = await execute([launcher, "run"]);
  assertEquals(none.code, 2);
  assertStringIncludes(none.stderr, "run: missing -- PROGRAM [ARG...]");
  const option = await execute([launcher, "run", "--contol-socket", "x", "ls"]);
  assertEquals(option.code, 2);
  assertStringIncludes(option.stderr, "did you mean '--control-socket'?");
});
