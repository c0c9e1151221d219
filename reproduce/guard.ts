/**
 * Shows the guard at work: `deno task guard`. A server that rings cannot wake (it has no
 * descriptors left, tests/programs/slow_reader.py) over kernel TCP, over SocksDirect without the
 * guard and with it, in turn; the median exchange of each tenth of the work. Writes
 * docs/performance/guard.md.
 */

import { freePort, Lab, root, waitForPort } from "../tests/harness.ts";
import { type Condition, kernelTcp, markdownTable, rangeText } from "./bench/conditions.ts";
import { machine, revision } from "./bench/machine.ts";

const runs = 5;
const exchanges = 20_000;
const page = `${root}/docs/performance/guard.md`;

const conditions: readonly Condition[] = [
  kernelTcp,
  { name: "ring, guard off", preload: true, env: { SOCKSDIRECT_GUARD: "0" } },
  { name: "ring, guard on", preload: true, env: {} },
];

interface Outcome {
  condition: Condition;
  /** us, of each tenth. */
  medians: number[];
  verdicts: number;
  movesToTcp: number;
}

const outcomes: Outcome[] = [];
for (let run = 0; run < runs; run++) {
  for (const condition of conditions) {
    outcomes.push(await measure(condition));
    const { medians, verdicts } = outcomes.at(-1)!;
    console.error(
      `run ${run + 1} of ${runs}, ${condition.name}: ${medians.join(" ")} us, ${verdicts} verdicts`,
    );
  }
}
await Deno.writeTextFile(page, await report());
console.log(await Deno.readTextFile(page));

async function measure(condition: Condition): Promise<Outcome> {
  let outcome: Outcome | undefined;
  await Lab.with(async (lab) => {
    await lab.startMonitor();
    const program = `${root}/tests/programs/slow_reader.py`;
    const port = freePort();
    const env = { ...condition.env, SOCKSDIRECT_PROFILE: "frugal" }; // sleeps, watches no ring
    const server = lab.start(["python3", program, "server", `${port}`], { ...condition, env });
    await waitForPort(port, server);
    const words = ["python3", program, "client", `${port}`, `${exchanges}`];
    const { stdout } = await lab.run(words, { ...condition, timeoutMs: 120_000 });
    const { guard_verdicts, moves_to_tcp } = await lab.monitor.totals();
    const medians = stdout.trim().split(" ").map(Number);
    outcome = { condition, medians, verdicts: guard_verdicts, movesToTcp: moves_to_tcp };
  });
  return outcome!;
}

async function report(): Promise<string> {
  const { cpu, cpus, kernel } = machine();
  const header = ["", "first tenth", "second", "fifth", "last", "verdicts", "moves to TCP"];
  const rows = conditions.map((condition) => {
    const mine = outcomes.filter((outcome) => outcome.condition === condition);
    const tenths = [0, 1, 4, 9].map((tenth) => range(mine.map(({ medians }) => medians[tenth])));
    const counts = [mine.map(({ verdicts }) => verdicts), mine.map(({ movesToTcp }) => movesToTcp)];
    return [condition.name, ...tenths, ...counts.map(range)];
  });
  return [
    "<!-- Made by `deno task guard`; do not edit. -->",
    "",
    "A server that rings cannot wake: it has no descriptors left for doorbells, and waits by epoll.",
    `${exchanges} exchanges of 8 B, by python; median us of the first, second, fifth and last`,
    `tenth; medians (least-most) of ${runs} runs, in turn. ${cpu}, ${cpus} cpus, Linux ${kernel}, revision`,
    `${await revision()}.`,
    "",
    ...markdownTable(header, rows),
    "",
  ].join("\n");
}

function range(values: number[]): string {
  return rangeText(values, (value) => `${Math.round(value)}`);
}
