import { assert } from "@std/assert";
import { type Program, waitForPort } from "../harness.ts";
import { type Application, client, type Use } from "./application.ts";
import { fetchAll, load, makeFiles, webShare } from "./web.ts";

function apache(model: "event" | "prefork"): Application {
  return {
    name: `apache2, ${model}`,
    programs: ["apache2", "ab", "curl", "wrk"],
    version: ["apache2", "-v"],
    does: "files of 1 B to 20 MB by curl, wrk and ab; graceful restart",
    share: webShare,
    async start({ lab, port, server: preload }) {
      const folder = await makeFiles(lab);
      await Deno.writeTextFile(
        lab.path("apache.conf"),
        configuration(lab.dir, folder, port, model),
      );
      // A session of its own: it ends by a SIGTERM to its whole process group.
      const words = ["setsid", "apache2", "-D", "FOREGROUND", "-f", lab.path("apache.conf")];
      const server = lab.start(words, { preload });
      await waitForPort(port, server);
      return server;
    },
    async work(use) {
      await fetchAll(use);
      await load(use);
      const url = `http://127.0.0.1:${use.port}/4096`;
      const { stdout } = await client(use, ["ab", "-q", "-k", "-c", "8", "-n", "3000", url]);
      assert(/^Failed requests: +0$/m.test(stdout) && !/Non-2xx/.test(stdout), stdout);
    },
    rate: (use) => load(use),
    also: gracefulRestart,
  };
}

async function gracefulRestart(use: Use, server: Program) {
  for (let i = 0; i < 2; i++) {
    Deno.kill(server.pid, "SIGUSR1");
    await fetchAll(use);
  }
}

const modules = ["authz_core", "dir", "mime"];

function configuration(dir: string, folder: string, port: number, model: string): string {
  const load = [`mpm_${model}`, ...modules]
    .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
  return `
    ${load.join("\n    ")}
    ServerRoot ${dir}
    ServerName localhost
    PidFile ${dir}/apache.pid
    ErrorLog ${dir}/apache.log
    DefaultRuntimeDir ${dir}
    ${Deno.uid() === 0 ? "User nobody\n    Group nogroup" : ""}
    TypesConfig /dev/null
    Listen 127.0.0.1:${port}
    DocumentRoot ${folder}
    <Directory ${folder}>
      Require all granted
    </Directory>
    KeepAlive On
    MaxKeepAliveRequests 0
    EnableSendfile On
  `;
}

export const apacheEvent = apache("event");
export const apachePrefork = apache("prefork");
