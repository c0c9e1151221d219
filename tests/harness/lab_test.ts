import { assertEquals, assertRejects } from "@std/assert";
import { Lab } from "./lab.ts";
import { processesWithEnv } from "./program.ts";
import { until } from "./waiting.ts";
import { freePort, isListening, openConnections } from "./ports.ts";

Deno.test("a lab stops what it started and removes its folder", async () => {
  let dir = "";
  let pid = 0;
  await Lab.with((lab) => {
    dir = lab.dir;
    pid = lab.start(["sleep", "600"]).pid;
    return Promise.resolve();
  });
  await assertRejects(() => Deno.stat(dir), Deno.errors.NotFound);
  await assertRejects(() => Deno.stat(`/proc/${pid}`), Deno.errors.NotFound);
});

Deno.test("a process that outlives its parent is noticed and stopped", async () => {
  let dir = "";
  let pid = 0;
  const leave = async (lab: Lab) => {
    dir = lab.dir;
    const words = ["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"];
    pid = Number((await lab.run(words)).stdout);
    await until(
      "the child to sleep",
      () => Deno.readTextFileSync(`/proc/${pid}/comm`) === "sleep\n",
    );
  };
  await assertRejects(() => Lab.with(leave), Error, "was left behind");
  await until("it to be gone", () => !processesWithEnv(`SD_TEST_LAB=${dir}`).includes(pid));
});

Deno.test("what the library says unasked is noticed", async () => {
  const words = ["sh", "-c", "echo 'libsd: hello' >&2"];
  await assertRejects(
    () => Lab.with(async (lab) => void await lab.run(words, { preload: true })),
    Error,
    "spoke unasked in sh: libsd: hello",
  );
});

Deno.test("a program that fails fails the test, with what it said", async () => {
  const words = ["sh", "-c", "echo because; exit 3"];
  await assertRejects(() => Lab.with(async (lab) => void await lab.run(words)), Error, "because");
});

Deno.test("a program gets its stdin and gives its stdout", async () => {
  await Lab.with(async (lab) => {
    const stdin = new TextEncoder().encode("to and fro");
    assertEquals((await lab.run(["cat"], { stdin })).stdout, "to and fro");
  });
});

Deno.test("listeners and connections are seen in the kernel's tables", async () => {
  const port = freePort();
  assertEquals(isListening(port), false);
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  assertEquals([isListening(port), openConnections(port)], [true, 0]);
  const client = await Deno.connect({ port });
  const server = await listener.accept();
  assertEquals(openConnections(port), 1);
  for (const each of [client, server, listener]) each.close();
});
