import { assertEquals } from "@std/assert";
import { python, pythonProgram, waitForPort } from "../harness.ts";
import { type Application, client } from "./application.ts";

export const memcached: Application = {
  name: "memcached",
  programs: ["memcached", "python3"],
  version: ["memcached", "--version"],
  does: "binary values of all sizes from 8 clients, 4 server threads",
  share: { settlingBytes: 4_000_000 },
  async start({ lab, port, server: preload }) {
    const user = Deno.uid() === 0 ? ["-u", "root"] : [];
    const words = ["memcached", "-p", `${port}`, "-U", "0", "-l", "127.0.0.1", "-t", "4", ...user];
    const server = lab.start(words, { preload });
    await waitForPort(port, server);
    return server;
  },
  async work(use) {
    const values = [python!, pythonProgram("memcached_values.py"), `${use.port}`, "8", "200"];
    assertEquals((await client(use, values)).stdout.trim(), "1600 values right");
  },
};
