/**
 * Connections as the HTTP interface shows them: each process's end table has its own end, and two
 * ends of one network namespace with the same addresses, one as client and one as server, are one
 * connection. Ends come from memory that their owner can write, so every number may be anything.
 */

import { Carrier, EndState, Reason, Role } from "../ffi/layout.gen.ts";
import type { EndRecord } from "../ffi/native.ts";
import type { Endpoint } from "../ffi/registry.ts";
import { formatAddress } from "./address.ts";

export interface OwnedEnd {
  pid: number;
  program: string;
  end: EndRecord;
}

export interface EndReport {
  pid: number;
  program: string;
  fd: number;
  address: string;
  port: number;
  state: string;
  reason: string;
}

interface ByCarrier {
  ring: number;
  tcp: number;
}

interface ByDirection<T> {
  client_to_server: T;
  server_to_client: T;
}

export interface ConnectionReport {
  state: string;
  reason: string;
  client: EndReport | null;
  server: EndReport | null;
  carrier: ByDirection<string>;
  bytes: ByDirection<ByCarrier>;
  messages: ByDirection<ByCarrier>;
  /** Hexadecimal; null while it has none. */
  arena: string | null;
  slot: number | null;
  netns: string;
}

interface Pair {
  client?: OwnedEnd;
  server?: OwnedEnd;
}

const reasonNames = namesOf(Reason);
const stateNames = namesOf(EndState);
const carrierNames = namesOf(Carrier);

function namesOf(numbers: Record<string, number>): Map<number, string> {
  return new Map(Object.entries(numbers).map(([name, number]) => [number, name]));
}

export function reasonName(number: number): string {
  return reasonNames.get(number) ?? `unknown_${number}`;
}

/** Joins ends to connections, in the order in which they are met first. */
export class ConnectionJoiner {
  readonly #pairs: Pair[] = [];
  readonly #byKey = new Map<string, Pair[]>();

  add(owned: OwnedEnd): void {
    const key = keyOf(owned.end);
    const known = this.#byKey.get(key);
    const side = owned.end.role === Role.client ? "client" : "server";
    // A forked sibling may track the same end: then it has a row of its own.
    const free = known?.find((pair) => !pair[side]);
    if (free) {
      free[side] = owned;
      return;
    }
    const pair = { [side]: owned };
    this.#pairs.push(pair);
    if (known) known.push(pair);
    else this.#byKey.set(key, [pair]);
  }

  get count(): number {
    return this.#pairs.length;
  }

  *reports(): Generator<ConnectionReport> {
    for (const pair of this.#pairs) yield report(pair);
  }
}

function keyOf(end: EndRecord): string {
  const isClient = end.role === Role.client;
  const client = isClient ? end.local : end.peer;
  const server = isClient ? end.peer : end.local;
  return [end.netns, endpointKey(client), endpointKey(server)].join("|");
}

function endpointKey(endpoint: Endpoint): string {
  const bytes = endpoint.address as unknown as number[];
  return `${String.fromCharCode.apply(null, bytes)}/${endpoint.port}`;
}

function report({ client, server }: Pair): ConnectionReport {
  const known = (client ?? server)!;
  const state = jointState(client?.end, server?.end);
  const withArena = [client, server].find((owned) => owned && owned.end.arena_id !== 0n);
  return {
    state,
    reason: jointReason(state, client?.end, server?.end),
    client: endReport(client),
    server: endReport(server),
    carrier: {
      client_to_server: carrierName(client?.end.tx_carrier ?? server!.end.rx_carrier),
      server_to_client: carrierName(server?.end.tx_carrier ?? client!.end.rx_carrier),
    },
    bytes: byDirection(client?.end, server?.end, "bytes"),
    messages: byDirection(client?.end, server?.end, "messages"),
    arena: withArena ? `0x${withArena.end.arena_id.toString(16)}` : null,
    slot: withArena ? withArena.end.slot : null,
    netns: known.end.netns.toString(),
  };
}

/** The sender's own count, or the receiver's where the sender is not known. */
function byDirection(
  client: EndRecord | undefined,
  server: EndRecord | undefined,
  what: "bytes" | "messages",
): ByDirection<ByCarrier> {
  const pick = (counters: EndRecord["tx"]) => ({
    ring: Number(counters[`ring_${what}`]),
    tcp: Number(counters[`tcp_${what}`]),
  });
  return {
    client_to_server: pick(client?.tx ?? server!.rx),
    server_to_client: pick(server?.tx ?? client!.rx),
  };
}

function carrierName(number: number): string {
  return carrierNames.get(number) ?? "unknown";
}

/** How far the connection is: as far as the end that is behind. */
const stateOrder = ["plain", "undecided", "offered", "attached"];

function jointState(client?: EndRecord, server?: EndRecord): string {
  const states = [client, server].flatMap((end) => end ? [stateName(end.state)] : []);
  return stateOrder.find((state) => states.includes(state)) ?? "unknown";
}

function stateName(number: number): string {
  return stateNames.get(number) ?? "unknown";
}

/** The end that is behind knows why; between equals, the client's word is the better one. */
function jointReason(state: string, client?: EndRecord, server?: EndRecord): string {
  const ends = [client, server].filter((end) => end !== undefined);
  const behind = ends.filter((end) => stateName(end.state) === state);
  const telling = [...behind, ...ends].find((end) => end.reason !== Reason.none);
  return reasonName(telling?.reason ?? Reason.none);
}

function endReport(owned: OwnedEnd | undefined): EndReport | null {
  if (!owned) return null;
  const { pid, program, end } = owned;
  return {
    pid,
    program,
    fd: end.fd,
    address: formatAddress(end.local),
    port: end.local.port,
    state: stateName(end.state),
    reason: reasonName(end.reason),
  };
}
