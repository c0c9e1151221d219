/**
 * Unmodified applications: start, real work with payloads compared, restart, SIGKILL at work, in all
 * four combinations of who is preloaded. One file for each in this folder.
 *
 *     ./socksdirect test apps            # what every test run has
 *     ./socksdirect test apps --full     # the heavy ones too
 *     deno test -A tests/apps/main.ts --filter nginx
 */

import { combinations, labTest } from "../harness.ts";
import { applications } from "./applications.ts";
import { live } from "./life.ts";
import { forget, note } from "./record.ts";

const full = Deno.args.includes("--full");

for (const app of applications.filter(({ rare }) => full || !rare)) {
  const obstacle = await app.obstacle?.();
  for (const combination of combinations) {
    const name = `${app.name}: ${combination.name}`;
    if (obstacle !== undefined) {
      Deno.test({ name: `${name} (skipped: ${obstacle})`, ignore: true, fn: () => {} });
      continue;
    }
    labTest(name, { programs: app.programs }, async (lab) => {
      forget(app, combination.name);
      if (combination.server || combination.client) await lab.startMonitor();
      await note(app, combination.name, await live(app, lab, combination));
    });
  }
}
