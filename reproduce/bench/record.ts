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
  await Deno.writeTextFile(path, `${JSON.stringify(record, rounded, 1)}\n`);
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
  };
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
