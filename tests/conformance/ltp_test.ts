/** The runner itself, on a tree that looks like an installed LTP. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { labTest } from "../harness.ts";
import { chosenTests, countVerdicts, describe, obstacleAt, runLtp } from "./ltp.ts";

Deno.test("both kinds of output are counted, and nothing else", () => {
  const output = `tst_test.c:1558: TINFO: Timeout per run is 0h 00m 30s
accept01.c:86: TPASS: bad file descriptor: accept() failed: EBADF (9)
accept01.c:86: TFAIL: TPASS was expected
old01       1  TCONF  :  old01.c:20: not here
old01       2  TPASS  :  good

Summary:
passed   2
`;
  assertEquals(countVerdicts(output), { TPASS: 2, TFAIL: 1, TCONF: 1 });
});

Deno.test("tests are chosen by what they are about", () => {
  const runtest =
    "#DESCRIPTION: all\naccept01 accept01\nacct01 acct01\nclose_range01 close_range01\n" +
    "epoll_ctl02 epoll_ctl02 -i 2\nsendfile02_64 sendfile02_64\nclosedir01 closedir01\n\n";
  assertEquals(chosenTests(runtest).map(({ name }) => name), [
    "accept01",
    "close_range01",
    "epoll_ctl02",
    "sendfile02_64",
  ]);
  assertEquals(chosenTests(runtest, ["epoll"])[0].words, ["epoll_ctl02", "-i", "2"]);
});

Deno.test("a folder without LTP is an obstacle that names what is missing", () => {
  const obstacle = obstacleAt("/nonexistent/ltp");
  assertMatch(obstacle!, /no Linux Test Project is installed at \/nonexistent\/ltp/);
});

labTest("what a test says preloaded has to be what it says plain", {}, async (lab) => {
  await lab.startMonitor();
  const tree = lab.path("ltp");
  await Deno.mkdir(`${tree}/testcases/bin`, { recursive: true });
  await Deno.mkdir(`${tree}/runtest`);
  const scripts: Record<string, string> = {
    bind01: 'echo "bind01.c:1: TPASS: bound"; echo "bind01.c:2: TFAIL: the same for both"; exit 1',
    connect01: 'test -z "$LD_PRELOAD" && echo "connect01.c:1: TPASS: plain"; exit 0',
    select01: 'test -z "$LD_PRELOAD"',
    chmod01: "exit 99",
  };
  for (const [name, body] of Object.entries(scripts)) {
    await Deno.writeTextFile(`${tree}/testcases/bin/${name}`, `#!/bin/sh\n${body}\n`, {
      mode: 0o755,
    });
  }
  const lines = Object.keys(scripts).map((name) => `${name} ${name}`);
  await Deno.writeTextFile(`${tree}/runtest/syscalls`, lines.join("\n") + "\n");
  assertEquals(obstacleAt(tree), undefined);
  const said: string[] = [];
  const counts = await runLtp(lab, tree, { say: (line) => said.push(line) });
  assertEquals(counts, { passed: 1, failed: 2 });
  const text = said.join("\n");
  assert(text.includes("FAILED ltp/connect01:\n  - TPASS 1, exit 0\n  + exit 0"), text);
  assert(text.includes("FAILED ltp/select01:\n  - exit 0\n  + exit 1"), text);
});

Deno.test("verdicts are told in one order", () => {
  assertEquals(
    describe({ counts: { TCONF: 1, TPASS: 2 }, ended: "exit 32" }),
    "TPASS 2, TCONF 1, exit 32",
  );
});
