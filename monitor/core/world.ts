/** A state and the events that tests play to it, with the shell's answers filled in. */

import { assertEquals } from "@std/assert";
import { constants } from "../../ffi/layout.gen.ts";
import type { Endpoint } from "../../ffi/registry.ts";
import { createState, type StateOptions, step } from "../state.ts";
import type { Action, Event, ListenerProof, Send, State } from "./model.ts";
import type { Reply, ReplyOf } from "../protocol.ts";

export interface Person {
  uid?: number;
  pid?: number;
  netns?: bigint;
}

export class World {
  readonly state: State;
  /** What the shell says to `make_arena`: a reason number makes it fail. */
  arenaFailure: number | null = null;

  constructor(options: Partial<StateOptions> = {}) {
    this.state = createState({ generation: 5n, ...options });
  }

  /** Plays an event and, as the shell would, makes arenas at once. */
  play(event: Event): Action[] {
    return step(this.state, event).flatMap((action) => {
      if (action.kind !== "make_arena") return [action];
      const { arena } = action;
      const made: Event = this.arenaFailure === null
        ? { kind: "arena_made", arena }
        : { kind: "arena_failed", arena, reason: this.arenaFailure };
      return [action, ...this.play(made)];
    });
  }

  meet(client: number, person: Person = {}): Action[] {
    const { uid = 1000, pid = 100 + client, netns = 1n } = person;
    return this.play({ kind: "connected", client, pid, uid, netns, nowMs: 0 });
  }

  hello(client: number, body: { abi?: number; pid?: number; parent?: number } = {}): Action[] {
    const request = {
      type: "hello" as const,
      sequence: 11,
      body: {
        abi_version: body.abi ?? constants.abiVersion,
        pid: body.pid ?? 100 + client,
        netns: 0n,
        end_table_bytes: 0n,
        parent_pid: body.parent ?? 0,
        flags: 0,
      },
    };
    return this.play({ kind: "hello", client, request, program: `program${client}` });
  }

  /** Connects and registers. */
  join(client: number, person: Person = {}): Action[] {
    return [...this.meet(client, person), ...this.hello(client)];
  }

  listen(client: number, proof: Partial<ListenerProof> | number = {}, token = 3): Action[] {
    const request = { type: "listen" as const, sequence: 12, body: { token, reserved: 0 } };
    const full = typeof proof === "number" ? proof : { ...listenerAt(80), ...proof };
    return this.play({ kind: "listen", client, request, proof: full });
  }

  unlisten(client: number, group: number): Action[] {
    const request = { type: "unlisten" as const, sequence: 13, body: { group, reserved: 0 } };
    return this.play({ kind: "unlisten", client, request });
  }

  connect(client: number, group: number, slots_wanted = 64): Action[] {
    const request = { type: "connect" as const, sequence: 14, body: { group, slots_wanted } };
    return this.play({ kind: "connect", client, request });
  }

  leave(client: number): Action[] {
    return this.play({ kind: "gone", client, how: "test" });
  }
}

/** A server (1) that listens at port 80, group 1, and a client (2). */
export function pair(): World {
  const world = new World();
  world.join(1);
  world.listen(1);
  world.join(2);
  return world;
}

/** The state holds nothing of anybody. */
export function assertEmpty({ state }: World): void {
  const { clients, groups, groupsByKey, arenas, usage } = state;
  const sizes = [clients, groups, groupsByKey, arenas, usage].map(({ size }) => size);
  assertEquals(sizes, [0, 0, 0, 0, 0]);
}

export function listenerAt(port: number, uid = 1000, netns = 1n): ListenerProof {
  const endpoint = { address: new Uint8Array(16), port, family: 4, scope: 0 };
  return { netns, uid, endpoint, listening: true, family: 4 };
}

/** An accepted connection at 127.0.0.1, on a socket of this family. */
export function acceptedAt(port: number, uid = 1000, family = 4): ListenerProof {
  return { ...listenerAt(port, uid), endpoint: loopbackAt(port), listening: false, family };
}

export function loopbackAt(port: number): Endpoint {
  const address = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1]);
  return { address, port, family: 4, scope: 0 };
}

/** Messages that go out at once, in order. */
export function sends(actions: Action[]): Send[] {
  return actions.filter((action) => action.kind === "send");
}

/** The body of the only message of this type among those that go out at once. */
export function only<T extends Reply["type"]>(actions: Action[], type: T): ReplyOf<T>["body"] {
  const found = sends(actions).filter(({ reply }) => reply.type === type);
  if (found.length !== 1) throw new Error(`expected one ${type}, found ${found.length}`);
  return found[0].reply.body as ReplyOf<T>["body"];
}

export function kinds(actions: Action[]): string[] {
  return actions.filter(({ kind }) => kind !== "log").map((action) =>
    action.kind === "send" ? action.reply.type : action.kind
  );
}
