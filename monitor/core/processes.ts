/** Processes: from the connection to the control socket until it is gone. */

import { constants, Reason } from "../../ffi/layout.gen.ts";
import { abandonArenas, leaveArenas } from "./arenas.ts";
import { leaveGroups } from "./listeners.ts";
import {
  type Action,
  type Client,
  countRefusal,
  type Event,
  log,
  nameOf,
  send,
  type State,
  trimUsage,
  usageOf,
} from "./model.ts";

type EventOf<K extends Event["kind"]> = Extract<Event, { kind: K }>;

export function connected(state: State, event: EventOf<"connected">): Action[] {
  const { client: id, pid, uid, netns } = event;
  const usage = usageOf(state, uid);
  if (usage.strangers >= state.quotas.strangers) {
    state.counts.drops += 1;
    return [
      log("warn", `turned pid ${pid} away: uid ${uid} has ${usage.strangers} idle connections`),
      { kind: "drop", client: id },
    ];
  }
  usage.strangers += 1;
  state.clients.set(id, {
    id,
    pid,
    uid,
    netns,
    connectedMs: event.nowMs,
    program: "",
    phase: "new",
    refusal: Reason.none,
    processIndex: -1,
    ownPid: pid,
    parentPid: 0,
    memberships: new Map(),
    arenas: new Set(),
    served: new Set(),
  });
  return [log("debug", `pid ${pid} (uid ${uid}) connected`)];
}

export function hello(state: State, client: Client, event: EventOf<"hello">): Action[] {
  if (client.phase !== "new") return dropClient(state, client, "said HELLO twice");
  const { body, sequence } = event.request;
  state.counts.hellos += 1;
  client.program = event.program;
  client.ownPid = body.pid;
  client.parentPid = body.parent_pid;
  usageOf(state, client.uid).strangers -= 1;
  const refusal = helloRefusal(state, client, body.abi_version);
  if (refusal !== Reason.none) return refuse(state, client, sequence, refusal);
  client.phase = "registered";
  client.processIndex = takeProcessIndex(state)!;
  usageOf(state, client.uid).processes += 1;
  const welcome = {
    abi_version: constants.abiVersion,
    process_index: client.processIndex,
    generation: state.generation,
    registry_bytes: constants.registryBytes,
  };
  return [
    send(client.id, { type: "welcome", sequence, body: welcome }, [{ kind: "registry" }]),
    log("info", `${nameOf(client)} joined as process ${client.processIndex}`),
  ];
}

function helloRefusal(state: State, client: Client, abiVersion: number): number {
  if (abiVersion !== constants.abiVersion) return Reason.version_mismatch;
  const { processes } = usageOf(state, client.uid);
  if (processes >= state.quotas.processes) return Reason.quota;
  const used = state.nextProcessIndex - state.freeProcessIndexes.length;
  return used >= constants.registryProcesses ? Reason.quota : Reason.none;
}

/** It may stay connected and ask; the answer to everything is the same reason. */
function refuse(state: State, client: Client, sequence: number, reason: number): Action[] {
  client.phase = "refused";
  client.refusal = reason;
  usageOf(state, client.uid).strangers += 1;
  countRefusal(state, reason);
  return [
    send(client.id, { type: "refused", sequence, body: { group: 0, reason } }),
    log("warn", `refused ${nameOf(client)} as a process: reason ${reason}`),
  ];
}

/** Numbers are used again as late as possible: a dead process's children may still look at its. */
function takeProcessIndex(state: State): number | undefined {
  if (state.nextProcessIndex < constants.registryProcesses) return state.nextProcessIndex++;
  return state.freeProcessIndexes.shift();
}

export function ping(state: State, client: Client, event: EventOf<"ping">): Action[] {
  state.counts.pings += 1;
  const { sequence, body } = event.request;
  return [send(client.id, { type: "pong", sequence, body: { payload: body.payload } })];
}

/** A program has started with the library, and perhaps nothing more is heard of it. */
export function started(state: State): Action[] {
  state.counts.pings += 1;
  return [];
}

export function borrowDiag(
  _: State,
  client: Client,
  event: EventOf<"borrow_diag">,
): Action[] {
  const { sequence } = event.request;
  const reply = { type: "diag", sequence, body: {} } as const;
  return [
    send(client.id, reply, [{ kind: "diag", netns: client.netns }]),
    log("info", `${nameOf(client)} may not ask sock_diag itself: lent it a socket`),
  ];
}

export function garbage(state: State, client: Client, event: EventOf<"garbage">): Action[] {
  state.counts.garbage += 1;
  return dropClient(state, client, event.why);
}

export function gone(state: State, client: Client, event: EventOf<"gone">): Action[] {
  const level = client.phase === "registered" ? "info" : "debug";
  return [...forget(state, client), log(level, `${nameOf(client)} left: ${event.how}`)];
}

export function dropClient(state: State, client: Client, why: string): Action[] {
  state.counts.drops += 1;
  return [
    ...forget(state, client),
    log("warn", `dropped ${nameOf(client)}: ${why}`),
    { kind: "drop", client: client.id },
  ];
}

function forget(state: State, client: Client): Action[] {
  const usage = usageOf(state, client.uid);
  const actions = [
    ...leaveGroups(state, client),
    ...abandonArenas(state, client),
    ...leaveArenas(state, client),
  ];
  if (client.phase === "registered") {
    usage.processes -= 1;
    state.freeProcessIndexes.push(client.processIndex);
  } else {
    usage.strangers -= 1;
  }
  state.clients.delete(client.id);
  trimUsage(state, client.uid);
  return actions;
}
