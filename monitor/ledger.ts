/**
 * What processes did that are gone: their counters, so that totals never go backwards.
 *
 * A forked child goes on counting in its parent's end table, so the tables of the processes that
 * ended last, and of those that have live children, stay open and are read again when somebody
 * asks. Older ones are final; the oldest are only a sum. Nothing here grows without bound.
 */

import { isNativeError } from "../ffi/error.ts";
import type { TableTotals } from "../ffi/native.ts";

/** Dead processes that are still listed one by one. */
export const deadListed = 256;

/** Tables of dead processes kept open: normally, and at most (when children live). */
const openWanted = 32;
const openMax = 128;

const noTable = -1;

export interface DeadProcess {
  readonly pid: number;
  readonly program: string;
  readonly totals: TableTotals;
}

interface Entry {
  pid: number;
  program: string;
  ownPid: number;
  tableFd: number;
  totals: TableTotals;
}

export interface LedgerOptions {
  readTotals: (fd: number) => TableTotals;
  close: (fd: number) => void;
  /** Does a live process say that this one (in its own pid namespace) is its parent? */
  hasChildren: (ownPid: number) => boolean;
}

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #entries: Entry[] = [];
  #older = noTotals();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** The table's descriptor (-1: none) is the ledger's from now on. */
  retire(process: { pid: number; program: string; ownPid: number; tableFd: number }): void {
    const totals = this.#read(process.tableFd) ?? noTotals();
    this.#entries.push({ ...process, totals });
    this.#finishOld();
    if (this.#entries.length > deadListed) {
      const oldest = this.#entries.shift()!;
      this.#finish(oldest);
      this.#older = sumTotals([this.#older, oldest.totals]);
    }
  }

  #finishOld(): void {
    const open = this.#entries.filter((entry) => entry.tableFd !== noTable);
    let excess = open.length - openWanted;
    for (const entry of open) {
      if (excess <= 0) return;
      const forced = excess > openMax - openWanted;
      if (!forced && this.#options.hasChildren(entry.ownPid)) continue;
      this.#finish(entry);
      excess -= 1;
    }
  }

  #finish(entry: Entry): void {
    if (entry.tableFd === noTable) return;
    entry.totals = this.#read(entry.tableFd) ?? entry.totals;
    this.#options.close(entry.tableFd);
    entry.tableFd = noTable;
  }

  #read(fd: number): TableTotals | null {
    if (fd === noTable) return null;
    try {
      return this.#options.readTotals(fd);
    } catch (error) {
      if (isNativeError(error)) return null;
      throw error;
    }
  }

  /** The last processes that ended, oldest first. */
  dead(): DeadProcess[] {
    return this.#entries.map((entry) => {
      entry.totals = this.#read(entry.tableFd) ?? entry.totals;
      return { pid: entry.pid, program: entry.program, totals: entry.totals };
    });
  }

  /** Everything that dead processes ever did. */
  sum(): TableTotals {
    return sumTotals([this.#older, ...this.dead().map((process) => process.totals)]);
  }

  close(): void {
    for (const entry of this.#entries) this.#finish(entry);
  }
}

const noCounters = { ring_bytes: 0n, ring_messages: 0n, tcp_bytes: 0n, tcp_messages: 0n };

export function noTotals(): TableTotals {
  return {
    tx: { ...noCounters },
    rx: { ...noCounters },
    live_count: 0n,
    closed_count: 0n,
    accelerated_count: 0n,
    offers_made: 0n,
    offers_adopted: 0n,
    moves_to_ring: 0n,
    moves_to_tcp: 0n,
    sleeps: 0n,
    wakeups_sent: 0n,
    guard_verdicts: 0n,
    crowded: 0n,
    signals_deferred: 0n,
    closed_by_reason: Array.from({ length: 64 }, () => 0n),
  };
}

export function sumTotals(all: TableTotals[]): TableTotals {
  const sum = noTotals();
  for (const one of all) addInto(sum, one);
  return sum;
}

type Summable = bigint | bigint[] | { [key: string]: Summable };

function addInto(sum: object, more: object): void {
  const target = sum as Record<string, Summable>;
  for (const [key, value] of Object.entries(more as Record<string, Summable>)) {
    if (typeof value === "bigint") target[key] = (target[key] as bigint) + value;
    else addInto(target[key] as object, value);
  }
}
