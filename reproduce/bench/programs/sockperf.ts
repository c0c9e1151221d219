/** sockperf's ping-pong over TCP; it reports half of a round trip. */

import { freePort, waitForPort } from "../../../tests/harness.ts";
import type { Ground, Sample, Transport } from "../model.ts";
import { type KnownProgram, numberIn } from "./program.ts";

const timeoutMs = 60_000;
/** sockperf gives up when there are more exchanges than it has made room for, 600,000 a second. */
const exchangesPerSecondMax = 400_000;

async function measure({ lab, seconds }: Ground, transport: Transport): Promise<Sample> {
  const port = `${freePort()}`;
  const preload = transport === "sd";
  const where = ["--tcp", "-i", "127.0.0.1", "-p", port];
  const server = lab.start(["sockperf", "server", ...where], { preload });
  await waitForPort(Number(port), server);
  const time = `${Math.max(1, Math.ceil(seconds))}`;
  const mps = `--mps=${exchangesPerSecondMax}`;
  const client = ["sockperf", "ping-pong", ...where, "-t", time, mps];
  const { stdout } = await lab.run(client, { preload, timeoutMs });
  await server.stop();
  return { value: numberIn(stdout, /percentile 50\.000 =\s+([\d.]+)/, "sockperf") };
}

export const sockperf: KnownProgram = {
  name: "sockperf",
  needs: ["sockperf"],
  packages: "sockperf",
  cases: [{
    id: "sockperf",
    title: "sockperf ping-pong, half of a round trip",
    unit: "us",
    better: "lower",
    transports: ["tcp", "sd"],
    measure,
  }],
};
