import { assertEquals, assertStringIncludes } from "@std/assert";
import { commandNames } from "./commands.ts";
import { completionScript } from "./completion.ts";
import { findProgram } from "./programs.ts";

const shells = ["bash", "zsh", "fish"] as const;

for (const shell of shells) {
  const path = findProgram(shell);
  Deno.test(`the ${shell} script is valid ${shell}`, { ignore: path === undefined }, async () => {
    const file = Deno.makeTempFileSync();
    Deno.writeTextFileSync(file, completionScript(shell));
    const { code, stderr } = await new Deno.Command(path!, { args: ["-n", file] }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    Deno.removeSync(file);
  });
}

/** What bash offers for a line; the last word is the one being typed. */
async function bashOffers(...words: string[]): Promise<string[]> {
  const script = `${completionScript("bash")}
COMP_WORDS=(socksdirect "$@"); COMP_CWORD=$#; _socksdirect
[ \${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ["-c", script, "bash", ...words];
  const { stdout } = await new Deno.Command("bash", { args }).output();
  return new TextDecoder().decode(stdout).split("\n").filter(Boolean);
}

Deno.test("bash offers commands, options, words of operands and values", async () => {
  assertEquals(await bashOffers("conn"), ["connections"]);
  assertEquals(await bashOffers("drain", "o"), ["on", "off"]);
  assertEquals(await bashOffers("status", "--j"), ["--json"]);
  assertEquals(await bashOffers("monitor", "--log-level", "d"), ["debug"]);
  assertEquals((await bashOffers("help", "")).includes("metrics"), true);
});

Deno.test("fish knows every command", () => {
  const script = completionScript("fish");
  for (const name of commandNames) assertStringIncludes(script, ` -a ${name} -d `);
});
