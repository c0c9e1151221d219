/**
 * What Linux promises about sockets, over kernel TCP (is the check itself right?) and over rings.
 */

import { assertEquals } from "@std/assert";
import {
  assertAccelerated,
  both,
  combinations,
  freePort,
  type Lab,
  labTest,
  python,
  pythonProgram,
  waitForPort,
} from "./harness.ts";

const program = pythonProgram("semantics.py");
const neither = combinations[0];

for (const check of await checks()) {
  for (const combination of [neither, both]) {
    labTest(`sockets, ${check.replaceAll("_", " ")}: ${combination.name}`, {
      programs: ["python3"],
    }, async (lab) => {
      if (combination === both) await lab.startMonitor();
      await runCheck(lab, check, combination === both);
      if (combination === both) await assertAccelerated(lab, 2);
    });
  }
}

async function runCheck(lab: Lab, check: string, preload: boolean) {
  const port = freePort();
  const words = (role: string) => [python!, program, role, `${port}`, check];
  const server = lab.start(words("server"), { preload, name: "server" });
  await waitForPort(port, server);
  const client = lab.start(words("client"), { preload, name: "client" });
  for (const side of [server, client]) {
    const { code, stdout } = await side.end(15_000);
    assertEquals([code, stdout.trim()], [0, "right"], side.summary());
  }
}

/** What the program can check. */
async function checks(): Promise<string[]> {
  if (python === undefined) return [];
  const { stdout } = await new Deno.Command(python, { args: [program, "x", "0", "list"] }).output();
  return new TextDecoder().decode(stdout).trim().split(" ");
}
