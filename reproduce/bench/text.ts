/** Tables and numbers as they are printed, in Markdown that reads as text as well. Pure. */

import { type Measured, type Row, type Transport, transportNames, transports } from "./model.ts";
import { figures, pairedRatio } from "./statistics.ts";
import { levelText, type Verdict } from "./wanted.ts";

export function markdownTable(titles: readonly string[], lines: readonly string[][]): string {
  const widths = titles.map((title, i) =>
    Math.max(title.length, 3, ...lines.map((line) => line[i].length))
  );
  const text = (words: readonly string[]) =>
    `| ${words.map((word, i) => word.padEnd(widths[i])).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [text(titles), rule, ...lines.map(text)].join("\n");
}

/** Three figures that count. */
export function number(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}

export function spreadText(measured: Measured | undefined): string {
  if (measured === undefined) return "";
  if (measured.runs.length === 1) return number(measured.median);
  return `${number(measured.median)} (${number(measured.min)}-${number(measured.max)})`;
}

/** How many times better SocksDirect is than kernel TCP. */
export function gainOf({ measured: { tcp, sd }, better }: Row): number | undefined {
  if (tcp === undefined || sd === undefined) return undefined;
  const [good, bad] = better === "lower" ? [tcp, sd] : [sd, tcp];
  const gain = pairedRatio(figures(good, "value"), figures(bad, "value"))?.median;
  return gain !== undefined && Number.isFinite(gain) ? gain : undefined;
}

/** Rows of one group: every transport that one of them was measured with, and the gain. */
export function groupTable(rows: readonly Row[]): string {
  const used = transports.filter((name) => rows.some(({ measured }) => measured[name]));
  const titles = ["what", "unit", ...used.map((name) => transportNames[name]), "gain"];
  const lines = rows.map((row) => {
    const gain = gainOf(row);
    return [
      row.title,
      row.unit,
      ...used.map((name) => spreadText(row.measured[name])),
      gain === undefined ? "" : `${number(gain)}x`,
    ];
  });
  return markdownTable(titles, lines);
}

/** Percentiles, CPU and memory of kernel TCP beside SocksDirect. */
export function detailTable(rows: readonly Row[]): string | undefined {
  const shown: Transport[] = ["tcp", "sd"];
  const lines = rows.flatMap((row) =>
    shown.flatMap((name) => {
      const measured = row.measured[name];
      if (measured?.latency_ns === undefined && measured?.cpu_us_per_message === undefined) {
        return [];
      }
      return [[row.title, transportNames[name], ...details(measured)]];
    })
  );
  if (lines.length === 0) return undefined;
  const titles = ["what", "over", "p50 us", "p99 us", "p99.9 us", "max us", "CPU us/message"];
  return markdownTable([...titles, "memory MiB"], lines);
}

function details({ latency_ns: ns, cpu_us_per_message: cpu, memory_kib: kib }: Measured) {
  const us = (value: number | undefined) => value === undefined ? "" : number(value / 1000);
  return [
    ...[us(ns?.p50), us(ns?.p99), us(ns?.p999), us(ns?.max)],
    cpu === undefined ? "" : number(cpu),
    kib === undefined ? "" : number(kib / 1024),
  ];
}

export function verdictTable(verdicts: readonly Verdict[], rows: readonly Row[]): string {
  const lines = verdicts.map(({ wanted, figure, holds }) => [
    wanted.what,
    levelText(wanted) + unitOf(wanted, rows),
    figure === undefined ? "not measured" : figureText(wanted, figure),
    holds === undefined ? "" : holds ? "yes" : "NO",
  ]);
  return markdownTable(["what must hold", "wanted", "measured", "holds"], lines);
}

function unitOf({ atMost, atLeast, row }: Verdict["wanted"], rows: readonly Row[]): string {
  const level = atMost ?? atLeast!;
  if (typeof level !== "number" && "times" in level) return "";
  return ` ${rows.find(({ id }) => id === row)?.unit ?? ""}`;
}

function figureText({ atMost, atLeast }: Verdict["wanted"], figure: number): string {
  const level = atMost ?? atLeast!;
  if (typeof level === "number") return number(figure);
  if ("times" in level) return `${number(figure)}x`;
  return `${transportNames[level.transport]} + ${number(figure)}`;
}

/** Groups in the order in which they appear. */
export function groupsOf(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(row.group, [...groups.get(row.group) ?? [], row]);
  return groups;
}
