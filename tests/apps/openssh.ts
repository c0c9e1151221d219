import { assertEquals } from "@std/assert";
import { assertSameBytes, noise, waitForPort } from "../harness.ts";
import { type Application, client, type Use } from "./application.ts";

export const openssh: Application = {
  name: "openssh",
  programs: ["sshd", "ssh", "ssh-keygen"],
  version: ["ssh", "-V"],
  does: "5 MB there and back through cat; sshd re-executes itself for each connection",
  // The re-executed sshd inherits the connection by exec, and then passes it to a child.
  share: {
    orReasons: [
      "exec",
      "stdio",
      "fd_passed",
      "undecided",
      "shared_by_fork",
      "not_adopted",
      "no_listener",
      "peer_closed",
      "arena_pending",
      "offered",
    ],
    atLeast: 0,
  },
  obstacle: () => Promise.resolve(Deno.uid() === 0 ? undefined : "sshd wants to be root"),
  async start({ lab, port, server: preload }) {
    await Deno.mkdir("/run/sshd", { recursive: true });
    await Deno.mkdir(lab.path("ssh"), { recursive: true });
    await Deno.chmod(lab.dir, 0o755);
    for (const name of ["host", "user"]) {
      const key = lab.path(`ssh/${name}`);
      try {
        Deno.statSync(key);
      } catch {
        await lab.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
      }
    }
    await Deno.copyFile(lab.path("ssh/user.pub"), lab.path("ssh/authorized"));
    await Deno.writeTextFile(
      lab.path("ssh/config"),
      [
        `ListenAddress 127.0.0.1:${port}`,
        `HostKey ${lab.path("ssh/host")}`,
        `AuthorizedKeysFile ${lab.path("ssh/authorized")}`,
        "PermitRootLogin yes",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
      ].join("\n"),
    );
    const words = ["/usr/sbin/sshd", "-D", "-e", "-f", lab.path("ssh/config")];
    const server = lab.start(words, { preload });
    await waitForPort(port, server);
    return server;
  },
  async work(use) {
    const payload = noise(5_000_000, 3);
    const echoed = await client(use, sshWords(use, "cat"), { stdin: payload });
    assertSameBytes(echoed.stdoutBytes, payload, "what came back");
    const { stdout } = await client(use, sshWords(use, "echo done"));
    assertEquals(stdout, "done\n");
  },
};

function sshWords({ lab, port }: Use, command: string): string[] {
  const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"];
  return [
    ...["ssh", "-q", "-F", "/dev/null", "-i", lab.path("ssh/user"), "-p", `${port}`],
    ...options.flatMap((option) => ["-o", option]),
    ...["root@127.0.0.1", command],
  ];
}
