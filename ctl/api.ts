/** What the monitor's HTTP API answers (docs/MONITOR.md), as far as ctl reads it. */

export interface Status {
  pid: number;
  uptime_sec: number;
  control_socket: string;
  draining: boolean;
  processes: number;
  connections: number;
  version: string;
}

export interface Process {
  pid: number;
  program: string;
  uid: number;
  listeners: number;
  connections: number;
}

export interface ConnectionEnd {
  pid: number;
  program: string;
  fd: number;
  address: string;
  port: number;
  reason: string;
}

export interface ByCarrier {
  ring: number;
  tcp: number;
}

export interface ByDirection<T> {
  client_to_server: T;
  server_to_client: T;
}

export interface Connection {
  state: string;
  reason: string;
  client: ConnectionEnd | null;
  server: ConnectionEnd | null;
  carrier: ByDirection<string>;
  bytes: ByDirection<ByCarrier>;
  messages: ByDirection<ByCarrier>;
}

export interface Counters {
  ring_bytes: number;
  ring_messages: number;
  tcp_bytes: number;
  tcp_messages: number;
}

export interface Totals {
  tx: Counters;
  rx: Counters;
  accelerated_count: number;
  closed_by_reason: Record<string, number>;
}
