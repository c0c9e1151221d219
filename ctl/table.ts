/** Text tables and the number formats used in them. */

export interface Column<Row> {
  title: string;
  /** A cell's text; lines below the first stand under it. */
  cell(row: Row): string;
  right?: boolean;
}

/** One header line, then the rows; columns two blanks apart, no blanks at line ends. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [
    columns.map((column) => [column.title]),
    ...rows.map((row) => columns.map((column) => column.cell(row).split("\n"))),
  ];
  const widths = columns.map((_, index) =>
    Math.max(...cells.flatMap((row) => row[index].map((line) => line.length)))
  );
  return cells.flatMap((row) => {
    const height = Math.max(...row.map((lines) => lines.length));
    return Array.from({ length: height }, (_, line) =>
      row.map((lines, index) => {
        const text = lines[line] ?? "";
        return columns[index].right ? text.padStart(widths[index]) : text.padEnd(widths[index]);
      }).join("  ").trimEnd());
  }).join("\n");
}

/** A name that a stranger chose: it must not speak to the terminal. */
export function printable(name: string): string {
  // deno-lint-ignore no-control-regex
  return name.replace(/[\x00-\x1f\x7f-\x9f]/g, "?");
}

/** "name  value" lines. */
export function fields(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

/** 1536 is "1.50 KiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${significant(bytes)} ${units[unit]}`;
}

/** 83417 is "83.4 K". */
export function formatCount(count: number): string {
  const units = ["", " K", " M", " G", " T"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit++;
  }
  return unit === 0 && Number.isInteger(count) ? `${count}` : `${significant(count)}${units[unit]}`;
}

/** Three significant digits, never as an exponent. */
export function significant(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
}
