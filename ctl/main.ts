/**
 * ctl, the user's tool: `./socksdirect COMMAND` ends here, and so does
 * `deno run -A ctl/main.ts COMMAND`.
 *
 * Finds the command in the table (commands.ts), parses its arguments (cli.ts), loads its module and
 * calls run(). A failure is one line on stderr and an exit code (errors.ts).
 */

import { commandHelp, overview, parse } from "./cli.ts";
import { commands } from "./commands.ts";
import { CtlError, exitCode } from "./errors.ts";
import { findCommand } from "./help.ts";

export async function main(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    if (!(error instanceof CtlError)) throw error;
    console.error(`socksdirect: ${error.message}`);
    return error.code;
  }
}

async function dispatch([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === "-h" || name === "--help") {
    console.log(overview(commands));
    return exitCode.ok;
  }
  const spec = findCommand(name === "--version" ? "version" : name);
  const call = parse(spec, args);
  if (call.flags.has("help")) {
    console.log(commandHelp(spec));
    return exitCode.ok;
  }
  const module = await spec.load();
  return await module.run(call);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
