/** What only the full run starts: slow to start, or of packages that CI does not install. */

import { assert, assertEquals } from "@std/assert";
import { noise, sha256, waitForPort } from "../harness.ts";
import { type Application, asOrdinaryUser, client, folderFor, listening } from "./application.ts";

const javaEcho = `
import java.net.*; import java.nio.*; import java.nio.channels.*; import java.util.*;
public class Echo {
  public static void main(String[] words) throws Exception {
    int port = Integer.parseInt(words[1]);
    if (words[0].equals("server")) serve(port); else ask(port);
  }
  static void serve(int port) throws Exception {
    Selector selector = Selector.open();
    ServerSocketChannel listener = ServerSocketChannel.open();
    listener.bind(new InetSocketAddress("127.0.0.1", port)).configureBlocking(false);
    listener.register(selector, SelectionKey.OP_ACCEPT);
    while (true) {
      selector.select();
      for (Iterator<SelectionKey> all = selector.selectedKeys().iterator(); all.hasNext();) {
        SelectionKey key = all.next();
        all.remove();
        if (key.isAcceptable()) {
          SocketChannel channel = listener.accept();
          channel.configureBlocking(false);
          channel.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(65536).flip());
        } else echo(key);
      }
    }
  }
  static void echo(SelectionKey key) {
    SocketChannel channel = (SocketChannel) key.channel();
    ByteBuffer buffer = (ByteBuffer) key.attachment();
    try {
      if (!buffer.hasRemaining()) {
        buffer.clear();
        int count = channel.read(buffer);
        buffer.flip();
        if (count < 0) { channel.close(); return; }
      }
      channel.write(buffer);
      key.interestOps(buffer.hasRemaining() ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
    } catch (java.io.IOException gone) {
      key.cancel();
      try { channel.close(); } catch (java.io.IOException ignored) {}
    }
  }
  static void ask(int port) throws Exception {
    Random random = new Random(1);
    try (SocketChannel channel = SocketChannel.open(new InetSocketAddress("127.0.0.1", port))) {
      for (int i = 0; i < 5000; i++) {
        byte[] sent = new byte[1 + random.nextInt(i % 100 == 0 ? 200000 : 2000)], got = new byte[sent.length];
        random.nextBytes(sent);
        ByteBuffer in = ByteBuffer.wrap(got), out = ByteBuffer.wrap(sent);
        while (in.hasRemaining()) {
          if (out.hasRemaining()) { out.limit(Math.min(sent.length, out.position() + 30000)); channel.write(out); out.limit(sent.length); }
          if (channel.read(in) < 0) throw new Exception("end of stream");
        }
        if (!Arrays.equals(sent, got)) throw new Exception("other bytes came back");
      }
    }
    System.out.println("5000 right");
  }
}`;

export const javaNio: Application = {
  name: "java, NIO selector",
  programs: ["java", "javac"],
  version: ["java", "-version"],
  does: "5,000 echoes of 1 B to 200 KB",
  rare: true,
  share: { atLeast: 0.95 },
  async start(use) {
    await Deno.writeTextFile(use.lab.path("Echo.java"), javaEcho);
    await use.lab.run(["javac", "-d", use.lab.dir, use.lab.path("Echo.java")]);
    return await listening(use, ["java", "-cp", use.lab.dir, "Echo", "server", `${use.port}`]);
  },
  async work(use) {
    const words = ["java", "-cp", use.lab.dir, "Echo", "client", `${use.port}`];
    assertEquals((await client(use, words, { timeoutMs: 120_000 })).stdout, "5000 right\n");
  },
};

const goEcho = `package main
import ("bytes"; "fmt"; "io"; "math/rand"; "net"; "os")
func main() {
  if os.Args[1] == "server" {
    listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
    if err != nil { panic(err) }
    for { c, err := listener.Accept(); if err != nil { panic(err) }; go func() { io.Copy(c, c); c.Close() }() }
  }
  c, err := net.Dial("tcp", "127.0.0.1:"+os.Args[2])
  if err != nil { panic(err) }
  for i := 0; i < 2000; i++ {
    sent := make([]byte, 1+rand.Intn(20000)); rand.Read(sent); got := make([]byte, len(sent))
    if _, err := c.Write(sent); err != nil { panic(err) }
    if _, err := io.ReadFull(c, got); err != nil { panic(err) }
    if !bytes.Equal(sent, got) { panic("other bytes came back") }
  }
  fmt.Println("2000 right")
}`;

export const goStatic: Application = {
  name: "go, static",
  programs: ["go"],
  version: ["go", "version"],
  does: "2,000 echoes; makes its own system calls, so always kernel TCP",
  rare: true,
  share: "none",
  talksToItself: true,
  async start(use) {
    const { lab } = use;
    await Deno.writeTextFile(lab.path("echo.go"), goEcho);
    const env = { CGO_ENABLED: "0", GOCACHE: "/tmp/socksdirect-test-gocache", GOFLAGS: "-mod=mod" };
    await lab.run(["go", "build", "-o", lab.path("echo"), lab.path("echo.go")], { env });
    return await listening(use, [lab.path("echo"), "server", `${use.port}`]);
  },
  async work(use) {
    const { stdout } = await client(use, [use.lab.path("echo"), "client", `${use.port}`]);
    assertEquals(stdout, "2000 right\n");
  },
};

export const mariadb: Application = {
  name: "mariadb",
  programs: ["mariadbd", "mariadb", "mariadb-install-db", "mariadb-slap", "setpriv"],
  version: ["mariadbd", "--version"],
  does: "mariadb-slap with 8 clients; 4 MB of text and back",
  rare: true,
  share: {
    settlingBytes: 20_000_000,
    orReasons: [
      "undecided",
      "not_adopted",
      "no_listener",
      "arena_pending",
      "offered",
      "peer_closed",
    ],
    orAtLeast: 0.5,
  },
  async start({ lab, port, server: preload }) {
    const data = await folderFor(lab, "maria");
    const common = ["--no-defaults", `--datadir=${data}`];
    try {
      Deno.statSync(`${data}/mysql`);
    } catch {
      const words = ["mariadb-install-db", ...common, "--auth-root-authentication-method=normal"];
      await lab.run(await asOrdinaryUser(lab, ...words, "--skip-test-db"));
    }
    const words = [
      ...["mariadbd", ...common, `--port=${port}`, "--bind-address=127.0.0.1"],
      ...[`--socket=${data}/socket`, `--pid-file=${data}/pid`, "--max-allowed-packet=64M"],
    ];
    const server = lab.start(await asOrdinaryUser(lab, ...words), { preload });
    await waitForPort(port, server);
    await server.said(/ready for connections/);
    return server;
  },
  async work(use) {
    const where = ["--no-defaults", "-uroot", "-h127.0.0.1", `-P${use.port}`, "--protocol=tcp"];
    const slap = ["--concurrency=8", "--number-of-queries=2000", "--auto-generate-sql"];
    await client(use, ["mariadb-slap", ...where, ...slap]);
    const text = Array.from({ length: 40_000 }, (_, i) => `row ${i} ${"x".repeat(i % 97)}`);
    const rows = text.map((line) => `('${line}')`).join(",");
    const sql = `CREATE DATABASE IF NOT EXISTS d; USE d; DROP TABLE IF EXISTS t;
      CREATE TABLE t (line TEXT); INSERT INTO t VALUES ${rows}; SELECT line FROM t;`;
    const mysql = ["mariadb", ...where, "--max-allowed-packet=64M", "-BN"];
    const { stdout } = await client(use, mysql, { stdin: new TextEncoder().encode(sql) });
    assertEquals(stdout.trimEnd().split("\n").sort().join("\n"), text.sort().join("\n"));
  },
};

export const mosquitto: Application = {
  name: "mosquitto",
  programs: ["mosquitto", "mosquitto_pub", "mosquitto_sub"],
  version: ["mosquitto", "-h"],
  does: "200 messages and one of 5 MB from a publisher to a subscriber",
  rare: true,
  share: {
    atLeast: 0,
    orReasons: [
      "undecided",
      "not_adopted",
      "no_listener",
      "arena_pending",
      "offered",
      "peer_closed",
    ],
  },
  async start(use) {
    const config = `listener ${use.port} 127.0.0.1\nallow_anonymous true\n${
      Deno.uid() === 0 ? "user root\n" : ""
    }`;
    await Deno.writeTextFile(use.lab.path("mosquitto.conf"), config);
    return await listening(use, ["mosquitto", "-c", use.lab.path("mosquitto.conf")]);
  },
  async work(use) {
    const { lab, port, client: preload } = use;
    const where = ["-h", "127.0.0.1", "-p", `${port}`, "-q", "1", "-t", "news"];
    const lines = Array.from({ length: 200 }, (_, i) => `message ${i}`);
    // Without a broker they go on trying for ever, and would connect to the next one.
    const publisher = ["timeout", "20", "mosquitto_pub"];
    // A session that lasts: the broker keeps what comes while nobody listens.
    const session = ["mosquitto_sub", ...where, "-c", "-i", "reader"];
    await client(use, [...session, "-E"]);
    const words = ["timeout", "20", ...session, "-C", "201"];
    const subscriber = lab.start(words, { preload, name: "subscriber" });
    const stdin = new TextEncoder().encode(lines.join("\n") + "\n");
    const big = Array.from(noise(2_500_000, 9), (byte) => byte.toString(16).padStart(2, "0")).join(
      "",
    );
    try {
      await client(use, [...publisher, ...where, "-l"], { stdin });
      await client(use, [...publisher, ...where, "-s"], { stdin: new TextEncoder().encode(big) });
    } catch (error) {
      subscriber.kill("SIGTERM");
      throw error;
    }
    const { stdout } = await subscriber.end();
    for (const line of lines) assert(`\n${stdout}`.includes(`\n${line}\n`), line);
    assert(
      stdout.includes(big),
      `the big message: ${await sha256(new TextEncoder().encode(stdout))}`,
    );
  },
};

export const inetd: Application = {
  name: "inetd",
  programs: ["inetd", "socat"],
  version: ["dpkg-query", "-W", "openbsd-inetd"],
  does: "2 MB there and back through a cat that it executes with the connection as stdin",
  rare: true,
  share: {
    atLeast: 0,
    orReasons: [
      "exec",
      "undecided",
      "shared_by_fork",
      "not_adopted",
      "no_listener",
      "peer_closed",
      "arena_pending",
      "offered",
    ],
  },
  obstacle: () => Promise.resolve(Deno.uid() === 0 ? undefined : "inetd wants to be root"),
  async start(use) {
    const config = `127.0.0.1:${use.port} stream tcp nowait root /bin/cat cat\n`;
    await Deno.writeTextFile(use.lab.path("inetd.conf"), config);
    return await listening(use, ["inetd", "-i", use.lab.path("inetd.conf")]);
  },
  async work(use) {
    const payload = noise(2_000_000, 6);
    const words = ["socat", "-t", "20", "-", `TCP:127.0.0.1:${use.port}`];
    const { stdoutBytes } = await client(use, words, { stdin: payload });
    assertEquals(await sha256(stdoutBytes), await sha256(payload));
  },
};
