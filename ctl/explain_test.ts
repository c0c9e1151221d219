import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { Connection } from "./api.ts";
import { UsageError } from "./errors.ts";
import { endsOf, parseTarget } from "./explain.ts";
import { explanations } from "./explanations.ts";
import { ctl, FakeMonitor } from "./fake_monitor.ts";
import { root } from "./paths.ts";

const connection: Connection = {
  state: "plain",
  reason: "not_adopted",
  client: {
    pid: 10,
    program: "cli",
    fd: 3,
    address: "127.0.0.1",
    port: 40000,
    state: "plain",
    reason: "not_adopted",
  },
  server: null,
  carrier: { client_to_server: "tcp", server_to_client: "tcp" },
  bytes: { client_to_server: { ring: 0, tcp: 1 }, server_to_client: { ring: 0, tcp: 1 } },
  messages: { client_to_server: { ring: 0, tcp: 1 }, server_to_client: { ring: 0, tcp: 1 } },
  arena: null,
  slot: null,
  netns: "1",
};

Deno.test("every reason of the library has an explanation, and none is left over", () => {
  const source = Deno.readTextFileSync(`${root}/zig/src/reason.zig`);
  const names = [...source.matchAll(/^ {4}(\w+) = \d+,$/gm)].map(([, name]) => name);
  assertEquals(names.length > 20, true);
  assertEquals(Object.keys(explanations).toSorted(), names.toSorted());
});

Deno.test("a target is a pid, with or without an fd", () => {
  assertEquals(parseTarget("4711"), { pid: 4711 });
  assertEquals(parseTarget("4711:12"), { pid: 4711, fd: 12 });
  for (const wrong of ["", "x", "0", "12:", ":3", "1:2:3", "-4"]) {
    assertThrows(() => parseTarget(wrong), UsageError, "is not PID or PID:FD");
  }
});

Deno.test("a process that is both ends of a connection has both explained", () => {
  const server = { ...connection.client!, fd: 9 };
  const both = { ...connection, server };
  assertEquals(endsOf(both, { pid: 10 }).map(({ role }) => role), ["client", "server"]);
  assertEquals(endsOf(both, { pid: 10, fd: 9 }).map(({ role }) => role), ["server"]);
  assertEquals(endsOf(both, { pid: 11 }), []);
});

Deno.test("explain says why and what to do", async () => {
  await using monitor = new FakeMonitor({ "/v1/connections": [connection] });
  const { code, stdout } = await ctl("explain", "10:3", "--control-socket", monitor.socket);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "10 cli fd 3 127.0.0.1:40000, client of an unknown process");
  assertStringIncludes(stdout, `not_adopted: ${explanations.not_adopted.why}`);
  assertStringIncludes(stdout, explanations.not_adopted.todo!);
  const shown = await ctl("explain", "10", "--json", "--control-socket", monitor.socket);
  assertEquals(JSON.parse(shown.stdout)[0].todo, explanations.not_adopted.todo);
});

Deno.test("a reason that this version does not know is still shown", async () => {
  const client = { ...connection.client!, reason: "moon_phase" };
  await using monitor = new FakeMonitor({ "/v1/connections": [{ ...connection, client }] });
  const { stdout } = await ctl("explain", "10", "--control-socket", monitor.socket);
  assertStringIncludes(stdout, "does not know the reason 'moon_phase'");
});

Deno.test("a process without the library is told to be restarted with it", async () => {
  await using monitor = new FakeMonitor({ "/v1/connections": [], "/v1/processes": [] });
  const socket = ["--control-socket", monitor.socket];
  const { code, stderr } = await ctl("explain", `${Deno.pid}`, ...socket);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "runs without the library; restart it as 'socksdirect run");
  const gone = await ctl("explain", "2147483647", ...socket);
  assertEquals(gone.stderr, "socksdirect: there is no process 2147483647");
});

Deno.test("a registered process without connections is said to be so", async () => {
  const processes = [{ pid: 10, program: "cli", uid: 0, listeners: 0, connections: 0 }];
  await using monitor = new FakeMonitor({ "/v1/connections": [], "/v1/processes": processes });
  const { stderr } = await ctl("explain", "10:5", "--control-socket", monitor.socket);
  assertStringIncludes(stderr, "process 10 (cli) is registered, but has no tracked TCP connection");
});
