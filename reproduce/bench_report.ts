/** From single runs to the table: medians, ratios, and whether what must hold does hold. */

export type Kind = "tcp" | "sd";

export interface Spread {
  median: number;
  min: number;
  max: number;
  runs: number[];
}

/** What a figure is held to, judged from medians. */
export type Bound =
  | { atMost: number }
  | { atLeast: number }
  /** SocksDirect's figure in units of kernel TCP's. */
  | { timesTcpAtLeast: number }
  | { timesTcpAtMost: number }
  /** In units of SocksDirect's figure in another row. */
  | { timesRowAtMost: number; row: string }
  /** How much more than kernel TCP's. */
  | { overTcpAtMost: number };

export interface Row {
  name: string;
  unit: string;
  better: "lower" | "higher";
  /** Absent: not measured that way. */
  tcp?: Spread;
  sd?: Spread;
  bound?: Bound;
}

export function spreadOf(runs: readonly number[]): Spread {
  const sorted = [...runs].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], runs: [...runs] };
}

/** How many times better SocksDirect is than kernel TCP. */
export function gainOf({ tcp, sd, better }: Row): number | undefined {
  if (tcp === undefined || sd === undefined) return undefined;
  return better === "lower" ? tcp.median / sd.median : sd.median / tcp.median;
}

/** Whether the bound holds; undefined when there is none or nothing to judge it by. */
export function holds(row: Row, rows: readonly Row[]): boolean | undefined {
  const { bound, tcp, sd } = row;
  if (bound === undefined || sd === undefined) return undefined;
  if ("atMost" in bound) return sd.median <= bound.atMost;
  if ("atLeast" in bound) return sd.median >= bound.atLeast;
  if ("timesRowAtMost" in bound) {
    const other = rows.find(({ name }) => name === bound.row)?.sd;
    return other && sd.median <= bound.timesRowAtMost * other.median;
  }
  if (tcp === undefined) return undefined;
  if ("timesTcpAtLeast" in bound) return sd.median >= bound.timesTcpAtLeast * tcp.median;
  if ("timesTcpAtMost" in bound) return sd.median <= bound.timesTcpAtMost * tcp.median;
  return sd.median - tcp.median <= bound.overTcpAtMost;
}

export function boundText(bound: Bound | undefined): string {
  if (bound === undefined) return "";
  if ("atMost" in bound) return `<= ${bound.atMost}`;
  if ("atLeast" in bound) return `>= ${bound.atLeast}`;
  if ("timesTcpAtLeast" in bound) return `>= ${bound.timesTcpAtLeast}x TCP`;
  if ("timesTcpAtMost" in bound) return `<= ${bound.timesTcpAtMost}x TCP`;
  if ("overTcpAtMost" in bound) return `<= TCP + ${bound.overTcpAtMost}`;
  return `<= ${bound.timesRowAtMost}x ${bound.row}`;
}

const columns = ["what", "unit", "kernel TCP", "SocksDirect", "gain", "wanted", "holds"];

/** A table in Markdown, its columns padded so that it reads as text as well. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => cellsOf(row, rows));
  const widths = columns.map((title, i) =>
    Math.max(title.length, ...cells.map((line) => line[i].length))
  );
  const line = (words: readonly string[]) =>
    `| ${words.map((word, i) => word.padEnd(widths[i])).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [line(columns), rule, ...cells.map(line)].join("\n");
}

function cellsOf(row: Row, rows: readonly Row[]): string[] {
  const gain = gainOf(row);
  const verdict = holds(row, rows);
  return [
    row.name,
    row.unit,
    spreadText(row.tcp),
    spreadText(row.sd),
    gain === undefined || !Number.isFinite(gain) ? "" : `${number(gain)}x`,
    boundText(row.bound),
    verdict === undefined ? "" : verdict ? "yes" : "NO",
  ];
}

function spreadText(spread: Spread | undefined): string {
  if (spread === undefined) return "";
  if (spread.runs.length === 1) return number(spread.median);
  return `${number(spread.median)} (${number(spread.min)}-${number(spread.max)})`;
}

/** Three figures that count. */
export function number(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}
