/** redis as Debian ships it, without saving; its own load generator counts GETs a second. */

import { freePort, waitForPort } from "../../../tests/harness.ts";
import type { Ground, Sample, Transport } from "../model.ts";
import { type KnownProgram, numberIn } from "./program.ts";

const timeoutMs = 180_000;
/** A first short run says how many requests fill the wanted time. */
const probeRequests = 3_000;

async function measure(
  { lab, seconds }: Ground,
  transport: Transport,
  words: readonly string[],
): Promise<Sample> {
  const port = freePort();
  const path = lab.path(`redis-${port}.sock`);
  const preload = transport === "sd";
  const server = lab.start([
    ...["redis-server", "--port", `${port}`, "--bind", "127.0.0.1", "--unixsocket", path],
    ...["--save", "", "--appendonly", "no", "--dir", lab.dir],
  ], { preload });
  await waitForPort(port, server);
  const address = transport === "unix" ? ["-s", path] : ["-p", `${port}`];
  const rate = async (requests: number) => {
    const command = ["redis-benchmark", ...address, "-t", "get", "--csv", "-n", `${requests}`];
    const { stdout } = await lab.run([...command, ...words], { preload, timeoutMs });
    return numberIn(stdout, /^"GET","([\d.]+)"/m, "redis-benchmark");
  };
  const value = await rate(Math.ceil(await rate(probeRequests) * seconds)) / 1e3;
  await server.stop();
  return { value };
}

export const redis: KnownProgram = {
  name: "redis",
  needs: ["redis-server", "redis-benchmark"],
  packages: "redis-server",
  cases: [
    { id: "redis-c1", words: ["-c", "1"] },
    { id: "redis-c50", words: ["-c", "50"] },
    { id: "redis-c50-p16", words: ["-c", "50", "-P", "16"] },
  ].map(({ id, words }) => ({
    id,
    title: `redis-benchmark GET ${words.join(" ")}`,
    unit: "K/s",
    better: "higher",
    transports: ["tcp", "sd", "unix"],
    measure: (ground, transport) => measure(ground, transport, words),
  })),
};
