/** `status`. */

import type { Status } from "./api.ts";
import type { Call } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { controlSocket } from "./socket.ts";
import { fields, formatSeconds } from "./table.ts";

export async function run(call: Call): Promise<number> {
  using client = new MonitorClient(controlSocket(call));
  const status = await client.json<Status>("/v1/status");
  if (call.flags.has("json")) console.log(JSON.stringify(status, null, 2));
  else console.log(statusText(status));
  return 0;
}

export function statusText(status: Status): string {
  const uptime = formatSeconds(status.uptime_sec);
  const seconds = `${Math.floor(status.uptime_sec)}`;
  return fields([
    ["pid", `${status.pid}`],
    ["uptime_sec", status.uptime_sec < 60 ? seconds : `${seconds} (${uptime})`],
    ["control_socket", status.control_socket],
    ["draining", status.draining ? "yes" : "no"],
    ["processes", `${status.processes}`],
    ["connections", `${status.connections}`],
  ]);
}
