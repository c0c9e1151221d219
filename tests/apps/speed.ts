/**
 * How fast the applications do their work with both ends preloaded, over their speed on kernel TCP:
 * the same servers side by side, rounds that alternate, medians. For an idle machine, by hand:
 *
 *     deno run -A tests/apps/speed.ts                    # all that are installed, ten minutes
 *     deno run -A tests/apps/speed.ts --rounds 9 redis   # those whose names contain a word
 *     deno run -A tests/apps/table.ts                    # what was found, into docs/COMPATIBILITY.md
 */

import { freePort, Lab, type Program } from "../harness.ts";
import { installed } from "../harness/files.ts";
import type { Application, Use } from "./application.ts";
import { applications } from "./applications.ts";
import { noteSpeed } from "./record.ts";

export interface Speed {
  /** Work a second, each round. */
  tcp: number[];
  sd: number[];
}

/** What none may fall below. */
const leastRatio = 0.95;

export async function measure(app: Application, rounds: number): Promise<Speed> {
  const speed: Speed = { tcp: [], sd: [] };
  await Lab.with((plain) =>
    Lab.with(async (preloaded) => {
      preloaded.joinAfterMs = undefined; // as users have it
      await preloaded.startMonitor();
      const uses = {
        tcp: { lab: plain, port: freePort(), server: false, client: false },
        sd: { lab: preloaded, port: freePort(), server: true, client: true },
      };
      const servers = [await startWarm(app, uses.tcp), await startWarm(app, uses.sd)];
      for (let round = 0; round < rounds; round++) {
        // Whoever comes second finds a warmer machine: they take turns.
        for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
          speed[way].push(await rateOf(app, uses[way]));
        }
      }
      for (const server of servers) await server.stop();
    })
  );
  return speed;
}

const ways = ["tcp", "sd"] as const;

async function startWarm(app: Application, use: Use): Promise<Program> {
  const server = await app.start(use);
  await app.work(use);
  return server;
}

async function rateOf(app: Application, use: Use): Promise<number> {
  if (app.rate !== undefined) return await app.rate(use);
  const start = performance.now();
  await app.work(use);
  return 1000 / (performance.now() - start);
}

export function ratioOf({ tcp, sd }: Speed): number {
  return median(sd) / median(tcp);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

async function obstacleOf(app: Application): Promise<string | undefined> {
  if (app.share === "none") return "never on a ring";
  const missing = app.programs.filter((program) => installed(program) === undefined);
  if (missing.length > 0) return `${missing.join(", ")} not installed`;
  return await app.obstacle?.();
}

async function main(args: string[]) {
  const at = args.indexOf("--rounds");
  const rounds = at < 0 ? 5 : Number(args.splice(at, 2)[1]);
  if (!(rounds >= 1)) throw new Error(`--rounds wants a number of at least 1, not ${rounds}`);
  const wanted = ({ name }: Application) =>
    args.length === 0 || args.some((word) => name.includes(word));
  const slow: string[] = [];
  for (const app of applications.filter(wanted)) {
    const obstacle = await obstacleOf(app);
    if (obstacle !== undefined) {
      console.log(`${app.name}: skipped: ${obstacle}`);
      continue;
    }
    const speed = await measure(app, rounds);
    const ratio = ratioOf(speed);
    console.log(`${app.name}: ${ratio.toFixed(2)} of kernel TCP's speed (${spread(speed)})`);
    noteSpeed(app.name, ratio);
    if (ratio < leastRatio) slow.push(app.name);
  }
  if (slow.length > 0) console.log(`\nbelow ${leastRatio}: ${slow.join(", ")}`);
  Deno.exitCode = slow.length > 0 ? 1 : 0;
}

/** How far the rounds lie apart: what a ratio near 1 is worth. */
function spread(speed: Speed): string {
  return ways.map((way) => {
    const middle = median(speed[way]);
    const apart = Math.max(...speed[way].map((value) => Math.abs(value / middle - 1)));
    return `${way} ±${Math.round(100 * apart)} %`;
  }).join(", ");
}

if (import.meta.main) await main([...Deno.args]);
