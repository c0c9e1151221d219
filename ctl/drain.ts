/** `drain [on|off]`. */

import type { Call } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { controlSocket } from "./socket.ts";

export async function run(call: Call): Promise<number> {
  const on = call.operands[0] !== "off";
  using client = MonitorClient.forChanges(controlSocket(call));
  await client.post("/v1/drain", { on });
  if (call.flags.has("json")) console.log(JSON.stringify({ draining: on }));
  else if (on) console.log("draining: running connections go on, new ones use kernel TCP");
  else console.log("not draining: new connections may ride rings");
  return 0;
}
