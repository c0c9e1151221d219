/** Waiting: whether to watch a ring is for those to decide who have a cpu to watch it on. */

import { assert } from "@std/assert";
import { installed, preloadedTest, sdbench } from "./harness.ts";

/** More than share two cpus without queueing for them. */
const pairs = 6;

preloadedTest(
  "processes that queue for their cpus stop watching rings",
  { programs: ["taskset"], hindrance: hindrance() },
  async (lab) => {
    const pinned = [installed("taskset")!, "-c", twoCpus()];
    const words = ["pair", "--mode", "rtt", "--seconds", "2", "--json"];
    const talks = Array.from(
      { length: pairs },
      (_, n) => lab.start([...pinned, sdbench, ...words], { preload: true, name: `pair ${n}` }),
    );
    for (const talk of talks) {
      const { code, stdout } = await talk.end(60_000);
      assert(code === 0, talk.summary());
      assert(JSON.parse(stdout).messages > 0, stdout);
    }
    const { crowded, dead } = await lab.monitor.totals();
    assert(crowded > 0, `${dead.length} processes on two cpus never noticed each other`);
  },
);

function hindrance(): string | undefined {
  try {
    Deno.statSync("/proc/self/schedstat");
  } catch {
    return "this kernel does not say who queues for a cpu (CONFIG_SCHED_INFO)";
  }
}

/** The first two that this process may use, or the only one. */
function twoCpus(): string {
  const status = Deno.readTextFileSync("/proc/self/status");
  const [, list] = status.match(/^Cpus_allowed_list:\s*(\S+)/m)!;
  const cpus = list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
  return cpus.slice(0, 2).join(",");
}
