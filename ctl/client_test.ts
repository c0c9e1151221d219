import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { MonitorClient } from "./client.ts";
import { CtlError } from "./errors.ts";
import { FakeMonitor } from "./fake_monitor.ts";
import { adminSocket, httpSocket } from "./socket.ts";

Deno.test("JSON and text are fetched, and posts carry their body", async () => {
  await using monitor = new FakeMonitor({
    "/v1/x": { a: 1 },
    "/metrics": "m 1\n",
    "/v1/drain": {},
  });
  using client = new MonitorClient(monitor.socket);
  assertEquals(await client.json("/v1/x"), { a: 1 });
  assertEquals(await client.text("/metrics"), "m 1\n");
  await client.post("/v1/drain", { on: true });
  assertEquals(monitor.requests.at(-1), { method: "POST", path: "/v1/drain", body: { on: true } });
});

Deno.test("no socket file, and one that nobody listens on, are exit code 3", async () => {
  const folder = Deno.makeTempDirSync();
  const socket = `${folder}/control.sock`;
  using client = new MonitorClient(socket);
  const missing = await assertRejects(() => client.text("/metrics"), CtlError);
  assertEquals(missing.code, 3);
  assertStringIncludes(missing.message, `no monitor answers at '${socket}'`);
  // A kill -9 leaves the file behind; removing it is what close() does here.
  const stale = Deno.listen({ transport: "unix", path: `${folder}/other` });
  Deno.renameSync(`${folder}/other`, httpSocket(socket));
  stale.close();
  assertEquals((await assertRejects(() => client.text("/metrics"), CtlError)).code, 3);
  assertEquals(await client.isAnswering(), false);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("an HTTP error says what was asked and what came back", async () => {
  await using monitor = new FakeMonitor();
  using client = new MonitorClient(monitor.socket);
  const error = await assertRejects(() => client.json("/v1/none"), CtlError);
  assertEquals(error.code, 1);
  assertStringIncludes(error.message, "answers GET /v1/none with 404: no such path");
});

Deno.test("changes go to the admin socket where there is one", async () => {
  await using monitor = new FakeMonitor({ "/v1/drain": {} });
  using plain = MonitorClient.forChanges(monitor.socket);
  await plain.post("/v1/drain");
  Deno.symlinkSync(httpSocket(monitor.socket), adminSocket(monitor.socket));
  using admin = MonitorClient.forChanges(monitor.socket);
  await admin.post("/v1/drain");
  assertEquals(admin.path, adminSocket(monitor.socket));
  assertEquals(monitor.requests.length, 2);
});

Deno.test("the monitor's own words are shown, not its JSON", async () => {
  const refuse = () => Response.json({ error: "for root" }, { status: 403 });
  await using monitor = new FakeMonitor({ "/v1/drain": refuse });
  using client = new MonitorClient(monitor.socket);
  const error = await assertRejects(() => client.post("/v1/drain"), CtlError);
  assertStringIncludes(error.message, "answers POST /v1/drain with 403: for root");
});
