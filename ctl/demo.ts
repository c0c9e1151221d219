/**
 * `demo`: kernel TCP and SocksDirect side by side, alternately, for unmodified programs.
 *
 * Everything happens beside the user's own monitor: a private one on a socket in a temporary
 * folder, which goes away at the end and on Ctrl-C too, with every program that was started.
 */

import type { Totals } from "./api.ts";
import { type Call, integerOption } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import {
  benchCases,
  type DemoCase,
  type DemoGround,
  howToGetRedis,
  redisCases,
  streamChecked,
} from "./demo_cases.ts";
import {
  carriedBetween,
  caseResult,
  type DemoReport,
  type Kind,
  type Machine,
  reportText,
} from "./demo_report.ts";
import { exitCode } from "./errors.ts";
import { preloadEnvironment, withoutPreload } from "./preload.ts";
import { Programs } from "./programs.ts";
import { Progress } from "./progress.ts";
import { userEnvironment } from "./run.ts";
import { startMonitor } from "./start.ts";

const checkedBytes = 1024 ** 3;

export async function run(call: Call): Promise<number> {
  const quick = call.flags.has("quick");
  const runs = integerOption(call, "runs", { fallback: quick ? 1 : 5, min: 1, max: 99 });
  const report = await demo({ runs, seconds: quick ? 0.1 : 0.5 });
  console.log(call.flags.has("json") ? JSON.stringify(report, null, 2) : reportText(report));
  return verdict(report);
}

/** The demo fails when a byte was wrong, or when nothing was accelerated. */
function verdict({ checksum, carried }: DemoReport): number {
  if (!checksum.ok) {
    console.error("socksdirect: the streamed bytes are not what was sent");
    return exitCode.failed;
  }
  if (carried.ring_bytes > carried.tcp_bytes) return exitCode.ok;
  console.error("socksdirect: most bytes went by kernel TCP; 'socksdirect doctor' may say why");
  return exitCode.failed;
}

async function demo(options: { runs: number; seconds: number }): Promise<DemoReport> {
  const programs = new Programs();
  using folder = temporaryFolder();
  using _ = onInterrupt(() => {
    programs.kill();
    folder[Symbol.dispose]();
  });
  await using _running = programs;
  const socket = `${folder.path}/control.sock`;
  await startMonitor(socket, { onSpawn: (child) => programs.adopt(child, "monitor") });
  const kernel = withoutPreload(userEnvironment(Deno.env.toObject()));
  const socksdirect = { ...kernel, ...preloadEnvironment(socket, kernel.LD_PRELOAD) };
  const env = { kernel, socksdirect };
  const ground = { programs, folder: folder.path, env, seconds: options.seconds };
  return await measureAll(ground, options.runs, socket);
}

async function measureAll(
  ground: DemoGround,
  runs: number,
  socket: string,
): Promise<DemoReport> {
  using client = new MonitorClient(socket);
  const before = await client.json<Totals>("/v1/totals");
  const redis = await redisCases(ground);
  const cases = [...benchCases(ground), ...(redis ?? [])];
  const progress = new Progress(cases.length * runs * 2 + 1);
  const results = [];
  for (const each of cases) results.push(await measureCase(each, runs, progress));
  progress.step("checksum", `${checkedBytes / 1024 ** 3} GiB`);
  const checksum = await streamChecked(ground, checkedBytes);
  progress.end();
  const carried = carriedBetween(before, await client.json<Totals>("/v1/totals"));
  const skipped = redis === undefined ? [{ name: "redis", reason: howToGetRedis }] : [];
  return { machine: machine(), runs, cases: results, carried, checksum, skipped };
}

async function measureCase(each: DemoCase, runs: number, progress: Progress) {
  const numbers: Record<Kind, number[]> = { kernel: [], socksdirect: [] };
  for (let run = 1; run <= runs; run++) {
    for (const kind of ["kernel", "socksdirect"] as const) {
      progress.step(each.name, `${kind === "kernel" ? "kernel TCP" : "SocksDirect"}, run ${run}`);
      numbers[kind].push(await each.measure(kind));
    }
  }
  return caseResult(each, numbers);
}

function temporaryFolder() {
  const path = Deno.makeTempDirSync({ prefix: "socksdirect-demo-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** Runs `undo` and ends when a signal asks for it. */
function onInterrupt(undo: () => void): Disposable {
  const stop = () => {
    undo();
    console.error("\nsocksdirect: interrupted");
    Deno.exit(exitCode.interrupted);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  return {
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, stop);
    },
  };
}

function machine(): Machine {
  const cpu = Deno.readTextFileSync("/proc/cpuinfo").match(/^model name\s*:\s*(.*)$/m)?.[1];
  return {
    cpu: cpu ?? Deno.build.arch,
    cpus: navigator.hardwareConcurrency,
    kernel: Deno.osRelease(),
    date: new Date().toISOString().slice(0, 10),
  };
}
