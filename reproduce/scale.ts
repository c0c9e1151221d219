/** Writes the table of docs/SCALE.md from docs/performance/results.json: `deno task scale`. */

import { root } from "../tests/harness.ts";
import { publishedRecord, readRecord } from "./bench/record.ts";
import { pageWith, planTable } from "./bench/scale.ts";

const path = `${root}/docs/SCALE.md`;
const table = planTable(await readRecord(publishedRecord));
await Deno.writeTextFile(path, pageWith(await Deno.readTextFile(path), table));
