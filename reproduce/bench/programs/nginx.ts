/**
 * nginx with Debian's own configuration (access log on, gzip on, sendfile on), serving one static
 * file of 1 KiB to wrk over 64 connections that stay open. Changed is only what must be: its paths,
 * its port, and, for root, the workers' user, since only root may read the benchmark's folder.
 */

import { freePort, noise, waitForPort } from "../../../tests/harness.ts";
import type { Ground, Sample, Transport } from "../model.ts";
import { type KnownProgram, numberIn, whenRoot } from "./program.ts";

const fileBytes = 1024;
const timeoutMs = 60_000;
/** Three processes on two cpus: it takes the scheduler up to a second to find places for them. */
const runSeconds = 3;

/** Debian 12's nginx.conf and default site, without what a plain file does not meet. */
function configuration(dir: string, port: number): string {
  return `
    ${whenRoot("user root;").join("")}
    worker_processes auto;
    daemon off;
    pid ${dir}/nginx.pid;
    error_log ${dir}/nginx-error.log;
    events { worker_connections 768; }
    http {
      sendfile on;
      tcp_nopush on;
      types_hash_max_size 2048;
      include /etc/nginx/mime.types;
      default_type application/octet-stream;
      access_log ${dir}/nginx-access.log;
      gzip on;
      client_body_temp_path ${dir}/nginx-body;
      proxy_temp_path ${dir}/nginx-proxy;
      fastcgi_temp_path ${dir}/nginx-fastcgi;
      uwsgi_temp_path ${dir}/nginx-uwsgi;
      scgi_temp_path ${dir}/nginx-scgi;
      server {
        listen 127.0.0.1:${port} default_server;
        root ${dir}/nginx-root;
        index index.html;
        server_name _;
        location / { try_files $uri $uri/ =404; }
      }
    }`;
}

async function measure({ lab, seconds }: Ground, transport: Transport): Promise<Sample> {
  const port = freePort();
  const preload = transport === "sd";
  await Deno.mkdir(lab.path("nginx-root"), { recursive: true });
  await Deno.writeFile(lab.path("nginx-root/file.bin"), noise(fileBytes));
  await Deno.writeTextFile(lab.path("nginx.conf"), configuration(lab.dir, port));
  const server = lab.start(["nginx", "-c", lab.path("nginx.conf")], { preload });
  await waitForPort(port, server);
  const time = `-d${Math.max(runSeconds, Math.ceil(seconds))}s`;
  const url = `http://127.0.0.1:${port}/file.bin`;
  const { stdout } = await lab.run(["wrk", "-t1", "-c64", time, url], { preload, timeoutMs });
  if (/Socket errors|Non-2xx/.test(stdout)) throw new Error(`wrk met errors: ${stdout}`);
  await server.stop();
  await Deno.remove(lab.path("nginx-access.log"));
  return { value: numberIn(stdout, /Requests\/sec:\s+([\d.]+)/, "wrk") / 1e3 };
}

export const nginx: KnownProgram = {
  name: "nginx",
  needs: ["nginx", "wrk"],
  packages: "nginx wrk",
  cases: [{
    id: "nginx-wrk",
    title: "nginx and wrk, 64 kept connections, 1 KiB file, access log on",
    unit: "K/s",
    better: "higher",
    transports: ["tcp", "sd"],
    measure,
  }],
};
