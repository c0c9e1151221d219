/**
 * One epoll instance, two processes (inherited by fork): whoever waits there and has nothing to do
 * sleeps, and hears of what comes.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { assertAccelerated, freePort, type Lab, preloadedTest, waitForPort } from "./harness.ts";

const needs = { programs: ["python3"] };
const program = new URL("programs/shared_epoll.py", import.meta.url).pathname;
/** In two seconds; a look each millisecond would be 2000. */
const sleepsMax = 20;

for (const [how, sleepers] of [["alone", 1], ["both", 2], ["added", 2]] as const) {
  preloadedTest(`who waits idly on a shared epoll instance sleeps: ${how}`, needs, async (lab) => {
    const { server, client } = await exchange(lab, how);
    const ended = await server.end();
    assertEquals(ended.code, 0, ended.stderr);
    assertIdle(ended.stdout, sleepers);
    assertStringIncludes(ended.stdout, "child was told [1] b'answer'\n");
    assertStringIncludes(ended.stdout, "child ended with 0\n");
    assertEquals((await client.end()).stdout, "client is done\n");
    await assertAccelerated(lab, 2);
  });
}

preloadedTest(
  "a child goes on with its epoll instance when its parent is killed",
  needs,
  async (lab) => {
    const { server, client } = await exchange(lab, "killed");
    assertEquals((await client.end()).stdout, "client is done\n");
    await assertAccelerated(lab, 2);
    const { stdout } = await server.end();
    assertIdle(stdout, 1);
    assertStringIncludes(stdout, "child was told [1] b'answer'\n");
  },
);

async function exchange(lab: Lab, how: string) {
  const port = freePort();
  const server = lab.start(["python3", program, "server", `${port}`, how], {
    preload: true,
    name: "server",
  });
  await waitForPort(port, server);
  const client = lab.start(["python3", program, "client", `${port}`], {
    preload: true,
    name: "client",
  });
  return { server, client };
}

/** As many processes as that have waited, all were told nothing, and slept all the time. */
function assertIdle(text: string, sleepers: number) {
  const lines = [...text.matchAll(/slept (\d+) times, events (\d+)/g)];
  assertEquals(lines.length, sleepers, text);
  for (const [line, slept, events] of lines) {
    assert(Number(slept) < sleepsMax, line);
    assertEquals(Number(events), 0, line);
  }
}
