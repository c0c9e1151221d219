/** Experiments that run the same work under several conditions in turn: guard.ts, profiles.ts. */

import { median } from "./statistics.ts";

export interface Condition {
  name: string;
  preload: boolean;
  env: Record<string, string>;
}

export const kernelTcp: Condition = { name: "kernel TCP", preload: false, env: {} };

/** "median (least-most)". */
export function rangeText(values: readonly number[], text: (value: number) => string): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${text(median(values))} (${text(least)}-${text(most)})`;
}

export function markdownTable(header: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)];
}
