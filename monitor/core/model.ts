/**
 * What the monitor knows, what happens to it (events), and what it wants done (actions). Plain
 * data: the functions over it are in the files beside this one, and none of them does any I/O.
 */

import type { Endpoint } from "../../ffi/registry.ts";
import type { Policy, Quotas } from "../policy.ts";
import type { Reply, Request } from "../protocol.ts";

/** One control connection; registered ones are processes. */
export interface Client {
  readonly id: number;
  /** As the kernel says, in the monitor's pid namespace. */
  readonly pid: number;
  readonly uid: number;
  /** Of the control socket; 0 where the kernel could not say. */
  readonly netns: bigint;
  readonly connectedMs: number;
  /** Empty until HELLO. */
  program: string;
  phase: "new" | "registered" | "refused";
  /** Why, in phase `refused`. */
  refusal: number;
  /** Place in the registry's sequence words, in phase `registered`. */
  processIndex: number;
  /** In the process's own pid namespace. */
  ownPid: number;
  parentPid: number;
  /** By group number. */
  readonly memberships: Map<number, Membership>;
  /** Arenas that it asked for, and arenas that it serves. */
  readonly arenas: Set<number>;
  readonly served: Set<number>;
}

/** How many sockets of one process are in one group. */
export interface Membership {
  /** Listening ones. */
  listening: number;
  /** Accepted ones: it serves connections that another member's listener took. */
  serving: number;
}

/**
 * Processes that serve the connections of one address: those that accept them (forked, pre-forked
 * or SO_REUSEPORT), and those that got them accepted (forked for one connection).
 */
export interface Group {
  readonly number: number;
  readonly key: string;
  /** Owner of the listening socket. */
  readonly uid: number;
  readonly netns: bigint;
  readonly endpoint: Endpoint;
  /** Listening sockets of all members; never 0: the group ends with the last. */
  listening: number;
  readonly members: Set<number>;
  readonly arenas: Set<number>;
}

export interface Arena {
  readonly number: number;
  /** What the two parties call it: unique over monitors, too. */
  readonly id: bigint;
  readonly group: number;
  readonly client: number;
  readonly uid: number;
  readonly slotCount: number;
  readonly bytes: number;
  /** Of the CONNECT that asked for it. */
  readonly sequence: number;
  made: boolean;
  /** The next fresh link number; they count from 1. */
  nextLink: number;
  /** Numbers of workers that are gone, oldest first: used again when no fresh one is left. */
  readonly freeLinks: number[];
  /** Worker to its link. */
  readonly workers: Map<number, number>;
}

export interface Usage {
  /** Control connections that have not said HELLO. */
  strangers: number;
  processes: number;
  /** Sockets registered, listening and accepted ones. */
  listeners: number;
  arenas: number;
  arenaBytes: number;
}

/** Monotonic, for metrics. */
export interface Counts {
  pings: number;
  hellos: number;
  listens: number;
  connects: number;
  arenasMade: number;
  linksMade: number;
  garbage: number;
  drops: number;
  /** By reason number. */
  readonly refused: Map<number, number>;
}

export interface State {
  readonly generation: bigint;
  readonly quotas: Quotas;
  readonly policy: Policy;
  draining: boolean;
  readonly clients: Map<number, Client>;
  readonly groups: Map<number, Group>;
  readonly groupsByKey: Map<string, number>;
  readonly arenas: Map<number, Arena>;
  readonly usage: Map<number, Usage>;
  readonly counts: Counts;
  nextGroup: number;
  nextArena: number;
  nextChannel: number;
  nextProcessIndex: number;
  /** Process indexes given back, oldest first. */
  readonly freeProcessIndexes: number[];
}

/** What the kernel says about the socket of a LISTEN. */
export interface ListenerProof {
  netns: bigint;
  /** Its own end. */
  endpoint: Endpoint;
  uid: number;
  /** Or accepted. */
  listening: boolean;
  /** 4 or 6, of the socket itself: one of 6 may have an IPv4 address. */
  family: number;
}

export type Event =
  | { kind: "connected"; client: number; pid: number; uid: number; netns: bigint; nowMs: number }
  | { kind: "hello"; client: number; request: RequestOf<"hello">; program: string }
  /** `proof`: what the kernel says about the socket, or the reason number why it will not do. */
  | {
    kind: "listen";
    client: number;
    request: RequestOf<"listen">;
    proof: ListenerProof | number;
  }
  | { kind: "unlisten"; client: number; request: RequestOf<"unlisten"> }
  | { kind: "connect"; client: number; request: RequestOf<"connect"> }
  | { kind: "started" }
  | { kind: "ping"; client: number; request: RequestOf<"ping"> }
  | { kind: "borrow_diag"; client: number; request: RequestOf<"borrow_diag"> }
  | { kind: "garbage"; client: number; why: string }
  /** Too much waits to be sent to it. */
  | { kind: "stalled"; client: number; why: string }
  /** The shell's answer to `make_arena`; `reason` when it failed. */
  | { kind: "arena_made"; arena: number }
  | { kind: "arena_failed"; arena: number; reason: number }
  | { kind: "gone"; client: number; how: string }
  | { kind: "drain"; on: boolean };

export type RequestOf<T extends Request["type"]> = Extract<Request, { type: T }>;

/** A descriptor that goes along with a message; the shell knows its number. */
export type Attachment =
  | { kind: "registry" }
  /** Made when it is sent, and the receiver's alone. */
  | { kind: "diag"; netns: bigint }
  | { kind: "arena"; arena: number }
  /** Made when its first end is sent; each end goes to one process and nowhere else. */
  | { kind: "channel"; channel: number; end: 0 | 1 };

export interface Send {
  kind: "send";
  to: number;
  reply: Reply;
  attach: Attachment[];
  /** Done once the kernel has taken this message, and not at all if it never does. */
  then: Send[];
}

export type LogLevel = "error" | "warn" | "info" | "debug";

export type Action =
  | Send
  | { kind: "make_arena"; arena: number }
  | { kind: "close_arena"; arena: number }
  | { kind: "add_listener"; group: number }
  | { kind: "remove_listener"; group: number; port: number }
  | { kind: "set_draining"; on: boolean }
  /** The state has forgotten this client already. */
  | { kind: "drop"; client: number }
  | { kind: "log"; level: LogLevel; text: string };

export function send(to: number, reply: Reply, attach: Attachment[] = [], then: Send[] = []): Send {
  return { kind: "send", to, reply, attach, then };
}

export function log(level: LogLevel, text: string): Action {
  return { kind: "log", level, text };
}

/** How a client is called in the log. */
export function nameOf(client: Client): string {
  const program = client.program === "" ? "" : ` ${JSON.stringify(client.program)}`;
  return `pid ${client.pid}${program} (uid ${client.uid})`;
}

export function usageOf(state: State, uid: number): Usage {
  let usage = state.usage.get(uid);
  if (!usage) {
    usage = { strangers: 0, processes: 0, listeners: 0, arenas: 0, arenaBytes: 0 };
    state.usage.set(uid, usage);
  }
  return usage;
}

/** Forgets a uid that uses nothing, so that the table does not grow with every uid ever seen. */
export function trimUsage(state: State, uid: number): void {
  const usage = state.usage.get(uid);
  if (usage && Object.values(usage).every((count) => count === 0)) state.usage.delete(uid);
}

export function countRefusal(state: State, reason: number): void {
  state.counts.refused.set(reason, (state.counts.refused.get(reason) ?? 0) + 1);
}
