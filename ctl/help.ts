/** `help [COMMAND]`. */

import { type Call, commandHelp, type CommandSpec, overview } from "./cli.ts";
import { commandNames, commands } from "./commands.ts";
import { UsageError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

export function run(call: Call): Promise<number> {
  const [name] = call.operands;
  console.log(name === undefined ? overview(commands) : commandHelp(findCommand(name)));
  return Promise.resolve(0);
}

export function findCommand(name: string): CommandSpec {
  const spec = commands.find((each) => each.name === name);
  if (spec !== undefined) return spec;
  const hint = didYouMean(name, commandNames);
  throw new UsageError(`unknown command '${name}'${hint || "; 'socksdirect help' lists them all"}`);
}
