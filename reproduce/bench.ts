/**
 * Measures SocksDirect against kernel TCP on this machine, alternately, and holds the medians
 * against what the project promises. Prints a table and writes everything to results/.
 *
 *   ./socksdirect bench [--quick] [--runs N] [--only TEXT] [--json]
 *
 * docs/BENCHMARKING.md says what each number means.
 */

import { parseArgs } from "@std/cli/parse-args";
import { Lab, library, root, sdbench, trafficOf } from "../tests/harness.ts";
import { type BenchCase, benchCases, type Ground, leftOut } from "./bench_cases.ts";
import { Nearness } from "./nearness.ts";
import { holds, type Kind, type Row, spreadOf, table } from "./bench_report.ts";

interface Settings {
  runs: number;
  seconds: number;
  idleSeconds: number;
  idleConnections: number;
  only: string;
  json: boolean;
}

class UsageError extends Error {}

function settingsOf(args: string[]): Settings {
  const options = parseArgs(args, {
    boolean: ["quick", "json"],
    string: ["runs", "only"],
    unknown: (word: string) => {
      throw new UsageError(`no option '${word}'; there are --quick, --runs, --only and --json`);
    },
  });
  const runs = options.runs === undefined ? undefined : Number(options.runs);
  if (runs !== undefined && !(Number.isInteger(runs) && runs > 0)) {
    throw new UsageError(`--runs '${options.runs}' is not a number of runs`);
  }
  const pace = options.quick
    ? { runs: 3, seconds: 0.3, idleSeconds: 3, idleConnections: 1000 }
    : { runs: 5, seconds: 1, idleSeconds: 10, idleConnections: 10_000 };
  return {
    ...pace,
    runs: runs ?? pace.runs,
    only: String(options.only ?? ""),
    json: options.json === true,
  };
}

async function main(args: string[]): Promise<number> {
  const settings = settingsOf(args);
  requireBuilt();
  const cases = benchCases().filter(({ name }) => name.includes(settings.only));
  if (cases.length === 0) {
    const names = benchCases().map(({ name }) => name).join("; ");
    throw new UsageError(`--only '${settings.only}' fits none of: ${names}`);
  }
  const busy = await othersShare();
  if (busy > 0.1) {
    console.error(
      `bench: others use ${Math.round(busy * 100)} % of the CPU time here, ` +
        "so the figures will be too bad; better try again when it is quiet",
    );
  }
  const rows: Row[] = [];
  const notes = leftOut().map((what) => `left out: ${what}`);
  let carried = { ringBytes: 0, tcpBytes: 0 };
  await Lab.with(async (lab) => {
    await lab.startMonitor("--log-level", "error");
    const ground: Ground = { lab, ...settings };
    const near = await Nearness.learn(lab);
    for (const [index, one] of cases.entries()) {
      rows.push(
        await measureCase(ground, near, one, settings.runs, `${index + 1}/${cases.length}`),
      );
    }
    carried = trafficOf(await lab.monitor.totals());
    notes.push(near.summary());
  });
  const record = {
    machine: { ...machine(), busy_before: busy },
    settings,
    rows,
    carried,
    left_out: leftOut(),
  };
  const path = await write(record);
  console.log(
    settings.json
      ? JSON.stringify(record, null, 2)
      : text(rows, carried, [...notes, `all runs: ${path}`]),
  );
  return rows.some((row) => holds(row, rows) === false) ? 1 : 0;
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

/** TCP, SocksDirect, TCP, SocksDirect, ...: so that a machine's moods hit both. */
async function measureCase(
  ground: Ground,
  near: Nearness,
  one: BenchCase,
  usualRuns: number,
  place: string,
): Promise<Row> {
  const kinds = one.kinds ?? ["tcp", "sd"];
  const found: Record<Kind, number[]> = { tcp: [], sd: [] };
  const runs = one.runs ?? usualRuns;
  for (let run = 0; run < runs; run++) {
    for (const kind of kinds) {
      progress(`${place} ${one.name}: ${kind}, run ${run + 1} of ${runs}`);
      found[kind].push(await near.whileUsual(() => one.measure(ground, kind)));
    }
  }
  progress("");
  const { name, unit, better, bound } = one;
  return {
    ...{ name, unit, better, bound },
    tcp: found.tcp.length > 0 ? spreadOf(found.tcp) : undefined,
    sd: found.sd.length > 0 ? spreadOf(found.sd) : undefined,
  };
}

/** One line on a terminal that is written over; nothing elsewhere. */
function progress(line: string) {
  if (!Deno.stderr.isTerminal()) return;
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${line}`));
}

/** Part of all CPU time that somebody uses while we do nothing. */
async function othersShare(): Promise<number> {
  const look = () => {
    const ticks = readOrEmpty("/proc/stat").split("\n")[0].trim().split(/\s+/).slice(1, 9).map(
      Number,
    );
    const all = ticks.reduce((sum, tick) => sum + tick, 0);
    return { all, idle: ticks[3] + ticks[4] };
  };
  const before = look();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = look();
  return 1 - (after.idle - before.idle) / Math.max(after.all - before.all, 1);
}

function machine(): Record<string, string | number> {
  const info = readOrEmpty("/proc/cpuinfo");
  return {
    cpu: info.match(/^model name\s*: (.*)$/m)?.[1] ?? Deno.build.arch,
    cpus: navigator.hardwareConcurrency,
    kernel: readOrEmpty("/proc/sys/kernel/osrelease").trim(),
    date: new Date().toISOString(),
  };
}

function readOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

async function write(record: { machine: Record<string, string | number> }): Promise<string> {
  const folder = `${root}/results`;
  await Deno.mkdir(folder, { recursive: true });
  const stamp = String(record.machine.date).replace(/[:.]/g, "-");
  const path = `${folder}/bench-${stamp}.json`;
  await Deno.writeTextFile(path, `${JSON.stringify(record, null, 2)}\n`);
  return path;
}

function text(
  rows: Row[],
  { ringBytes, tcpBytes }: { ringBytes: number; tcpBytes: number },
  notes: string[],
) {
  const { cpu, cpus, kernel } = machine();
  const all = Math.max(ringBytes + tcpBytes, 1);
  return [
    `${cpu}, ${cpus} cpus, Linux ${kernel}; medians (least-most)`,
    "",
    table(rows),
    "",
    `SocksDirect's bytes as the monitor counted them: ${
      (ringBytes / 1e9).toFixed(2)
    } GB by ring, ` +
    `${(tcpBytes / 1e9).toFixed(2)} GB by TCP (${(ringBytes / all * 100).toFixed(2)} % by ring)`,
    ...notes,
  ].join("\n");
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : error}`);
    Deno.exit(error instanceof UsageError ? 2 : 1);
  }
}
