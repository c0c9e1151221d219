/**
 * Typed calls into libsdffi.so. `openNative(path)` opens it; nothing happens at import. Whatever
 * may be tried again (no packet there, socket full) is a value, everything else that fails is a
 * NativeError.
 */

import { checked, errnoName, NativeError } from "./error.ts";
import { constants, layoutHash } from "./layout.gen.ts";
import { Poller } from "./poller.ts";
import { Registry } from "./registry.ts";
import { readStruct, readStructs, structBuffer, type StructValue } from "./struct.ts";
import { symbols } from "./symbols.ts";

export type NativeLibrary = Deno.DynamicLibrary<typeof symbols>;
export type Peer = StructValue<"Peer">;
export type ListenerFacts = StructValue<"ListenerFacts">;
export type TableTotals = StructValue<"TableTotals">;
export type EndRecord = StructValue<"EndRecord">;

/** One received packet. No bytes: the peer has closed. Descriptors are the receiver's to close. */
export interface Packet {
  bytes: Uint8Array<ArrayBuffer>;
  fds: number[];
  truncated: boolean;
  /** Descriptors were lost: too many of them, or no room for them in this process. */
  fdsLost: boolean;
}

export type SendResult = "sent" | "full";

const errnoAgain = 11;
const noFds = new Int32Array(1);

export class Native implements Disposable {
  readonly #library: NativeLibrary;
  readonly #packet = structBuffer("Packet");
  readonly #received = new Uint8Array(constants.messageBytesMax);
  readonly #fds = new Int32Array(constants.packetFdsMax);

  constructor(library: NativeLibrary) {
    this.#library = library;
  }

  /** Listens for SOCK_SEQPACKET connections at a path that does not exist yet. */
  listen(path: string, mode: number, backlog = 1024): number {
    const bytes = new TextEncoder().encode(path);
    const status = this.#library.symbols.sd_listen(bytes, BigInt(bytes.length), mode, backlog);
    return checked(status, `listen at "${path}"`);
  }

  /** A datagram socket, for `receive`, at a path that does not exist yet. */
  bindDatagrams(path: string, mode: number): number {
    const bytes = new TextEncoder().encode(path);
    const status = this.#library.symbols.sd_bind_datagrams(bytes, BigInt(bytes.length), mode);
    return checked(status, `bind a datagram socket at "${path}"`);
  }

  connect(path: string): number {
    const bytes = new TextEncoder().encode(path);
    const status = this.#library.symbols.sd_connect(bytes, BigInt(bytes.length));
    return checked(status, `connect to "${path}"`);
  }

  /** The next connection, with what the kernel says about its maker; null when there is none. */
  accept(fd: number): Peer | null {
    const peer = structBuffer("Peer");
    const status = this.#library.symbols.sd_accept(fd, peer);
    if (status === -errnoAgain) return null;
    checked(status, "accept a connection");
    return readStruct("Peer", peer);
  }

  send(fd: number, bytes: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): SendResult {
    this.#fds.set(fds);
    const status = this.#library.symbols.sd_send(
      fd,
      bytes,
      BigInt(bytes.length),
      fds.length === 0 ? noFds : this.#fds,
      BigInt(fds.length),
    );
    if (status === -errnoAgain) return "full";
    checked(status, `send a packet of ${bytes.length} bytes`);
    return "sent";
  }

  /** The next packet; null when there is none now. */
  receive(fd: number): Packet | null {
    const buffer = this.#received;
    const status = this.#library.symbols.sd_receive(
      fd,
      buffer,
      BigInt(buffer.length),
      this.#packet,
    );
    if (status === -errnoAgain) return null;
    checked(status, "receive a packet");
    const packet = readStruct("Packet", this.#packet);
    return {
      bytes: buffer.slice(0, packet.bytes),
      fds: packet.fds.slice(0, packet.fd_count),
      truncated: (packet.truncated & constants.packetTruncatedBytes) !== 0,
      fdsLost: (packet.truncated & constants.packetTruncatedFds) !== 0,
    };
  }

  socketPair(): [number, number] {
    const fds = new Int32Array(2);
    checked(this.#library.symbols.sd_socket_pair(fds), "make a socket pair");
    return [fds[0], fds[1]];
  }

  /** A sock_diag socket that may be lent to a process of this network namespace (EPERM: another). */
  openDiag(netns: bigint): number {
    return checked(this.#library.symbols.sd_diag_open(netns), "open a sock_diag socket");
  }

  /** Nice value of the calling thread and its future ones. False: not permitted. */
  setNice(nice: number): boolean {
    return this.#library.symbols.sd_set_nice(nice) >= 0;
  }

  close(fd: number): void {
    checked(this.#library.symbols.sd_close(fd), `close descriptor ${fd}`);
  }

  /** What the kernel says about a TCP socket; throws unless it listens or is connected. */
  checkListener(fd: number): ListenerFacts {
    const facts = structBuffer("ListenerFacts");
    checked(
      this.#library.symbols.sd_listener_check(fd, facts),
      "take this for a TCP listener or connection",
    );
    return readStruct("ListenerFacts", facts);
  }

  createPoller(): Poller {
    return new Poller(this.#library);
  }

  createRegistry(generation: bigint, pid: number): Registry {
    return new Registry(this.#library, generation, pid);
  }

  /** A zeroed memfd of fixed size. */
  createMemory(bytes: bigint): number {
    return checked(this.#library.symbols.sd_memfd_create(bytes), `make a memfd of ${bytes} bytes`);
  }

  createArena(slotCount: number, arenaId: bigint): number {
    const status = this.#library.symbols.sd_arena_create(slotCount, arenaId);
    return checked(status, `make an arena of ${slotCount} slots`);
  }

  /** Throws unless the descriptor is an end table of our version, of fixed size. */
  checkEndTable(fd: number, bytes: bigint): void {
    const status = this.#library.symbols.sd_end_table_check(fd, bytes);
    checked(status, `take a descriptor for an end table of ${bytes} bytes`);
  }

  readTotals(fd: number): TableTotals {
    const totals = structBuffer("TableTotals");
    checked(this.#library.symbols.sd_end_table_totals(fd, totals), "read an end table's totals");
    return readStruct("TableTotals", totals);
  }

  /** Connections of an end table, at most `max`: copied now, taken apart as they are asked for. */
  readEnds(fd: number, max: number = constants.endCapacity): Iterable<EndRecord> {
    let capacity = Math.min(64, max);
    while (true) {
      const buffer = structBuffer("EndRecord", capacity);
      const status = this.#library.symbols.sd_end_table_read(fd, buffer, BigInt(capacity));
      const count = checked(status, "read an end table");
      if (count <= capacity || capacity >= max) {
        return readStructs("EndRecord", buffer, Math.min(count, capacity));
      }
      capacity = Math.min(max, count + 64);
    }
  }

  /** Takes the soft limit of descriptors to the hard one and returns it. */
  raiseFdLimit(): number {
    return checked(this.#library.symbols.sd_raise_fd_limit(), "raise the descriptor limit");
  }

  [Symbol.dispose](): void {
    this.#library.close();
  }
}

/** Opens libsdffi.so and makes sure that it and layout.gen.ts come from the same sources. */
export function openNative(path: string): Native {
  const library = openLibrary(path);
  const hash = library.symbols.sd_layout_hash();
  if (hash !== layoutHash) {
    library.close();
    throw new NativeError(
      `use the native library "${path}"`,
      "ELIBRARY",
      `its layout (${hash}) is not that of ffi/layout.gen.ts (${layoutHash}); ` +
        "run `deno task build` and `deno task layout`",
    );
  }
  return new Native(library);
}

function openLibrary(path: string): NativeLibrary {
  try {
    return Deno.dlopen(path, symbols);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const why = `${said}; run \`deno task build\``;
    throw new NativeError(`open the native library "${path}"`, "ELIBRARY", why);
  }
}

export { errnoName, NativeError };
