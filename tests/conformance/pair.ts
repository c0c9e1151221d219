/** Runs both sides of one case in one combination, and gathers what can be known about it. */

import {
  type Combination,
  type Lab,
  type ProcessEntry,
  type Traffic,
  trafficOf,
  until,
} from "../harness.ts";

/** What `sdconform pair` prints. */
export interface Report {
  case: string;
  /** How it ended: "exit 0", "signal 11". */
  server: string;
  client: string;
  /** "stage: line" */
  lines: string[];
  /** At the deadline: who was in which call. */
  waiting: string[];
  leftovers: boolean;
  pids: number[];
}

export interface Sighting extends Report {
  stderr: string;
  /** What the monitor counted for its processes; undefined where nobody is preloaded. */
  traffic?: Traffic;
}

export interface PairOptions {
  /** A copy, so that a build meanwhile changes nothing. */
  program: string;
  deadlineSeconds: number;
  /** Both ends get onto a ring before the interesting calls. */
  warmToRing: boolean;
}

export async function runPair(
  lab: Lab,
  path: string,
  combination: Combination,
  options: PairOptions,
): Promise<Sighting> {
  const words = [options.program, "pair", path, "--deadline", `${options.deadlineSeconds}`];
  for (const role of ["server", "client"] as const) {
    for (const entry of environmentOf(lab, combination, role, options)) {
      words.push(`--${role}-env`, entry);
    }
  }
  const program = lab.start(words, { name: path });
  const ended = await program.end((options.deadlineSeconds + 20) * 1000);
  if (ended.code !== 0) throw new Error(`'${words.join(" ")}' failed: ${program.summary()}`);
  const report: Report = JSON.parse(ended.stdout);
  const someone = combination.server || combination.client;
  const traffic = someone ? await trafficOfDead(lab, report.pids) : undefined;
  return { ...report, stderr: ended.stderr, traffic };
}

function environmentOf(
  lab: Lab,
  combination: Combination,
  role: "server" | "client",
  { warmToRing }: PairOptions,
): string[] {
  const both = combination.server && combination.client;
  return [
    ...combination[role]
      ? [
        `LD_PRELOAD=${lab.library}`,
        `SOCKSDIRECT_CTL_SOCKET=${lab.socket}`,
        "SOCKSDIRECT_JOIN_AFTER_MS=0",
      ]
      : [],
    ...both && warmToRing ? ["SDCONFORM_RING=1"] : [],
  ];
}

/** The processes are over; the monitor may learn it a little later. */
async function trafficOfDead(lab: Lab, pids: readonly number[]): Promise<Traffic> {
  return await until(`the monitor to see the end of ${pids.join(", ")}`, async () => {
    const totals = await lab.monitor.totals();
    const alive = totals.processes.some(({ pid }: ProcessEntry) => pids.includes(pid));
    return alive ? undefined : trafficOf(totals, pids);
  });
}
