import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { optionsOf } from "./cli.ts";
import { commandNames, commands } from "./commands.ts";
import { ctl } from "./fake_monitor.ts";
import { root } from "./paths.ts";

const cliDocument = Deno.readTextFileSync(`${root}/docs/CLI.md`);

Deno.test("every command loads, has a one-line summary and an example that calls it", async () => {
  for (const spec of commands) {
    assert(typeof (await spec.load()).run === "function", spec.name);
    assertMatch(spec.summary, /^[^\n]{1,80}$/, spec.name);
    assert(spec.examples.some((each) => each.includes(`socksdirect ${spec.name}`)), spec.name);
  }
});

Deno.test("names are unique, and so are the options of each command", () => {
  assertEquals(new Set(commandNames).size, commandNames.length);
  for (const spec of commands) {
    const names = optionsOf(spec).map(({ name }) => name);
    assertEquals(new Set(names).size, names.length, spec.name);
  }
});

Deno.test("every listing has --json and --control-socket", () => {
  const listings = ["status", "processes", "connections", "explain", "metrics", "doctor"];
  for (const spec of commands.filter(({ name }) => listings.includes(name))) {
    const names = optionsOf(spec).map(({ name }) => name);
    assert(names.includes("json") && names.includes("control-socket"), spec.name);
  }
});

Deno.test("docs/CLI.md describes every command and every option", () => {
  for (const spec of commands) {
    assertStringIncludes(cliDocument, `\`${spec.name}`, spec.name);
    for (const option of spec.options ?? []) assertStringIncludes(cliDocument, `--${option.name}`);
  }
});

Deno.test("help lists every command, and help COMMAND shows that one", async () => {
  const { code, stdout } = await ctl("help");
  assertEquals(code, 0);
  for (const name of commandNames) assertStringIncludes(stdout, `\n  ${name} `);
  assertEquals(await ctl(), { code, stdout, stderr: "" });
  assertEquals((await ctl("help", "ping")).stdout, (await ctl("ping", "--help")).stdout);
});

Deno.test("a mistyped command is one line on stderr, exit 2, and what was meant", async () => {
  const { code, stdout, stderr } = await ctl("conections");
  assertEquals(code, 2);
  assertEquals(stdout, "");
  assertEquals(stderr, "socksdirect: unknown command 'conections'; did you mean 'connections'?");
});

Deno.test("an unknown command that resembles nothing points to help", async () => {
  const { code, stderr } = await ctl("xyzzy-plugh");
  assertEquals(code, 2);
  assertStringIncludes(stderr, "'socksdirect help' lists them all");
});
