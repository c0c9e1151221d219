import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Carrier, EndState, Reason, Role } from "../ffi/layout.gen.ts";
import type { Endpoint } from "../ffi/registry.ts";
import type { ConnectionReport } from "./connections.ts";
import type { FakeLibrary } from "./fake_library.ts";
import type { ProcessReport, TotalsReport } from "./report.ts";
import { TestServer } from "./test_server.ts";

async function call(path: string, target: string, init: RequestInit = {}): Promise<Response> {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  try {
    const response = await fetch(`http://monitor${target}`, { ...init, client });
    const body = await response.arrayBuffer();
    return new Response(body, { status: response.status, headers: response.headers });
  } finally {
    client.close();
  }
}

async function get<T>(test: TestServer, target: string): Promise<T> {
  const response = await call(`${test.path}.http`, target);
  assertEquals(response.status, 200, await response.clone().text());
  return await response.json();
}

function post(test: TestServer, target: string, body?: string): Promise<Response> {
  return call(`${test.path}.http`, target, { method: "POST", body });
}

function loopback(port: number): Endpoint {
  const address = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1]);
  return { address, port, family: 4, scope: 0 };
}

/** Writes one end of a connection into a library's end table, as libsd would. */
function writeEnd(library: FakeLibrary, role: number, ring: bigint, tcp: bigint): void {
  const isClient = role === Role.client;
  const counters = { ring_bytes: ring, ring_messages: 2n, tcp_bytes: tcp, tcp_messages: 1n };
  library.writeTableHeader({ used: 1 });
  library.writeEnd(0, {
    state: EndState.attached,
    role,
    fd: 9,
    netns: 4n,
    local: loopback(isClient ? 40000 : 80),
    peer: loopback(isClient ? 80 : 40000),
    arena_id: 0xabn,
    slot: 6,
    tx: { ...txEnd, ...counters, carrier: Carrier.ring },
    rx: { ...rxEnd, ...counters, carrier: Carrier.tcp },
  });
}

const noCounters = { ring_bytes: 0n, ring_messages: 0n, tcp_bytes: 0n, tcp_messages: 0n };
const rang = [0n, 0n, 0n, 0n];
const txEnd = {
  lock: 0n,
  carrier: 0,
  high_water: 0,
  carried: 0n,
  entered: 0n,
  cached_tail: 0n,
  populated: 0,
  flags: 0,
  ...noCounters,
  rang,
};
const rxEnd = {
  lock: 0n,
  carrier: 0,
  flags: 0,
  position: 0n,
  carried: 0n,
  entered: 0n,
  seen_head: 0n,
  seen_base: 0n,
  seen_mask: 0n,
  ...noCounters,
  rang,
};

Deno.test("status tells what is running and how much of it", async () => {
  await using test = new TestServer();
  test.api();
  await test.worker();
  const status = await get<Record<string, unknown>>(test, "/v1/status");
  assertEquals(status.pid, Deno.pid);
  assertEquals(status.control_socket, test.path);
  assertEquals([status.processes, status.connections, status.draining], [1, 0, false]);
  assert(typeof status.uptime_sec === "number" && status.uptime_sec >= 0);
  assertMatch(String(status.version), /^\d+\.\d+\.\d+$/);
});

Deno.test("both ends of a connection are shown as one", async () => {
  await using test = new TestServer();
  test.api();
  writeEnd(await test.process(), Role.client, 1000n, 5n);
  writeEnd(await test.process(), Role.server, 200n, 3n);
  const [connection, ...others] = await get<ConnectionReport[]>(test, "/v1/connections");
  assertEquals(others, []);
  assertEquals(connection.state, "attached");
  assertEquals(connection.reason, "none");
  assertEquals([connection.client!.fd, connection.client!.port], [9, 40000]);
  assertEquals([connection.server!.address, connection.server!.port], ["127.0.0.1", 80]);
  assertEquals(connection.client!.pid, Deno.pid);
  assertEquals(connection.bytes, {
    client_to_server: { ring: 1000, tcp: 5 },
    server_to_client: { ring: 200, tcp: 3 },
  });
  assertEquals(connection.carrier, { client_to_server: "ring", server_to_client: "ring" });
  assertEquals([connection.arena, connection.slot], ["0xab", 6]);
});

Deno.test("connections can be asked for by pid", async () => {
  await using test = new TestServer();
  test.api();
  writeEnd(await test.process(), Role.client, 1n, 1n);
  const mine = await get<ConnectionReport[]>(test, `/v1/connections?pid=${Deno.pid}`);
  assertEquals(mine.length, 1);
  assertEquals(await get(test, "/v1/connections?pid=1"), []);
  const wrong = await call(`${test.path}.http`, "/v1/connections?pid=me");
  assertEquals(wrong.status, 400);
  assertStringIncludes((await wrong.json()).error, '"me"');
});

Deno.test("processes are listed with what they do", async () => {
  await using test = new TestServer();
  test.api();
  const { library } = await test.worker();
  writeEnd(library, Role.server, 50n, 1n);
  const [process] = await get<ProcessReport[]>(test, "/v1/processes");
  assertEquals([process.pid, process.uid, process.index], [Deno.pid, Deno.uid()!, 0]);
  assertEquals([process.listeners, process.connections], [1, 1]);
  assertEquals(process.tx.ring_bytes, 50);
  assert(process.program.length > 0);
});

Deno.test("totals are live, closed and dead connections together", async () => {
  await using test = new TestServer();
  test.api();
  const library = await test.process();
  writeEnd(library, Role.client, 100n, 1n);
  const closedByReason = Array.from({ length: 64 }, () => 0n);
  closedByReason[Reason.not_adopted] = 3n;
  library.writeTableHeader({
    used: 1,
    closed_tx: { ...noCounters, ring_bytes: 1000n },
    accelerated_count: 2n,
    closed_by_reason: closedByReason,
  });
  const before = await get<TotalsReport>(test, "/v1/totals");
  assertEquals([before.tx.ring_bytes, before.tx.tcp_bytes], [1100, 1]);
  assertEquals(before.closed_by_reason, { not_adopted: 3 });
  assertEquals(before.accelerated_count, 2);
  assertEquals(before.processes.map(({ pid, totals }) => [pid, totals.tx.ring_bytes]), [
    [Deno.pid, 1100],
  ]);
  test.end(library);
  await test.until("it is gone", () => test.server.state.clients.size === 0);
  const after = await get<TotalsReport>(test, "/v1/totals");
  assertEquals(after.tx, before.tx);
  assertEquals(after.closed_by_reason, before.closed_by_reason);
  assertEquals(after.processes, []);
  assertEquals(after.dead.map(({ pid, totals }) => [pid, totals.tx.ring_bytes]), [
    [Deno.pid, 1100],
  ]);
});

Deno.test("an end table full of nonsense is shown and hurts nobody", async () => {
  await using test = new TestServer();
  test.api();
  const library = await test.process();
  library.writeTableHeader({ used: 0xffff_ffff, closed_count: 2n ** 64n - 1n });
  for (let index = 0; index < 100; index++) {
    library.writeEnd(index, { state: 4_000_000, role: 99, reason: 70_000, fd: -1 });
  }
  const connections = await get<ConnectionReport[]>(test, "/v1/connections");
  assertEquals(connections.length, 100);
  assertEquals(connections[0].state, "unknown");
  assertEquals((await get<unknown[]>(test, "/v1/processes")).length, 1);
});

Deno.test("pings of libraries and HTTP requests are counted", async () => {
  await using test = new TestServer();
  test.api();
  await test.library().ping();
  await post(test, "/v1/ping");
  const text = await (await call(`${test.path}.http`, "/metrics")).text();
  assertStringIncludes(text, "\nsocksdirect_ctl_requests_total 3\n");
});

Deno.test("drain is switched on and off", async () => {
  await using test = new TestServer();
  test.api();
  assertEquals((await post(test, "/v1/drain", '{"on":true}')).status, 200);
  assertEquals((await get<{ draining: boolean }>(test, "/v1/status")).draining, true);
  await post(test, "/v1/drain", '{"on":false}');
  assertEquals(test.server.state.draining, false);
  const wrong = await post(test, "/v1/drain", "yes");
  assertEquals(wrong.status, 400);
  assertStringIncludes((await wrong.json()).error, '{"on": true}');
});

Deno.test("shutdown is answered, then done", async () => {
  await using test = new TestServer();
  const stopped: string[] = [];
  test.api({ stop: (why) => stopped.push(why) });
  assertEquals((await post(test, "/v1/shutdown")).status, 200);
  await test.until("it stops", () => stopped.length === 1);
});

Deno.test("an unknown request is told what there is", async () => {
  await using test = new TestServer();
  test.api();
  const response = await call(`${test.path}.http`, "/v1/nothing");
  assertEquals(response.status, 404);
  assertStringIncludes((await response.json()).error, "GET /v1/status");
});

Deno.test("a user's own monitor is for that user alone", async () => {
  await using test = new TestServer();
  const { paths } = test.api();
  assertEquals(paths, [`${test.path}.http`]);
  assertEquals(Deno.statSync(paths[0]).mode! & 0o777, 0o600);
});

Deno.test("everybody may look at the system's monitor, and root alone may change it", async () => {
  await using test = new TestServer();
  const { paths } = test.api({ open: true });
  const modes = paths.map((path) => Deno.statSync(path).mode! & 0o777);
  assertEquals(modes, [0o666, 0o600]);
  const refused = await post(test, "/v1/drain", '{"on":true}');
  assertEquals(refused.status, 403);
  assertStringIncludes((await refused.json()).error, `${test.path}.admin`);
  const body = '{"on":true}';
  const done = await call(`${test.path}.admin`, "/v1/drain", { method: "POST", body });
  assertEquals([done.status, test.server.state.draining], [200, true]);
});
