/** The record of a benchmark: read, written, put together from several parts. */

import { root } from "../../tests/harness.ts";
import { allCases } from "./cases.ts";
import type { BenchRecord, Row } from "./model.ts";

/** The record that docs/PERFORMANCE.md is made from. */
export const publishedRecord = `${root}/docs/performance/results.json`;

/** Into results/, under the date of its first row. */
export async function writeResult(record: BenchRecord): Promise<string> {
  const stamp = new Date().toISOString().replace(/[:.]/g, "-");
  const path = `${root}/results/bench-${stamp}.json`;
  await writeRecord(path, record);
  return path;
}

export async function writeRecord(path: string, record: BenchRecord) {
  const folder = path.slice(0, path.lastIndexOf("/"));
  if (folder !== "") await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(path, recordText(record));
}

/** JSON with a line for each row, so that a difference of two records shows which rows differ. */
export function recordText(record: BenchRecord): string {
  const lines = Object.entries(record).map(([key, value]) => {
    if (key !== "rows") return `"${key}": ${JSON.stringify(value, rounded)}`;
    const rows = record.rows.map((row) => JSON.stringify(row, rounded));
    return rows.length === 0 ? '"rows": []' : `"rows": [\n${rows.join(",\n")}\n]`;
  });
  return `{\n${lines.join(",\n")}\n}\n`;
}

/** Six figures are more than any of this is worth. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(6)) : value;
}

export async function readRecord(path: string): Promise<BenchRecord> {
  const record: BenchRecord = JSON.parse(await Deno.readTextFile(path));
  if (record.schema_version !== 2) {
    throw new Error(
      `cannot use '${path}': its schema_version is ${record.schema_version} and not 2; ` +
        "measure anew with 'socksdirect bench --into'",
    );
  }
  return record;
}

/** Puts rows into the record at `path`, in place of older ones of the same cases. */
export async function mergeInto(path: string, fresh: BenchRecord): Promise<BenchRecord> {
  const merged = exists(path) ? merge(await readRecord(path), fresh) : fresh;
  await writeRecord(path, merged);
  return merged;
}

/** Everything from `fresh`, and from `old` the rows that `fresh` does not have. */
export function merge(
  old: BenchRecord,
  fresh: BenchRecord,
  order: readonly string[] = allCases().map(({ id }) => id),
): BenchRecord {
  const measuredAgain = new Set(fresh.rows.map(({ id }) => id));
  const kept = old.rows.filter(({ id }) => !measuredAgain.has(id) && order.includes(id));
  const place = (row: Row) => order.indexOf(row.id);
  return {
    ...fresh,
    carried: {
      ring_bytes: old.carried.ring_bytes + fresh.carried.ring_bytes,
      tcp_bytes: old.carried.tcp_bytes + fresh.carried.tcp_bytes,
    },
    rows: [...kept, ...fresh.rows].sort((a, b) => place(a) - place(b)),
    left_out: [
      ...fresh.left_out,
      ...failuresOf(old).filter(({ id }) => !measuredAgain.has(id))
        .map(({ text }) => text).filter((text) => !fresh.left_out.includes(text)),
    ],
  };
}

/** What is noted in `left_out` of cases that failed. */
export function failureText(id: string, error: unknown): string {
  return `${id} failed: ${error instanceof Error ? error.message : error}`;
}

function failuresOf({ left_out }: BenchRecord): { id: string; text: string }[] {
  return left_out.flatMap((text) => {
    const id = text.match(/^(\S+) failed: /)?.[1];
    return id === undefined ? [] : [{ id, text }];
  });
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
