/** The part of docs/COMPATIBILITY.md that is generated from the conformance cases. Pure. */

import { root } from "../harness.ts";
import { type Case, pathOf } from "./cases.ts";

export const page = `${root}/docs/COMPATIBILITY.md`;

const begin = "<!-- conformance suite: written by tests/conformance/main.ts --document -->";
const end = "<!-- conformance suite: end -->";

/** The page with its generated part made anew. */
export function withGeneratedPart(text: string, cases: readonly Case[]): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page} lacks its line '${begin}' or '${end}'`);
  return `${text.slice(0, from)}${begin}\n\n${generatedPart(cases)}\n${text.slice(to)}`;
}

function generatedPart(cases: readonly Case[]): string {
  const topics = [...new Set(cases.map(({ topic }) => topic))];
  const rows = topics.map((topic) => rowOf(topic, cases.filter((each) => each.topic === topic)));
  const differing = cases.filter(({ differs }) => differs !== null);
  return [
    "In the last full run these cases saw what kernel TCP shows, but for the differences listed.",
    "",
    ...table([["topic", "cases", "on a ring", "by TCP, with a reason", "differ"], ...rows]),
    "",
    ...differing.length === 0
      ? ["No case differs."]
      : table([["case", "how and why"], ...differing.map((c) => [`\`${pathOf(c)}\``, c.differs!])]),
    "",
  ].join("\n");
}

function rowOf(topic: string, cases: readonly Case[]): string[] {
  const count = (test: (each: Case) => boolean) => `${cases.filter(test).length}`;
  return [
    topic,
    `${cases.length}`,
    count(({ carrier }) => carrier === "ring"),
    count(({ carrier }) => carrier === "tcp"),
    count(({ differs }) => differs !== null),
  ];
}

/** A Markdown table, formatted as `deno fmt` wants it. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const padded = rows.map((row) => line(row.map((cell, column) => cell.padEnd(widths[column]))));
  return [padded[0], line(widths.map((width) => "-".repeat(width))), ...padded.slice(1)];
}
