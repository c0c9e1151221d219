import { assertEquals } from "@std/assert";
import type { Program } from "../harness.ts";
import type { Application } from "./application.ts";
import { measure, ratioOf } from "./speed.ts";

Deno.test("the ratio is that of the medians", () => {
  assertEquals(ratioOf({ tcp: [1, 100, 2], sd: [0, 3, 4] }), 1.5);
});

Deno.test("rounds alternate, after each has done its work once", async () => {
  const done: string[] = [];
  const how = ({ server, client }: { server: boolean; client: boolean }) =>
    server && client ? "sd" : server || client ? "half" : "tcp";
  const app: Application = {
    name: "an application",
    programs: [],
    version: ["true"],
    does: "nothing",
    share: "none",
    start: (use) => Promise.resolve(use.lab.start(["sleep", "600"])) as Promise<Program>,
    work: (use) => Promise.resolve(void done.push(`${how(use)} works`)),
    rate: (use) => Promise.resolve(done.push(how(use))),
  };
  const speed = await measure(app, 3);
  assertEquals(done.join(", "), "tcp works, sd works, tcp, sd, sd, tcp, tcp, sd");
  assertEquals(speed, { tcp: [3, 6, 7], sd: [4, 5, 8] });
});
