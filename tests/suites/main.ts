/**
 * Other people's test suites, over kernel TCP and preloaded: what passes there must pass here.
 *
 *     ./socksdirect test suites           # what every test run has, four minutes
 *     ./socksdirect test suites --full    # all modules, twenty minutes
 */

import { assert, assertEquals } from "@std/assert";
import { Lab, Network, trafficOf, until } from "../harness.ts";
import { processesWithEnv } from "../harness/program.ts";
import { type Module, modules } from "./cpython.ts";
import { account, regressions, runModule, testedPython } from "./regrtest.ts";

const full = Deno.args.includes("--full");

for (const module of modules.filter(({ daily, only }) => full ? !only : daily)) {
  const missing = testedPython === undefined;
  const skipped = " (skipped: no Python with its tests, Debian has them in libpython3.N-testsuite)";
  Deno.test({
    name: `CPython's ${module.name} as over kernel TCP${missing ? skipped : ""}`,
    ignore: missing,
    fn: () => Lab.with((lab) => compare(lab, module)),
  });
}

/**
 * Both runs at once: they mostly wait. Each in a network of its own, for tests of CPython's take a
 * port, let go of it, and fail if somebody else, or TIME_WAIT, has it before they take it again.
 */
async function compare(lab: Lab, module: Module) {
  const { name, ends } = module;
  const hold = (command: readonly string[]) => lab.start(command, { name: "network" });
  const networkOfPlain = Network.possible ? await Network.create(hold) : undefined;
  if (Network.possible) lab.network = await Network.create(hold);
  await lab.startMonitor();
  // Run by root, tests start programs as other users, who have to find the library here.
  await Deno.chmod(lab.dir, 0o755);
  const [plain, preloaded] = await Promise.all([
    runModule(lab, module, { name: "plain", preload: false, network: networkOfPlain }),
    runModule(lab, module, { name: "preloaded", preload: true }),
  ]);
  assert(plain.outcomes.size > 0, `kernel TCP's run of ${name} has no report: ${account(plain)}`);
  assertEquals(regressions(plain, preloaded), [], account(preloaded));
  const { accelerated } = trafficOf(await lab.monitor.totals());
  await until("what the tests started, and left, to end", () => leftBehind(lab).length === 0);
  assert(accelerated >= ends, `${accelerated} connection ends were on a ring, not ${ends}`);
}

/** A test of timeouts kills the shell that it started, and not the `sleep 3` in it. */
function leftBehind(lab: Lab): number[] {
  return processesWithEnv(`SD_TEST_LAB=${lab.dir}`)
    .filter((pid) => !lab.isOwn(pid));
}
