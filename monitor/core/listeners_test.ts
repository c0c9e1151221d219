import { assert, assertEquals } from "@std/assert";
import { Reason } from "../../ffi/layout.gen.ts";
import type { ListenerProof } from "./model.ts";
import {
  acceptedAt,
  assertEmpty,
  kinds,
  listenerAt,
  loopbackAt,
  only,
  pair,
  sends,
  World,
} from "./world.ts";

// -- listeners ----------------------------------------------------------------------------------

Deno.test("the first listener makes a group and a registry entry", () => {
  const world = new World();
  world.join(1);
  const actions = world.listen(1, {}, 42);
  assertEquals(kinds(actions), ["add_listener", "listening"]);
  assertEquals(only(actions, "listening"), {
    token: 42,
    group: 1,
    reason: Reason.none,
    reserved: 0,
  });
  assertEquals(world.state.groups.get(1)!.uid, 1000);
});

Deno.test("a sibling that listens at the same socket joins the same group", () => {
  const world = pair();
  world.join(3);
  const actions = world.listen(3);
  assertEquals(kinds(actions), ["listening"]);
  assertEquals(only(actions, "listening").group, 1);
});

Deno.test("a worker that gave up root stays in the group of its master", () => {
  const world = new World();
  world.join(1, { uid: 0 });
  world.join(2, { uid: 33 });
  const group = only(world.listen(1, { uid: 0 }), "listening").group;
  assertEquals(only(world.listen(2, { uid: 0 }), "listening").group, group);
});

Deno.test("another port, address, family, scope, owner or namespace is another group", () => {
  const world = new World();
  world.join(1);
  const { endpoint } = listenerAt(80);
  const loopback = new Uint8Array(16);
  loopback.set([0xff, 0xff, 127, 0, 0, 1], 10);
  const proofs = [
    {},
    { endpoint: { ...endpoint, port: 81 } },
    { endpoint: { ...endpoint, address: loopback } },
    { endpoint: { ...endpoint, family: 6 } },
    { endpoint: { ...endpoint, scope: 2 } },
    { uid: 1001 },
    { netns: 2n },
  ];
  const groups = proofs.map((proof) => only(world.listen(1, proof), "listening").group);
  assertEquals(groups, [1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("a socket that is no TCP listener is refused with the kernel's reason", () => {
  const world = new World();
  world.join(1);
  const answer = only(world.listen(1, Reason.socket_option), "listening");
  assertEquals([answer.group, answer.reason], [0, Reason.socket_option]);
  assertEquals(world.state.groups.size, 0);
});

Deno.test("a group ends when its last member stops listening", () => {
  const world = pair();
  world.join(3);
  world.listen(3);
  assertEquals(kinds(world.unlisten(1, 1)), []);
  assertEquals(kinds(world.unlisten(3, 1)), ["remove_listener"]);
  assertEquals(world.state.groups.size, 0);
});

Deno.test("a group ends when its last member dies", () => {
  const world = pair();
  assertEquals(kinds(world.leave(1)), ["remove_listener"]);
});

Deno.test("a group number is never used twice", () => {
  const world = pair();
  world.unlisten(1, 1);
  assertEquals(only(world.listen(1), "listening").group, 2);
});

Deno.test("a process with two sockets in a group leaves with the second unlisten", () => {
  const world = pair();
  world.listen(1);
  assertEquals(kinds(world.unlisten(1, 1)), []);
  assert(world.state.groups.has(1));
  assertEquals(kinds(world.unlisten(1, 1)), ["remove_listener"]);
});

Deno.test("unlisten of a group that one is not in does nothing", () => {
  const world = pair();
  assertEquals(kinds(world.unlisten(2, 1)), []);
  assertEquals(kinds(world.unlisten(2, 99)), []);
  assert(world.state.groups.has(1));
});

Deno.test("a uid has at most its quota of listeners", () => {
  const world = new World({ quotas: { listeners: 1 } });
  world.join(1);
  world.listen(1);
  assertEquals(only(world.listen(1, listenerAt(81)), "listening").reason, Reason.quota);
  world.unlisten(1, 1);
  assertEquals(only(world.listen(1, listenerAt(81)), "listening").reason, Reason.none);
});

// -- accepted connections -----------------------------------------------------------------------

/** The group that a LISTEN with this socket is answered with; 0: there is no such listener. */
function answerTo(world: World, client: number, proof: ListenerProof): number {
  const { group, reason } = only(world.listen(client, proof), "listening");
  assertEquals(reason, group === 0 ? Reason.no_listener : Reason.none);
  return group;
}

Deno.test("a process with an accepted connection joins its listener's group", () => {
  const world = pair();
  world.connect(2, 1);
  world.join(3);
  const actions = world.listen(3, acceptedAt(80), 42);
  assertEquals(kinds(actions), ["listening", "link"]);
  assertEquals(only(actions, "listening"), {
    token: 42,
    group: 1,
    reason: Reason.none,
    reserved: 0,
  });
  const [, link] = sends(actions);
  assertEquals([link.to, link.then[0].to], [2, 3]);
});

Deno.test("arenas that are made later go to who serves an accepted connection, too", () => {
  const world = pair();
  world.join(3);
  world.listen(3, acceptedAt(80));
  assertEquals(kinds(world.connect(2, 1)), ["make_arena", "arena", "link", "link"]);
});

Deno.test("an accepted connection makes no group", () => {
  const world = new World();
  world.join(1);
  assertEquals(kinds(world.listen(1, acceptedAt(80))), ["listening"]);
  assertEquals(answerTo(world, 1, acceptedAt(80)), 0);
  assertEquals([world.state.groups.size, world.state.usage.get(1000)!.listeners], [0, 0]);
  assertEquals(world.state.counts.refused.get(Reason.no_listener), 2);
});

Deno.test("an accepted connection belongs to a listener at its address or at any, most exact first", () => {
  const { endpoint } = listenerAt(80);
  const mapped = { ...listenerAt(80), family: 6 };
  const any6 = { ...mapped, endpoint: { ...endpoint, family: 6 } };
  const exact = { ...listenerAt(80), endpoint: loopbackAt(80) };
  const local6 = { ...loopbackAt(80), address: new Uint8Array(16).fill(254), family: 6, scope: 2 };
  const accepted6 = { ...acceptedAt(80, 1000, 6), endpoint: local6 };
  const cases: [string, ListenerProof[], ListenerProof, number][] = [
    ["any IPv4", [listenerAt(80)], acceptedAt(80), 1],
    ["exact before any", [listenerAt(80), exact], acceptedAt(80), 2],
    ["dual-stack", [any6], acceptedAt(80, 1000, 6), 1],
    ["mapped any-address", [mapped], acceptedAt(80, 1000, 6), 1],
    ["mapped address", [any6, exact], acceptedAt(80, 1000, 6), 2],
    ["dual-stack, not its IPv4 sibling", [listenerAt(80), any6], acceptedAt(80, 1000, 6), 2],
    ["IPv4, not its IPv6 sibling", [any6, listenerAt(80)], acceptedAt(80), 2],
    ["IPv6 can not accept on an IPv4 socket", [any6], acceptedAt(80), 0],
    ["any IPv6", [any6], accepted6, 1],
    ["exact IPv6", [any6, { ...any6, endpoint: local6 }], accepted6, 2],
    ["IPv4 can not accept IPv6", [listenerAt(80)], accepted6, 0],
  ];
  for (const [name, listeners, accepted, group] of cases) {
    const world = new World();
    world.join(1);
    for (const proof of listeners) world.listen(1, proof);
    world.join(2);
    assertEquals(answerTo(world, 2, accepted), group, name);
  }
});

Deno.test("a connection at another address, port or namespace belongs to no listener", () => {
  const world = new World();
  world.join(1);
  world.listen(1, { endpoint: loopbackAt(80) });
  const elsewhere = loopbackAt(80);
  elsewhere.address[15] = 2;
  assertEquals(answerTo(world, 1, acceptedAt(81)), 0);
  assertEquals(answerTo(world, 1, { ...acceptedAt(80), endpoint: elsewhere }), 0);
  assertEquals(answerTo(world, 1, { ...acceptedAt(80), netns: 2n }), 0);
  assertEquals(answerTo(world, 1, acceptedAt(80)), 1);
});

Deno.test("an accepted connection joins by its owner's uid or by the asking process's", () => {
  const cases: [asking: number, owner: number, group: number][] = [
    [1000, 1000, 1],
    [1001, 1000, 1],
    [1000, 1001, 1],
    [1001, 1001, 0],
    [0, 1001, 0],
  ];
  for (const [asking, owner, group] of cases) {
    const world = pair();
    world.join(3, { uid: asking });
    assertEquals(answerTo(world, 3, acceptedAt(80, owner)), group, `${asking} ${owner}`);
  }
});

Deno.test("a child that gave up the group's uid sees arenas of its own user only", () => {
  const world = new World();
  world.join(1, { uid: 0 });
  world.listen(1, listenerAt(80, 0));
  const clients = [[2, 1000], [3, 1001], [4, 0]];
  for (const [client, uid] of clients) {
    world.join(client, { uid });
    world.connect(client, 1);
  }
  world.join(5, { uid: 1000 });
  const actions = world.listen(5, acceptedAt(80, 0));
  assertEquals(kinds(actions), ["listening", "link"]);
  assertEquals(sends(actions)[1].to, 2);
  world.join(6, { uid: 1001 });
  assertEquals(kinds(world.connect(6, 1)), ["make_arena", "arena", "link"]);
  const more = world.listen(5, listenerAt(80, 0));
  assertEquals(sends(more).slice(1).map(({ to }) => to), [3, 4, 6], "it listens now");
});

Deno.test("a group ends with its last listening socket; who serves keeps its arenas, gets no new", () => {
  const world = pair();
  world.connect(2, 1);
  world.join(3);
  world.listen(3, acceptedAt(80));
  assertEquals(kinds(world.leave(1)), ["remove_listener"]);
  assertEquals(world.state.arenas.size, 1);
  assertEquals(only(world.connect(2, 1), "refused").reason, Reason.no_listener);
  assertEquals(world.state.usage.get(1000)!.listeners, 0);
  assertEquals(kinds(world.unlisten(3, 1)), []);
  assertEquals(answerTo(world, 3, acceptedAt(80)), 0);
  assertEquals(kinds(world.leave(3)), ["close_arena"]);
  world.leave(2);
  assertEmpty(world);
});

Deno.test("a member that serves leaves with unlisten, and the group stays", () => {
  const world = pair();
  world.join(3);
  world.listen(3, acceptedAt(80));
  assertEquals(kinds(world.unlisten(3, 1)), []);
  assertEquals([...world.state.groups.get(1)!.members], [1]);
  assertEquals(kinds(world.connect(2, 1)), ["make_arena", "arena", "link"]);
});

Deno.test("a process that listens and serves ends its group with its last unlisten", () => {
  const world = pair();
  world.listen(1, acceptedAt(80));
  assertEquals(kinds(world.unlisten(1, 1)), []);
  assertEquals(world.state.clients.get(1)!.memberships.get(1), { listening: 1, serving: 0 });
  assertEquals(kinds(world.unlisten(1, 1)), ["remove_listener"]);
});

Deno.test("a process that says twice what it serves is one member with one link", () => {
  const world = pair();
  world.connect(2, 1);
  world.join(3);
  world.listen(3, acceptedAt(80));
  assertEquals(kinds(world.listen(3, acceptedAt(80))), ["listening"]);
  assertEquals(world.state.groups.get(1)!.members.size, 2);
  assertEquals(world.state.usage.get(1000)!.listeners, 3);
  world.leave(3);
  assertEquals(world.state.usage.get(1000)!.listeners, 1);
});

Deno.test("accepted connections count for the quota of listeners", () => {
  const world = new World({ quotas: { listeners: 2 } });
  world.join(1);
  world.listen(1);
  world.listen(1, acceptedAt(80));
  assertEquals(only(world.listen(1, acceptedAt(80)), "listening").reason, Reason.quota);
  world.unlisten(1, 1);
  assertEquals(answerTo(world, 1, acceptedAt(80)), 1);
});
