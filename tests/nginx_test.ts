/** nginx: files of 1 byte to 50 MB by curl and by wrk, with and without sendfile. */

import { assert, assertEquals } from "@std/assert";
import {
  both,
  type Combination,
  expectCarrier,
  freePort,
  type Lab,
  noise,
  preloadedTest,
  sha256,
  sha256OfFile,
  waitForPort,
  withCombinations,
} from "./harness.ts";

const needs = { programs: ["nginx", "curl"] };
const sizes = [1, 100, 4096, 65_536, 1_000_000, 50_000_000];

/** What goes by TCP at full speed before the monitor and the peer have answered. */
const settlingBytes = 60_000_000;

/** The small files' connections end before they have a ring, at one stage or another. */
const oneFileEach = {
  settlingBytes,
  orReasons: ["undecided", "arena_pending", "offered", "not_adopted"],
};

for (const sendfile of ["on", "off"]) {
  const name = `nginx serves files of all sizes, sendfile ${sendfile}`;
  withCombinations(name, needs, async (lab, combination) => {
    const port = await startNginx(lab, combination.server, { sendfile });
    await expectCarrier(lab, combination, oneFileEach, async () => {
      for (const size of sizes) {
        await fetchAndCompare(lab, combination, port, [size]);
      }
    });
  });
}

withCombinations("nginx keeps one connection for many files", needs, async (lab, combination) => {
  const port = await startNginx(lab, combination.server, {});
  await expectCarrier(lab, combination, {}, async () => {
    await fetchAndCompare(lab, combination, port, [...sizes, ...sizes, 1, 4096]);
  });
});

const wrkNeeds = { programs: ["nginx", "curl", "wrk"] };
withCombinations("wrk loads nginx", wrkNeeds, async (lab, combination) => {
  const port = await startNginx(lab, combination.server, {});
  await expectCarrier(lab, combination, {}, async () => {
    const url = `http://127.0.0.1:${port}/4096`;
    const { stdout } = await lab.run(["wrk", "-t2", "-c20", "-d2s", url], {
      preload: combination.client,
    });
    const requests = Number(stdout.match(/(\d+) requests in/)?.[1]);
    assert(requests > 1000, stdout);
    assert(!/Socket errors|Non-2xx/.test(stdout), stdout);
  });
});

preloadedTest("nginx takes uploads", needs, async (lab) => {
  const port = await startNginx(lab, true, {});
  const body = noise(90_000_000, 7);
  await Deno.writeFile(lab.path("body"), body);
  await expectCarrier(lab, both, { settlingBytes }, async () => {
    const url = `http://127.0.0.1:${port}/upload/body`;
    await lab.run(["curl", "-sSf", "-T", lab.path("body"), url], { preload: true });
  });
  assertEquals(await sha256OfFile(lab.path("upload/body")), await sha256(body));
});

preloadedTest("nginx reloads under load", wrkNeeds, async (lab) => {
  const port = await startNginx(lab, true, {});
  const url = `http://127.0.0.1:${port}/1000000`;
  const load = lab.start(["wrk", "-t1", "-c4", "-d3s", url], { preload: true });
  const master = Number((await Deno.readTextFile(lab.path("nginx.pid"))).trim());
  for (let i = 0; i < 3; i++) {
    Deno.kill(master, "SIGHUP");
    await fetchAndCompare(lab, both, port, [1, 65_536, 1_000_000]);
  }
  const { stdout, code } = await load.end();
  assertEquals(code, 0);
  assert(!/Non-2xx/.test(stdout), stdout);
});

/** Fetches files by one curl (so by one connection) and compares their checksums. */
async function fetchAndCompare(lab: Lab, { client }: Combination, port: number, files: number[]) {
  const wanted = files.map((size, i) => ({ size, to: lab.path(`got-${i}-${size}`) }));
  const args = wanted.flatMap(({ size, to }) => ["-o", to, `http://127.0.0.1:${port}/${size}`]);
  await lab.run(["curl", "-sSf", ...args], { preload: client });
  for (const { size, to } of wanted) {
    assertEquals(await sha256OfFile(to), await sha256OfFile(lab.path(`files/${size}`)), to);
    await Deno.remove(to);
  }
}

async function startNginx(lab: Lab, preload: boolean, { sendfile = "on" }): Promise<number> {
  const port = freePort();
  await Deno.mkdir(lab.path("files"));
  await Deno.mkdir(lab.path("upload"));
  for (const size of sizes) await Deno.writeFile(lab.path(`files/${size}`), noise(size, size));
  await Deno.writeTextFile(lab.path("nginx.conf"), configuration(lab, port, sendfile));
  const server = lab.start(["nginx", "-c", lab.path("nginx.conf"), "-e", lab.path("error.log")], {
    preload,
  });
  await waitForPort(port, server);
  return port;
}

/** Two workers under the same user, so that the monitor's policy allows them what we may. */
function configuration(lab: Lab, port: number, sendfile: string): string {
  const user = Deno.uid() === 0 ? "user root;" : "";
  return `
    ${user}
    daemon off;
    worker_processes 2;
    pid ${lab.path("nginx.pid")};
    events { worker_connections 512; }
    http {
      access_log off;
      sendfile ${sendfile};
      tcp_nopush on;
      keepalive_requests 1000000;
      client_max_body_size 100m;
      client_body_temp_path ${lab.path("tmp-body")};
      proxy_temp_path ${lab.path("tmp-proxy")};
      fastcgi_temp_path ${lab.path("tmp-fastcgi")};
      uwsgi_temp_path ${lab.path("tmp-uwsgi")};
      scgi_temp_path ${lab.path("tmp-scgi")};
      server {
        listen 127.0.0.1:${port};
        root ${lab.path("files")};
        location /upload/ { alias ${lab.path("upload")}/; dav_methods PUT; }
      }
    }
  `;
}
