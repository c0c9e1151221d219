/** Python servers: the standard library's, and those of PyPI (packages.ts). */

import { assertEquals } from "@std/assert";
import { python, pythonProgram } from "../harness.ts";
import { type Application, client, listening } from "./application.ts";
import { obstacleOf, packagedPython } from "./packages.ts";
import { fetchAll, makeFiles, webShare } from "./web.ts";

export const pythonHttp: Application = {
  name: "python, http.server",
  programs: ["python3", "curl"],
  version: ["python3", "--version"],
  does: "files of 1 B to 20 MB by curl, a connection each",
  share: { ...webShare, orAtLeast: 0.3 },
  async start(use) {
    const folder = await makeFiles(use.lab);
    const words = ["-m", "http.server", "--bind", "127.0.0.1", "-d", folder, `${use.port}`];
    return await listening(use, [python!, ...words]);
  },
  work: (use) => fetchAll(use),
};

export const pythonAsyncio: Application = {
  name: "python, asyncio",
  programs: ["python3"],
  version: ["python3", "--version"],
  does: "50 connections of 200 echoes",
  share: { atLeast: 0.9 },
  start: (use) => listening(use, [python!, pythonProgram("many.py"), "server", `${use.port}`]),
  async work(use) {
    const words = [python!, pythonProgram("many.py"), "client", `${use.port}`, "50", "200"];
    assertEquals((await client(use, words)).stdout.trim(), "10000 echoes right");
  },
};

/** The same program on another event loop: libuv's. */
const onUvloop = `import runpy, sys, uvloop
uvloop.install()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")`;

const uvloopWords = [packagedPython, "-W", "ignore", "-c", onUvloop, pythonProgram("many.py")];

export const pythonUvloop: Application = {
  ...fromPackage("uvloop"),
  name: "python, uvloop",
  does: "50 connections of 200 echoes",
  share: { atLeast: 0.9 },
  start: (use) => listening(use, [...uvloopWords, "server", `${use.port}`]),
  async work(use) {
    const words = [...uvloopWords, "client", `${use.port}`, "50", "200"];
    assertEquals((await client(use, words)).stdout.trim(), "10000 echoes right");
  },
};

export const pythonAiohttp: Application = {
  ...fromPackage("aiohttp"),
  name: "python, aiohttp",
  does: "1,600 posts of up to 200 KB from 8 clients, echoed",
  share: { settlingBytes: 10_000_000, orReasons: ["undecided", "peer_closed"], orAtLeast: 0.5 },
  start: (use) =>
    listening(use, [packagedPython, pythonProgram("aiohttp_echo.py"), "server", `${use.port}`]),
  async work(use) {
    const words = [pythonProgram("aiohttp_echo.py"), "client", `${use.port}`, "8", "200"];
    const { stdout } = await client(use, [packagedPython, ...words]);
    assertEquals(stdout.trim(), "1600 echoes right");
  },
};

export const pythonGrpc: Application = {
  ...fromPackage("grpc", "grpcio"),
  name: "python, gRPC",
  does: "400 calls and 400 streamed messages of up to 200 KB, echoed",
  share: { settlingBytes: 10_000_000 },
  start: (use) =>
    listening(use, [packagedPython, pythonProgram("grpc_echo.py"), "server", `${use.port}`]),
  async work(use) {
    const words = [pythonProgram("grpc_echo.py"), "client", `${use.port}`, "200"];
    const { stdout } = await client(use, [packagedPython, ...words]);
    assertEquals(stdout.trim(), "800 echoes right");
  },
};

function fromPackage(
  module: string,
  name = module,
): Pick<Application, "programs" | "version" | "rare" | "obstacle"> {
  const ask = `import importlib.metadata as m; print(m.version("${name}"))`;
  return {
    programs: ["python3"],
    version: [packagedPython, "-c", ask],
    rare: true,
    obstacle: () => obstacleOf(module),
  };
}
