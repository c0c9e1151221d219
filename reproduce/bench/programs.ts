/**
 * The same comparison with programs that everybody knows. Each file in programs/ is one of them:
 * what it needs, how to get that, and its cases. What is not installed is left out and said.
 */

import { installed } from "../../tests/harness.ts";
import { iperf3 } from "./programs/iperf3.ts";
import { memcached } from "./programs/memcached.ts";
import { nginx } from "./programs/nginx.ts";
import { postgres } from "./programs/postgres.ts";
import type { KnownProgram } from "./programs/program.ts";
import { redis } from "./programs/redis.ts";
import { sockperf } from "./programs/sockperf.ts";
import type { Case } from "./model.ts";

const programs: readonly KnownProgram[] = [redis, nginx, postgres, memcached, iperf3, sockperf];

function missing({ needs }: KnownProgram): string[] {
  return needs.filter((name) => installed(name) === undefined);
}

export function programCases(): Case[] {
  return programs.filter((program) => missing(program).length === 0)
    .flatMap(({ name, cases }) => cases.map((one) => ({ ...one, group: `programs: ${name}` })));
}

/** What is left out, and how to get it. */
export function leftOut(): string[] {
  return programs.filter((program) => missing(program).length > 0).map((program) =>
    `${program.name}: ${missing(program).join(", ")} not installed ` +
    `(Debian: apt-get install ${program.packages})`
  );
}
