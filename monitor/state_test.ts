import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { arenaBytes, constants, Reason } from "../ffi/layout.gen.ts";
import {
  acceptedAt,
  assertEmpty,
  kinds,
  listenerAt,
  only,
  pair,
  sends,
  World,
} from "./core/world.ts";
import { defaultQuotas } from "./policy.ts";

// -- processes ----------------------------------------------------------------------------------

Deno.test("hello is answered with a process index and the registry", () => {
  const world = new World();
  world.meet(1);
  const actions = world.hello(1);
  const welcome = only(actions, "welcome");
  assertEquals(welcome.process_index, 0);
  assertEquals(welcome.generation, 5n);
  assertEquals(welcome.registry_bytes, constants.registryBytes);
  assertEquals(sends(actions)[0].attach, [{ kind: "registry" }]);
  assertEquals(sends(actions)[0].reply.sequence, 11);
});

Deno.test("each process has an index of its own", () => {
  const world = new World();
  world.join(1);
  world.meet(2);
  assertEquals(only(world.hello(2), "welcome").process_index, 1);
});

Deno.test("an index is used again only when there is no fresh one", () => {
  const world = new World();
  world.join(1);
  world.leave(1);
  world.meet(2);
  assertEquals(only(world.hello(2), "welcome").process_index, 1);
  world.state.nextProcessIndex = constants.registryProcesses;
  world.meet(3);
  assertEquals(only(world.hello(3), "welcome").process_index, 0);
});

Deno.test("no more processes join than the registry has words for", () => {
  const world = new World();
  world.state.nextProcessIndex = constants.registryProcesses;
  world.meet(1);
  assertEquals(only(world.hello(1), "refused").reason, Reason.quota);
});

Deno.test("ping is answered before hello and after", () => {
  const world = new World();
  world.meet(1);
  const ping = () =>
    world.play({
      kind: "ping",
      client: 1,
      request: { type: "ping", sequence: 9, body: { payload: 77n } },
    });
  assertEquals(only(ping(), "pong").payload, 77n);
  world.hello(1);
  assertEquals(only(ping(), "pong").payload, 77n);
  assertEquals(world.state.counts.pings, 2);
});

Deno.test("a second hello on one connection drops it", () => {
  const world = new World();
  world.join(1);
  assertEquals(kinds(world.hello(1)), ["drop"]);
  assertEmpty(world);
});

Deno.test("listen, unlisten and connect before hello drop the connection", () => {
  for (const ask of ["listen", "unlisten", "connect"] as const) {
    const world = new World();
    world.meet(1);
    const actions = ask === "listen" ? world.listen(1) : world[ask](1, 1);
    assertEquals(kinds(actions), ["drop"], ask);
    assertEmpty(world);
  }
});

Deno.test("another version is refused, and so is what it asks later", () => {
  const world = new World();
  world.meet(1);
  const answer = only(world.hello(1, { abi: 99 }), "refused");
  assertEquals(answer, { group: 0, reason: Reason.version_mismatch });
  const listening = only(world.listen(1), "listening");
  assertEquals([listening.group, listening.reason], [0, Reason.version_mismatch]);
  assertEquals(only(world.connect(1, 1), "refused").reason, Reason.version_mismatch);
  world.leave(1);
  assertEmpty(world);
});

Deno.test("a uid has at most its quota of processes", () => {
  const world = new World({ quotas: { processes: 2 } });
  world.join(1);
  world.join(2);
  world.meet(3);
  assertEquals(only(world.hello(3), "refused").reason, Reason.quota);
  world.meet(4, { uid: 1001 });
  assertEquals(kinds(world.hello(4)), ["welcome"]);
  world.leave(1);
  world.meet(5);
  assertEquals(kinds(world.hello(5)), ["welcome"]);
});

Deno.test("connections that never say hello are limited for each uid", () => {
  const world = new World({ quotas: { strangers: 2 } });
  world.meet(1);
  world.meet(2);
  assertEquals(kinds(world.meet(3)), ["drop"]);
  assertEquals(kinds(world.meet(4, { uid: 1001 })), []);
  world.hello(1);
  assertEquals(kinds(world.meet(5)), []);
});

Deno.test("garbage drops the client with a line in the log and nobody else", () => {
  const world = pair();
  const actions = world.play({ kind: "garbage", client: 2, why: "magic is 0" });
  assertEquals(kinds(actions), ["drop"]);
  const lines = actions.filter((action) => action.kind === "log" && action.level === "warn");
  assertEquals(lines.length, 1);
  assert(world.state.clients.has(1));
  assert(!world.state.clients.has(2));
});

Deno.test("events of a client that was dropped do nothing", () => {
  const world = pair();
  world.play({ kind: "stalled", client: 2, why: "test" });
  assertEquals(world.connect(2, 1), []);
  assertEquals(world.leave(2), []);
});

// -- arenas -------------------------------------------------------------------------------------

Deno.test("a client gets the arena, then a link for each worker", () => {
  const world = pair();
  world.join(3);
  world.listen(3);
  const actions = world.connect(2, 1);
  assertEquals(kinds(actions), ["make_arena", "arena", "link", "link"]);
  assert(sends(actions).every(({ to }) => to === 2));
  const arena = only(actions, "arena");
  assertEquals([arena.side, arena.link, arena.group], [0, 0, 1]);
  assertEquals(arena.slot_count, 64);
  assertEquals(arena.arena_id, (5n << 32n) | 1n);
  assertEquals(sends(actions)[0].reply.sequence, 14);
});

Deno.test("a worker's arena waits until the client's link has gone out", () => {
  const world = pair();
  const link = sends(world.connect(2, 1)).find(({ reply }) => reply.type === "link")!;
  const [toWorker, ...rest] = link.then;
  assertEquals(rest, []);
  assertEquals(toWorker.to, 1);
  assert(toWorker.reply.type === "arena");
  assertEquals([toWorker.reply.body.side, toWorker.reply.body.link], [1, 1]);
  assertEquals(toWorker.reply.body.peer_pid, 102);
  assertEquals(link.attach, [{ kind: "channel", channel: 1, end: 0 }]);
  assertEquals(toWorker.attach, [
    { kind: "arena", arena: 1 },
    { kind: "channel", channel: 1, end: 1 },
  ]);
});

Deno.test("workers have links 1, 2, 3 and a channel each", () => {
  const world = pair();
  for (const worker of [3, 4]) {
    world.join(worker);
    world.listen(worker);
  }
  const links = sends(world.connect(2, 1)).filter(({ reply }) => reply.type === "link");
  const numbers = links.map(({ reply }) => reply.type === "link" ? reply.body.link : 0);
  assertEquals(numbers, [1, 2, 3]);
  const channels = links.map(({ attach }) => attach[0].kind === "channel" && attach[0].channel);
  assertEquals(new Set(channels).size, 3);
});

Deno.test("a worker that joins later gets every live arena of its group", () => {
  const world = pair();
  world.connect(2, 1);
  world.join(3);
  world.connect(3, 1);
  world.join(4);
  const actions = world.listen(4);
  assertEquals(kinds(actions), ["listening", "link", "link"]);
  const links = sends(actions).slice(1);
  assertEquals(links.map(({ to }) => to), [2, 3]);
  assertEquals(links.map(({ then }) => then[0].to), [4, 4]);
  assert(links.every(({ reply }) => reply.type === "link" && reply.body.link === 2));
});

Deno.test("listening once more brings no second link", () => {
  const world = pair();
  world.connect(2, 1);
  assertEquals(kinds(world.listen(1)), ["listening"]);
  world.join(3);
  world.listen(3);
  world.unlisten(1, 1);
  world.unlisten(1, 1);
  assertEquals(kinds(world.listen(1)), ["listening"]);
});

Deno.test("a link number is used again only when there is no fresh one", () => {
  const world = pair();
  world.join(3);
  world.listen(3);
  world.connect(2, 1);
  world.leave(3);
  world.join(4);
  const link = sends(world.listen(4)).find(({ reply }) => reply.type === "link")!;
  assert(link.reply.type === "link");
  assertEquals(link.reply.body.link, 3);
  world.state.arenas.get(1)!.nextLink = constants.monitorLinksMax;
  world.join(5);
  const again = sends(world.listen(5)).find(({ reply }) => reply.type === "link")!;
  assert(again.reply.type === "link");
  assertEquals(again.reply.body.link, 2);
});

Deno.test("a worker for whom no link is left is not introduced", () => {
  const world = pair();
  world.connect(2, 1);
  world.state.arenas.get(1)!.nextLink = constants.monitorLinksMax;
  world.join(3);
  assertEquals(kinds(world.listen(3)), ["listening"]);
});

Deno.test("one process may be client and worker of the same arena", () => {
  const world = new World();
  world.join(1);
  world.listen(1);
  const actions = world.connect(1, 1);
  assertEquals(kinds(actions), ["make_arena", "arena", "link"]);
  const link = sends(actions)[1];
  assertEquals([link.to, link.then[0].to], [1, 1]);
  world.leave(1);
  assertEmpty(world);
});

Deno.test("slots are the next power of two within the limits", () => {
  const cases = [[0, 64], [1, 64], [65, 128], [256, 256], [5000, 8192], [2 ** 32 - 1, 16384]];
  for (const [wanted, given] of cases) {
    const world = pair();
    assertEquals(only(world.connect(2, 1, wanted), "arena").slot_count, given, `${wanted}`);
  }
});

Deno.test("a group that is not there has no listener", () => {
  const world = pair();
  assertEquals(only(world.connect(2, 9), "refused"), { group: 9, reason: Reason.no_listener });
});

Deno.test("another user's listener is refused by policy, root's and root's clients are not", () => {
  const reasonFor = (clientUid: number, listenerUid: number) => {
    const world = new World();
    world.join(1, { uid: listenerUid });
    world.listen(1, { uid: listenerUid });
    world.join(2, { uid: clientUid });
    const answer = sends(world.connect(2, 1))[0].reply;
    return answer.type === "refused" ? answer.body.reason : Reason.none;
  };
  assertEquals(reasonFor(1000, 1001), Reason.policy);
  assertEquals(reasonFor(1000, 1000), Reason.none);
  assertEquals(reasonFor(0, 1001), Reason.none);
  assertEquals(reasonFor(1000, 0), Reason.none);
});

Deno.test("a client of another network namespace is refused", () => {
  const world = pair();
  world.join(3, { netns: 2n });
  assertEquals(only(world.connect(3, 1), "refused").reason, Reason.netns_differs);
  world.join(4, { netns: 0n });
  assertEquals(kinds(world.connect(4, 1)).includes("arena"), true);
});

Deno.test("while draining nobody gets an arena", () => {
  const world = pair();
  assertEquals(kinds(world.play({ kind: "drain", on: true })), ["set_draining"]);
  assertEquals(only(world.connect(2, 1), "refused").reason, Reason.disabled);
  world.play({ kind: "drain", on: false });
  assertEquals(only(world.connect(2, 1), "arena").side, 0);
});

Deno.test("a uid has at most its quota of arenas and of their bytes", () => {
  const bytes = arenaBytes[constants.arenaSlotsMin];
  for (const quotas of [{ arenas: 1 }, { arenaBytes: 2 * bytes - 1 }]) {
    const world = new World({ quotas });
    world.join(1);
    world.listen(1);
    world.join(2);
    world.connect(2, 1);
    assertEquals(only(world.connect(2, 1), "refused").reason, Reason.quota);
    world.leave(2);
    world.join(3);
    assertEquals(kinds(world.connect(3, 1)).includes("arena"), true);
  }
});

Deno.test("one client has a limited number of arenas to one group", () => {
  const world = new World({ quotas: { arenasPerPair: 2 } });
  world.join(1);
  world.listen(1);
  world.listen(1, listenerAt(81));
  world.join(2);
  world.connect(2, 1);
  world.connect(2, 1);
  assertEquals(only(world.connect(2, 1), "refused").reason, Reason.quota);
  assertEquals(kinds(world.connect(2, 2)).includes("arena"), true);
});

Deno.test("an arena that can not be made is refused and leaves nothing behind", () => {
  const world = pair();
  world.arenaFailure = Reason.no_memory;
  const actions = world.connect(2, 1);
  assertEquals(kinds(actions), ["make_arena", "refused"]);
  assertEquals(only(actions, "refused"), { group: 1, reason: Reason.no_memory });
  assertEquals(world.state.arenas.size, 0);
  assertEquals(world.state.usage.get(1000)!.arenas, 0);
});

Deno.test("the client's death gives its arenas up", () => {
  const world = pair();
  world.connect(2, 1);
  assertEquals(kinds(world.leave(2)), ["close_arena"]);
  assertEquals(world.state.groups.get(1)!.arenas.size, 0);
  assertEquals(world.state.clients.get(1)!.served.size, 0);
});

Deno.test("the last worker's death gives its arenas up", () => {
  const world = pair();
  world.connect(2, 1);
  assertEquals(kinds(world.leave(1)), ["remove_listener", "close_arena"]);
  assertEquals(world.state.clients.get(2)!.arenas.size, 0);
});

Deno.test("one of two workers may die without harm to the arena", () => {
  const world = pair();
  world.join(3);
  world.listen(3);
  world.connect(2, 1);
  assertEquals(kinds(world.leave(1)), []);
  assert(world.state.arenas.has(1));
});

Deno.test("an arena outlives its group while workers still serve connections in it", () => {
  const world = pair();
  world.connect(2, 1);
  assertEquals(kinds(world.unlisten(1, 1)), ["remove_listener"]);
  assert(world.state.arenas.has(1));
  assertEquals(kinds(world.leave(1)), ["close_arena"]);
});

Deno.test("two monitors give different arena ids", () => {
  const ids = [5n, 6n].map((generation) => {
    const world = new World({ generation });
    world.join(1);
    world.listen(1);
    return only(world.connect(1, 1), "arena").arena_id;
  });
  assertNotEquals(ids[0], ids[1]);
});

Deno.test("the same events give the same actions", () => {
  const conversation = (world: World) => [
    world.join(1),
    world.listen(1),
    world.join(2),
    world.connect(2, 1),
    world.leave(1),
  ];
  assertEquals(conversation(new World()), conversation(new World()));
});

Deno.test("random conversations keep the books straight and end empty", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const world = new World({ quotas: { ...defaultQuotas, arenas: 12, listeners: 9 } });
    playRandomly(world, seed, 400);
    assertBooks(world);
    for (const client of [...world.state.clients.keys()]) world.leave(client);
    assertEmpty(world);
  }
});

function playRandomly(world: World, seed: number, steps: number): void {
  let random = seed;
  const below = (limit: number) => {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0;
    return (random >>> 8) % limit;
  };
  let nextClient = 1;
  for (let i = 0; i < steps; i++) {
    const client = 1 + below(nextClient);
    const group = 1 + below(Math.max(1, world.state.nextGroup));
    [
      () => world.join(nextClient++, { uid: below(3), netns: BigInt(below(2)) }),
      () => world.meet(nextClient++, { uid: below(3) }),
      () => world.listen(client, listenerAt(80 + below(4), below(3), BigInt(1 + below(2)))),
      () => world.listen(client, listenerAt(80 + below(4))),
      () => world.listen(client, acceptedAt(80 + below(4), below(3))),
      () => world.unlisten(client, group),
      () => world.connect(client, group, below(300)),
      () => world.connect(client, group),
      () => world.leave(client),
    ][below(9)]();
  }
}

/** Every relation is there from both sides, and usage is what it is the sum of. */
function assertBooks({ state }: World): void {
  for (const arena of state.arenas.values()) {
    assert(state.clients.get(arena.client)!.arenas.has(arena.number));
    for (const worker of arena.workers.keys()) {
      assert(state.clients.get(worker)!.served.has(arena.number));
    }
    assert(state.groups.has(arena.group) || arena.workers.size > 0);
  }
  for (const group of state.groups.values()) {
    assert(group.listening > 0);
    assertEquals(state.groupsByKey.get(group.key), group.number);
    const memberships = [...group.members].map((member) =>
      state.clients.get(member)!.memberships.get(group.number)!
    );
    assertEquals(group.listening, memberships.reduce((sum, { listening }) => sum + listening, 0));
    assert(memberships.every(({ listening, serving }) => listening + serving > 0));
  }
  for (const [uid, usage] of state.usage) {
    const arenas = [...state.arenas.values()].filter((arena) => arena.uid === uid);
    assertEquals(usage.arenas, arenas.length);
    assertEquals(usage.arenaBytes, arenas.reduce((sum, { bytes }) => sum + bytes, 0));
    const clients = [...state.clients.values()].filter((client) => client.uid === uid);
    const processes = clients.filter(({ phase }) => phase === "registered");
    assertEquals(usage.processes, processes.length);
    assertEquals(usage.strangers, clients.length - processes.length);
    const memberships = clients.flatMap((client) => [...client.memberships]);
    assert(memberships.every(([group]) => state.groups.has(group)));
    const sockets = memberships.map(([, { listening, serving }]) => listening + serving);
    assertEquals(usage.listeners, sockets.reduce((sum, count) => sum + count, 0));
  }
}
