/** The machinery of the conformance suite: it finds what is wrong, and says where. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { buildChecks } from "../../ctl/build.ts";
import { both, combinations, type Lab, labTest } from "../harness.ts";
import { type Case, listCases, program } from "./cases.ts";
import { page, withGeneratedPart } from "./document.ts";
import { runPair, type Sighting } from "./pair.ts";
import { runSuite } from "./suite.ts";
import { complaintsOf, differences } from "./verdict.ts";

Deno.test.beforeAll(buildChecks);

const [neither] = combinations;
const ringCase: Case = {
  topic: "stream",
  name: "x",
  summary: "",
  carrier: "ring",
  reasons: [],
  differs: null,
};
const good: Sighting = {
  case: "stream/x",
  server: "exit 0",
  client: "exit 0",
  lines: ["client: a = 1", "client: b = 2", "server: c = 3"],
  waiting: [],
  leftovers: false,
  pids: [1, 2],
  stderr: "",
};
const onRing = { ringBytes: 10, tcpBytes: 3, accelerated: 2, closedByReason: { none: 2 } };

Deno.test("a difference is shown with the line before it", () => {
  const other = ["client: a = 1", "client: b = -1 EAGAIN", "server: c = 3", "server: d"];
  assertEquals(differences(good.lines, other), [
    "  client: a = 1",
    "- client: b = 2",
    "+ client: b = -1 EAGAIN",
    "  server: c = 3",
    "+ server: d",
  ]);
});

Deno.test("a case that ran on TCP for no listed reason fails, whatever it printed", () => {
  const complaints = (closedByReason: Record<string, number>, accelerated: number, tested: Case) =>
    complaintsOf(tested, both, good, {
      ...good,
      traffic: { ...onRing, accelerated, closedByReason },
    });
  assertEquals(complaints({ none: 2 }, 2, ringCase), []);
  assertEquals(complaints({ none: 2 }, 0, ringCase).length, 1);
  assertEquals(complaints({ urgent_data: 1 }, 2, ringCase).length, 1);
  const byTcp: Case = { ...ringCase, carrier: "tcp", reasons: ["urgent_data"] };
  assertEquals(complaints({ urgent_data: 1 }, 0, byTcp), []);
  assertEquals(complaints({ none: 2 }, 2, byTcp).length, 1);
});

labTest("a hang is explained: who waits in which call", {}, async (lab) => {
  const seen = await runPair(lab, "self_test/waits_for_ever", neither, quickly());
  assertEquals(seen.waiting.sort(), [
    "client waits in: -- never reached",
    "server waits in: recv(conn, 7, 0)",
  ]);
  assert(complaintsOf(ringCase, neither, seen, seen)[0].startsWith("deadline: "));
});

labTest("a side's death is told, and its peer does not wait for it", {}, async (lab) => {
  const seen = await runPair(lab, "self_test/crashes", neither, quickly());
  assertEquals([seen.client, seen.server, seen.waiting], ["signal 9", "exit 1", []]);
  assertMatch(seen.lines.at(-1)!, /FAILED: the other side is gone/);
});

labTest("a process that is left behind is found and ended", {}, async (lab) => {
  const seen = await runPair(lab, "self_test/leaves_a_child", neither, quickly());
  assertEquals([seen.client, seen.leftovers], ["exit 0", true]);
});

labTest("a transcript that depends on the library is a difference", {}, async (lab) => {
  await lab.startMonitor();
  const tested = { ...ringCase, topic: "self_test", name: "shows_the_carrier" };
  const results = await runSuite(lab, [tested], { jobs: 1, deadlineSeconds: 20 });
  assertEquals(results.map(({ complaints }) => complaints.length > 0), [false, true, false, true]);
  assertEquals(results[3].complaints.slice(-1), ["+ server: preloaded: true"]);
  await runUnderstood(lab, { ...tested, differs: "that is what it is for" });
});

async function runUnderstood(lab: Lab, tested: Case) {
  const results = await runSuite(lab, [tested], { jobs: 1, deadlineSeconds: 20 });
  assertEquals(results.flatMap(({ complaints }) => complaints), []);
  assertEquals(results.map(({ knownDifference }) => knownDifference), [false, true, false, true]);
}

Deno.test("docs/COMPATIBILITY.md counts the cases that there are", () => {
  const text = Deno.readTextFileSync(page);
  const anew = withGeneratedPart(text, listCases());
  assertEquals(text, anew, "run `deno run -A tests/conformance/main.ts --document`");
});

Deno.test("every case has a summary, and reasons if it goes by TCP", () => {
  for (const tested of listCases()) {
    assert(tested.summary.length > 10, `${tested.topic}/${tested.name}`);
    if (tested.carrier === "tcp") assert(tested.reasons.length > 0, tested.name);
  }
});

function quickly() {
  return { program, deadlineSeconds: 2, warmToRing: false };
}
