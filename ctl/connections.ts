/** `connections`: both ends of each connection, what each carrier carried, and why. */

import type { Connection, ConnectionEnd } from "./api.ts";
import type { Call } from "./cli.ts";
import { integerOption } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { controlSocket } from "./socket.ts";
import { formatBytes, formatCount, printable, table } from "./table.ts";

export async function run(call: Call): Promise<number> {
  const pid = integerOption(call, "pid", { fallback: 0, min: 1, max: 2 ** 31 });
  using client = new MonitorClient(controlSocket(call));
  const query = pid === 0 ? "" : `?pid=${pid}`;
  const connections = await client.json<Connection[]>(`/v1/connections${query}`);
  if (call.flags.has("json")) console.log(JSON.stringify(connections, null, 2));
  else if (connections.length === 0) console.log("no connection is tracked");
  else console.log(connectionsText(connections));
  return 0;
}

export function connectionsText(connections: readonly Connection[]): string {
  return table<Connection>([
    { title: "STATE", cell: (row) => row.state },
    { title: "CLIENT", cell: (row) => endText(row.client) },
    { title: "SERVER", cell: (row) => endText(row.server) },
    { title: "TO SERVER", cell: (row) => directionText(row, "client_to_server") },
    { title: "TO CLIENT", cell: (row) => directionText(row, "server_to_client") },
    { title: "REASON", cell: (row) => reasonText(row) },
  ], connections);
}

function endText(end: ConnectionEnd | null): string {
  return end === null
    ? "-"
    : `${end.pid} ${printable(end.program)} fd ${end.fd}\n${addressText(end.address, end.port)}`;
}

export function addressText(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Two lines, one a carrier; the one in use is marked. */
export function directionText(
  connection: Pick<Connection, "carrier" | "bytes" | "messages">,
  direction: "client_to_server" | "server_to_client",
): string {
  return (["ring", "tcp"] as const).map((carrier) => {
    const mark = connection.carrier[direction] === carrier ? ">" : " ";
    const bytes = formatBytes(connection.bytes[direction][carrier]);
    return `${mark} ${carrier.padEnd(4)} ${bytes} (${
      formatCount(connection.messages[direction][carrier])
    })`;
  }).join("\n");
}

/** The ends may have different reasons: both are said then. */
function reasonText({ reason, client, server }: Connection): string {
  const reasons = [client?.reason, server?.reason].filter((each) => each !== undefined);
  return [...new Set(reasons.length === 0 ? [reason] : reasons)].join("\n");
}
