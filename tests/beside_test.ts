/**
 * libsd.so beside what else gets between a program and libc: memory allocators, other preload
 * libraries, the runtime of AddressSanitizer, debuggers, and kernel interfaces that go round libc.
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  both,
  expectCarrier,
  freePort,
  Lab,
  preloadedTest,
  python,
  sdbench,
  waitForPort,
} from "./harness.ts";

interface Other {
  file: string;
  /** Debian's package. */
  package: string;
  env?: Record<string, string>;
}

const others: Record<string, Other> = {
  jemalloc: { file: "libjemalloc.so.2", package: "libjemalloc2" },
  tcmalloc: { file: "libtcmalloc_minimal.so.4", package: "libtcmalloc-minimal4" },
  mimalloc: { file: "libmimalloc.so.2", package: "libmimalloc2.0" },
  libeatmydata: { file: "libeatmydata.so.1", package: "libeatmydata1" },
  faketime: {
    file: "faketime/libfaketimeMT.so.1",
    package: "libfaketime",
    env: { FAKETIME: "+400d" },
  },
  AddressSanitizer: {
    file: "libasan.so.8",
    package: "libasan8",
    // It wants to be the first library; second, it does its work as well.
    env: { ASAN_OPTIONS: "detect_leaks=0:verify_asan_link_order=0" },
  },
};

for (const [name, other] of Object.entries(others)) {
  const path = pathOf(other.file);
  for (const first of [true, false]) {
    Deno.test({
      name: `libsd.so ${first ? "before" : "after"} ${name}` +
        (path === undefined ? ` (skipped: Debian's package '${other.package}')` : ""),
      ignore: path === undefined,
      fn: () => Lab.with((lab) => exchangesBeside(lab, path!, other.env ?? {}, first)),
    });
  }
}

/** Every way of waiting, each byte checked, all on rings. */
async function exchangesBeside(
  lab: Lab,
  path: string,
  env: Record<string, string>,
  first: boolean,
) {
  await lab.startMonitor();
  const libraries = first ? [lab.library, path] : [path, lab.library];
  const environment = { ...env, LD_PRELOAD: libraries.join(" ") };
  for (const io of ["blocking", "epoll-et", "threads", "fork"]) {
    await expectCarrier(lab, both, {}, async () => {
      const words = [
        "pair",
        "--mode",
        "rtt",
        "--io",
        io,
        "--count",
        "100000",
        "--checksum",
        "--json",
      ];
      const ended = await lab.run([sdbench, ...words], { preload: true, env: environment });
      assertEquals(JSON.parse(ended.stdout).checksum_ok, true);
      assertEquals(ended.stderr, "");
    });
  }
}

const attachments: Record<string, (pid: number) => string[]> = {
  gdb: (pid) => ["gdb", "-batch", "-nx", "-p", `${pid}`, "-ex", "bt", "-ex", "detach"],
  strace: (pid) => ["timeout", "-s", "INT", "1", "strace", "-f", "-o", "/dev/null", "-p", `${pid}`],
};

for (const [tool, command] of Object.entries(attachments)) {
  preloadedTest(`${tool} attaches to a server and leaves it, and its connection goes on`, {
    programs: [tool, "python3"],
  }, async (lab) => {
    const port = freePort();
    const server = lab.start([python!, "-u", "-c", echoServer, `${port}`], { preload: true });
    await waitForPort(port, server);
    await expectCarrier(lab, both, {}, async () => {
      const client = lab.start([python!, "-u", "-c", askingClient, `${port}`], {
        preload: true,
        stdin: "open",
      });
      await client.said(/20000 right/);
      await lab.run(command(server.pid), { mayFail: true, timeoutMs: 60_000 });
      await client.tell("again");
      await client.said(/40000 right/);
      await client.tell("end");
      assertEquals((await client.end()).code, 0, client.summary());
    });
  });
}

const echoServer = `
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    sock = listener.accept()[0]
    while data := sock.recv(100):
        sock.sendall(data)
    sock.close()
`;

const askingClient = `
import socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
asked = 0
while True:
    for _ in range(20_000):
        asked += 1
        question = b"%d" % asked
        sock.sendall(question)
        assert sock.recv(100) == question
    print(asked, "right")
    if sys.stdin.readline() != "again\\n":
        break
`;

preloadedTest("system calls by number go where libc's calls go", {
  programs: ["python3"],
}, async (lab) => {
  const port = freePort();
  const server = lab.start([python!, "-u", "-c", echoServer, `${port}`], { preload: true });
  await waitForPort(port, server);
  await expectCarrier(lab, both, {}, async () => {
    const { stdout } = await lab.run([python!, "-c", byNumber, `${port}`], { preload: true });
    assertStringIncludes(stdout, "right, io_uring_setup: ENOSYS");
  });
});

const byNumber = `
import ctypes, errno, os, socket, sys
assert os.uname().machine == "x86_64"
libc = ctypes.CDLL(None, use_errno=True)
READ, WRITE, SENDTO, RECVFROM, IO_URING_SETUP = 0, 1, 44, 45, 425
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
fd, buffer = sock.fileno(), ctypes.create_string_buffer(100)
for turn in range(40_000):
    if turn % 2:
        assert libc.syscall(WRITE, fd, b"question", 8) == 8
        assert libc.syscall(READ, fd, buffer, 100) == 8
    else:
        assert libc.syscall(SENDTO, fd, b"question", 8, 0, 0, 0) == 8
        assert libc.syscall(RECVFROM, fd, buffer, 100, 0, 0, 0) == 8
    assert buffer.raw[:8] == b"question"
assert libc.syscall(IO_URING_SETUP, 8, buffer) == -1
print("right, io_uring_setup:", errno.errorcode[ctypes.get_errno()])
`;

function pathOf(file: string): string | undefined {
  const directories = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"];
  return directories.map((directory) => `${directory}/${file}`).find(exists);
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
