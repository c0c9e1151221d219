import { assert, assertEquals } from "@std/assert";
import type { Application } from "./application.ts";
import { applications } from "./applications.ts";
import { page, withTable } from "./table.ts";

const frame = "before\n<!-- applications: written by tests/apps/table.ts -->\nold\n" +
  "<!-- applications: end -->\nafter\n";

Deno.test("the table has a row an application, with its share and reasons", () => {
  const [app] = applications;
  const apps: Application[] = [
    { ...app, name: "a", does: "work" },
    { ...app, name: "b", does: "other work" },
  ];
  const entry = {
    version: "1.2",
    does: "",
    combinations: ["x", "y"],
    ringBytes: 50,
    tcpBytes: 50,
    reasons: { none: 3, exec: 1 },
    speed: 1.234,
  };
  const text = withTable(frame, apps, { a: entry });
  assert(text.startsWith("before\n") && text.endsWith("after\n") && !text.includes("old"));
  const rows = text.split("\n").filter((line) => /^\| [ab] /.test(line));
  assertEquals(rows.map((row) => row.split("|").map((cell) => cell.trim())), [
    ["", "a", "1.2", "work", "2 of 4", "50 % (`exec`)", "1.23", ""],
    ["", "b", "-", "other work", "not run", "-", "-", ""],
  ]);
});

Deno.test("docs/COMPATIBILITY.md has a row for every application", () => {
  const text = Deno.readTextFileSync(page);
  const missing = applications.filter(({ name }) => !text.includes(`| ${name} `));
  assertEquals(missing.map(({ name }) => name), [], "run tests/apps/table.ts");
});
