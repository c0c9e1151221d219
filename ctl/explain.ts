/**
 * `explain PID[:FD]`: why the connections of a process are, or are not, on a ring, in words.
 *
 * A process that the monitor does not know is looked at in /proc, to say why not.
 */

import type { Connection, ConnectionEnd, Process } from "./api.ts";
import type { Call } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { addressText } from "./connections.ts";
import { CtlError, exitCode, UsageError } from "./errors.ts";
import { explanationOf } from "./explanations.ts";
import { controlSocket } from "./socket.ts";
import { printable } from "./table.ts";

interface Target {
  pid: number;
  fd?: number;
}

export async function run(call: Call): Promise<number> {
  const target = parseTarget(call.operands[0]);
  using client = new MonitorClient(controlSocket(call));
  const all = await client.json<Connection[]>(`/v1/connections?pid=${target.pid}`);
  const ends = all.flatMap((connection) => endsOf(connection, target));
  if (ends.length === 0) throw await nothingToExplain(target, client);
  if (call.flags.has("json")) console.log(JSON.stringify(ends.map(endJson), null, 2));
  else console.log(ends.map(endText).join("\n\n"));
  return exitCode.ok;
}

export function parseTarget(text: string): Target {
  const match = text.match(/^([1-9]\d{0,9})(?::(\d{1,9}))?$/);
  if (match === null) {
    throw new UsageError(`explain: '${text}' is not PID or PID:FD, such as 4711 or 4711:12`);
  }
  const [, pid, fd] = match;
  return fd === undefined ? { pid: Number(pid) } : { pid: Number(pid), fd: Number(fd) };
}

/** One end of a connection as its process sees it. */
interface OwnEnd {
  connection: Connection;
  role: "client" | "server";
  own: ConnectionEnd;
  peer: ConnectionEnd | null;
}

export function endsOf(connection: Connection, { pid, fd }: Target): OwnEnd[] {
  const { client, server } = connection;
  const ends: OwnEnd[] = [];
  if (client !== null) ends.push({ connection, role: "client", own: client, peer: server });
  if (server !== null) ends.push({ connection, role: "server", own: server, peer: client });
  return ends.filter(({ own }) => own.pid === pid && (fd === undefined || own.fd === fd));
}

function carriersOf({ connection, role }: OwnEnd) {
  const { client_to_server, server_to_client } = connection.carrier;
  return role === "client"
    ? { sends: client_to_server, receives: server_to_client }
    : { sends: server_to_client, receives: client_to_server };
}

function endJson(end: OwnEnd) {
  return {
    pid: end.own.pid,
    fd: end.own.fd,
    role: end.role,
    state: end.connection.state,
    ...carriersOf(end),
    reason: end.own.reason,
    ...explanationOf(end.own.reason),
    peer: end.peer && {
      pid: end.peer.pid,
      program: end.peer.program,
      reason: end.peer.reason,
      ...explanationOf(end.peer.reason),
    },
  };
}

export function endText(end: OwnEnd): string {
  const { own, peer, role, connection } = end;
  const { sends, receives } = carriersOf(end);
  const { client, server } = connection;
  const other = role === "client" ? server : client;
  const peerName = peer === null
    ? "an unknown process"
    : `${peer.pid} ${printable(peer.program)} fd ${peer.fd}`;
  const peerAddress = other === null ? "" : ` ${addressText(other.address, other.port)}`;
  const lines = [
    `${own.pid} ${printable(own.program)} fd ${own.fd} ${
      addressText(own.address, own.port)
    }, ${role} of ` +
    `${peerName}${peerAddress}`,
    `  state     ${connection.state}`,
    `  sends     by ${sends}`,
    `  receives  by ${receives}`,
    ...reasonLines("this end", own.reason),
  ];
  if (peer !== null && peer.reason !== own.reason) lines.push(...reasonLines("peer", peer.reason));
  if (peer === null && own.reason === "none") {
    lines.push("  peer      not registered with this monitor");
  }
  return lines.join("\n");
}

function reasonLines(who: string, reason: string): string[] {
  const { why, todo } = explanationOf(reason);
  const lines = [`  ${who.padEnd(8)}  ${reason}: ${why}`];
  if (todo !== undefined) lines.push(`  ${"to do".padEnd(8)}  ${todo}`);
  return lines;
}

async function nothingToExplain(target: Target, client: MonitorClient): Promise<CtlError> {
  const { pid, fd } = target;
  const processes = await client.json<Process[]>("/v1/processes");
  const known = processes.find((each) => each.pid === pid);
  if (known !== undefined) {
    const what = fd === undefined ? "no TCP connection" : `no tracked TCP connection at fd ${fd}`;
    return new CtlError(
      exitCode.failed,
      `process ${pid} (${printable(known.program)}) is registered, but has ${what}`,
    );
  }
  return new CtlError(exitCode.failed, whyUnknown(pid, client.controlSocket));
}

function whyUnknown(pid: number, socket: string): string {
  let maps: string;
  try {
    maps = Deno.readTextFileSync(`/proc/${pid}/maps`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      return `process ${pid} is not registered at '${socket}', and may not be looked into: ${error}`;
    }
    return `there is no process ${pid}`;
  }
  const program = printable(Deno.readTextFileSync(`/proc/${pid}/comm`).trim());
  if (!/\/libsd(-[0-9a-f]+)?\.so$/m.test(maps)) {
    return `process ${pid} (${program}) runs without the library; restart it as ` +
      "'socksdirect run -- PROGRAM'";
  }
  const theirs = environmentValue(pid, "SOCKSDIRECT_CTL_SOCKET");
  if (theirs !== undefined && theirs !== socket) {
    return `process ${pid} (${program}) uses another monitor; ask that one by ` +
      `--control-socket '${theirs}'`;
  }
  return `process ${pid} (${program}) has the library, but has not registered at '${socket}': it ` +
    "has used no TCP socket yet, or none since 40 ms after its first connection, or " +
    "SOCKSDIRECT_DISABLE is set";
}

function environmentValue(pid: number, name: string): string | undefined {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/environ`).split("\0")
      .find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
  } catch {
    return undefined;
  }
}
