/**
 * Descriptors that go to processes: arenas, the two ends of each channel, lent sockets. An arena's
 * stays open here for workers that join later; a channel's end and a lent socket are closed as soon
 * as they have been handed over, or when that will never happen.
 */

import type { Native } from "../ffi/native.ts";
import type { Attachment, Send } from "./core/model.ts";

const closed = -1;

type AttachmentOf<K extends Attachment["kind"]> = Extract<Attachment, { kind: K }>;

export class Descriptors {
  readonly #native: Native;
  readonly #registryFd: number;
  readonly #arenas = new Map<number, number>();
  readonly #channels = new Map<number, [number, number]>();
  /** Made for a message, and not handed over yet. */
  readonly #lent = new Map<Attachment, number>();

  constructor(native: Native, registryFd: number) {
    this.#native = native;
    this.#registryFd = registryFd;
  }

  addArena(arena: number, fd: number): void {
    this.#arenas.set(arena, fd);
  }

  closeArena(arena: number): void {
    const fd = this.#arenas.get(arena);
    if (fd === undefined) return;
    this.#arenas.delete(arena);
    this.#native.close(fd);
  }

  /** Descriptors of a message, in order; null when one of them is not to be had any more. */
  resolve(message: Send): number[] | null {
    const fds = message.attach.map((attachment) => this.#resolveOne(attachment));
    return fds.includes(closed) ? null : fds;
  }

  #resolveOne(attachment: Attachment): number {
    switch (attachment.kind) {
      case "registry":
        return this.#registryFd;
      case "arena":
        return this.#arenas.get(attachment.arena) ?? closed;
      case "channel":
        return this.#channel(attachment.channel)[attachment.end];
      case "diag":
        return this.#diag(attachment);
    }
  }

  #diag(attachment: AttachmentOf<"diag">): number {
    const known = this.#lent.get(attachment);
    if (known !== undefined) return known;
    const fd = this.#native.openDiag(attachment.netns);
    this.#lent.set(attachment, fd);
    return fd;
  }

  #channel(number: number): [number, number] {
    const known = this.#channels.get(number);
    if (known) return known;
    const pair = this.#native.socketPair();
    this.#channels.set(number, pair);
    return pair;
  }

  /** The message has been handed over: our copies of its channel ends go. */
  release(message: Send): void {
    for (const attachment of message.attach) {
      if (attachment.kind === "channel") this.#closeEnd(attachment.channel, attachment.end);
      if (attachment.kind === "diag") this.#closeLent(attachment);
    }
  }

  #closeLent(attachment: Attachment): void {
    const fd = this.#lent.get(attachment);
    if (fd === undefined) return;
    this.#lent.delete(attachment);
    this.#native.close(fd);
  }

  /** The message will never be sent, and neither will what waits for it. */
  discard(message: Send): void {
    this.release(message);
    for (const next of message.then) this.discard(next);
  }

  #closeEnd(channel: number, end: 0 | 1): void {
    const pair = this.#channels.get(channel);
    if (!pair || pair[end] === closed) return;
    this.#native.close(pair[end]);
    pair[end] = closed;
    if (pair[0] === closed && pair[1] === closed) this.#channels.delete(channel);
  }

  get counts(): { arenas: number; channels: number } {
    return { arenas: this.#arenas.size, channels: this.#channels.size };
  }

  close(): void {
    for (const arena of [...this.#arenas.keys()]) this.closeArena(arena);
    for (const channel of [...this.#channels.keys()]) {
      this.#closeEnd(channel, 0);
      this.#closeEnd(channel, 1);
    }
    for (const attachment of [...this.#lent.keys()]) this.#closeLent(attachment);
  }
}
