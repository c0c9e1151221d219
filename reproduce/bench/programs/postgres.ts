/**
 * PostgreSQL with Debian's defaults and pgbench's own tables; one client reads by primary key. Its
 * server refuses to be root, so as root both programs run as the user postgres.
 */

import { freePort, installed, type Lab, waitForPort } from "../../../tests/harness.ts";
import type { Ground, Sample, Transport } from "../model.ts";
import { type KnownProgram, numberIn, whenRoot } from "./program.ts";

const timeoutMs = 60_000;
const asPostgres = whenRoot(
  ...["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"],
);

/** Debian keeps the server's programs off PATH. */
function serverProgram(name: string): string {
  const root = "/usr/lib/postgresql";
  const versions = [...Deno.readDirSync(root)].map((entry) => Number(entry.name));
  return `${root}/${Math.max(...versions)}/bin/${name}`;
}

/** A cluster that is made once in a lab, its tables filled. */
const clusters = new WeakMap<Lab, Promise<string>>();

function clusterOf(lab: Lab): Promise<string> {
  const made = clusters.get(lab) ?? makeCluster(lab);
  clusters.set(lab, made);
  return made;
}

async function makeCluster(lab: Lab): Promise<string> {
  const folder = lab.path("postgres");
  await Deno.mkdir(folder, { mode: 0o700 });
  if (asPostgres.length > 0) {
    await Deno.chmod(lab.dir, 0o711);
    await lab.run(["chown", "postgres:postgres", folder]);
  }
  const initdb = [serverProgram("initdb"), "--auth=trust", "-U", "bench", "-D", folder];
  await lab.run([...asPostgres, ...initdb], { timeoutMs });
  await withServer(lab, folder, false, async (address) => {
    const fill = ["pgbench", ...address, "--initialize", "--quiet", "bench"];
    await lab.run(["createdb", ...address, "bench"], { timeoutMs });
    await lab.run(fill, { timeoutMs });
  });
  return folder;
}

/** A server on a port of its own while `use` runs; its sockets lie in its folder. */
async function withServer(
  lab: Lab,
  folder: string,
  preload: boolean,
  use: (address: string[]) => Promise<void>,
) {
  const port = freePort();
  const words = ["-D", folder, "-k", folder, "-h", "127.0.0.1", "-p", `${port}`];
  const server = lab.start([...asPostgres, serverProgram("postgres"), ...words], { preload });
  await waitForPort(port, server);
  await server.said(/ready to accept connections/);
  await use(["-h", "127.0.0.1", "-p", `${port}`, "-U", "bench"]);
  await server.stop();
}

async function measure(ground: Ground, transport: Transport): Promise<Sample> {
  const { lab, seconds } = ground;
  const preload = transport === "sd";
  const folder = await clusterOf(lab);
  let value = 0;
  await withServer(lab, folder, preload, async (address) => {
    const [, , ...portAndUser] = address;
    const where = transport === "unix" ? ["-h", folder, ...portAndUser] : address;
    const time = ["-T", `${Math.max(1, Math.ceil(seconds))}`];
    const command = ["pgbench", ...where, "--select-only", "-c", "1", "--no-vacuum", ...time];
    const { stdout } = await lab.run([...asPostgres, ...command, "bench"], { preload, timeoutMs });
    value = numberIn(stdout, /^tps = ([\d.]+)/m, "pgbench") / 1e3;
  });
  return { value };
}

/** The server counts as a need too, found where Debian puts it. */
const hasServer = installed("pgbench") !== undefined && exists("/usr/lib/postgresql");

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

export const postgres: KnownProgram = {
  name: "PostgreSQL",
  needs: hasServer ? ["pgbench", "createdb"] : ["pgbench", "postgres"],
  packages: "postgresql postgresql-contrib",
  cases: [{
    id: "pgbench-c1",
    title: "pgbench -S, one client",
    unit: "K/s",
    better: "higher",
    transports: ["tcp", "sd", "unix"],
    measure,
  }],
};
