import { assertEquals } from "@std/assert";
import { python, pythonProgram, waitForPort } from "../harness.ts";
import { type Application, client, type Use } from "./application.ts";
import { matched } from "./life.ts";

/** The same program under either name. */
function redisLike(name: string): Application {
  const rate = async (use: Use) => {
    const load = ["-c", "20", "-n", "20000", "-t", "set,get", "--csv"];
    const { stdout } = await client(use, [`${name}-benchmark`, "-p", `${use.port}`, ...load]);
    return Number(matched(stdout, /^"GET","([\d.]+)"/m));
  };
  return {
    name,
    programs: [`${name}-server`, `${name}-benchmark`, "python3"],
    version: [`${name}-server`, "--version"],
    does: "binary values of all sizes; benchmark with 20 clients",
    share: { settlingBytes: 4_000_000 },
    async start({ lab, port, server: preload }) {
      const words = [`${name}-server`, "--port", `${port}`, "--bind", "127.0.0.1", "--save", ""];
      const server = lab.start([...words, "--dir", lab.dir], { preload });
      await waitForPort(port, server);
      return server;
    },
    async work(use) {
      const values = [python!, pythonProgram("redis_values.py"), `${use.port}`, "300"];
      assertEquals((await client(use, values)).stdout.trim(), "300 values right");
      await rate(use);
    },
    rate,
  };
}

export const redis = redisLike("redis");
export const valkey = redisLike("valkey");
