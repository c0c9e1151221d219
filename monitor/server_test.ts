import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { arenaBytes, constants, Reason, structs } from "../ffi/layout.gen.ts";
import { readStruct } from "../ffi/struct.ts";
import { type FakeLibrary, fileBytes, readMemory } from "./fake_library.ts";
import { decodeReply } from "./protocol.ts";
import { descriptorAt, openDescriptors, TestServer } from "./test_server.ts";

/** Sequence word of a process, as it sees it in the registry. */
function sequenceWord(registryFd: number, index: number): bigint {
  const bytes = readMemory(registryFd, constants.processSeqOffset + 8 * index, 8);
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

function registryHeader(registryFd: number) {
  return readStruct("RegistryHeader", readMemory(registryFd, 0, structs.RegistryHeader.size));
}

/** Listeners in the registry, wherever they lie. */
function registryListeners(registryFd: number) {
  const { size } = structs.RegistryListener;
  const length = size * constants.registryListeners;
  const bytes = readMemory(registryFd, constants.listenersOffset, length);
  return Array.from(
    { length: constants.registryListeners },
    (_, i) => readStruct("RegistryListener", bytes, i * size),
  ).filter(({ group }) => group !== 0);
}

Deno.test("a process registers and gets the registry, which it can not write", async () => {
  await using test = new TestServer();
  const library = test.library();
  const welcome = await library.hello();
  const [registry] = welcome.fds;
  assertEquals(registryHeader(registry).magic, constants.registryMagic);
  assertEquals(registryHeader(registry).generation, welcome.body.generation);
  assertEquals(registryHeader(registry).monitor_pid, Deno.pid);
  assertEquals(BigInt(fileBytes(registry)), constants.registryBytes);
});

Deno.test("every message bumps the process's sequence word, and only its own", async () => {
  await using test = new TestServer();
  const other = await test.process();
  const library = test.library();
  const { body, fds: [registry] } = await library.hello();
  const before = sequenceWord(registry, body.process_index);
  assertNotEquals(before, 0n);
  const othersBefore = sequenceWord(registry, 0);
  await library.ping();
  assertEquals(sequenceWord(registry, body.process_index), before + 1n);
  assertEquals(sequenceWord(registry, 0), othersBefore);
  await other.ping();
});

Deno.test("ping is answered on a connection that says nothing else", async () => {
  await using test = new TestServer();
  assertEquals(await test.library().ping(123n), 123n);
  assertEquals(test.server.state.counts.pings, 1);
});

Deno.test("a sock_diag socket is lent to each process that asks, and none is kept", async () => {
  await using test = new TestServer();
  for (const library of [await test.process(), await test.process()]) {
    const open = descriptorCount();
    library.send({ type: "borrow_diag", sequence: 3, body: {} });
    const { fds, sequence } = await library.receive("diag");
    assertEquals(sequence, 3);
    assertMatch(Deno.readLinkSync(`/proc/self/fd/${fds[0]}`), /^socket:/);
    assertEquals(descriptorCount(), open + 1, "the borrower's is the only one");
  }
});

function descriptorCount(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("messages sent before the welcome came are served in order", async () => {
  await using test = new TestServer();
  const { fd } = test.listener();
  const library = test.library();
  const listen = { type: "listen" as const, sequence: 5, body: { token: 8, reserved: 0 } };
  const connect = { type: "connect" as const, sequence: 6, body: { group: 1, slots_wanted: 1 } };
  const welcome = library.hello();
  library.send(listen, [fd]);
  library.send(connect);
  await welcome;
  assertEquals((await library.receive("listening")).body.group, 1);
  assertEquals((await library.receive("arena")).sequence, 6);
});

Deno.test("a listener appears in the registry and goes with its process", async () => {
  await using test = new TestServer();
  const watcher = test.library();
  const [registry] = (await watcher.hello()).fds;
  const worker = await test.process();
  const { fd, port } = test.listener();
  await worker.listen(fd);
  const [entry, ...others] = registryListeners(registry);
  assertEquals(others, []);
  assertEquals([entry.endpoint.port, entry.endpoint.family], [port, 4]);
  assertEquals([...entry.endpoint.address.slice(10)], [255, 255, 127, 0, 0, 1]);
  assertEquals(entry.uid, Deno.uid()!);
  test.end(worker);
  await test.until("the listener is gone", () => registryListeners(registry).length === 0);
});

Deno.test("the monitor keeps no copy of a listening socket", async () => {
  await using test = new TestServer();
  const library = await test.process();
  const { fd } = test.listener();
  const before = openDescriptors();
  await library.listen(fd);
  assertEquals(openDescriptors(), before);
});

Deno.test("what is no listening TCP socket is refused", async () => {
  await using test = new TestServer();
  const library = await test.process();
  const [a, b] = test.native.socketPair();
  const answer = await library.listen(a);
  assertEquals([answer.body.group, answer.body.reason], [0, Reason.listener_unregistered]);
  for (const fd of [a, b]) test.native.close(fd);
  library.send({ type: "listen", sequence: 1, body: { token: 1, reserved: 0 } });
  assertEquals((await library.receive("listening")).body.reason, Reason.listener_unregistered);
});

Deno.test("a process with an accepted connection gets the arenas of its listener", async () => {
  await using test = new TestServer();
  const { fd: listener, port } = test.listener();
  const parent = await test.process();
  const { group } = (await parent.listen(listener)).body;
  const client = await test.process();
  client.connect(group);
  const arena = await client.receive("arena");
  await client.receive("link");
  const child = await test.process();
  const answer = await child.listen((await test.accepted(port)).fd, 9);
  assertEquals([answer.body.group, answer.body.token], [group, 9]);
  const served = await child.receive("arena");
  assertEquals([served.body.arena_id, served.body.side], [arena.body.arena_id, 1]);
  const link = await client.receive("link");
  test.native.send(served.fds[1], new Uint8Array([5]));
  assertEquals([...test.native.receive(link.fds[0])!.bytes], [5]);
});

Deno.test("a dual-stack listener's IPv4 connection is of its group", async () => {
  await using test = new TestServer();
  const parent = await test.process();
  const { fd: listener, port } = test.listener("::");
  const { group } = (await parent.listen(listener)).body;
  const child = await test.process();
  const accepted = await test.accepted(port);
  assertEquals((await child.listen(accepted.fd)).body.group, group);
});

Deno.test("a connection of no registered listener joins nothing and adds no entry", async () => {
  await using test = new TestServer();
  const { library, group } = await test.worker();
  const watcher = test.library();
  const [registry] = (await watcher.hello()).fds;
  const { port } = test.listener();
  const { fd, peerPort } = await test.accepted(port);
  const connecting = descriptorAt(test.native, peerPort, false);
  for (const socket of [fd, connecting]) {
    const answer = await library.listen(socket);
    assertEquals([answer.body.group, answer.body.reason], [0, Reason.no_listener]);
  }
  assertEquals(registryListeners(registry).map((entry) => entry.group), [group]);
});

Deno.test("the entry goes with the last listening process, not with who serves", async () => {
  await using test = new TestServer();
  const watcher = test.library();
  const [registry] = (await watcher.hello()).fds;
  const parent = await test.process();
  const { fd, port } = test.listener();
  await parent.listen(fd);
  const child = await test.process();
  const accepted = await test.accepted(port);
  const { group } = (await child.listen(accepted.fd)).body;
  child.unlisten(group);
  await child.listen(accepted.fd);
  assertEquals(registryListeners(registry).length, 1);
  test.end(parent);
  await test.until("the entry is gone", () => registryListeners(registry).length === 0);
  assertEquals((await child.listen(accepted.fd)).body.reason, Reason.no_listener);
});

Deno.test("the monitor keeps no copy of an accepted connection", async () => {
  await using test = new TestServer();
  const parent = await test.process();
  const { fd, port } = test.listener();
  await parent.listen(fd);
  const accepted = await test.accepted(port);
  const before = openDescriptors();
  await parent.listen(accepted.fd);
  assertEquals(openDescriptors(), before);
});

Deno.test({
  name: "another user's connection joins when the asking process or the socket is the listener's",
  ignore: Deno.uid() !== 0, // only root can give a socket to another user
  async fn() {
    const [root, other] = [0, 65534];
    const cases: [listener: number, accepted: number, joins: boolean][] = [
      [root, other, true],
      [other, other, true],
      [other, root, false],
    ];
    for (const [ofListener, ofAccepted, joins] of cases) {
      await using test = new TestServer();
      const parent = await test.process();
      const { fd, port } = test.listener();
      give(fd, ofListener);
      const { group } = (await parent.listen(fd)).body;
      const accepted = await test.accepted(port);
      give(accepted.fd, ofAccepted);
      const child = await test.process();
      const { body } = await child.listen(accepted.fd);
      const wanted = joins ? [group, Reason.none] : [0, Reason.no_listener];
      assertEquals([body.group, body.reason], wanted, `${ofListener} ${ofAccepted}`);
    }
  },
});

/** Changes who owns a socket. */
function give(fd: number, uid: number): void {
  Deno.chownSync(`/proc/self/fd/${fd}`, uid, null);
}

Deno.test("client and worker get the same arena and the two ends of a channel", async () => {
  await using test = new TestServer();
  const { library: worker, group } = await test.worker();
  const client = await test.process();
  client.connect(group, 100);
  const toClient = await client.receive("arena");
  const link = await client.receive("link");
  const toWorker = await worker.receive("arena");
  assertEquals(toClient.body.slot_count, 128);
  assertEquals(Number(toClient.body.total_bytes), arenaBytes[128]);
  assertEquals(fileBytes(toClient.fds[0]), arenaBytes[128]);
  const inode = (fd: number) => Deno.statSync(`/proc/self/fd/${fd}`).ino;
  assertEquals(inode(toClient.fds[0]), inode(toWorker.fds[0]));
  assertEquals([toWorker.body.side, toWorker.body.link, link.body.link], [1, 1, 1]);
  test.native.send(link.fds[0], new Uint8Array([7]));
  assertEquals([...test.native.receive(toWorker.fds[1])!.bytes], [7]);
});

Deno.test("an arena's header is filled in and the rest is zero", async () => {
  await using test = new TestServer();
  const { library, group } = await test.worker();
  library.connect(group);
  const { body, fds } = await library.receive("arena");
  const header = readStruct("ArenaHeader", readMemory(fds[0], 0, structs.ArenaHeader.size));
  assertEquals(header.magic, constants.arenaMagic);
  assertEquals(header.abi_version, constants.abiVersion);
  assertEquals(header.slot_count, body.slot_count);
  assertEquals(header.arena_id, body.arena_id);
  assertEquals(header.ring_bytes, BigInt(constants.ringBytes));
  assert(readMemory(fds[0], structs.ArenaHeader.size, 60_000).every((byte) => byte === 0));
});

Deno.test("two workers have a link and a channel each", async () => {
  await using test = new TestServer();
  const { library: first, group, fd } = await test.worker();
  const second = await test.process();
  await second.listen(fd);
  const client = await test.process();
  client.connect(group);
  await client.receive("arena");
  const links = [await client.receive("link"), await client.receive("link")];
  assertEquals(links.map(({ body }) => body.link), [1, 2]);
  assertEquals((await first.receive("arena")).body.link, 1);
  assertEquals((await second.receive("arena")).body.link, 2);
});

Deno.test("a worker that listens later gets the arenas that are there", async () => {
  await using test = new TestServer();
  const { group, fd } = await test.worker();
  const client = await test.process();
  client.connect(group);
  const { body } = await client.receive("arena");
  await client.receive("link");
  const late = await test.process();
  await late.listen(fd);
  assertEquals((await late.receive("arena")).body.arena_id, body.arena_id);
  assertEquals((await client.receive("link")).body.link, 2);
});

Deno.test("one process can be client and worker at once", async () => {
  await using test = new TestServer();
  const { library, group } = await test.worker();
  library.connect(group);
  assertEquals((await library.receive("arena")).body.side, 0);
  const link = await library.receive("link");
  const served = await library.receive("arena");
  assertEquals(served.body.side, 1);
  test.native.send(served.fds[1], new Uint8Array([9]));
  assertEquals([...test.native.receive(link.fds[0])!.bytes], [9]);
});

Deno.test("a worker's arena is held back until a client that does not read has the link", async () => {
  await using test = new TestServer();
  const { library: worker, group } = await test.worker();
  const client = await test.process();
  const pings = await fillInbox(test, client);
  client.connect(group);
  await test.until("the arena is made", () => test.server.state.arenas.size === 1);
  // The worker's ping is served after all that, so its answer would come behind an arena.
  await worker.ping();
  assertEquals(worker.tryNext(), undefined);
  for (let i = 0; i < pings; i++) await client.receive("pong");
  await client.receive("arena");
  await client.receive("link");
  assertEquals((await worker.receive("arena")).body.link, 1);
  await test.until("both channel ends are handed over", () => test.server.held.channels === 0);
});

/** Pings without reading until the monitor can send no more; returns how many pings. */
async function fillInbox(test: TestServer, library: FakeLibrary): Promise<number> {
  const waiting = () => test.server.waitingFor(1) + test.server.waitingFor(2);
  let pings = 0;
  while (waiting() === 0) {
    library.send({ type: "ping", sequence: 0, body: { payload: 0n } });
    pings += 1;
    const { counts } = test.server.state;
    await test.until("the ping is served", () => counts.pings === pings);
  }
  return pings;
}

Deno.test("a link that was never delivered takes the worker's arena with it", async () => {
  await using test = new TestServer();
  const { library: worker, group } = await test.worker();
  const client = await test.process();
  await fillInbox(test, client);
  client.connect(group);
  await test.until("the arena is made", () => test.server.state.arenas.size === 1);
  test.end(client);
  await test.until("the client is gone", () => test.server.state.arenas.size === 0);
  await worker.ping();
  assertEquals(worker.tryNext(), undefined);
  assertEquals(test.server.held, { connections: 1, arenas: 0, channels: 0 });
});

Deno.test("a process that never reads is dropped, and nobody else notices", async () => {
  await using test = new TestServer();
  const other = await test.process();
  const lazy = test.library();
  const ping = { type: "ping" as const, sequence: 0, body: { payload: 0n } };
  await test.until("it is dropped", () => {
    try {
      for (let i = 0; i < 100; i++) lazy.send(ping);
    } catch {
      // Dropped in the middle of it.
    }
    return test.server.state.counts.drops === 1;
  });
  assertEquals(await other.ping(), 7n);
});

Deno.test("garbage drops its sender with one line in the log", async () => {
  const cases: [string, (library: FakeLibrary) => void][] = [
    ["bytes", (library) => library.sendRaw(new Uint8Array([1, 2, 3]))],
    ["a long packet", (library) => library.sendRaw(new Uint8Array(5000))],
    ["no magic", (library) => library.sendRaw(new Uint8Array(24))],
  ];
  for (const [name, misbehave] of cases) {
    await using test = new TestServer();
    const { library: worker, group } = await test.worker();
    const guilty = await test.process();
    misbehave(guilty);
    assertEquals(await guilty.next(), null, name);
    const dropped = test.logLines.filter((line) => line.includes("dropped pid"));
    assertEquals(dropped.length, 1, name);
    assertMatch(dropped[0], /warn {2}dropped pid \d+ "\S+" \(uid \d+\): /);
    worker.connect(group);
    await worker.receive("arena");
  }
});

Deno.test("descriptors that come with garbage, or with too many others, are closed", async () => {
  await using test = new TestServer();
  const library = await test.process();
  await library.ping();
  const before = openDescriptors();
  const [a, b] = test.native.socketPair();
  library.send({ type: "ping", sequence: 0, body: { payload: 1n } }, [a, b, a, b]);
  await library.receive("pong");
  library.sendRaw(new Uint8Array([1]), [a, b]);
  await library.next();
  for (const fd of [a, b]) test.native.close(fd);
  // The guilty one's three descriptors in the monitor are its socket, pidfd and end table, and
  // the table stays open for a while after its end.
  assertEquals(openDescriptors(), before - 2);
});

Deno.test("an end table that is no sealed memfd is not kept, its process is", async () => {
  await using test = new TestServer();
  const library = test.library();
  const file = Deno.makeTempFileSync({ dir: test.directory });
  using loose = Deno.openSync(file, { read: true, write: true });
  loose.truncateSync(Number(constants.endTableBytes));
  const fd = descriptorOfFile(file);
  const body = {
    abi_version: constants.abiVersion,
    pid: 1,
    netns: 0n,
    end_table_bytes: constants.endTableBytes,
    parent_pid: 0,
    flags: 0,
  };
  library.send({ type: "hello", sequence: 1, body }, [fd]);
  await library.receive("welcome");
  assert(test.logLines.some((line) => line.includes("has no counters")));
});

function descriptorOfFile(path: string): number {
  for (const entry of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${entry.name}`) === path) return Number(entry.name);
    } catch {
      // The directory's own descriptor, closed by now.
    }
  }
  throw new Error(`"${path}" is not open`);
}

Deno.test("draining is told in the registry and refuses arenas", async () => {
  await using test = new TestServer();
  const library = test.library();
  const [registry] = (await library.hello()).fds;
  const { fd } = test.listener();
  const { group } = (await library.listen(fd)).body;
  test.server.drain(true);
  assertEquals(registryHeader(registry).flags, constants.registryFlagDraining);
  library.connect(group);
  assertEquals((await library.receive("refused")).body.reason, Reason.disabled);
  test.server.drain(false);
  assertEquals(registryHeader(registry).flags, 0);
});

Deno.test("a process killed while its child holds the socket is gone all the same", async () => {
  await using test = new TestServer();
  const holder = spawnHolder(test.path);
  await test.until("it is connected", () => test.server.state.clients.size === 1);
  holder.kill("SIGKILL");
  await holder.status;
  await test.until("it is gone", () => test.server.state.clients.size === 0);
});

/** A process that connects, has a child with the same socket, and waits. */
function spawnHolder(path: string): Deno.ChildProcess {
  const script = [
    "import os, socket, sys, time",
    "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)",
    "s.connect(sys.argv[1])",
    "os.set_inheritable(s.fileno(), True)",
    "parent = os.getpid()",
    "if os.fork() == 0:",
    "  while os.getppid() == parent: time.sleep(0.02)",
    "  time.sleep(0.5); os._exit(0)",
    "time.sleep(30)",
  ].join("\n");
  return new Deno.Command("python3", { args: ["-c", script, path], stdin: "null" }).spawn();
}

Deno.test("nothing is left of processes that came and went", async () => {
  await using test = new TestServer();
  const before = openDescriptors();
  for (let round = 0; round < 20; round++) {
    const client = await test.process();
    const worker = await test.process();
    const { fd } = test.listener();
    const { group } = (await worker.listen(fd)).body;
    client.connect(group);
    await worker.receive("arena");
    test.end(client);
    test.end(worker);
  }
  await test.until("all are gone", () => test.server.state.clients.size === 0);
  assertEquals(test.server.held, { connections: 0, arenas: 0, channels: 0 });
  const { groups, arenas, usage } = test.server.state;
  assertEquals([groups.size, arenas.size, usage.size], [0, 0, 0]);
  // 20 listeners of the test, and the end tables of the last 32 processes.
  assertEquals(openDescriptors(), before + 20 + 32);
});

Deno.test("a flood of one process does not keep another from its answer", async () => {
  await using test = new TestServer();
  const flooder = test.library();
  const ping = { type: "ping" as const, sequence: 0, body: { payload: 0n } };
  for (let i = 0; i < 150; i++) flooder.send(ping);
  assertEquals(await test.library().ping(), 7n);
  for (let i = 0; i < 150; i++) await flooder.receive("pong");
});

Deno.test("random packets from many clients never stop the monitor", async () => {
  await using test = new TestServer();
  const steady = await test.process();
  for (let round = 0; round < 200; round++) {
    const library = test.library();
    const bytes = crypto.getRandomValues(new Uint8Array(1 + round % 64));
    library.sendRaw(bytes);
    assertEquals(await library.next(), null);
    test.end(library);
  }
  assertEquals(await steady.ping(), 7n);
  assertEquals(test.server.state.counts.garbage, 200);
});

Deno.test("an answer decodes to what was sent", async () => {
  await using test = new TestServer();
  const library = await test.process();
  library.connect(77);
  await test.until("the answer is there", () => test.server.state.counts.connects === 1);
  const packet = test.native.receive(library.fd)!;
  assertEquals(decodeReply(packet.bytes).body, { group: 77, reason: Reason.no_listener });
});
