/** What the monitor's HTTP API answers (docs/MONITOR.md): its own types, and only types. */

export type {
  ConnectionReport as Connection,
  EndReport as ConnectionEnd,
} from "../monitor/connections.ts";
export type { ProcessReport as Process, Totals } from "../monitor/report.ts";

export interface Status {
  pid: number;
  uptime_sec: number;
  control_socket: string;
  draining: boolean;
  processes: number;
  connections: number;
  version: string;
}
