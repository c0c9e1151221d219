/** redis: its benchmark in several shapes, binary values there and back, and a fork in between. */

import { assertEquals, assertMatch } from "@std/assert";
import {
  assertSameBytes,
  both,
  type Combination,
  expectCarrier,
  freePort,
  type Lab,
  noise,
  preloadedTest,
  type Program,
  python,
  pythonProgram,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const needs = { programs: ["redis-server", "redis-benchmark", "redis-cli"] };
const withPython = { programs: [...needs.programs, "python3"] };

// Long enough that what goes by TCP before the ends agree stays well below a hundredth.
const shapes = [
  { name: "one client", args: ["-c", "1", "-n", "5000"] },
  { name: "50 clients", args: ["-c", "50", "-n", "60000"] },
  { name: "pipelines of 16", args: ["-c", "20", "-P", "16", "-n", "400000"] },
  { name: "values of 100 KB", args: ["-c", "4", "-d", "100000", "-n", "5000"] },
];

for (const shape of shapes) {
  withCombinations(`redis-benchmark, ${shape.name}`, needs, async (lab, combination) => {
    const { port } = await startRedis(lab, combination.server);
    await expectCarrier(lab, combination, {}, async () => {
      const command = ["redis-benchmark", "-p", `${port}`, "-t", "set,get", "--csv"];
      const { stdout } = await lab.run([...command, ...shape.args], {
        preload: combination.client,
      });
      assertMatch(stdout, /^"SET","[\d.]+"/m);
      assertMatch(stdout, /^"GET","[\d.]+"/m);
    });
  });
}

withCombinations("redis keeps binary values of all sizes", withPython, async (lab, combination) => {
  const { port } = await startRedis(lab, combination.server);
  await expectCarrier(lab, combination, {}, async () => {
    const client = await lab.run([python!, pythonProgram("redis_values.py"), `${port}`, "600"], {
      preload: combination.client,
    });
    assertEquals(client.stdout.trim(), "600 values right");
  });
});

withCombinations("redis-cli stores a file and reads it back", needs, async (lab, combination) => {
  const { port } = await startRedis(lab, combination.server);
  const value = noise(3_000_000);
  const options = { preload: combination.client };
  const set = ["redis-cli", "-p", `${port}`, "-x", "SET", "file"];
  const { stdout } = await lab.run(set, { ...options, stdin: value });
  assertEquals(stdout.trim(), "OK");
  const got = await lab.run(["redis-cli", "-p", `${port}`, "--raw", "GET", "file"], options);
  assertSameBytes(got.stdoutBytes.subarray(0, -1), value, "the value (before redis-cli's newline)");
});

preloadedTest("redis saves in a forked child while clients go on", withPython, async (lab) => {
  const { port, server, restart } = await startRedis(lab, true);
  await expectCarrier(lab, both, {}, async () => {
    const program = [python!, pythonProgram("redis_values.py"), `${port}`, "1500"];
    const client = await lab.run([...program, "--bgsave-every", "300"], { preload: true });
    assertEquals(client.stdout.trim(), "1500 values right");
  });
  await lab.run(["redis-cli", "-p", `${port}`, "SHUTDOWN", "SAVE"], { mayFail: true });
  assertEquals((await server.end()).code, 0);

  await restart();
  const check = [python!, pythonProgram("redis_values.py"), `${port}`, "1500", "--check-only"];
  const { stdout } = await lab.run(check, { preload: true });
  assertEquals(stdout.trim(), "1500 values right");
});

preloadedTest("redis publishes to subscribers", needs, async (lab) => {
  const { port } = await startRedis(lab, true);
  const cli = ["redis-cli", "-p", `${port}`];
  const subscriber = lab.start([...cli, "SUBSCRIBE", "news"], {
    preload: true,
    name: "subscriber",
  });
  await subscriber.said(/subscribe/);
  for (let i = 0; i < 20; i++) {
    const { stdout } = await lab.run([...cli, "PUBLISH", "news", `message ${i}`], {
      preload: true,
    });
    assertEquals(stdout.trim(), "1", "subscribers that heard it");
  }
  await subscriber.said(/message 19/);
});

async function startRedis(lab: Lab, preload: Combination["server"]) {
  const port = freePort();
  const start = async (): Promise<Program> => {
    const server = lab.start([
      ...["redis-server", "--port", `${port}`, "--bind", "127.0.0.1"],
      ...["--dir", lab.dir, "--save", "", "--appendonly", "no"],
    ], { preload });
    await waitForPort(port, server);
    await server.said(/Ready to accept connections/);
    return server;
  };
  return { port, server: await start(), restart: start };
}
