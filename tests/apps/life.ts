/** The life that every application is led through, and what must be true at each step. */

import { assert, assertEquals } from "@std/assert";
import {
  assertRingShare,
  type Combination,
  freePort,
  type Lab,
  type Program,
  type Traffic,
  trafficBetween,
  until,
  within,
} from "../harness.ts";
import { isListening } from "../harness/ports.ts";
import type { Application, Use } from "./application.ts";

/** One combination's work. With both preloaded, also restart and SIGKILL. What went how. */
export async function live(
  app: Application,
  lab: Lab,
  { server, client }: Combination,
): Promise<Traffic | undefined> {
  const use: Use = { lab, port: freePort(), server, client };
  let program = await app.start(use);
  const traffic = await checkedWork(app, use);
  if (server && client) {
    await app.also?.(use, program);
    await stop(use, program);
    program = await app.start(use);
    await killAtWork(app, use, program);
    if (app.wantsFreshPort) use.port = freePort();
    program = await app.start(use);
    await checkedWork(app, use);
  }
  await stop(use, program);
  return traffic;
}

async function checkedWork(app: Application, use: Use): Promise<Traffic | undefined> {
  if (!use.server && !use.client) {
    await app.work(use);
    return undefined;
  }
  const before = await use.lab.monitor.totals();
  await app.work(use);
  const after = await use.lab.monitor.totals();
  const traffic = trafficBetween(before, after);
  if (use.server && use.client && app.share !== "none") assertRingShare(before, after, app.share);
  else if (!app.talksToItself) assertEquals(traffic.ringBytes, 0, "bytes by ring to a plain peer");
  return traffic;
}

/** SIGTERM must do what it always does: the program ends, and nobody listens any more. */
async function stop({ port }: Use, program: Program) {
  program.kill("SIGTERM");
  await program.end(20_000);
  await until(`port ${port} to be free`, () => !isListening(port));
}

/** SIGKILL for the server and all that it has started, while a client is at work: that ends too. */
async function killAtWork(app: Application, use: Use, program: Program) {
  let over = false;
  const work = app.work(use).then(() => "done", (error) => `${error}`).finally(() => over = true);
  const before = await use.lab.monitor.totals();
  await until("the client to be at work", async () => {
    if (over) return true;
    const { ringBytes, tcpBytes } = trafficBetween(before, await use.lab.monitor.totals());
    return ringBytes + tcpBytes > 0;
  });
  for (const pid of familyOf(program.pid)) killNow(pid);
  await program.end();
  await within(`${app.name}'s client to end after its server was killed`, 30_000, work);
  await until(`port ${use.port} to be free`, () => !isListening(use.port));
}

function killNow(pid: number) {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

/** A process and its descendants, parents first. */
export function familyOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(name);
    children.set(parent, [...children.get(parent) ?? [], Number(name)]);
  }
  const family = [pid];
  for (let i = 0; i < family.length; i++) family.push(...children.get(family[i]) ?? []);
  return family;
}

function parentOf(pid: string): number {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0; // it has ended
  }
}

/** A word of a program's output, or a message with all of it. */
export function matched(text: string, pattern: RegExp): string {
  const match = text.match(pattern);
  assert(match !== null, `no ${pattern} in: ${text.slice(-2000)}`);
  return match[1] ?? match[0];
}
