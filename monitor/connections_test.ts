import { assertEquals } from "@std/assert";
import { Carrier, EndState, Reason, Role } from "../ffi/layout.gen.ts";
import type { EndRecord } from "../ffi/native.ts";
import type { Endpoint } from "../ffi/registry.ts";
import { ConnectionJoiner, type ConnectionReport, type OwnedEnd } from "./connections.ts";

function joinEnds(ends: OwnedEnd[]): ConnectionReport[] {
  const joiner = new ConnectionJoiner();
  for (const owned of ends) joiner.add(owned);
  const reports = [...joiner.reports()];
  assertEquals(joiner.count, reports.length);
  return reports;
}

function at(port: number, lastByte = 1): Endpoint {
  const address = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, lastByte]);
  return { address, port, family: 4, scope: 0 };
}

const none = { ring_bytes: 0n, ring_messages: 0n, tcp_bytes: 0n, tcp_messages: 0n };

function end(role: number, local: Endpoint, peer: Endpoint, more: Partial<EndRecord> = {}) {
  const record: EndRecord = {
    state: EndState.attached,
    reason: Reason.none,
    role,
    fd: 5,
    pid: 0,
    holders: 1,
    tx_carrier: Carrier.ring,
    rx_carrier: Carrier.ring,
    arena_id: 0x10n,
    slot: 3,
    generation: 1,
    netns: 1n,
    cookie: 9n,
    opened_ns: 0n,
    local,
    peer,
    tx: { ...none },
    rx: { ...none },
    ...more,
  };
  return record;
}

function client(more: Partial<EndRecord> = {}, port = 40000): OwnedEnd {
  return { pid: 10, program: "cli", end: end(Role.client, at(port), at(80), more) };
}

function server(more: Partial<EndRecord> = {}, port = 40000): OwnedEnd {
  return { pid: 20, program: "srv", end: end(Role.server, at(80), at(port), more) };
}

Deno.test("two ends with the same addresses are one connection", () => {
  const [connection, ...others] = joinEnds([server(), client()]);
  assertEquals(others, []);
  assertEquals(connection.client!.pid, 10);
  assertEquals(connection.server!.pid, 20);
  assertEquals([connection.client!.address, connection.client!.port], ["127.0.0.1", 40000]);
  assertEquals([connection.server!.address, connection.server!.port], ["127.0.0.1", 80]);
  assertEquals([connection.arena, connection.slot], ["0x10", 3]);
});

Deno.test("an end whose peer has no library stands alone", () => {
  const plain = { state: EndState.plain, reason: Reason.not_adopted, arena_id: 0n };
  const [connection] = joinEnds([client(plain)]);
  assertEquals(connection.server, null);
  assertEquals([connection.state, connection.reason], ["plain", "not_adopted"]);
  assertEquals([connection.arena, connection.slot], [null, null]);
});

Deno.test("the same addresses in another network namespace are another connection", () => {
  assertEquals(joinEnds([client(), server({ netns: 2n })]).length, 2);
});

Deno.test("other ports are other connections", () => {
  assertEquals(joinEnds([client(), server({}, 40001), client({}, 40001)]).length, 2);
});

Deno.test("each direction is what its sender says", () => {
  const [connection] = joinEnds([
    client({ tx: { ...none, ring_bytes: 100n, ring_messages: 2n }, rx_carrier: Carrier.tcp }),
    server({ tx: { ...none, tcp_bytes: 7n, tcp_messages: 1n }, tx_carrier: Carrier.tcp }),
  ]);
  assertEquals(connection.carrier, { client_to_server: "ring", server_to_client: "tcp" });
  assertEquals(connection.bytes, {
    client_to_server: { ring: 100, tcp: 0 },
    server_to_client: { ring: 0, tcp: 7 },
  });
  assertEquals(connection.messages.client_to_server, { ring: 2, tcp: 0 });
});

Deno.test("where the sender is unknown the receiver's count is shown", () => {
  const [connection] = joinEnds([server({ rx: { ...none, tcp_bytes: 12n } })]);
  assertEquals(connection.bytes.client_to_server, { ring: 0, tcp: 12 });
});

Deno.test("a connection is as far as the end that is behind, which knows why", () => {
  const [connection] = joinEnds([
    client({ state: EndState.offered, reason: Reason.offered }),
    server({ state: EndState.undecided, reason: Reason.undecided }),
  ]);
  assertEquals([connection.state, connection.reason], ["undecided", "undecided"]);
  assertEquals(connection.client!.reason, "offered");
});

Deno.test("two processes that track one end have a row each", () => {
  const sibling = { ...server(), pid: 21 };
  const rows = joinEnds([client(), server(), sibling]);
  assertEquals(rows.map((row) => [row.client?.pid ?? 0, row.server!.pid]), [[10, 20], [0, 21]]);
});

Deno.test("numbers that no library writes are shown as unknown", () => {
  const strange = { state: 77, reason: 9999, tx_carrier: 5, role: 1234 };
  const [connection] = joinEnds([client(strange)]);
  assertEquals(connection.state, "unknown");
  assertEquals(connection.reason, "unknown_9999");
});
