/**
 * The shell around the core: sockets in, sockets out. Packets become events for `step`, its actions
 * become packets, memfds and registry entries. One event loop, one wait (ffi/poller.ts); nothing
 * here takes longer than a few system calls, and nothing that a process sends can end it.
 */

import { isNativeError } from "../ffi/error.ts";
import { constants, Reason } from "../ffi/layout.gen.ts";
import type { Native, Packet, Peer } from "../ffi/native.ts";
import type { Poller, Ready } from "../ffi/poller.ts";
import type { Registry } from "../ffi/registry.ts";
import type { Action, Event, ListenerProof, RequestOf, Send } from "./core/model.ts";
import { Descriptors } from "./descriptors.ts";
import { Ledger } from "./ledger.ts";
import type { Logger } from "./log.ts";
import { Outbox, type Outcome } from "./outbox.ts";
import type { Quotas } from "./policy.ts";
import { decodeRequest, encode, GarbageError, type Request } from "./protocol.ts";
import { createState, type State, step } from "./state.ts";

/** What an event in the poller is about. */
const kindWaker = 0;
const kindListener = 1;
const kindSocket = 2;
const kindPidfd = 3;

/** One turn of the loop takes at most this much from one source before it looks at the others. */
const packetsPerTurn = 32;
const acceptsPerTurn = 64;
const roundsPerTurn = 16;
const startsPerTurn = 64;

/** A process that leaves this many messages unread is dropped. */
const waitingMax = 1024;

/** Ignored where it is not permitted. */
const brokerNice = -10;

interface Connection {
  readonly id: number;
  readonly pid: number;
  readonly fd: number;
  readonly pidfd: number;
  readonly outbox: Outbox;
  /** End table, or -1. */
  tableFd: number;
  watchesOut: boolean;
  /** Known from HELLO on. */
  program: string;
  ownPid: number;
  saidHello: boolean;
}

export interface ServerOptions {
  native: Native;
  /** A listening control socket; the server's from now on. */
  listener: number;
  /** A datagram socket to which starting programs send pings; likewise. */
  starts: number;
  logger: Logger;
  quotas?: Partial<Quotas>;
  generation?: bigint;
}

export class Server {
  readonly state: State;
  readonly ledger: Ledger;
  readonly startedMs: number = Date.now();
  readonly #native: Native;
  readonly #logger: Logger;
  readonly #poller: Poller;
  readonly #registry: Registry;
  readonly #descriptors: Descriptors;
  readonly #listener: number;
  readonly #starts: number;
  readonly #connections = new Map<number, Connection>();
  /** Given up to be able to accept, and turn away, a connection when descriptors run out. */
  #reserveFd: number;
  #nextClient = 1;
  #stopping = false;

  constructor(options: ServerOptions) {
    const { native, listener, logger, quotas } = options;
    const generation = options.generation ?? randomGeneration();
    this.state = createState({ generation, quotas });
    this.ledger = new Ledger({
      readTotals: (fd) => native.readTotals(fd),
      close: (fd) => native.close(fd),
      hasChildren: (pid) => [...this.state.clients.values()].some((c) => c.parentPid === pid),
    });
    this.#native = native;
    this.#logger = logger;
    this.#listener = listener;
    this.#starts = options.starts;
    this.#registry = native.createRegistry(generation, Deno.pid);
    this.#descriptors = new Descriptors(native, this.#registry.fd);
    this.#reserveFd = native.createMemory(0n);
    // Two programs that both spin leave a third little of two cores; a broker that answers late keeps
    // connections on TCP for longer. It sleeps nearly always, so this takes nothing from anybody.
    native.setNice(brokerNice);
    this.#poller = native.createPoller();
    this.#poller.armWaker(constants.pollIn, kindWaker);
    this.#poller.add(listener, constants.pollIn, kindListener, 0);
  }

  /** Serves until `stop`. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      let ready = await this.#poller.wait();
      for (let round = 0; round < roundsPerTurn && ready.length > 0; round++) {
        for (const event of ready) this.#onReady(event);
        if (this.#stopping) return;
        ready = this.#poller.poll();
      }
      for (const event of ready) this.#onReady(event);
    }
  }

  stop(): void {
    this.#stopping = true;
    this.#poller.wake();
  }

  /** After `run` has returned. */
  close(): void {
    for (const connection of [...this.#connections.values()]) this.#closeConnection(connection);
    this.#descriptors.close();
    this.#registry.close();
    this.#poller.close();
    for (const fd of [this.#listener, this.#starts, this.#reserveFd]) this.#native.close(fd);
    this.ledger.close();
  }

  /**
   * Counts the programs that have started. Nothing wakes the monitor for them: a shell starts
   * hundreds, and few of them ever use TCP. When their queue is full, the next program comes by the
   * control socket, and that does.
   */
  countStarts(): void {
    for (let count = 0; count < startsPerTurn; count++) {
      const packet = this.#native.receive(this.#starts);
      if (!packet) return;
      for (const fd of packet.fds) this.#native.close(fd);
      if (isPing(packet)) this.#handle({ kind: "started" });
    }
  }

  drain(on: boolean): void {
    this.#handle({ kind: "drain", on });
    this.#logger.info(on ? "draining: no new arenas" : "no longer draining");
  }

  /** End tables of live processes, by client number. */
  tableOf(client: number): number | null {
    const fd = this.#connections.get(client)?.tableFd ?? -1;
    return fd < 0 ? null : fd;
  }

  get native(): Native {
    return this.#native;
  }

  /** Messages that wait because a client does not read. */
  waitingFor(client: number): number {
    return this.#connections.get(client)?.outbox.length ?? 0;
  }

  /** Descriptors held on behalf of others, for leak tests and metrics. */
  get held(): { connections: number; arenas: number; channels: number } {
    return { connections: this.#connections.size, ...this.#descriptors.counts };
  }

  // -- events in --------------------------------------------------------------------------------

  #onReady(ready: Ready): void {
    try {
      if (ready.kind === kindListener) this.#onListener();
      else if (ready.kind !== kindWaker) this.#onConnection(ready);
    } catch (error) {
      this.#onBug(ready, error);
    }
  }

  /** Whatever goes wrong for one process is not to hurt the others. */
  #onBug(ready: Ready, error: unknown): void {
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    this.#logger.error(`internal error while serving client ${ready.id}: ${text}`);
    if (ready.kind !== kindListener) {
      this.#handle({ kind: "stalled", client: ready.id, why: "internal error" });
      this.#closeConnection(this.#connections.get(ready.id));
    }
  }

  #onListener(): void {
    this.countStarts();
    for (let count = 0; count < acceptsPerTurn; count++) {
      const peer = this.#accept();
      if (!peer) return;
      this.#addConnection(peer);
    }
  }

  #accept(): Peer | null {
    try {
      return this.#native.accept(this.#listener);
    } catch (error) {
      if (isNativeError(error, "EMFILE", "ENFILE")) this.#turnAway();
      // Anything else (ECONNABORTED ...) is about a connection that is gone already.
      return null;
    }
  }

  /** Without this the listener would stay ready for ever and the loop would spin. */
  #turnAway(): void {
    this.#logger.warn("out of descriptors: turned a process away; raise the limit (ulimit -n)");
    this.#native.close(this.#reserveFd);
    try {
      const peer = this.#native.accept(this.#listener);
      if (peer) this.#closePeer(peer);
    } finally {
      this.#reserveFd = this.#native.createMemory(0n);
    }
  }

  #closePeer(peer: Peer): void {
    this.#native.close(peer.fd);
    if (peer.pidfd >= 0) this.#native.close(peer.pidfd);
  }

  #addConnection(peer: Peer): void {
    const id = this.#nextClient++;
    const { fd, pidfd, pid, uid, netns } = peer;
    const outbox = new Outbox((message) => this.#attempt(message));
    this.#connections.set(id, {
      id,
      pid,
      fd,
      pidfd,
      outbox,
      tableFd: -1,
      watchesOut: false,
      program: "",
      ownPid: 0,
      saidHello: false,
    });
    this.#poller.add(fd, constants.pollIn, kindSocket, id);
    if (pidfd >= 0) this.#poller.add(pidfd, constants.pollIn, kindPidfd, id);
    this.#handle({ kind: "connected", client: id, pid, uid, netns, nowMs: Date.now() });
  }

  #onConnection(ready: Ready): void {
    const connection = this.#connections.get(ready.id);
    if (!connection) return;
    if (ready.kind === kindPidfd) return this.#onGone(connection, "the process ended");
    if (ready.events & constants.pollOut) this.#flush(connection);
    if (ready.events & ~constants.pollOut) this.#receive(connection);
  }

  #onGone(connection: Connection, how: string): void {
    this.#handle({ kind: "gone", client: connection.id, how });
    this.#closeConnection(connection);
  }

  #receive(connection: Connection): void {
    for (let count = 0; count < packetsPerTurn; count++) {
      // A packet may have been the one that this client was dropped for.
      if (!this.#connections.has(connection.id)) return;
      const packet = this.#receiveOne(connection);
      if (packet === null) return;
      if (packet === "gone") return this.#onGone(connection, "its control socket closed");
      this.#onPacket(connection, packet);
    }
  }

  #receiveOne(connection: Connection): Packet | "gone" | null {
    try {
      const packet = this.#native.receive(connection.fd);
      return packet && packet.bytes.length === 0 && packet.fds.length === 0 ? "gone" : packet;
    } catch (error) {
      if (isNativeError(error, "ECONNRESET", "ENOTCONN", "EPIPE")) return "gone";
      throw error;
    }
  }

  #onPacket(connection: Connection, packet: Packet): void {
    const fds = [...packet.fds];
    try {
      if (packet.truncated) throw new GarbageError("a packet is longer than any message");
      this.#onRequest(connection, decodeRequest(packet.bytes), fds, packet.fdsLost);
    } catch (error) {
      if (!(error instanceof GarbageError)) throw error;
      this.#handle({ kind: "garbage", client: connection.id, why: error.message });
    } finally {
      for (const fd of fds) this.#native.close(fd);
    }
  }

  /** Descriptors that are kept are taken out of `fds`; the rest is closed afterwards. */
  #onRequest(connection: Connection, request: Request, fds: number[], fdsLost: boolean): void {
    const client = connection.id;
    switch (request.type) {
      case "hello":
        this.#introduceSelf(connection, request, fds);
        return this.#handle({ kind: "hello", client, request, program: connection.program });
      case "listen":
        return this.#handle({
          kind: "listen",
          client,
          request,
          proof: this.#proveOnce(fds, fdsLost),
        });
      case "unlisten":
        return this.#handle({ kind: "unlisten", client, request });
      case "connect":
        return this.#handle({ kind: "connect", client, request });
      case "ping":
        return this.#handle({ kind: "ping", client, request });
      case "borrow_diag":
        return this.#handle({ kind: "borrow_diag", client, request });
    }
  }

  #introduceSelf(connection: Connection, request: RequestOf<"hello">, fds: number[]): void {
    if (connection.saidHello) return;
    connection.saidHello = true;
    connection.program = programOf(connection.pid);
    connection.ownPid = request.body.pid;
    this.#keepTable(connection, request.body.end_table_bytes, fds);
  }

  /** A process without a table that we can read takes part all the same, without counters. */
  #keepTable(connection: Connection, bytes: bigint, fds: number[]): void {
    const fd = fds[0];
    if (fd === undefined) return;
    try {
      this.#native.checkEndTable(fd, bytes);
    } catch (error) {
      if (!isNativeError(error)) throw error;
      this.#logger.warn(`pid ${connection.pid} has no counters: ${error.message}`);
      return;
    }
    fds.shift();
    connection.tableFd = fd;
  }

  /** Our copy is closed before anybody hears the verdict: from then on the port is its owner's. */
  #proveOnce(fds: number[], fdsLost: boolean): ListenerProof | number {
    try {
      return this.#prove(fds, fdsLost);
    } finally {
      for (const fd of fds.splice(0)) this.#native.close(fd);
    }
  }

  #prove(fds: number[], fdsLost: boolean): ListenerProof | number {
    if (fds.length === 0) return fdsLost ? Reason.no_fds : Reason.listener_unregistered;
    try {
      const { netns, endpoint, uid, listening, family } = this.#native.checkListener(fds[0]);
      return { netns, endpoint, uid, listening: listening === 1, family };
    } catch (error) {
      if (isNativeError(error, "EPROTONOSUPPORT")) return Reason.socket_option;
      if (isNativeError(error)) return Reason.listener_unregistered;
      throw error;
    }
  }

  // -- actions out ------------------------------------------------------------------------------

  #handle(event: Event): void {
    for (const action of step(this.state, event)) this.#perform(action);
  }

  #perform(action: Action): void {
    switch (action.kind) {
      case "send":
        return this.#deliver(action);
      case "make_arena":
        return this.#makeArena(action.arena);
      case "close_arena":
        return this.#descriptors.closeArena(action.arena);
      case "add_listener":
        return this.#addListener(action.group);
      case "remove_listener":
        return this.#registry.remove(action.group, action.port);
      case "set_draining":
        return this.#registry.setFlags(action.on ? constants.registryFlagDraining : 0);
      case "drop":
        return this.#closeConnection(this.#connections.get(action.client));
      case "log":
        return this.#logger.line(action.level, action.text);
    }
  }

  #makeArena(number: number): void {
    const { slotCount, id } = this.state.arenas.get(number)!;
    try {
      this.#descriptors.addArena(number, this.#native.createArena(slotCount, id));
    } catch (error) {
      if (!isNativeError(error)) throw error;
      this.#logger.warn(`arena ${number}: ${error.message}`);
      const noFds = isNativeError(error, "EMFILE", "ENFILE");
      const reason = noFds ? Reason.no_fds : Reason.no_memory;
      return this.#handle({ kind: "arena_failed", arena: number, reason });
    }
    this.#handle({ kind: "arena_made", arena: number });
  }

  #addListener(number: number): void {
    const { uid, netns, endpoint } = this.state.groups.get(number)!;
    this.#registry.insert({ group: number, uid, netns, endpoint });
  }

  #deliver(message: Send): void {
    const connection = this.#connections.get(message.to);
    if (!connection) return this.#descriptors.discard(message);
    connection.outbox.push(message);
    this.#watchOut(connection);
    if (connection.outbox.length <= waitingMax) return;
    const why = `it leaves ${connection.outbox.length} messages unread`;
    this.#handle({ kind: "stalled", client: connection.id, why });
  }

  #flush(connection: Connection): void {
    connection.outbox.flush();
    this.#watchOut(connection);
  }

  #watchOut(connection: Connection): void {
    const wanted = connection.outbox.length > 0;
    if (connection.watchesOut === wanted || !this.#connections.has(connection.id)) return;
    const events = constants.pollIn | (wanted ? constants.pollOut : 0);
    this.#poller.modify(connection.fd, events, kindSocket, connection.id);
    connection.watchesOut = wanted;
  }

  #attempt(message: Send): Outcome {
    const connection = this.#connections.get(message.to);
    let outcome: Outcome = "discarded";
    try {
      const fds = connection ? this.#descriptors.resolve(message) : null;
      if (connection && fds) outcome = this.#native.send(connection.fd, encode(message.reply), fds);
    } catch (error) {
      if (!isNativeError(error)) throw error;
      // EPIPE and ECONNRESET: it is going, and the poller will say so.
      if (!["EPIPE", "ECONNRESET"].includes(error.code)) {
        this.#logger.warn(
          `lost a ${message.reply.type} to pid ${connection?.pid}: ${error.message}`,
        );
      }
    }
    if (outcome === "discarded") this.#descriptors.discard(message);
    if (outcome === "sent") this.#onSent(message);
    return outcome;
  }

  #onSent(message: Send): void {
    const index = this.state.clients.get(message.to)?.processIndex ?? -1;
    if (index >= 0) this.#registry.bump(index);
    this.#descriptors.release(message);
    for (const next of message.then) this.#deliver(next);
  }

  /** The state has forgotten it, or is about to be forgotten as a whole. */
  #closeConnection(connection: Connection | undefined): void {
    if (!connection || !this.#connections.delete(connection.id)) return;
    for (const fd of [connection.fd, connection.pidfd]) {
      if (fd < 0) continue;
      this.#poller.remove(fd);
      this.#native.close(fd);
    }
    for (const message of connection.outbox.drain()) this.#descriptors.discard(message);
    if (connection.saidHello) this.ledger.retire(connection);
  }
}

function isPing(packet: Packet): boolean {
  try {
    return decodeRequest(packet.bytes).type === "ping";
  } catch (error) {
    if (error instanceof GarbageError) return false;
    throw error;
  }
}

/** Never zero, and different at every start. */
function randomGeneration(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0] | 1n;
}

/** The kernel's name of the program; empty when the process has gone. */
function programOf(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/comm`).trimEnd();
  } catch {
    return "";
  }
}
