import { freePort, type Lab, type Program, waitForPort } from "../harness.ts";
import type { Application, Use } from "./application.ts";
import { nginx } from "./nginx.ts";
import { fetchAll, load, webShare } from "./web.ts";

export const haproxy: Application = {
  name: "haproxy before nginx",
  programs: ["haproxy", "nginx", "curl", "wrk"],
  version: ["haproxy", "-v"],
  does: "files of 1 B to 20 MB by curl and wrk; reload, listeners passed to the new process",
  share: webShare,
  talksToItself: true,
  async start(use) {
    const { lab, port, server: preload } = use;
    const inner = freePort();
    await nginx.start({ ...use, port: inner });
    await Deno.writeTextFile(lab.path("haproxy.cfg"), configuration(lab, port, inner));
    // Its own session, since it signals its process group; -W: a master that can be reloaded.
    const server = lab.start(["setsid", "haproxy", "-W", "-f", lab.path("haproxy.cfg")], {
      preload,
    });
    await waitForPort(port, server);
    return server;
  },
  async work(use) {
    await fetchAll(use);
    await load(use);
  },
  rate: (use) => load(use),
  also: reload,
};

async function reload(use: Use, server: Program) {
  for (let i = 0; i < 3; i++) {
    Deno.kill(server.pid, "SIGUSR2");
    await fetchAll(use);
  }
}

function configuration(lab: Lab, port: number, inner: number): string {
  return `
    global
      stats socket ${lab.path("haproxy.sock")} mode 600 level admin expose-fd listeners
      nbthread 2
    defaults
      mode http
      timeout connect 5s
      timeout client 20s
      timeout server 20s
      http-reuse always
    frontend outer
      bind 127.0.0.1:${port}
      default_backend files
    backend files
      server nginx 127.0.0.1:${inner}
`;
}
