import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Reason } from "../ffi/layout.gen.ts";
import { noTotals } from "./ledger.ts";
import { formatMetrics } from "./metrics.ts";
import { createState } from "./state.ts";

function sample(): string {
  const totals = noTotals();
  totals.tx.ring_bytes = 123n;
  totals.closed_by_reason[Reason.not_adopted] = 4n;
  const state = createState({ generation: 1n });
  state.counts.refused.set(Reason.quota, 2);
  return formatMetrics({
    state,
    totals,
    uptimeSec: 1.5,
    version: '1.0 "x"\\',
    requests: 6,
    connections: 3,
  });
}

Deno.test("counters appear with their labels", () => {
  const text = sample();
  assertStringIncludes(text, 'socksdirect_bytes_total{direction="tx",carrier="ring"} 123\n');
  assertStringIncludes(
    text,
    'socksdirect_closed_connection_ends_total{reason="not_adopted"} 4\n',
  );
  assertStringIncludes(text, 'socksdirect_refusals_total{reason="quota"} 2\n');
  assertStringIncludes(text, "socksdirect_ctl_requests_total 6\n");
});

Deno.test("label values are escaped", () => {
  assertStringIncludes(sample(), 'version="1.0 \\"x\\"\\\\"');
});

Deno.test("every metric has a help line and a type line", () => {
  const names = new Set(
    sample().split("\n").filter((line) => /^[a-z]/.test(line))
      .map((line) => line.split(/[{ ]/)[0]),
  );
  for (const name of names) {
    assertMatch(sample(), new RegExp(`# HELP ${name} .+\n# TYPE ${name} (counter|gauge)\n`));
  }
});

Deno.test("docs/METRICS.md lists exactly the metrics that there are", () => {
  const page = Deno.readTextFileSync(new URL("../docs/METRICS.md", import.meta.url));
  const listed = new Set([...page.matchAll(/`(socksdirect_[a-z_]+)/g)].map((match) => match[1]));
  const given = new Set([...sample().matchAll(/# TYPE (\S+)/g)].map((match) => match[1]));
  assertEquals([...listed].sort(), [...given].sort());
});

Deno.test({
  name: "promtool finds nothing wrong with the metrics",
  ignore: !await hasPromtool(),
  async fn() {
    const promtool = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = promtool.stdin.getWriter();
    await writer.write(new TextEncoder().encode(sample()));
    await writer.close();
    const { success, stdout, stderr } = await promtool.output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assertEquals([success, said], [true, ""]);
  },
});

async function hasPromtool(): Promise<boolean> {
  try {
    return (await new Deno.Command("promtool", { args: ["--version"], stdout: "null" }).output())
      .success;
  } catch {
    return false;
  }
}
