import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Connection, Process, Status } from "./api.ts";
import { addressText, directionText } from "./connections.ts";
import { ctl, FakeMonitor } from "./fake_monitor.ts";
import { samplesOf } from "./metrics.ts";

const status: Status = {
  pid: 4242,
  uptime_sec: 192.4,
  control_socket: "/run/x.sock",
  draining: true,
  processes: 2,
  connections: 5,
  version: "0.1.0",
};

const end = { address: "127.0.0.1", state: "attached", reason: "none" };

const connection: Connection = {
  state: "attached",
  reason: "none",
  client: { ...end, pid: 10, program: "cli", fd: 3, port: 40000 },
  server: { ...end, pid: 20, program: "srv", fd: 7, port: 7000 },
  carrier: { client_to_server: "ring", server_to_client: "tcp" },
  bytes: { client_to_server: { ring: 2048, tcp: 28 }, server_to_client: { ring: 0, tcp: 9 } },
  messages: { client_to_server: { ring: 16, tcp: 1 }, server_to_client: { ring: 0, tcp: 3 } },
  arena: "1",
  slot: 0,
  netns: "1",
};

const counters = { ring_bytes: 0, ring_messages: 0, tcp_bytes: 0, tcp_messages: 0 };

const process: Process = {
  pid: 10,
  program: "cli\x1b[2J",
  uid: 1000,
  index: 0,
  listeners: 0,
  connections: 1,
  tx: counters,
  rx: counters,
  accelerated_count: 0,
  closed_count: 0,
  offers_made: 0,
  offers_adopted: 0,
  moves_to_ring: 0,
  moves_to_tcp: 0,
  sleeps: 0,
  wakeups_sent: 0,
  guard_verdicts: 0,
  crowded: 0,
  signals_deferred: 0,
  closed_by_reason: {},
};

const json = (text: string) => JSON.parse(text);

Deno.test("status shows the fields of the API by their names", async () => {
  await using monitor = new FakeMonitor({ "/v1/status": status });
  const { code, stdout } = await ctl("status", "--control-socket", monitor.socket);
  assertEquals(code, 0);
  for (
    const name of [
      "pid             4242",
      "uptime_sec      192 (3 min 12 s)",
      "draining        yes",
    ]
  ) {
    assertStringIncludes(stdout, name);
  }
  const shown = await ctl("status", "--json", "--control-socket", monitor.socket);
  assertEquals(json(shown.stdout), status);
});

Deno.test("connections show both programs, addresses, carriers, bytes and messages", async () => {
  await using monitor = new FakeMonitor({ "/v1/connections": [connection] });
  const { stdout } = await ctl("connections", "--control-socket", monitor.socket);
  for (
    const text of [
      "10 cli fd 3",
      "127.0.0.1:40000",
      "20 srv fd 7",
      "127.0.0.1:7000",
      "> ring 2.00 KiB (16)",
      "  tcp  28 B (1)",
      "> tcp  9 B (3)",
    ]
  ) assertStringIncludes(stdout, text);
});

Deno.test("connections of one process are asked for by its pid", async () => {
  await using monitor = new FakeMonitor({ "/v1/connections": [] });
  const { stdout } = await ctl("connections", "--pid", "77", "--control-socket", monitor.socket);
  assertEquals(monitor.requests.map(({ path }) => path), ["/v1/connections?pid=77"]);
  assertEquals(stdout, "no connection is tracked");
});

Deno.test("ends with different reasons show both, a missing end shows a dash", async () => {
  const server = { ...connection.server!, reason: "policy" };
  const lonely = { ...connection, client: null, reason: "not_adopted" };
  await using monitor = new FakeMonitor({ "/v1/connections": [{ ...connection, server }, lonely] });
  const { stdout } = await ctl("connections", "--control-socket", monitor.socket);
  assertStringIncludes(stdout, "policy");
  assertStringIncludes(stdout, "attached  -");
});

Deno.test("IPv6 addresses are bracketed", () => {
  assertEquals(addressText("::1", 80), "[::1]:80");
  assertEquals(addressText("127.0.0.1", 80), "127.0.0.1:80");
});

Deno.test("exactly one carrier of a direction is marked", () => {
  assertEquals(directionText(connection, "server_to_client"), "  ring 0 B (0)\n> tcp  9 B (3)");
});

Deno.test("processes list who registered, with names that cannot command the terminal", async () => {
  await using monitor = new FakeMonitor({ "/v1/processes": [process] });
  const text = await ctl("processes", "--control-socket", monitor.socket);
  assertStringIncludes(text.stdout, " 10  cli?[2J  1000");
  const shown = await ctl("processes", "--json", "--control-socket", monitor.socket);
  assertEquals(json(shown.stdout), [process]);
});

Deno.test("metrics pass through as they are, and become samples with --json", async () => {
  const text = '# TYPE a counter\na{x="1"} 5\n';
  await using monitor = new FakeMonitor({ "/metrics": text });
  assertEquals((await ctl("metrics", "--control-socket", monitor.socket)).stdout, text.trimEnd());
  const shown = await ctl("metrics", "--json", "--control-socket", monitor.socket);
  assertEquals(json(shown.stdout), [{ name: "a", labels: { x: "1" }, value: 5 }]);
});

Deno.test("label values are unescaped, and values that JSON cannot hold stay words", () => {
  assertEquals(samplesOf('n{p="a\\"b\\\\c\\nd"} +Inf\n\n'), [
    { name: "n", labels: { p: 'a"b\\c\nd' }, value: "+Inf" },
  ]);
});

Deno.test("ping posts once and says how long it took", async () => {
  await using monitor = new FakeMonitor({ "/v1/ping": {} });
  const { code, stdout } = await ctl("ping", "--json", "--control-socket", monitor.socket);
  assertEquals(code, 0);
  assertEquals(monitor.requests, [{ method: "POST", path: "/v1/ping", body: undefined }]);
  assertEquals(json(stdout).ok, true);
});

Deno.test("drain is on by default and off when told", async () => {
  await using monitor = new FakeMonitor({ "/v1/drain": {} });
  await ctl("drain", "--control-socket", monitor.socket);
  await ctl("drain", "off", "--control-socket", monitor.socket);
  assertEquals(monitor.requests.map(({ body }) => body), [{ on: true }, { on: false }]);
});

Deno.test("without a monitor every listing says so in one line and ends with 3", async () => {
  for (const name of ["status", "processes", "connections", "metrics", "ping", "drain"]) {
    const { code, stdout, stderr } = await ctl(name, "--control-socket", "/nowhere/c.sock");
    assertEquals([name, code, stdout], [name, 3, ""]);
    assertEquals(stderr.split("\n").length, 1);
    assertStringIncludes(stderr, "no monitor answers at '/nowhere/c.sock'");
  }
});
