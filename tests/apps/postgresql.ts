import { assert, assertEquals } from "@std/assert";
import { waitForPort } from "../harness.ts";
import { type Application, asOrdinaryUser, client, folderFor, type Use } from "./application.ts";
import { matched } from "./life.ts";

/** Debian keeps the server's programs out of PATH. */
function serverProgram(name: string): string {
  try {
    const versions = [...Deno.readDirSync("/usr/lib/postgresql")].map((each) => each.name).sort();
    return `/usr/lib/postgresql/${versions.at(-1)}/bin/${name}`;
  } catch {
    return name;
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

export const postgresql: Application = {
  name: "postgresql",
  programs: ["psql", "pgbench", "setpriv"],
  version: ["psql", "--version"],
  does: "pgbench with 8 clients; 8 MB of text and back by psql; a process for each connection",
  // Short sessions of psql end before they have a ring.
  share: {
    settlingBytes: 20_000_000,
    orReasons: [
      "undecided",
      "arena_pending",
      "offered",
      "not_adopted",
      "no_listener",
      "peer_closed",
    ],
    orAtLeast: 0.5,
  },
  obstacle: () =>
    Promise.resolve(exists(serverProgram("initdb")) ? undefined : "no PostgreSQL server installed"),
  async start({ lab, port, server: preload }) {
    const data = await folderFor(lab, "pg");
    if (!exists(`${data}/PG_VERSION`)) {
      const words = [serverProgram("initdb"), "-D", data, "-A", "trust", "-U", "test", "-N"];
      await lab.run(await asOrdinaryUser(lab, ...words));
    }
    // SIGKILL leaves its lock file, which it believes as long as it names a living process.
    await Deno.remove(`${data}/postmaster.pid`).catch(() => {});
    const server = lab.start(
      await asOrdinaryUser(
        lab,
        ...[serverProgram("postgres"), "-D", data, "-p", `${port}`, "-k", data, "-F"],
        ...["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=50"],
      ),
      { preload },
    );
    await waitForPort(port, server);
    await server.said(/ready to accept connections/);
    return server;
  },
  async work(use) {
    const { port } = use;
    const where = ["-h", "127.0.0.1", "-p", `${port}`, "-U", "test"];
    await client(use, ["pgbench", "-i", "-q", "-s", "2", ...where, "postgres"]);
    await transactions(use);
    await roundTrip(use, where);
  },
  rate: transactions,
};

/** pgbench's own workload on the tables that `work` has made. Transactions a second. */
async function transactions(use: Use): Promise<number> {
  const where = ["-h", "127.0.0.1", "-p", `${use.port}`, "-U", "test"];
  const words = ["pgbench", "-c", "8", "-j", "2", "-t", "150", ...where, "postgres"];
  const { stdout } = await client(use, words);
  assert(/number of transactions actually processed: 1200\/1200/.test(stdout), stdout);
  return Number(matched(stdout, /^tps = ([\d.]+)/m));
}

/** What goes in as one big literal comes out the same, and the server counts as many. */
async function roundTrip(use: Use, where: string[]) {
  const line = (i: number) => `row ${i} ${"x".repeat(i % 97)}`;
  const rows = Array.from({ length: 100_000 }, (_, i) => line(i));
  const psql = ["psql", ...where, "-v", "ON_ERROR_STOP=1", "-qAt", "postgres", "-c"];
  const copy = "COPY t FROM STDIN";
  await client(use, [...psql, "DROP TABLE IF EXISTS t; CREATE TABLE t (line text)"]);
  const stdin = new TextEncoder().encode(rows.join("\n") + "\n");
  await client(use, [...psql, copy], { stdin });
  const { stdout } = await client(use, [...psql, "COPY t TO STDOUT"]);
  assertEquals(stdout.trimEnd().split("\n").sort().join("\n"), rows.sort().join("\n"));
}
