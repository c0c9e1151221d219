import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { root } from "../../tests/harness.ts";
import { exampleRecord, exampleRow } from "./example_record.ts";
import { notesOf, performancePage, plotsOf } from "./performance.ts";
import { publishedRecord, readRecord } from "./record.ts";
import { schemaErrors } from "./schema.ts";

const read = (path: string) => Deno.readTextFileSync(`${root}/${path}`);

Deno.test("the published record fits its schema", () => {
  const record = JSON.parse(Deno.readTextFileSync(publishedRecord));
  assertEquals(schemaErrors(record, JSON.parse(read("docs/bench.schema.json"))), []);
});

Deno.test("docs/PERFORMANCE.md and its plots are what their record makes", async () => {
  const record = await readRecord(publishedRecord);
  const stale = "is stale: 'deno task performance' makes it anew";
  const page = performancePage(record, notesOf(read("docs/performance/notes.md")));
  assert(read("docs/PERFORMANCE.md") === page, `docs/PERFORMANCE.md ${stale}`);
  for (const [file, { svg }] of plotsOf(record)) {
    assert(read(`docs/performance/${file}`) === svg, `docs/performance/${file} ${stale}`);
  }
});

Deno.test("a figure that is not reached is explained by its note", () => {
  const rows = [
    exampleRow("stream-64", { sd: [9], tcp: [0.2] }, "higher"),
    exampleRow("stream-8", { sd: [9], tcp: [0.2] }, "higher"),
  ];
  const notes = notesOf("# Notes\n\n## stream of 64 B\n\nThe copy takes it all.\n");
  const page = performancePage(exampleRecord(rows), notes);
  assertStringIncludes(page, "### stream of 64 B\n\nThe copy takes it all.\n");
  assertStringIncludes(page, "### stream of 8 B\n\nNot looked into yet.\n");
});

Deno.test("what holds needs no note", () => {
  const rows = [exampleRow("stream-64", { sd: [19] }, "higher")];
  const page = performancePage(exampleRecord(rows), new Map());
  assert(!page.includes("not reached"), page);
});

Deno.test("a group is plotted along its axis, and only if it was measured", () => {
  const rows = [8, 64].map((x) =>
    exampleRow(`rtt-${x}`, { tcp: [70], sd: [x / 10] }, "lower", { x })
  );
  const plots = plotsOf({ rows });
  assertEquals([...plots.keys()], ["round-trips.svg", "round-trips-p99.svg"]);
  assertStringIncludes(plots.get("round-trips.svg")!.svg, ">64 B</text>");
});

Deno.test("every section of the notes is about something that must hold", async () => {
  const { wanted } = await import("./wanted.ts");
  const known = wanted.map(({ what }) => what);
  const titles = [...notesOf(read("docs/performance/notes.md")).keys()];
  assertEquals(titles.filter((title) => !known.includes(title)), []);
});
