/**
 * Listener groups: who accepts connections at which address, and who serves what others accepted.
 * A group is there as long as somebody listens.
 */

import { constants, Reason } from "../../ffi/layout.gen.ts";
import type { Endpoint } from "../../ffi/registry.ts";
import { introduce, releaseUnserved } from "./arenas.ts";
import {
  type Action,
  type Client,
  countRefusal,
  type Event,
  type Group,
  type ListenerProof,
  log,
  nameOf,
  send,
  type State,
  trimUsage,
  usageOf,
} from "./model.ts";
import { dropClient } from "./processes.ts";

type EventOf<K extends Event["kind"]> = Extract<Event, { kind: K }>;

export function listen(state: State, client: Client, event: EventOf<"listen">): Action[] {
  if (client.phase === "new") return dropClient(state, client, "said LISTEN before HELLO");
  state.counts.listens += 1;
  const { sequence, body } = event.request;
  const refusal = listenRefusal(state, client, event.proof);
  if (refusal !== Reason.none) {
    countRefusal(state, refusal);
    const answer = { token: body.token, group: 0, reason: refusal, reserved: 0 };
    return [
      send(client.id, { type: "listening", sequence, body: answer }),
      log("info", `refused a socket of ${nameOf(client)} for a listener group: reason ${refusal}`),
    ];
  }
  const proof = event.proof as ListenerProof;
  const { group, actions } = proof.listening
    ? groupOf(state, proof)
    : { group: groupServedBy(state, client, proof)!, actions: [] };
  const answer = { token: body.token, group: group.number, reason: Reason.none, reserved: 0 };
  return [
    ...actions,
    send(client.id, { type: "listening", sequence, body: answer }),
    ...join(state, client, group, proof.listening),
  ];
}

function listenRefusal(state: State, client: Client, proof: ListenerProof | number): number {
  if (client.phase === "refused") return client.refusal;
  if (typeof proof === "number") return proof;
  if (usageOf(state, client.uid).listeners >= state.quotas.listeners) return Reason.quota;
  if (!proof.listening) {
    return groupServedBy(state, client, proof) ? Reason.none : Reason.no_listener;
  }
  const full = state.groups.size >= constants.registryListeners / 2;
  return full && !state.groupsByKey.has(keyOf(proof)) ? Reason.quota : Reason.none;
}

/** The group of this address, made if it is not there yet. */
function groupOf(state: State, proof: ListenerProof): { group: Group; actions: Action[] } {
  const key = keyOf(proof);
  const known = groupAt(state, key);
  if (known) return { group: known, actions: [] };
  const group: Group = {
    number: state.nextGroup++,
    key,
    uid: proof.uid,
    netns: proof.netns,
    endpoint: proof.endpoint,
    listening: 0,
    members: new Set(),
    arenas: new Set(),
  };
  state.groups.set(group.number, group);
  state.groupsByKey.set(key, group.number);
  return { group, actions: [{ kind: "add_listener", group: group.number }] };
}

/**
 * The group whose listener must have accepted this connection, since it has the listener's port.
 * It has to be the asking user's own, or the user's who accepted the connection and then let this
 * process have it (a child that gave up root): nobody else can join by a socket that happens to
 * have the port.
 */
function groupServedBy(state: State, client: Client, proof: ListenerProof): Group | undefined {
  for (const endpoint of endpointsCovering(proof)) {
    for (const uid of [proof.uid, client.uid]) {
      const group = groupAt(state, keyOf({ netns: proof.netns, uid, endpoint }));
      if (group) return group;
    }
  }
  return undefined;
}

/** Where a listener of an accepted socket can listen, the likeliest first, as in the kernel. */
function endpointsCovering({ endpoint, family }: ListenerProof): Endpoint[] {
  const any = (ofFamily: number) => ({
    ...endpoint,
    address: new Uint8Array(endpoint.address.length),
    family: ofFamily,
    scope: 0,
  });
  if (endpoint.family === family) return [endpoint, any(family)];
  // IPv4 on a socket of IPv6: dual-stack, or a listener at a mapped address.
  return [endpoint, any(6), any(4)];
}

function groupAt(state: State, key: string): Group | undefined {
  return state.groups.get(state.groupsByKey.get(key) ?? 0);
}

/** `uid` is the owner of the socket, so workers that gave up root stay in their master's group. */
function keyOf({ netns, uid, endpoint }: Pick<ListenerProof, "netns" | "uid" | "endpoint">) {
  const { address, port, family, scope } = endpoint;
  return [netns, uid, family, address.join("."), scope, port].join("/");
}

function join(state: State, client: Client, group: Group, listening: boolean): Action[] {
  usageOf(state, client.uid).listeners += 1;
  const membership = client.memberships.get(group.number) ?? { listening: 0, serving: 0 };
  client.memberships.set(group.number, membership);
  if (listening) {
    membership.listening += 1;
    group.listening += 1;
  } else {
    membership.serving += 1;
  }
  const isNew = !group.members.has(client.id);
  group.members.add(client.id);
  const does = listening ? "listens" : "serves a connection";
  const line = `${nameOf(client)} ${does} at port ${group.endpoint.port}, group ${group.number}`;
  return [
    ...(isNew ? [log("info", line)] : []),
    ...[...group.arenas].flatMap((arena) => introduce(state, state.arenas.get(arena)!, client)),
  ];
}

/**
 * Takes one socket back: a process with two in one group (SO_REUSEPORT) leaves with the second. The
 * message does not say of which kind; accepted ones go first, so that no group ends while somebody
 * still listens. Of a group that this process is not in: it has ended before; nothing to do.
 */
export function unlisten(state: State, client: Client, event: EventOf<"unlisten">): Action[] {
  if (client.phase === "new") return dropClient(state, client, "said UNLISTEN before HELLO");
  const group = state.groups.get(event.request.body.group);
  const membership = group && client.memberships.get(group.number);
  if (!group || !membership) return [];
  if (membership.listening + membership.serving === 1) return leave(state, client, group);
  usageOf(state, client.uid).listeners -= 1;
  if (membership.serving > 0) {
    membership.serving -= 1;
  } else {
    membership.listening -= 1;
    group.listening -= 1;
  }
  return [];
}

/** All groups of a process that is going. */
export function leaveGroups(state: State, client: Client): Action[] {
  return [...client.memberships.keys()].flatMap((number) =>
    leave(state, client, state.groups.get(number)!)
  );
}

function leave(state: State, client: Client, group: Group): Action[] {
  forgetMember(state, client, group);
  if (group.listening > 0) return [];
  // Members that serve accepted connections keep their arenas, and get no others.
  for (const member of group.members) forgetMember(state, state.clients.get(member)!, group);
  state.groups.delete(group.number);
  state.groupsByKey.delete(group.key);
  trimUsage(state, group.uid);
  const port = group.endpoint.port;
  return [
    { kind: "remove_listener", group: group.number, port },
    log("info", `nobody listens at port ${port} any more, group ${group.number}`),
    ...releaseUnserved(state, group),
  ];
}

function forgetMember(state: State, client: Client, group: Group): void {
  const { listening, serving } = client.memberships.get(group.number)!;
  usageOf(state, client.uid).listeners -= listening + serving;
  group.listening -= listening;
  group.members.delete(client.id);
  client.memberships.delete(group.number);
}
