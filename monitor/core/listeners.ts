/** Listener groups: who accepts connections at which address. */

import { constants, Reason } from "../../ffi/layout.gen.ts";
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
      log("info", `refused a listener of ${nameOf(client)}: reason ${refusal}`),
    ];
  }
  const { group, actions } = groupOf(state, event.proof as ListenerProof);
  const answer = { token: body.token, group: group.number, reason: Reason.none, reserved: 0 };
  return [
    ...actions,
    send(client.id, { type: "listening", sequence, body: answer }),
    ...join(state, client, group),
  ];
}

function listenRefusal(state: State, client: Client, proof: ListenerProof | number): number {
  if (client.phase === "refused") return client.refusal;
  if (typeof proof === "number") return proof;
  if (usageOf(state, client.uid).listeners >= state.quotas.listeners) return Reason.quota;
  const full = state.groups.size >= constants.registryListeners / 2;
  return full && !state.groupsByKey.has(keyOf(proof)) ? Reason.quota : Reason.none;
}

/** The group of this address, made if it is not there yet. */
function groupOf(state: State, proof: ListenerProof): { group: Group; actions: Action[] } {
  const key = keyOf(proof);
  const known = state.groups.get(state.groupsByKey.get(key) ?? 0);
  if (known) return { group: known, actions: [] };
  const group: Group = {
    number: state.nextGroup++,
    key,
    uid: proof.uid,
    netns: proof.netns,
    endpoint: proof.endpoint,
    members: new Set(),
    arenas: new Set(),
  };
  state.groups.set(group.number, group);
  state.groupsByKey.set(key, group.number);
  return { group, actions: [{ kind: "add_listener", group: group.number }] };
}

/** `uid` is the owner of the socket, so workers that gave up root stay in their master's group. */
function keyOf(proof: ListenerProof): string {
  const { address, port, family, scope } = proof.endpoint;
  return [proof.netns, proof.uid, family, address.join("."), scope, port].join("/");
}

/** A process with two sockets in one group (SO_REUSEPORT) leaves with the second UNLISTEN. */
function join(state: State, client: Client, group: Group): Action[] {
  usageOf(state, client.uid).listeners += 1;
  client.memberships.set(group.number, (client.memberships.get(group.number) ?? 0) + 1);
  if (group.members.has(client.id)) return [];
  group.members.add(client.id);
  const port = group.endpoint.port;
  return [
    log("info", `${nameOf(client)} listens at port ${port}, group ${group.number}`),
    ...[...group.arenas].flatMap((arena) => introduce(state, state.arenas.get(arena)!, client)),
  ];
}

/** Of a group that this process is not in: it may have been dropped from it; nothing to do. */
export function unlisten(state: State, client: Client, event: EventOf<"unlisten">): Action[] {
  if (client.phase === "new") return dropClient(state, client, "said UNLISTEN before HELLO");
  const group = state.groups.get(event.request.body.group);
  const sockets = group ? client.memberships.get(group.number) ?? 0 : 0;
  if (!group || sockets === 0) return [];
  usageOf(state, client.uid).listeners -= 1;
  if (sockets > 1) {
    client.memberships.set(group.number, sockets - 1);
    return [];
  }
  return leave(state, client, group);
}

/** All groups of a process that is going. */
export function leaveGroups(state: State, client: Client): Action[] {
  return [...client.memberships].flatMap(([number, sockets]) => {
    usageOf(state, client.uid).listeners -= sockets;
    return leave(state, client, state.groups.get(number)!);
  });
}

function leave(state: State, client: Client, group: Group): Action[] {
  client.memberships.delete(group.number);
  group.members.delete(client.id);
  if (group.members.size > 0) return [];
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
