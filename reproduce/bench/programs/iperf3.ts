/** iperf3, one stream, its usual 128 KiB writes. */

import { freePort, waitForPort } from "../../../tests/harness.ts";
import type { Ground, Sample, Transport } from "../model.ts";
import type { KnownProgram } from "./program.ts";

const timeoutMs = 60_000;

async function measure({ lab, seconds }: Ground, transport: Transport): Promise<Sample> {
  const port = freePort();
  const preload = transport === "sd";
  const server = lab.start(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", `${port}`], {
    preload,
  });
  await waitForPort(port, server);
  const time = `${Math.max(1, Math.ceil(seconds))}`;
  const client = ["iperf3", "-c", "127.0.0.1", "-p", `${port}`, "-t", time, "-J"];
  const { stdout } = await lab.run(client, { preload, timeoutMs });
  await server.end();
  return { value: JSON.parse(stdout).end.sum_received.bits_per_second / 8e9 };
}

export const iperf3: KnownProgram = {
  name: "iperf3",
  needs: ["iperf3"],
  packages: "iperf3",
  cases: [{
    id: "iperf3",
    title: "iperf3, one stream",
    unit: "GB/s",
    better: "higher",
    transports: ["tcp", "sd"],
    measure,
  }],
};
