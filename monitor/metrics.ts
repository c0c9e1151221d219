/** Metrics in Prometheus' text format. Names and meanings are listed in docs/METRICS.md. */

import type { TableTotals } from "../ffi/native.ts";
import { reasonName } from "./connections.ts";
import type { State } from "./core/model.ts";

export interface MetricsInput {
  state: State;
  totals: TableTotals;
  uptimeSec: number;
  version: string;
  requests: number;
  connections: number;
}

type Labels = Record<string, string>;

interface Metric {
  name: string;
  type: "counter" | "gauge";
  help: string;
  samples: [Labels, number][];
}

export function formatMetrics(input: MetricsInput): string {
  return [...monitorMetrics(input), ...trafficMetrics(input)].map(formatMetric).join("");
}

function monitorMetrics({ state, uptimeSec, version, requests, connections }: MetricsInput) {
  const { counts } = state;
  const registered = [...state.clients.values()].filter((c) => c.phase === "registered").length;
  const arenaBytes = [...state.arenas.values()].reduce((sum, arena) => sum + arena.bytes, 0);
  return [
    gauge("build_info", "The monitor's version.", [[{ version }, 1]]),
    gauge("uptime_seconds", "Seconds since the monitor started.", uptimeSec),
    gauge("draining", "1 while no new arenas are given out.", state.draining ? 1 : 0),
    gauge("processes", "Processes registered now.", registered),
    gauge("listener_groups", "Accelerated listening addresses now.", state.groups.size),
    gauge("arenas", "Arenas given out now.", state.arenas.size),
    gauge("arena_address_space_bytes", "Sizes of these arenas; not memory used.", arenaBytes),
    gauge("connections", "Connections tracked now.", connections),
    counter("ctl_requests_total", "Pings of libraries and HTTP requests.", requests),
    counter("process_registrations_total", "HELLO messages.", counts.hellos),
    counter("listen_requests_total", "LISTEN messages.", counts.listens),
    counter("connect_requests_total", "CONNECT messages.", counts.connects),
    counter("arenas_made_total", "Arenas made.", counts.arenasMade),
    counter("links_made_total", "Workers introduced to clients.", counts.linksMade),
    counter("garbage_messages_total", "Packets that were no message.", counts.garbage),
    counter("dropped_processes_total", "Control connections that we closed.", counts.drops),
    counter("refusals_total", "Requests refused, by reason.", refusals(state)),
  ];
}

function refusals(state: State): [Labels, number][] {
  return [...state.counts.refused].map((
    [reason, count],
  ) => [{ reason: reasonName(reason) }, count]);
}

function trafficMetrics({ totals }: MetricsInput): Metric[] {
  const byReason: [Labels, number][] = totals.closed_by_reason.flatMap((count, reason) =>
    count === 0n ? [] : [[{ reason: reasonName(reason) }, Number(count)]]
  );
  return [
    counter("bytes_total", "Bytes that processes moved, by carrier.", byCarrier(totals, "bytes")),
    counter("messages_total", "Calls that moved bytes, by carrier.", byCarrier(totals, "messages")),
    counter(
      "accelerated_connection_ends_total",
      "Connection ends that ever rode a ring.",
      Number(totals.accelerated_count),
    ),
    counter("closed_connection_ends_total", "Connection ends closed, by reason.", byReason),
    counter("offers_made_total", "Connections offered to a server.", Number(totals.offers_made)),
    counter("offers_adopted_total", "Offers that servers adopted.", Number(totals.offers_adopted)),
    counter("carrier_moves_total", "Moves of a direction between carriers.", [
      [{ to: "ring" }, Number(totals.moves_to_ring)],
      [{ to: "tcp" }, Number(totals.moves_to_tcp)],
    ]),
    counter("sleeps_total", "Waits that ended up in the kernel.", Number(totals.sleeps)),
    counter("wakeups_sent_total", "Sleepers woken through doorbells.", Number(totals.wakeups_sent)),
    counter(
      "guard_verdicts_total",
      "Times that an end went on over TCP because exchanges were faster there.",
      Number(totals.guard_verdicts),
    ),
    counter(
      "crowded_total",
      "Times that waits stopped watching rings because their threads had to queue for a cpu.",
      Number(totals.crowded),
    ),
    counter(
      "signals_deferred_total",
      "Signal handlers put off until their thread had left the library.",
      Number(totals.signals_deferred),
    ),
  ];
}

function byCarrier(totals: TableTotals, what: "bytes" | "messages"): [Labels, number][] {
  return (["tx", "rx"] as const).flatMap((direction) =>
    (["ring", "tcp"] as const).map((carrier): [Labels, number] => [
      { direction, carrier },
      Number(totals[direction][`${carrier}_${what}`]),
    ])
  );
}

function gauge(name: string, help: string, value: number | [Labels, number][]): Metric {
  return metric("gauge", name, help, value);
}

function counter(name: string, help: string, value: number | [Labels, number][]): Metric {
  return metric("counter", name, help, value);
}

function metric(
  type: Metric["type"],
  name: string,
  help: string,
  value: number | [Labels, number][],
): Metric {
  const samples: [Labels, number][] = typeof value === "number" ? [[{}, value]] : value;
  return { name: `socksdirect_${name}`, type, help, samples };
}

function formatMetric({ name, type, help, samples }: Metric): string {
  const lines = samples.map(([labels, value]) => `${name}${formatLabels(labels)} ${value}`);
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join("\n") + "\n";
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
