/**
 * What the profiles do (docs/CLI.md): `deno task profiles`. Round trips over a peer that sleeps longer
 * and longer between them, over kernel TCP and in each profile, in turn: their median time, and the
 * CPU time that they cost both ends. Writes docs/performance/profiles.md.
 */

import { Lab, root, sdbench } from "../tests/harness.ts";
import { type Condition, kernelTcp, markdownTable, rangeText } from "./bench/conditions.ts";
import { machine, revision } from "./bench/machine.ts";
import type { Report } from "./bench/sdbench.ts";

const runs = 5;
const seconds = 0.5;
const page = `${root}/docs/performance/profiles.md`;
/** us of sleep before each exchange. */
const pauses = [0, 20, 100, 1000, 10_000];

const conditions: readonly Condition[] = [
  kernelTcp,
  ...["latency", "balanced", "frugal"].map((name) => ({
    name: `\`${name}\``,
    preload: true,
    env: { SOCKSDIRECT_PROFILE: name },
  })),
];

interface Outcome {
  condition: Condition;
  pause: number;
  /** us of the median exchange; CPU us of both ends for each. */
  p50: number;
  cpu: number;
}

const outcomes: Outcome[] = [];
await Lab.with(async (lab) => {
  await lab.startMonitor();
  for (let run = 0; run < runs; run++) {
    for (const pause of pauses) {
      for (const condition of conditions) outcomes.push(await measure(lab, condition, pause));
      const line = outcomes.slice(-conditions.length).map(({ p50 }) => p50.toFixed(2)).join(" ");
      console.error(`run ${run + 1} of ${runs}, ${pauseText(pause)}: ${line} us`);
    }
  }
});
await Deno.writeTextFile(page, await report());
console.log(await Deno.readTextFile(page));

async function measure(lab: Lab, condition: Condition, pause: number): Promise<Outcome> {
  const words = ["pair", "--mode", "rtt", "--pin", "--json", "--seconds", `${seconds}`];
  const thinking = pause === 0 ? [] : ["--think-us", `${pause}`];
  const { stdout } = await lab.run([sdbench, ...words, ...thinking], {
    preload: condition.preload,
    env: condition.env,
    timeoutMs: 60_000,
  });
  const { rtt_ns, cpu_seconds, messages } = JSON.parse(stdout) as Report;
  const cpu = (cpu_seconds.client + cpu_seconds.server) * 1e6 / messages;
  return { condition, pause, p50: rtt_ns!.p50 / 1000, cpu };
}

async function report(): Promise<string> {
  const { cpu, cpus, kernel } = machine();
  return [
    "<!-- Made by `deno task profiles`; do not edit. -->",
    "",
    "Round trips of 8 B between two processes, each on a cpu of its own; the client sleeps before each.",
    `Medians (least-most) of ${runs} runs of ${seconds} s, in turn. ${cpu}, ${cpus} cpus, Linux ${kernel},`,
    `revision ${await revision()}.`,
    "",
    "Median time of a round trip, us:",
    "",
    ...table(({ p50 }) => p50),
    "",
    "CPU time of both ends for each, us:",
    "",
    ...table(({ cpu }) => cpu),
    "",
  ].join("\n");
}

function table(figure: (outcome: Outcome) => number): string[] {
  const rows = pauses.map((pause) => {
    const cells = conditions.map((condition) =>
      range(
        outcomes.filter((one) => one.condition === condition && one.pause === pause).map(figure),
      )
    );
    return [pauseText(pause), ...cells];
  });
  return markdownTable(["pause", ...conditions.map(({ name }) => name)], rows);
}

function pauseText(us: number): string {
  if (us === 0) return "none";
  return us < 1000 ? `${us} us` : `${us / 1000} ms`;
}

function range(values: number[]): string {
  return rangeText(values, (value) => value < 10 ? value.toFixed(2) : `${Math.round(value)}`);
}
