/**
 * The monitor's core: `step` takes what happened and returns what is to be done. It changes the
 * state it is given and nothing else: no clock, no descriptor, no randomness. The same events give
 * the same actions, so every conversation can be played in a test. The shell (server.ts) turns
 * packets into events and actions into packets.
 */

import { arenaFailed, arenaMade, connect } from "./core/arenas.ts";
import { listen, unlisten } from "./core/listeners.ts";
import type { Action, Client, Event, State } from "./core/model.ts";
import {
  borrowDiag,
  connected,
  dropClient,
  garbage,
  gone,
  hello,
  ping,
  started,
} from "./core/processes.ts";
import { defaultQuotas, type Policy, type Quotas, sameUserPolicy } from "./policy.ts";

export type { Action, Event, State } from "./core/model.ts";

export interface StateOptions {
  /** Differs at every start of a monitor. */
  generation: bigint;
  quotas?: Partial<Quotas>;
  policy?: Policy;
}

export function createState(options: StateOptions): State {
  return {
    generation: options.generation,
    quotas: { ...defaultQuotas, ...options.quotas },
    policy: options.policy ?? sameUserPolicy,
    draining: false,
    clients: new Map(),
    groups: new Map(),
    groupsByKey: new Map(),
    arenas: new Map(),
    usage: new Map(),
    counts: {
      pings: 0,
      hellos: 0,
      listens: 0,
      connects: 0,
      arenasMade: 0,
      linksMade: 0,
      garbage: 0,
      drops: 0,
      refused: new Map(),
    },
    nextGroup: 1,
    nextArena: 1,
    nextChannel: 1,
    nextProcessIndex: 0,
    freeProcessIndexes: [],
  };
}

export function step(state: State, event: Event): Action[] {
  switch (event.kind) {
    case "connected":
      return connected(state, event);
    case "arena_made":
      return arenaMade(state, event);
    case "arena_failed":
      return arenaFailed(state, event);
    case "started":
      return started(state);
    case "drain":
      state.draining = event.on;
      return [{ kind: "set_draining", on: event.on }];
    default: {
      // A client that was dropped a moment ago may still have events under way.
      const client = state.clients.get(event.client);
      return client ? clientStep(state, client, event) : [];
    }
  }
}

type ClientEvent = Exclude<
  Event,
  { kind: "connected" | "arena_made" | "arena_failed" | "started" | "drain" }
>;

function clientStep(state: State, client: Client, event: ClientEvent): Action[] {
  switch (event.kind) {
    case "hello":
      return hello(state, client, event);
    case "listen":
      return listen(state, client, event);
    case "unlisten":
      return unlisten(state, client, event);
    case "connect":
      return connect(state, client, event);
    case "ping":
      return ping(state, client, event);
    case "borrow_diag":
      return borrowDiag(state, client, event);
    case "garbage":
      return garbage(state, client, event);
    case "stalled":
      return dropClient(state, client, event.why);
    case "gone":
      return gone(state, client, event);
  }
}
