/** `processes`. */

import type { Process } from "./api.ts";
import type { Call } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { controlSocket } from "./socket.ts";
import { printable, table } from "./table.ts";

export async function run(call: Call): Promise<number> {
  using client = new MonitorClient(controlSocket(call));
  const processes = await client.json<Process[]>("/v1/processes");
  if (call.flags.has("json")) console.log(JSON.stringify(processes, null, 2));
  else if (processes.length === 0) console.log("no process is registered");
  else console.log(processesText(processes));
  return 0;
}

export function processesText(processes: readonly Process[]): string {
  return table<Process>([
    { title: "PID", cell: (row) => `${row.pid}`, right: true },
    { title: "PROGRAM", cell: (row) => printable(row.program) },
    { title: "UID", cell: (row) => `${row.uid}`, right: true },
    { title: "LISTENERS", cell: (row) => `${row.listeners}`, right: true },
    { title: "CONNECTIONS", cell: (row) => `${row.connections}`, right: true },
  ], processes);
}
