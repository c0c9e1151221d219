/**
 * Measures SocksDirect on this machine beside kernel TCP, Unix sockets, pipes and a bare ring, all
 * in turn, and holds the medians against what the project promises.
 *
 *   ./socksdirect bench [--quick] [--only TEXT] ...     a table, and everything to results/
 *   ./socksdirect bench --gate                          has anything been lost since the baseline?
 *
 * docs/BENCHMARKING.md says what each number means; reproduce/bench/ has the parts: model.ts (what a
 * result is), cases.ts (what is measured), wanted.ts (what must hold), gate.ts.
 */

import { Lab, library, sdbench, trafficOf } from "../tests/harness.ts";
import { allCases } from "./bench/cases.ts";
import {
  conditionOf,
  gateCases,
  gateText,
  gateTransports,
  type Judged,
  judgeGate,
  readBaselines,
  updateBaseline,
} from "./bench/gate.ts";
import { machine, othersShare, revision } from "./bench/machine.ts";
import { measureCase, measureFloor } from "./bench/measure.ts";
import type { BenchRecord, Case, Floor, Ground, Row } from "./bench/model.ts";
import { Nearness } from "./bench/nearness.ts";
import { type Options, optionsOf, UsageError } from "./bench/options.ts";
import { leftOut } from "./bench/programs.ts";
import { failureText, mergeInto, writeResult } from "./bench/record.ts";
import { groupsOf, groupTable, verdictTable } from "./bench/text.ts";
import { anyBroken, judge } from "./bench/wanted.ts";

/** Exit code of a gate that has nothing to compare with. */
const exitNoBaseline = 3;

async function main(args: string[]): Promise<number> {
  const options = optionsOf(args);
  const cases = chosenCases(options);
  if (options.list) {
    for (const { id, group, title } of cases) console.log(`${id.padEnd(20)} ${group}: ${title}`);
    return 0;
  }
  requireBuilt();
  const busy = await othersShare();
  if (busy > 0.1) {
    console.error(
      `bench: others use ${Math.round(busy * 100)} % of the CPU time here, ` +
        "so the figures will be too bad; better try again when it is quiet",
    );
  }
  return options.gate || options.updateBaseline
    ? await runGate(options, cases)
    : await runBench(options, cases, busy);
}

function chosenCases({ gate, updateBaseline, only }: Options): Case[] {
  const all = allCases().filter(({ id }) => !(gate || updateBaseline) || gateCases.includes(id));
  const chosen = all.filter(({ id, group, title }) =>
    only.length === 0 || only.some((text) => id === text || `${group} ${title}`.includes(text))
  );
  if (chosen.length > 0) return chosen;
  throw new UsageError(`--only '${only}' fits no case; 'socksdirect bench --list' has them all`);
}

function requireBuilt() {
  for (const path of [library, sdbench]) {
    try {
      Deno.statSync(path);
    } catch {
      throw new Error(`cannot measure: '${path}' is not there; 'deno task build' makes it`);
    }
  }
}

// -- the whole benchmark --------------------------------------------------------------------------

async function runBench(options: Options, cases: Case[], busy: number): Promise<number> {
  const { rows, failures, floor, carried, summary } = await measureAll(
    options,
    cases,
    options.runs,
  );
  const record: BenchRecord = {
    schema_version: 2,
    machine: machine(),
    revision: await revision(),
    settings: {
      runs: options.runs,
      seconds: options.seconds,
      idle_seconds: options.idleSeconds,
      idle_connections: options.idleConnections,
    },
    busy_before: busy,
    floor,
    rows,
    carried,
    left_out: [...leftOut(), ...failures],
  };
  const path = await writeResult(record);
  if (options.into !== undefined) await mergeInto(options.into, record);
  const notes = [summary, ...record.left_out.map((what) => `left out: ${what}`)];
  console.log(
    options.json
      ? JSON.stringify(record, null, 2)
      : [text(record), "", ...notes, `all runs: ${path}`].join("\n"),
  );
  return anyBroken(record) || failures.length > 0 ? 1 : 0;
}

interface Found {
  rows: Row[];
  /** Cases that could not be measured, and why. */
  failures: string[];
  floor: Floor;
  carried: BenchRecord["carried"];
  summary: string;
  condition: string;
}

async function measureAll(options: Options, cases: Case[], runs: number): Promise<Found> {
  const found: Partial<Found> = {};
  await Lab.with(async (lab) => {
    await lab.startMonitor("--log-level", "error");
    const ground: Ground = { lab, ...options };
    const near = await Nearness.learn(lab);
    const rows: Row[] = [];
    const failures: string[] = [];
    for (const [index, one] of cases.entries()) {
      const place = `${index + 1}/${cases.length}`;
      const pace = {
        runs,
        only: options.gate || options.updateBaseline ? gateTransports : options.transports,
        progress: (line: string) => progress(`${place} ${line}`),
      };
      try {
        rows.push(await measureCase(ground, near, one, pace));
      } catch (error) {
        failures.push(failureText(one.id, error));
      }
    }
    progress("");
    const { ringBytes, tcpBytes } = trafficOf(await lab.monitor.totals());
    found.rows = rows;
    found.failures = failures;
    found.carried = { ring_bytes: ringBytes, tcp_bytes: tcpBytes };
    found.floor = await measureFloor(lab);
    found.summary = near.summary();
    found.condition = conditionOf(near.usualNs);
  });
  return found as Found;
}

function text({ machine, rows, carried }: BenchRecord): string {
  const all = Math.max(carried.ring_bytes + carried.tcp_bytes, 1);
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
  const groups = [...groupsOf(rows)].map(([name, own]) => `${name}\n\n${groupTable(own)}\n`);
  const verdicts = judge(rows);
  return [
    `${machine.cpu}, ${machine.cpus} cpus, Linux ${machine.kernel}; medians (least-most)\n`,
    ...groups,
    ...(verdicts.length > 0 ? [`${verdictTable(verdicts, rows)}\n`] : []),
    `SocksDirect's bytes as the monitor counted them: ${gigabytes(carried.ring_bytes)} by ring, ` +
    `${gigabytes(carried.tcp_bytes)} by TCP (${
      (carried.ring_bytes / all * 100).toFixed(2)
    } % by ring)`,
  ].join("\n");
}

/** One line on a terminal that is written over; nothing elsewhere. */
function progress(line: string) {
  if (!Deno.stderr.isTerminal()) return;
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${line}`));
}

// -- the gate -------------------------------------------------------------------------------------

async function runGate(options: Options, cases: Case[]): Promise<number> {
  const first = await measureAll(options, cases, options.runs);
  if (first.failures.length > 0) throw new Error(first.failures.join("; "));
  if (options.updateBaseline) {
    const about = { machine: machine().cpu, revision: await revision() };
    await updateBaseline(first.condition, first.rows, about);
    console.log(`the baseline for '${first.condition}' has ${first.rows.length} new cases`);
    return 0;
  }
  const baseline = (await readBaselines())[first.condition];
  if (baseline === undefined) {
    console.error(
      `bench: no baseline for '${first.condition}'; 'bench --update-baseline' makes one ` +
        "from a revision that is known to be good",
    );
    return exitNoBaseline;
  }
  let judged = judgeGate(first.rows, baseline);
  if (judged.lost.length > 0) judged = await confirm(options, cases, first, judged);
  console.log(`${gateText(judged)}\n\n${first.summary}; baseline of ${baseline.revision}`);
  if (judged.lost.length === 0) return 0;
  console.error(`bench: lost beyond noise: ${judged.lost.join(", ")}`);
  return 1;
}

/** What has lost once is measured again, longer; only what loses again has lost. */
async function confirm(
  options: Options,
  cases: Case[],
  first: Found,
  judged: Judged,
): Promise<Judged> {
  console.error(`bench: measuring again: ${judged.lost.join(", ")}`);
  const again = cases.filter(({ id }) => judged.lost.includes(id));
  const second = await measureAll(options, again, options.runs * 2);
  if (second.condition !== first.condition) {
    throw new Error(
      `the cpus were '${first.condition}' and are '${second.condition}' now; try again`,
    );
  }
  const baseline = (await readBaselines())[first.condition];
  const byId = new Map(second.rows.map((row) => [row.id, row]));
  return judgeGate(first.rows.map((row) => byId.get(row.id) ?? row), baseline);
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : error}`);
    Deno.exit(error instanceof UsageError ? 2 : 1);
  }
}
