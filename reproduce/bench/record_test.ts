import { assertEquals, assertThrows } from "@std/assert";
import { root } from "../../tests/harness.ts";
import { allCases } from "./cases.ts";
import { exampleRecord, exampleRow } from "./example_record.ts";
import { failureText, merge, recordText } from "./record.ts";
import { schemaErrors } from "./schema.ts";

const schema = JSON.parse(Deno.readTextFileSync(`${root}/docs/bench.schema.json`));

Deno.test("a record fits the schema in docs", () => {
  const rows = [
    exampleRow("rtt-8", { tcp: [70, 71], sd: [0.3, 0.4], bare: [0.15] }, "lower", { x: 8 }),
  ];
  const record = JSON.parse(JSON.stringify(exampleRecord(rows)));
  assertEquals(schemaErrors(record, schema), []);
});

Deno.test("the schema says where a record is wrong", () => {
  const record = JSON.parse(JSON.stringify(exampleRecord([exampleRow("rtt-8", { sd: [1] })])));
  record.rows[0].unit = "furlongs";
  record.rows[0].measured.sd.runs = [];
  record.rows[0].measured.pigeon = {};
  delete record.machine.cpu;
  assertEquals(schemaErrors(record, schema).sort(), [
    ".machine: 'cpu' is missing",
    ".rows[0].measured.sd.runs: fewer than 1 items",
    ".rows[0].measured: 'pigeon' is not known",
    '.rows[0].unit: "furlongs" is none of us,K/s,M/s,GB/s,KiB,ms in 10 s',
  ]);
});

Deno.test("every unit of a case is in the schema", () => {
  const known = schema.$defs.row.properties.unit.enum;
  assertEquals(allCases().filter(({ unit }) => !known.includes(unit)).map(({ id }) => id), []);
});

Deno.test("a schema with an unknown keyword is refused", () => {
  assertThrows(() => schemaErrors(1, { maximum: 3 }), Error, "'maximum' is not known");
});

Deno.test("no two cases have one id", () => {
  const ids = allCases().map(({ id }) => id);
  assertEquals(ids.filter((id, i) => ids.indexOf(id) !== i), []);
});

Deno.test("merged records keep the older rows that were not measured again, in the usual order", () => {
  const old = exampleRecord([exampleRow("a", { sd: [1] }), exampleRow("c", { sd: [3] })]);
  const fresh = exampleRecord([exampleRow("c", { sd: [4] }), exampleRow("b", { sd: [2] })]);
  const merged = merge(old, fresh, ["a", "b", "c"]);
  assertEquals(merged.rows.map(({ id, measured }) => [id, measured.sd?.median]), [
    ["a", 1],
    ["b", 2],
    ["c", 4],
  ]);
  assertEquals(merged.carried, { ring_bytes: 2000, tcp_bytes: 20 });
});

Deno.test("a row of a case that is no more is dropped", () => {
  const old = exampleRecord([exampleRow("gone", { sd: [1] })]);
  assertEquals(merge(old, exampleRecord([]), ["a"]).rows, []);
});

Deno.test("a failure is forgotten when its case has been measured after all", () => {
  const old = exampleRecord([]);
  old.left_out = [failureText("a", new Error("no luck")), failureText("b", "none either")];
  const merged = merge(old, exampleRecord([exampleRow("a", { sd: [1] })]), ["a", "b"]);
  assertEquals(merged.left_out, ["b failed: none either"]);
});

Deno.test("a record is written as JSON with a line for each row", () => {
  const record = exampleRecord([exampleRow("a", { sd: [1.23456789] }), exampleRow("b", {})]);
  const text = recordText(record);
  assertEquals(JSON.parse(text).rows[0].measured.sd.median, 1.23457);
  assertEquals(text.split("\n").filter((line) => line.startsWith('{"id"')).length, 2);
  assertEquals(JSON.parse(recordText(exampleRecord([]))).rows, []);
});
