/**
 * The table of applications in docs/COMPATIBILITY.md, made of results/apps.json:
 *
 *     ./socksdirect test apps --full && deno run -A tests/apps/speed.ts
 *     deno run -A tests/apps/table.ts
 */

import { root } from "../harness/files.ts";
import type { Application } from "./application.ts";
import { type Entries, type Entry, readEntries } from "./record.ts";

export const page = `${root}/docs/COMPATIBILITY.md`;

const begin = "<!-- applications: written by tests/apps/table.ts -->";
const end = "<!-- applications: end -->";

/** The page with its table made anew. */
export function withTable(
  text: string,
  applications: readonly Application[],
  entries: Entries,
): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page} lacks its line '${begin}' or '${end}'`);
  const header = ["application", "version", "what was done", "combinations", "by ring", "speed"];
  const rows = applications.map((app) => rowOf(app, entries[app.name]));
  return `${text.slice(0, from)}${begin}\n\n${table([header, ...rows])}\n\n${text.slice(to)}`;
}

function rowOf({ name, does }: Application, entry: Entry | undefined): string[] {
  if (entry === undefined) return [name, "-", does, "not run", "-", "-"];
  return [
    name,
    entry.version,
    does,
    `${entry.combinations.length} of 4`,
    shareOf(entry),
    entry.speed?.toFixed(2) ?? "-",
  ];
}

/** How much of all bytes, and why the rest did not. */
function shareOf({ ringBytes, tcpBytes, reasons }: Entry): string {
  const all = ringBytes + tcpBytes;
  if (all === 0) return "-";
  const share = `${Math.floor(100 * ringBytes / all)} %`;
  const others = Object.keys(reasons).filter((reason) => reason !== "none");
  if (ringBytes >= 0.99 * all || others.length === 0) return share;
  return `${share} (${others.map((reason) => `\`${reason}\``).join(", ")})`;
}

/** Formatted as `deno fmt` wants it. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const padded = rows.map((row) => line(row.map((cell, column) => cell.padEnd(widths[column]))));
  const rule = line(widths.map((width) => "-".repeat(width)));
  return [padded[0], rule, ...padded.slice(1)].join("\n");
}

if (import.meta.main) {
  const { applications } = await import("./applications.ts");
  Deno.writeTextFileSync(page, withTable(Deno.readTextFileSync(page), applications, readEntries()));
}
