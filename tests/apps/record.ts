/** What the last runs of the applications showed, in results/apps.json: the table is made of it. */

import { root } from "../harness/files.ts";
import type { Traffic } from "../harness.ts";
import type { Application } from "./application.ts";

export interface Entry {
  version: string;
  does: string;
  /** Names of those that passed. */
  combinations: string[];
  /** With both ends preloaded. */
  ringBytes: number;
  tcpBytes: number;
  reasons: Record<string, number>;
  /** Speed with both ends preloaded over kernel TCP's, if it was measured. */
  speed?: number;
}

export type Entries = Record<string, Entry>;

const file = `${root}/results/apps.json`;

export function readEntries(): Entries {
  try {
    return JSON.parse(Deno.readTextFileSync(file));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

export async function note(app: Application, combination: string, traffic?: Traffic) {
  const entries = readEntries();
  const old = entries[app.name];
  const entry: Entry = {
    version: await versionOf(app),
    does: app.does,
    combinations: [...new Set([...old?.combinations ?? [], combination])],
    ringBytes: old?.ringBytes ?? 0,
    tcpBytes: old?.tcpBytes ?? 0,
    reasons: old?.reasons ?? {},
    speed: old?.speed,
  };
  if (combination === "both preloaded" && traffic !== undefined) {
    entry.ringBytes = traffic.ringBytes;
    entry.tcpBytes = traffic.tcpBytes;
    entry.reasons = traffic.closedByReason;
  }
  write({ ...entries, [app.name]: entry });
}

export function noteSpeed(name: string, speed: number) {
  const entries = readEntries();
  if (entries[name] !== undefined) write({ ...entries, [name]: { ...entries[name], speed } });
}

export function forget(app: Application, combination: string) {
  const entries = readEntries();
  const entry = entries[app.name];
  if (entry === undefined) return;
  entry.combinations = entry.combinations.filter((each) => each !== combination);
  write(entries);
}

function write(entries: Entries) {
  Deno.mkdirSync(`${root}/results`, { recursive: true });
  Deno.writeTextFileSync(file, JSON.stringify(entries, null, 2));
}

/** The first number with a dot that the version command prints. */
async function versionOf({ version: [program, ...args] }: Application): Promise<string> {
  try {
    const { stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    return text.match(/\d+\.\d+[\w.]*/)?.[0] ?? "?";
  } catch {
    return "?";
  }
}
