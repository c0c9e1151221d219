/** Programs whose whole use is a line or two. */

import { assert, assertEquals } from "@std/assert";
import { assertSameBytes, noise, sha256OfFile } from "../harness.ts";
import { type Application, client, listening, type Use } from "./application.ts";
import { matched } from "./life.ts";
import { fetchAll, makeFiles, sizes, webShare } from "./web.ts";

export const iperf3: Application = {
  name: "iperf3",
  programs: ["iperf3"],
  version: ["iperf3", "--version"],
  does: "a second of streams each way",
  share: { settlingBytes: 100_000_000 },
  start: (use) => listening(use, ["iperf3", "-s", "-B", "127.0.0.1", "-p", `${use.port}`]),
  async work(use) {
    await streamed(use);
  },
  rate: streamed,
};

/** Bits a second, both ways together. */
async function streamed(use: Use): Promise<number> {
  let sum = 0;
  for (const way of [[], ["-R"]]) {
    const words = ["iperf3", "-c", "127.0.0.1", "-p", `${use.port}`, "-t", "1", "-J", ...way];
    const { end } = JSON.parse((await client(use, words)).stdout);
    assert(end.sum_received.bytes > 1_000_000, JSON.stringify(end.sum_received));
    sum += end.sum_received.bits_per_second;
  }
  return sum;
}

export const sockperf: Application = {
  name: "sockperf",
  programs: ["sockperf"],
  version: ["sockperf", "--version"],
  does: "a second of ping-pong",
  share: { atLeast: 0.95 },
  wantsFreshPort: true,
  start: (use) =>
    listening(use, ["sockperf", "server", "--tcp", "-i", "127.0.0.1", "-p", `${use.port}`]),
  async work(use) {
    await exchanged(use);
  },
  rate: exchanged,
};

/** Exchanges a second. */
async function exchanged(use: Use): Promise<number> {
  // It reserves room for so many messages a second, and gives up when there are more.
  const room = ["--mps", "5000000"];
  const where = ["--tcp", "-i", "127.0.0.1", "-p", `${use.port}`, "-t", "1"];
  const { stdout } = await client(use, ["sockperf", "ping-pong", ...where, ...room]);
  assert(
    /# dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0/.test(stdout),
    stdout,
  );
  return 1e6 / Number(matched(stdout, /Summary: Latency is ([\d.]+) usec/));
}

const twoMegabytes = noise(2_000_000, 5);

/** Whether a connection is shared by fork, handed to another program, or closed early. */
const handedOn = [
  ...["exec", "shared_by_fork", "undecided", "not_adopted", "no_listener"],
  ...["peer_closed", "arena_pending", "offered"],
];

export const socat: Application = {
  name: "socat",
  programs: ["socat"],
  version: ["socat", "-V"],
  does: "2 MB there and back through a forked child that executes cat",
  share: { atLeast: 0, orReasons: handedOn },
  start: (use) =>
    listening(use, [
      "socat",
      `TCP-LISTEN:${use.port},bind=127.0.0.1,reuseaddr,fork`,
      "EXEC:cat",
    ]),
  async work(use) {
    const words = ["socat", "-t", "20", "-", `TCP:127.0.0.1:${use.port}`];
    const echoed = await client(use, words, { stdin: twoMegabytes });
    assertSameBytes(echoed.stdoutBytes, twoMegabytes, "what came back");
  },
};

export const netcat: Application = {
  name: "netcat",
  programs: ["nc", "socat"],
  version: ["dpkg-query", "-W", "netcat-openbsd"],
  does: "2 MB to socat's forked cat and back, half closed in between",
  share: socat.share,
  start: socat.start,
  async work(use) {
    const words = ["nc", "-N", "127.0.0.1", `${use.port}`];
    const echoed = await client(use, words, { stdin: twoMegabytes });
    assertSameBytes(echoed.stdoutBytes, twoMegabytes, "what came back");
  },
};

export const rsync: Application = {
  name: "rsync",
  programs: ["rsync"],
  version: ["rsync", "--version"],
  does: "a tree of files of 1 B to 20 MB fetched from the daemon",
  share: { settlingBytes: 40_000_000, orReasons: handedOn, orAtLeast: 0 },
  async start(use) {
    const folder = await makeFiles(use.lab);
    const user = Deno.uid() === 0 ? "uid = root\ngid = root\n" : "";
    const text = `${user}use chroot = no\n[files]\npath = ${folder}\n`;
    await Deno.writeTextFile(use.lab.path("rsyncd.conf"), text);
    const words = ["rsync", "--daemon", "--no-detach", "--address=127.0.0.1"];
    const config = `--config=${use.lab.path("rsyncd.conf")}`;
    return await listening(use, [...words, `--port=${use.port}`, config]);
  },
  async work(use) {
    const to = use.lab.path(`copy-${use.port}`);
    await client(use, ["rsync", "-a", `rsync://127.0.0.1:${use.port}/files/`, `${to}/`]);
    for (const size of sizes) {
      const wanted = await sha256OfFile(use.lab.path(`files/${size}`));
      assertEquals(await sha256OfFile(`${to}/${size}`), wanted, `${size} bytes`);
    }
    await Deno.remove(to, { recursive: true });
  },
};

export const denoServe: Application = {
  name: "deno serve",
  programs: ["curl"],
  version: [Deno.execPath(), "--version"],
  does: "files of 1 B to 20 MB by curl",
  share: webShare,
  async start(use) {
    const folder = await makeFiles(use.lab);
    const handler = use.lab.path("serve.ts");
    await Deno.writeTextFile(
      handler,
      `export default { fetch: async (request: Request) =>
        new Response((await Deno.open(${
        JSON.stringify(folder)
      } + new URL(request.url).pathname)).readable) };`,
    );
    const words = ["serve", "-A", "--no-check", "--host", "127.0.0.1", "--port", `${use.port}`];
    return await listening(use, [Deno.execPath(), ...words, handler]);
  },
  work: (use) => fetchAll(use),
};
