import { assert, assertEquals } from "@std/assert";
import { freePort, type Lab, type Program, waitForPort } from "../harness.ts";
import type { Application, Use } from "./application.ts";
import { fetchAll, load, makeFiles, webShare } from "./web.ts";

export const nginx: Application = {
  name: "nginx",
  programs: ["nginx", "curl", "wrk"],
  version: ["nginx", "-v"],
  does: "files of 1 B to 20 MB by curl and wrk; reload under load",
  share: webShare,
  start: (use) => startNginx(use),
  async work(use) {
    await fetchAll(use);
    await load(use);
  },
  rate: (use) => load(use),
  also: reloadUnderLoad,
};

export const nginxProxy: Application = {
  name: "nginx, proxy with upstream keep-alive",
  programs: nginx.programs,
  version: nginx.version,
  does: "the same through a second server that keeps connections to the first",
  share: webShare,
  talksToItself: true,
  start: (use) => startNginx(use),
  async work(use) {
    await fetchAll(use, "proxy/");
    await load(use, "proxy/");
  },
  rate: (use) => load(use, "proxy/"),
  also: reloadUnderLoad,
};

/** The master starts new workers, and the old ones end when their connections have. */
async function reloadUnderLoad(use: Use, server: Program) {
  const url = `http://127.0.0.1:${use.port}/1000000`;
  const busy = use.lab.start(["wrk", "-t1", "-c4", "-d2s", url], { preload: true });
  for (let i = 0; i < 3; i++) {
    Deno.kill(server.pid, "SIGHUP");
    await fetchAll(use);
  }
  const { stdout, code } = await busy.end();
  assertEquals(code, 0);
  assert(!/Non-2xx/.test(stdout), stdout);
}

async function startNginx({ lab, port, server: preload }: Use): Promise<Program> {
  const folder = await makeFiles(lab);
  await Deno.writeTextFile(lab.path("nginx.conf"), configuration(lab, folder, port, freePort()));
  const words = ["nginx", "-c", lab.path("nginx.conf"), "-e", lab.path("error.log")];
  const server = lab.start(words, { preload });
  await waitForPort(port, server);
  return server;
}

function configuration(lab: Lab, folder: string, port: number, inner: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${lab.path(`tmp-${name}`)};`).join("\n");
  return `
    ${Deno.uid() === 0 ? "user root;" : ""}
    daemon off;
    worker_processes 2;
    pid ${lab.path("nginx.pid")};
    events { worker_connections 512; }
    http {
      access_log off;
      sendfile on;
      tcp_nopush on;
      keepalive_requests 1000000;
      ${temporary}
      upstream inner { server 127.0.0.1:${inner}; keepalive 32; }
      server {
        listen 127.0.0.1:${port};
        root ${folder};
        location /proxy/ {
          proxy_pass http://inner/;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
        }
      }
      server { listen 127.0.0.1:${inner}; root ${folder}; }
    }
  `;
}
