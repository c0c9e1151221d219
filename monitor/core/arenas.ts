/**
 * Arenas: the memory that one client process and one listener group share. The monitor makes an
 * arena, gives it to the client and to each worker of the group, and introduces each worker to the
 * client over a channel of their own. Order matters: a worker gets the arena only after the client
 * has been told about it (`Send.then`), so that whatever the worker writes into the arena can be
 * understood.
 *
 * An arena is given up when its client is gone, or when nobody serves it any more. The memory
 * itself lives on for as long as anybody maps it.
 */

import { arenaBytes, constants, Reason } from "../../ffi/layout.gen.ts";
import {
  type Action,
  type Arena,
  type Client,
  countRefusal,
  type Event,
  type Group,
  log,
  nameOf,
  send,
  type State,
  trimUsage,
  usageOf,
} from "./model.ts";
import { dropClient } from "./processes.ts";

type EventOf<K extends Event["kind"]> = Extract<Event, { kind: K }>;

export function connect(state: State, client: Client, event: EventOf<"connect">): Action[] {
  if (client.phase === "new") return dropClient(state, client, "said CONNECT before HELLO");
  state.counts.connects += 1;
  const { sequence, body } = event.request;
  const group = state.groups.get(body.group);
  const slotCount = slotCountFor(body.slots_wanted);
  const refusal = connectRefusal(state, client, group, slotCount);
  if (refusal !== Reason.none) return refuse(state, client, sequence, body.group, refusal);
  const number = state.nextArena++;
  const arena: Arena = {
    number,
    id: arenaId(state, number),
    group: body.group,
    client: client.id,
    uid: client.uid,
    slotCount,
    bytes: arenaBytes[slotCount],
    sequence,
    made: false,
    nextLink: 1,
    freeLinks: [],
    workers: new Map(),
  };
  state.arenas.set(arena.number, arena);
  client.arenas.add(arena.number);
  group!.arenas.add(arena.number);
  const usage = usageOf(state, arena.uid);
  usage.arenas += 1;
  usage.arenaBytes += arena.bytes;
  return [{ kind: "make_arena", arena: arena.number }];
}

/** The next power of two, within the limits. */
export function slotCountFor(wanted: number): number {
  let count: number = constants.arenaSlotsMin;
  while (count < wanted && count < constants.arenaSlotsMax) count *= 2;
  return count;
}

/** Processes keep arenas of monitors before this one: half of the id is the generation's. */
function arenaId(state: State, number: number): bigint {
  return (BigInt.asUintN(32, state.generation) << 32n) | BigInt(number);
}

function connectRefusal(
  state: State,
  client: Client,
  group: Group | undefined,
  slotCount: number,
): number {
  if (client.phase === "refused") return client.refusal;
  if (state.draining) return Reason.disabled;
  if (!group) return Reason.no_listener;
  const verdict = state.policy.pair({
    clientUid: client.uid,
    clientNetns: client.netns,
    listenerUid: group.uid,
    listenerNetns: group.netns,
  });
  if (verdict !== Reason.none) return verdict;
  const { arenas, arenaBytes: bytes } = usageOf(state, client.uid);
  if (arenas >= state.quotas.arenas) return Reason.quota;
  if (bytes + arenaBytes[slotCount] > state.quotas.arenaBytes) return Reason.quota;
  const ofPair = [...client.arenas].filter((number) => group.arenas.has(number)).length;
  return ofPair >= state.quotas.arenasPerPair ? Reason.quota : Reason.none;
}

function refuse(
  state: State,
  client: Client,
  sequence: number,
  group: number,
  reason: number,
): Action[] {
  countRefusal(state, reason);
  return [
    send(client.id, { type: "refused", sequence, body: { group, reason } }),
    log("debug", `refused ${nameOf(client)} an arena to group ${group}: reason ${reason}`),
  ];
}

export function arenaMade(state: State, event: EventOf<"arena_made">): Action[] {
  const arena = state.arenas.get(event.arena);
  if (!arena) return [];
  const client = state.clients.get(arena.client)!;
  const group = state.groups.get(arena.group)!;
  arena.made = true;
  state.counts.arenasMade += 1;
  const workers = [...group.members].map((id) => state.clients.get(id)!);
  return [
    send(
      client.id,
      {
        type: "arena",
        sequence: arena.sequence,
        body: arenaBody(arena, 0, 0, workers[0] ?? client),
      },
      [{ kind: "arena", arena: arena.number }],
    ),
    log(
      "info",
      `arena ${arena.number}: ${arena.slotCount} slots between ${nameOf(client)} ` +
        `and group ${group.number}`,
    ),
    ...workers.flatMap((worker) => introduce(state, arena, worker)),
  ];
}

export function arenaFailed(state: State, event: EventOf<"arena_failed">): Action[] {
  const arena = state.arenas.get(event.arena);
  if (!arena) return [];
  const client = state.clients.get(arena.client)!;
  forgetArena(state, arena);
  return refuse(state, client, arena.sequence, arena.group, event.reason);
}

/** LINK to the client, and only when that is on its way, ARENA to the worker. */
export function introduce(state: State, arena: Arena, worker: Client): Action[] {
  if (!arena.made || arena.workers.has(worker.id)) return [];
  if (!mayServe(state, arena, worker)) return [];
  const client = state.clients.get(arena.client)!;
  const link = takeLink(arena);
  if (link === undefined) {
    return [log("warn", `arena ${arena.number} has no link left for ${nameOf(worker)}`)];
  }
  const channel = state.nextChannel++;
  arena.workers.set(worker.id, link);
  worker.served.add(arena.number);
  state.counts.linksMade += 1;
  const toWorker = send(
    worker.id,
    { type: "arena", sequence: 0, body: arenaBody(arena, 1, link, client) },
    [{ kind: "arena", arena: arena.number }, { kind: "channel", channel, end: 1 }],
  );
  const linkBody = { arena_id: arena.id, link, peer_pid: worker.pid };
  return [
    send(
      client.id,
      { type: "link", sequence: 0, body: linkBody },
      [{ kind: "channel", channel, end: 0 }],
      [toWorker],
    ),
  ];
}

/**
 * An arena holds all connections of one client process to the group. Whoever listens could have
 * accepted each of them, but a child that was left with one connection and has given up the
 * group's uid could not: it sees its own user's only. The others stay on TCP.
 */
function mayServe(state: State, arena: Arena, worker: Client): boolean {
  const group = state.groups.get(arena.group)!;
  if (worker.memberships.get(group.number)!.listening > 0) return true;
  return [0, group.uid, arena.uid].includes(worker.uid);
}

/** As late as possible again: the client may still look at connections of a worker that died. */
function takeLink(arena: Arena): number | undefined {
  return arena.nextLink < constants.monitorLinksMax ? arena.nextLink++ : arena.freeLinks.shift();
}

function arenaBody(arena: Arena, side: 0 | 1, link: number, peer: Client) {
  return {
    arena_id: arena.id,
    total_bytes: BigInt(arena.bytes),
    slot_count: arena.slotCount,
    side,
    link,
    group: arena.group,
    peer_pid: peer.pid,
    peer_uid: peer.uid,
  };
}

/** The client is going: nobody will make offers in its arenas any more. */
export function abandonArenas(state: State, client: Client): Action[] {
  return [...client.arenas].flatMap((number) => release(state, state.arenas.get(number)!));
}

/** A worker is going. */
export function leaveArenas(state: State, worker: Client): Action[] {
  return [...worker.served].flatMap((number) => {
    const arena = state.arenas.get(number)!;
    arena.freeLinks.push(arena.workers.get(worker.id)!);
    arena.workers.delete(worker.id);
    worker.served.delete(number);
    return releaseIfUnserved(state, arena);
  });
}

/** A group is going. */
export function releaseUnserved(state: State, group: Group): Action[] {
  return [...group.arenas].flatMap((number) => releaseIfUnserved(state, state.arenas.get(number)!));
}

function releaseIfUnserved(state: State, arena: Arena): Action[] {
  const served = arena.workers.size > 0 || state.groups.has(arena.group);
  return served ? [] : release(state, arena);
}

function release(state: State, arena: Arena): Action[] {
  forgetArena(state, arena);
  return [
    { kind: "close_arena", arena: arena.number },
    log("debug", `gave up arena ${arena.number}`),
  ];
}

function forgetArena(state: State, arena: Arena): void {
  state.arenas.delete(arena.number);
  state.clients.get(arena.client)?.arenas.delete(arena.number);
  state.groups.get(arena.group)?.arenas.delete(arena.number);
  for (const worker of arena.workers.keys()) {
    state.clients.get(worker)?.served.delete(arena.number);
  }
  const usage = usageOf(state, arena.uid);
  usage.arenas -= 1;
  usage.arenaBytes -= arena.bytes;
  trimUsage(state, arena.uid);
}
