/**
 * Writes docs/PERFORMANCE.md and its plots from docs/performance/results.json and notes.md.
 *
 *   deno task performance              from what is there
 *   deno task performance --measure    measures everything first (half an hour, on a quiet machine)
 */

import { root } from "../tests/harness.ts";
import { notesOf, performancePage, plotsOf } from "./bench/performance.ts";
import { publishedRecord, readRecord } from "./bench/record.ts";

const folder = `${root}/docs/performance`;

async function measure() {
  const args = ["bench", "--into", publishedRecord];
  const command = new Deno.Command(`${root}/socksdirect`, { args, cwd: root });
  const { code } = await command.spawn().status;
  // Exit code 1 says that something does not hold, which the page shall tell.
  if (code > 1) throw new Error(`cannot measure: 'socksdirect bench' ended with ${code}`);
}

async function write() {
  const record = await readRecord(publishedRecord);
  for (const [file, { svg }] of plotsOf(record)) {
    await Deno.writeTextFile(`${folder}/${file}`, svg);
  }
  const notes = notesOf(await Deno.readTextFile(`${folder}/notes.md`));
  await Deno.writeTextFile(`${root}/docs/PERFORMANCE.md`, performancePage(record, notes));
}

if (Deno.args.includes("--measure")) await measure();
await write();
