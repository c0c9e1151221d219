/**
 * The registry that the monitor writes and every process maps: who listens where, and a sequence
 * word for each process. See zig/src/ffi/registry.zig for how readers and the writer keep apart.
 */

import { checked } from "./error.ts";
import type { NativeLibrary } from "./native.ts";
import { structBuffer, type StructValue, writeStruct } from "./struct.ts";

export type Endpoint = StructValue<"Endpoint">;

export interface RegistryEntry {
  group: number;
  uid: number;
  netns: bigint;
  endpoint: Endpoint;
}

export class Registry {
  readonly #library: NativeLibrary;
  /** Native code's pointer and descriptor. */
  readonly #handle = new BigUint64Array(2);
  /** To be handed to processes; stays the registry's. */
  readonly fd: number;

  constructor(library: NativeLibrary, generation: bigint, pid: number) {
    this.#library = library;
    const status = library.symbols.sd_registry_open(this.#handle, generation, pid);
    this.fd = checked(status, "make the registry");
  }

  /** Tells a process to look at its control socket. */
  bump(processIndex: number): void {
    const status = this.#library.symbols.sd_registry_bump(this.#handle, processIndex);
    checked(status, `bump the sequence word of process ${processIndex}`);
  }

  setFlags(flags: number): void {
    checked(this.#library.symbols.sd_registry_set_flags(this.#handle, flags), "set registry flags");
  }

  insert(entry: RegistryEntry): void {
    const buffer = structBuffer("RegistryListener");
    writeStruct("RegistryListener", entry, buffer);
    const status = this.#library.symbols.sd_registry_insert(this.#handle, buffer);
    checked(status, `add listener group ${entry.group} to the registry`);
  }

  remove(group: number, port: number): void {
    const status = this.#library.symbols.sd_registry_remove(this.#handle, group, port);
    checked(status, `take listener group ${group} (port ${port}) out of the registry`);
  }

  close(): void {
    checked(this.#library.symbols.sd_registry_close(this.#handle), "close the registry");
  }
}
