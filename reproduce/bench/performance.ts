/**
 * docs/PERFORMANCE.md and its plots, from the record of a benchmark and from what people have to
 * say about it (docs/performance/notes.md: a section for each figure that is not reached, headed by
 * what must hold). Pure; reproduce/performance.ts writes the files.
 */

import { sizeText } from "./cases.ts";
import {
  type BenchRecord,
  type Metric,
  type Row,
  type Transport,
  transportNames,
  transports,
} from "./model.ts";
import { linePlot, type Point, type Series } from "./plot.ts";
import { figures, median } from "./statistics.ts";
import { detailTable, groupsOf, groupTable, markdownTable, number, verdictTable } from "./text.ts";
import { judge, type Verdict } from "./wanted.ts";

/** Notes by the heading that they stand under. */
export type Notes = Map<string, string>;

export function notesOf(markdown: string): Notes {
  const sections = markdown.split(/^## /m).slice(1);
  return new Map(sections.map((section) => {
    const [title, ...lines] = section.split("\n");
    return [title.trim(), lines.join("\n").trim()];
  }));
}

export function performancePage(record: BenchRecord, notes: Notes): string {
  const { rows } = record;
  const verdicts = judge(rows);
  const drawn = plotsOf(record);
  return [
    "<!-- Made by `deno task performance` from docs/performance/; do not edit. -->\n",
    "# Performance\n",
    headText(record),
    "## What must hold\n",
    `${verdictTable(verdicts, rows)}\n`,
    verdictsText(verdicts),
    ...notReached(verdicts, notes),
    "## The machine's own costs\n",
    `${floorTable(record)}\n`,
    ...[...groupsOf(rows)].flatMap(([name, own]) => groupText(name, own, drawn)),
    "## Left out\n",
    record.left_out.length === 0
      ? "Nothing.\n"
      : record.left_out.map((one) => `- ${one.split("\n")[0]}\n`).join(""),
  ].join("\n").trimEnd() + "\n";
}

function headText({ machine, revision, settings, rows, carried }: BenchRecord): string {
  const distances = rows.map(({ condition }) => condition.cache_line_ns);
  const dates = rows.map(({ condition }) => condition.date.slice(0, 10)).sort();
  const virtual = machine.hypervisor === "yes" ? " (virtual)" : "";
  const all = Math.max(carried.ring_bytes + carried.tcp_bytes, 1);
  const repeated = rows.reduce((sum, { condition }) => sum + condition.runs_repeated, 0);
  const kept = rows.reduce((sum, { condition }) => sum + condition.runs_kept_anyway, 0);
  return [
    `${machine.cpu}${virtual}, ${machine.cpus} cpus, ${machine.memory_gib} GiB, Linux ` +
    `${machine.kernel}; revision ${revision}, ${dates[0]} to ${
      dates.at(-1)
    }. Medians (least-most) ` +
    `of ${settings.runs} runs of ${settings.seconds} s over each transport in turn. ` +
    "[BENCHMARKING.md](BENCHMARKING.md) says what each number means and how to repeat it.\n",
    `A cache line's way between the cpus and back took ${number(Math.min(...distances))} to ` +
    `${number(Math.max(...distances))} ns (it changes under a hypervisor, and every figure of ` +
    `shared memory with it); ${repeated} runs were repeated because it changed meanwhile, ` +
    `${kept} kept although it did not return. ${
      (carried.ring_bytes / all * 100).toFixed(2)
    } % of ` +
    `the ${number((carried.ring_bytes + carried.tcp_bytes) / 1e9)} GB that accelerated programs ` +
    "sent went by ring.\n",
  ].join("\n");
}

function verdictsText(verdicts: readonly Verdict[]): string {
  const judged = verdicts.filter(({ holds }) => holds !== undefined);
  const held = judged.filter(({ holds }) => holds).length;
  return `${held} of ${judged.length} hold.\n`;
}

/** For each figure that is not reached: what was tried, what the profile shows, what the floor is. */
function notReached(verdicts: readonly Verdict[], notes: Notes): string[] {
  const missed = verdicts.filter(({ holds }) => holds === false);
  if (missed.length === 0) return [];
  return [
    "## What is not reached, and why\n",
    ...missed.map(({ wanted: { what } }) =>
      `### ${what}\n\n${notes.get(what) ?? "Not looked into yet."}\n`
    ),
  ];
}

function floorTable({ floor }: BenchRecord): string {
  const lines = Object.entries(floor).map(([name, ns]) => [
    name.replace(/_ns$/, "").replaceAll("_", " "),
    number(ns),
  ]);
  return markdownTable(["what", "ns"], lines);
}

function groupText(name: string, rows: readonly Row[], drawn: Map<string, Drawn>): string[] {
  const details = detailTable(rows);
  return [
    `## ${name[0].toUpperCase()}${name.slice(1)}\n`,
    ...[...drawn.entries()].filter(([, plot]) => plot.group === name)
      .map(([file, { title }]) => `![${title}](performance/${file})\n`),
    `${groupTable(rows)}\n`,
    ...(details === undefined ? [] : [
      `<details><summary>percentiles, CPU, memory</summary>\n\n${details}\n\n</details>\n`,
    ]),
  ];
}

// -- plots ----------------------------------------------------------------------------------------

export interface Drawn {
  group: string;
  title: string;
  svg: string;
}

interface PlotOf {
  file: string;
  group: string;
  title: string;
  xLabel: string;
  yLabel: string;
  metric: Metric;
  /** From the metric to what is drawn. */
  value?(figure: number, row: Row): number;
  xText?(x: number): string;
}

const microseconds = (ns: number) => ns / 1000;
const micros = (us: number) => us >= 1000 ? `${us / 1000} ms` : `${us} us`;

const wantedPlots: readonly PlotOf[] = [
  {
    file: "round-trips.svg",
    group: "round trips",
    title: "Round trip by message size, median",
    xLabel: "bytes of a message",
    yLabel: "us",
    metric: "p50",
    value: microseconds,
    xText: sizeText,
  },
  {
    file: "round-trips-p99.svg",
    group: "round trips",
    title: "Round trip by message size, 99th percentile",
    xLabel: "bytes of a message",
    yLabel: "us",
    metric: "p99",
    value: microseconds,
    xText: sizeText,
  },
  {
    file: "streams.svg",
    group: "streams",
    title: "Stream by message size",
    xLabel: "bytes of a message",
    yLabel: "GB/s",
    metric: "value",
    value: (figure, { unit, x }) => unit === "M/s" ? figure * (x ?? 0) / 1000 : figure,
    xText: sizeText,
  },
  {
    file: "sleeping-peers.svg",
    group: "sleeping peers",
    title: "Round trip to a peer that has gone to sleep, median",
    xLabel: "think time",
    yLabel: "us",
    metric: "p50",
    value: microseconds,
    xText: micros,
  },
  {
    file: "sleeping-peers-cpu.svg",
    group: "sleeping peers",
    title: "CPU time of both ends by message",
    xLabel: "think time",
    yLabel: "us",
    metric: "cpu",
    xText: micros,
  },
  ...(["one", "all"] as const).map((active): PlotOf => ({
    file: `many-${active}.svg`,
    group: `many connections, ${active === "one" ? "one" : "all"} active`,
    title: `Exchanges a second by connections, ${active} active`,
    xLabel: "connections",
    yLabel: "K/s",
    metric: "value",
  })),
];

/** By file name; a plot whose rows were not measured is left out. */
export function plotsOf({ rows }: Pick<BenchRecord, "rows">): Map<string, Drawn> {
  const drawn = new Map<string, Drawn>();
  for (const plot of wantedPlots) {
    const own = rows.filter(({ group, x }) => group === plot.group && x !== undefined);
    const series = transports.map((name) => seriesOf(own, name, plot))
      .filter(({ points }) => points.length > 0);
    if (series.length === 0) continue;
    drawn.set(plot.file, {
      group: plot.group,
      title: plot.title,
      svg: linePlot({ ...plot, series }),
    });
  }
  return drawn;
}

function seriesOf(rows: readonly Row[], name: Transport, plot: PlotOf): Series {
  const points = rows.flatMap((row): Point[] => {
    const measured = row.measured[name];
    const found = measured === undefined ? [] : figures(measured, plot.metric);
    if (found.length === 0) return [];
    const figure = median(found);
    return [{ x: row.x!, y: plot.value?.(figure, row) ?? figure }];
  }).filter(({ y }) => y > 0);
  return { name: transportNames[name], points };
}
