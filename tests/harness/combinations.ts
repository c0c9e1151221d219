/** How integration tests are declared: once, and run with server and client preloaded or not. */

import { installed, library } from "./files.ts";
import { Lab } from "./lab.ts";

export interface Combination {
  name: string;
  server: boolean;
  client: boolean;
}

export const both: Combination = { name: "both preloaded", server: true, client: true };
export const combinations: readonly Combination[] = [
  { name: "neither preloaded", server: false, client: false },
  { name: "server only preloaded", server: true, client: false },
  { name: "client only preloaded", server: false, client: true },
  both,
];

export interface Needs {
  /** Programs without which the test is skipped, with that reason. */
  programs?: readonly string[];
  /** Why the test cannot run on this machine, if it cannot: then it is skipped. */
  hindrance?: string;
}

/** One test for each of the four combinations, each in a lab with a monitor. */
export function withCombinations(
  name: string,
  needs: Needs,
  test: (lab: Lab, combination: Combination) => Promise<void>,
) {
  for (const combination of combinations) {
    labTest(`${name}: ${combination.name}`, needs, async (lab) => {
      if (combination.server || combination.client) await lab.startMonitor();
      await test(lab, combination);
    });
  }
}

/** A test with both ends preloaded and a monitor. */
export function preloadedTest(name: string, needs: Needs, test: (lab: Lab) => Promise<void>) {
  labTest(name, needs, async (lab) => {
    await lab.startMonitor();
    await test(lab);
  });
}

/** A test in a lab, without a monitor at first. */
export function labTest(name: string, needs: Needs, test: (lab: Lab) => Promise<void>) {
  const missing = (needs.programs ?? []).filter((program) => installed(program) === undefined);
  const hindrance = missing.length > 0 ? `${missing.join(", ")} not installed` : needs.hindrance;
  Deno.test({
    name: hindrance === undefined ? name : `${name} (skipped: ${hindrance})`,
    ignore: hindrance !== undefined,
    fn: async () => {
      requireBuilt();
      await Lab.with(test);
    },
  });
}

function requireBuilt() {
  try {
    Deno.statSync(library);
  } catch {
    throw new Error(`${library} is not there; \`deno task build\` makes it`);
  }
}
