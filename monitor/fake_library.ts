/**
 * What the preload library does on its control socket, for tests: messages over FFI, packet by
 * packet, without a library.
 */

import { constants, structs } from "../ffi/layout.gen.ts";
import type { Native } from "../ffi/native.ts";
import { structBuffer, type StructValue, writeStruct } from "../ffi/struct.ts";
import { decodeReply, encode, type Reply, type ReplyOf, type Request } from "./protocol.ts";

export type Received<T extends Reply["type"] = Reply["type"]> = ReplyOf<T> & { fds: number[] };

export class FakeLibrary implements Disposable {
  readonly native: Native;
  readonly fd: number;
  /** Memfd of the end table; -1 before `hello`. */
  tableFd = -1;
  readonly #owned: number[] = [];
  #sequence = 1;

  constructor(native: Native, path: string) {
    this.native = native;
    this.fd = native.connect(path);
  }

  /** Registers, and waits for the answer. */
  async hello(options: { parentPid?: number; pid?: number } = {}): Promise<Received<"welcome">> {
    this.tableFd = this.native.createMemory(constants.endTableBytes);
    this.#owned.push(this.tableFd);
    this.writeTableHeader({});
    const body = {
      abi_version: constants.abiVersion,
      pid: options.pid ?? Deno.pid,
      netns: 0n,
      end_table_bytes: constants.endTableBytes,
      parent_pid: options.parentPid ?? 0,
      flags: 0,
    };
    this.send({ type: "hello", sequence: this.#next(), body }, [this.tableFd]);
    return await this.receive("welcome");
  }

  /** Of a listening socket, or of an accepted one. */
  async listen(fd: number, token = 1): Promise<Received<"listening">> {
    this.send({ type: "listen", sequence: this.#next(), body: { token, reserved: 0 } }, [fd]);
    return await this.receive("listening");
  }

  unlisten(group: number): void {
    this.send({ type: "unlisten", sequence: this.#next(), body: { group, reserved: 0 } });
  }

  /** Returns the sequence number that the answer will have. */
  connect(group: number, slotsWanted = 64): number {
    const sequence = this.#next();
    this.send({ type: "connect", sequence, body: { group, slots_wanted: slotsWanted } });
    return sequence;
  }

  async ping(payload = 7n): Promise<bigint> {
    this.send({ type: "ping", sequence: this.#next(), body: { payload } });
    return (await this.receive("pong")).body.payload;
  }

  send(request: Request, fds: number[] = []): void {
    this.native.send(this.fd, encode(request), fds);
  }

  sendRaw(bytes: Uint8Array<ArrayBuffer>, fds: number[] = []): void {
    this.native.send(this.fd, bytes, fds);
  }

  /** The next message, which must be of this type. Its descriptors are closed with the library. */
  async receive<T extends Reply["type"]>(type: T): Promise<Received<T>> {
    const message = await this.next();
    if (message === null) throw new Error(`waited for ${type}, but the monitor hung up`);
    if (message.type !== type) throw new Error(`waited for ${type}, but got ${message.type}`);
    return message as unknown as Received<T>;
  }

  /** The next message of any type; null when the monitor hung up. */
  async next(): Promise<Received | null> {
    const deadlineMs = Date.now() + 5_000;
    while (Date.now() < deadlineMs) {
      const message = this.tryNext();
      if (message !== undefined) return message;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    throw new Error("no message from the monitor within 5 s");
  }

  /** The next message if it is there; undefined when there is none now. */
  tryNext(): Received | null | undefined {
    const packet = this.#tryReceive();
    if (packet === undefined || packet === null) return packet;
    this.#owned.push(...packet.fds);
    return { ...decodeReply(packet.bytes), fds: packet.fds } as Received;
  }

  #tryReceive() {
    try {
      const packet = this.native.receive(this.fd);
      if (packet === null) return undefined;
      return packet.bytes.length === 0 ? null : packet;
    } catch {
      return null;
    }
  }

  writeTableHeader(header: Partial<StructValue<"EndTableHeader">>): void {
    const bytes = structBuffer("EndTableHeader");
    const fixed = {
      magic: constants.endTableMagic,
      abi_version: constants.abiVersion,
      capacity: constants.endCapacity,
      pid: Deno.pid,
    };
    writeStruct("EndTableHeader", { ...fixed, ...header }, bytes);
    this.#writeTable(bytes, 0);
  }

  writeEnd(index: number, end: Partial<StructValue<"End">>): void {
    const bytes = structBuffer("End");
    writeStruct("End", end, bytes);
    this.#writeTable(bytes, constants.endsOffset + index * structs.End.size);
  }

  #writeTable(bytes: Uint8Array, offset: number): void {
    using file = Deno.openSync(`/proc/self/fd/${this.tableFd}`, { read: true, write: true });
    file.seekSync(offset, Deno.SeekMode.Start);
    file.writeSync(bytes);
  }

  #next(): number {
    return this.#sequence++;
  }

  /** Hangs up, as a process does when it ends. */
  [Symbol.dispose](): void {
    for (const fd of [this.fd, ...this.#owned.splice(0)]) this.native.close(fd);
  }
}

/** Size of the file behind a descriptor. */
export function fileBytes(fd: number): number {
  return Deno.statSync(`/proc/self/fd/${fd}`).size;
}

/** Bytes of a memfd, read as a process with a mapping would see them. */
export function readMemory(fd: number, offset: number, length: number): Uint8Array {
  using file = Deno.openSync(`/proc/self/fd/${fd}`, { read: true });
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  file.readSync(bytes);
  return bytes;
}
