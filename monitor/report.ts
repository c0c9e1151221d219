/**
 * Answers to "what is going on": read from every process's end table when somebody asks, and at no
 * other time, so that being watchable costs nothing. Long reports let the event loop breathe in
 * between, so that a process with a huge table does not hold up the others.
 */

import type { EndRecord, TableTotals } from "../ffi/native.ts";
import { ConnectionJoiner, type ConnectionReport, reasonName } from "./connections.ts";
import type { Client } from "./core/model.ts";
import { isNativeError } from "../ffi/error.ts";
import { noTotals, sumTotals } from "./ledger.ts";
import type { Server } from "./server.ts";

/** Ends in one report: a hostile process may claim any number of them. */
const endsMax = 262_144;

const breathAfterMs = 10;

interface Counters {
  ring_bytes: number;
  ring_messages: number;
  tcp_bytes: number;
  tcp_messages: number;
}

export interface Totals {
  tx: Counters;
  rx: Counters;
  accelerated_count: number;
  closed_count: number;
  offers_made: number;
  offers_adopted: number;
  moves_to_ring: number;
  moves_to_tcp: number;
  sleeps: number;
  wakeups_sent: number;
  guard_verdicts: number;
  crowded: number;
  signals_deferred: number;
  /** Only reasons that occurred. */
  closed_by_reason: Record<string, number>;
}

export interface ProcessTotals {
  pid: number;
  program: string;
  totals: Totals;
}

export interface TotalsReport extends Totals {
  processes: ProcessTotals[];
  /** The last processes that ended, oldest first. */
  dead: ProcessTotals[];
}

export interface ProcessReport extends Totals {
  pid: number;
  program: string;
  uid: number;
  index: number;
  listeners: number;
  connections: number;
}

export async function processReports(server: Server): Promise<ProcessReport[]> {
  const reports: ProcessReport[] = [];
  for await (const { client, fd } of eachProcess(server)) {
    const totals = readTotals(server, fd);
    reports.push({
      pid: client.pid,
      program: client.program,
      uid: client.uid,
      index: client.processIndex,
      listeners: [...client.memberships.values()].reduce(
        (sum, { listening }) => sum + listening,
        0,
      ),
      connections: Number(totals.live_count),
      ...totalsOf(totals),
    });
  }
  return reports;
}

export async function connectionReports(server: Server): Promise<ConnectionReport[]> {
  const reports: ConnectionReport[] = [];
  const breath = new Breath();
  for (const report of (await joinConnections(server)).reports()) {
    reports.push(report);
    if (breath.due) await breath.take();
  }
  return reports;
}

export async function connectionCount(server: Server): Promise<number> {
  return (await joinConnections(server)).count;
}

async function joinConnections(server: Server): Promise<ConnectionJoiner> {
  const joiner = new ConnectionJoiner();
  const breath = new Breath();
  let room = endsMax;
  for await (const { client, fd } of eachProcess(server)) {
    if (fd === null || room <= 0) continue;
    for (const end of readEnds(server, fd, room)) {
      joiner.add({ pid: holderPid(client, end), program: client.program, end });
      room -= 1;
      if (breath.due) await breath.take();
    }
  }
  return joiner;
}

/** A forked child that took the end over shows as itself, if we can tell. */
function holderPid(client: Client, end: EndRecord): number {
  const samePidNamespace = client.ownPid === client.pid;
  return samePidNamespace && end.pid !== 0 ? end.pid : client.pid;
}

export async function totalsReport(server: Server): Promise<TotalsReport> {
  const { sum, processes } = await collectTotals(server);
  const dead = server.ledger.dead()
    .map(({ pid, program, totals }) => ({ pid, program, totals: totalsOf(totals) }));
  return { ...totalsOf(sum), processes, dead };
}

/** Everything counted since the monitor started, by the living and the dead. */
export async function collectTotals(
  server: Server,
): Promise<{ sum: TableTotals; processes: ProcessTotals[] }> {
  const all: TableTotals[] = [];
  const processes: ProcessTotals[] = [];
  for await (const { client, fd } of eachProcess(server)) {
    const totals = readTotals(server, fd);
    all.push(totals);
    processes.push({ pid: client.pid, program: client.program, totals: totalsOf(totals) });
  }
  return { sum: sumTotals([server.ledger.sum(), ...all]), processes };
}

function totalsOf(totals: TableTotals): Totals {
  return {
    tx: numbers(totals.tx),
    rx: numbers(totals.rx),
    accelerated_count: Number(totals.accelerated_count),
    closed_count: Number(totals.closed_count),
    offers_made: Number(totals.offers_made),
    offers_adopted: Number(totals.offers_adopted),
    moves_to_ring: Number(totals.moves_to_ring),
    moves_to_tcp: Number(totals.moves_to_tcp),
    sleeps: Number(totals.sleeps),
    wakeups_sent: Number(totals.wakeups_sent),
    guard_verdicts: Number(totals.guard_verdicts),
    crowded: Number(totals.crowded),
    signals_deferred: Number(totals.signals_deferred),
    closed_by_reason: byReason(totals.closed_by_reason),
  };
}

function numbers(counters: TableTotals["tx"]): Counters {
  return {
    ring_bytes: Number(counters.ring_bytes),
    ring_messages: Number(counters.ring_messages),
    tcp_bytes: Number(counters.tcp_bytes),
    tcp_messages: Number(counters.tcp_messages),
  };
}

function byReason(counts: bigint[]): Record<string, number> {
  const occurred = counts.flatMap((count, reason) =>
    count === 0n ? [] : [[reasonName(reason), Number(count)]]
  );
  return Object.fromEntries(occurred);
}

function readTotals(server: Server, fd: number | null): TableTotals {
  try {
    return fd === null ? noTotals() : server.native.readTotals(fd);
  } catch (error) {
    if (isNativeError(error)) return noTotals();
    throw error;
  }
}

function readEnds(server: Server, fd: number, max: number): Iterable<EndRecord> {
  try {
    return server.native.readEnds(fd, Math.min(max, 32_768));
  } catch (error) {
    if (isNativeError(error)) return [];
    throw error;
  }
}

/** Lets the event loop turn when a report has kept it for long. */
class Breath {
  #sinceMs = performance.now();

  get due(): boolean {
    return performance.now() - this.#sinceMs > breathAfterMs;
  }

  async take(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#sinceMs = performance.now();
  }
}

/** Processes that are still there when it is their turn, with their end tables. */
async function* eachProcess(
  server: Server,
): AsyncGenerator<{ client: Client; fd: number | null }> {
  const breath = new Breath();
  for (const id of [...server.state.clients.keys()]) {
    if (breath.due) await breath.take();
    const client = server.state.clients.get(id);
    if (client?.phase === "registered") yield { client, fd: server.tableOf(id) };
  }
}
