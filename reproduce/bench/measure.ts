/** Measures cases: all transports in turn, run by run, so that a machine's moods hit all alike. */

import { type Lab, sdbench } from "../../tests/harness.ts";
import type { Case, Floor, Ground, Row, Sample, Transport } from "./model.ts";
import type { Nearness } from "./nearness.ts";
import { measuredOf } from "./statistics.ts";

export interface Pace {
  /** Runs of each transport, where a case does not say otherwise. */
  runs: number;
  /** Only these transports; all that a case has by default. */
  only?: readonly Transport[];
  progress(line: string): void;
}

export async function measureCase(
  ground: Ground,
  near: Nearness,
  one: Case,
  pace: Pace,
): Promise<Row> {
  const chosen = one.transports.filter((name) => pace.only?.includes(name) ?? true);
  const found = new Map<Transport, Sample[]>(chosen.map((name) => [name, []]));
  const runs = Math.min(one.runs ?? pace.runs, pace.runs);
  near.takeCondition();
  for (let run = 1; run <= runs; run++) {
    for (const [name, samples] of found) {
      pace.progress(`${one.id} over ${name}, run ${run} of ${runs}`);
      samples.push(await near.whileUsual(() => one.measure(ground, name)));
    }
  }
  const { id, group, title, unit, better, x } = one;
  const measured = Object.fromEntries(
    [...found].map(([name, samples]) => [name, measuredOf(samples)]),
  );
  const condition = near.takeCondition();
  return { id, group, title, unit, better, ...(x === undefined ? {} : { x }), condition, measured };
}

/** The machine's own costs, in nanoseconds. */
export async function measureFloor(lab: Lab): Promise<Floor> {
  const { stdout } = await lab.run([sdbench, "floor", "--json"]);
  const found: Record<string, unknown> = JSON.parse(stdout);
  const numbers = Object.entries(found).filter(([name]) => name.endsWith("_ns"));
  return Object.fromEntries(numbers) as Floor;
}
