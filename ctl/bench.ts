/** `bench`: becomes reproduce/bench.ts. */

import type { Call } from "./cli.ts";
import { CtlError, exitCode } from "./errors.ts";
import { become } from "./exec.ts";
import { denoProgram, isFile, root } from "./paths.ts";

export function run(call: Call): Promise<number> {
  if (!isFile(`${root}/reproduce/bench.ts`)) {
    throw new CtlError(exitCode.failed, "cannot measure: reproduce/bench.ts is missing");
  }
  return become(denoProgram("reproduce/bench.ts", call.operands), Deno.env.toObject());
}
