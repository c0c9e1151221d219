/** That what the documents say about the project is so. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isFile, root } from "./paths.ts";

const read = (path: string) => Deno.readTextFileSync(`${root}/${path}`);

Deno.test("every link in README and docs/README.md leads to a file", () => {
  for (const [file, folder] of [["README.md", root], ["docs/README.md", `${root}/docs`]]) {
    const links = [...read(file).matchAll(/\]\(([^)#:]+)\)/g)].map(([, link]) => link);
    assert(links.length > 0, file);
    const missing = links.filter((link) => !isFile(`${folder}/${link}`));
    assertEquals(missing, [], file);
  }
});

Deno.test("every npm package in deno.json is justified, with its version", () => {
  const { imports } = JSON.parse(read("deno.json")) as { imports: Record<string, string> };
  const text = read("docs/DEPENDENCIES.md");
  for (const specifier of Object.values(imports)) {
    const [, name, version] = specifier.match(/^npm:(@?[^@]+)@([\d.]+)/)!;
    const row = text.split("\n").find((line) => line.startsWith(`| \`${name}\``));
    assertStringIncludes(row ?? `no row for ${name}`, version, specifier);
  }
});

Deno.test("versions of tools stand in toolchain.env and nowhere else", () => {
  const pins = [...read("toolchain.env").matchAll(/^(\w+)_VERSION=(\S+)$/gm)];
  assertEquals(pins.map(([, name]) => name), ["DENO", "DENO_NPM", "ZIG"]);
  for (const file of ["socksdirect", ".ci/run", "README.md", "docs/CLI.md"]) {
    for (const [, , version] of pins) {
      assert(!read(file).includes(version), `${version} in ${file}`);
    }
  }
});
