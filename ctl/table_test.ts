import { assertEquals } from "@std/assert";
import { fields, formatBytes, formatCount, formatSeconds, significant, table } from "./table.ts";

Deno.test("columns are as wide as their widest cell, and line ends carry no blanks", () => {
  const text = table<[string, number]>([
    { title: "NAME", cell: ([name]) => name },
    { title: "N", cell: ([, count]) => `${count}`, right: true },
    { title: "", cell: () => "" },
  ], [["a", 1], ["longer", 1000]]);
  assertEquals(text, "NAME       N\na          1\nlonger  1000");
});

Deno.test("a cell's further lines stand under it", () => {
  const text = table<string>([
    { title: "A", cell: (row) => row },
    { title: "B", cell: () => "x" },
  ], ["one\ntwo"]);
  assertEquals(text, "A    B\none  x\ntwo");
});

Deno.test("fields align their values", () => {
  assertEquals(fields([["pid", "7"], ["uptime_sec", "12"]]), "pid         7\nuptime_sec  12");
});

Deno.test("bytes and counts keep three digits", () => {
  assertEquals(formatBytes(0), "0 B");
  assertEquals(formatBytes(1023), "1023 B");
  assertEquals(formatBytes(1536), "1.50 KiB");
  assertEquals(formatBytes(5 * 1024 ** 3), "5.00 GiB");
  assertEquals(formatCount(999), "999");
  assertEquals(formatCount(83417), "83.4 K");
  assertEquals(significant(0.000123), "0.000123");
  assertEquals(significant(71.23), "71.2");
  assertEquals(significant(1234.5), "1235");
  assertEquals(significant(0), "0");
});

Deno.test("times read as people say them", () => {
  assertEquals(formatSeconds(59.9), "59 s");
  assertEquals(formatSeconds(192), "3 min 12 s");
  assertEquals(formatSeconds(7260), "2 h 1 min");
});
