/**
 * One epoll instance, and the only wait of a monitor. `wait` sits in epoll_wait on a thread of
 * Deno's pool, so that an idle monitor uses no CPU; `poll` looks without waiting. Descriptors are
 * known by a kind and an id of the caller's.
 */

import { checked } from "./error.ts";
import type { NativeLibrary } from "./native.ts";
import { readStruct, sizeOf, structBuffer } from "./struct.ts";

export interface Ready {
  kind: number;
  id: number;
  events: number;
}

const batchMax = 64;

export class Poller {
  readonly #library: NativeLibrary;
  readonly #fd: number;
  readonly #waker: number;
  readonly #buffer = structBuffer("Ready", batchMax);

  constructor(library: NativeLibrary) {
    this.#library = library;
    this.#fd = checked(library.symbols.sd_poller_create(), "make an epoll instance");
    this.#waker = checked(library.symbols.sd_waker_create(), "make an eventfd");
  }

  add(fd: number, events: number, kind: number, id: number): void {
    const status = this.#library.symbols.sd_poller_add(this.#fd, fd, events, kind, id);
    checked(status, `watch descriptor ${fd}`);
  }

  modify(fd: number, events: number, kind: number, id: number): void {
    const status = this.#library.symbols.sd_poller_modify(this.#fd, fd, events, kind, id);
    checked(status, `change what descriptor ${fd} is watched for`);
  }

  /** To be called before the descriptor is closed: another process may hold the same file. */
  remove(fd: number): void {
    const status = this.#library.symbols.sd_poller_remove(this.#fd, fd);
    checked(status, `stop watching descriptor ${fd}`);
  }

  /** Makes a wait, or the next one, come back with an event of this kind. Only once. */
  armWaker(events: number, kind: number): void {
    this.add(this.#waker, events, kind, 0);
  }

  wake(): void {
    checked(this.#library.symbols.sd_waker_signal(this.#waker), "wake the event loop");
  }

  async wait(): Promise<Ready[]> {
    const count = await this.#library.symbols.sd_poller_wait_async(
      this.#fd,
      this.#buffer,
      BigInt(batchMax),
      -1,
    );
    return this.#read(checked(count, "wait for events"));
  }

  poll(): Ready[] {
    const count = this.#library.symbols.sd_poller_wait(
      this.#fd,
      this.#buffer,
      BigInt(batchMax),
      0,
    );
    return this.#read(checked(count, "look for events"));
  }

  #read(count: number): Ready[] {
    return Array.from({ length: count }, (_, i) => {
      const ready = readStruct("Ready", this.#buffer, i * sizeOf("Ready"));
      return { kind: ready.tag_kind, id: ready.tag_id, events: ready.events };
    });
  }

  /** Only when no wait is under way. */
  close(): void {
    for (const fd of [this.#waker, this.#fd]) {
      checked(this.#library.symbols.sd_close(fd), `close descriptor ${fd}`);
    }
  }
}
