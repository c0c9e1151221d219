import { assertEquals } from "@std/assert";
import { waitForPort } from "../harness.ts";
import { type Application, client } from "./application.ts";
import { fetchAll, load, makeFiles, webShare } from "./web.ts";

const httpServer = `
const http = require("http"), fs = require("fs");
http.createServer((request, response) => {
  fs.createReadStream(process.argv[2] + request.url).pipe(response);
}).listen(Number(process.argv[1]), "127.0.0.1");`;

const echoServer = `
require("net").createServer((socket) => socket.pipe(socket).on("error", () => {}))
  .listen(Number(process.argv[1]), "127.0.0.1");`;

/** Eight connections at once, each with pieces of many sizes, compared with what comes back. */
const echoClient = `
const net = require("net"), crypto = require("crypto");
async function one() {
  const socket = net.connect(Number(process.argv[1]), "127.0.0.1");
  const sent = crypto.createHash("sha256"), got = crypto.createHash("sha256");
  let left = 4000000;
  const end = new Promise((done, failed) => socket.on("data", (data) => got.update(data))
    .on("end", done).on("error", failed));
  while (left > 0) {
    const piece = crypto.randomBytes(Math.min(left, 1 + Math.floor(Math.random() * 40000)));
    left -= piece.length;
    sent.update(piece);
    if (!socket.write(piece)) await new Promise((drained) => socket.once("drain", drained));
  }
  socket.end();
  await end;
  if (sent.digest("hex") !== got.digest("hex")) throw new Error("other bytes came back");
}
Promise.all(Array.from({ length: 8 }, one)).then(() => console.log("8 right"));`;

export const nodeHttp: Application = {
  name: "node, http",
  programs: ["node", "curl", "wrk"],
  version: ["node", "--version"],
  does: "files of 1 B to 20 MB by curl and wrk",
  share: webShare,
  async start({ lab, port, server: preload }) {
    const words = ["node", "-e", httpServer, `${port}`, await makeFiles(lab)];
    const server = lab.start(words, { preload });
    await waitForPort(port, server);
    return server;
  },
  async work(use) {
    await fetchAll(use);
    await load(use);
  },
  rate: (use) => load(use),
};

export const nodeNet: Application = {
  name: "node, net",
  programs: ["node"],
  version: ["node", "--version"],
  does: "32 MB echoed over 8 connections",
  share: { settlingBytes: 30_000_000, orReasons: ["peer_closed", "ring_full"], orAtLeast: 0.5 },
  async start({ lab, port, server: preload }) {
    const server = lab.start(["node", "-e", echoServer, `${port}`], { preload });
    await waitForPort(port, server);
    return server;
  },
  async work(use) {
    const { stdout } = await client(use, ["node", "-e", echoClient, `${use.port}`]);
    assertEquals(stdout, "8 right\n");
  },
};
