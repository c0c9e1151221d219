/**
 * Every command of ctl. Modules are loaded on use, so that `status` does not pay for `demo`.
 */

import { type CommandSpec, jsonOption, type OptionSpec, socketOption } from "./cli.ts";

const listing: readonly OptionSpec[] = [jsonOption, socketOption];
const shells = ["bash", "zsh", "fish"] as const;

export const commands: readonly CommandSpec[] = [
  {
    name: "run",
    summary: "run a program with SocksDirect",
    operands: "-- PROGRAM [ARG...]",
    operandCount: [1, Infinity],
    stopAtOperand: true,
    options: [socketOption],
    detail: `
Becomes PROGRAM, with libsd.so in LD_PRELOAD (after what is there already) and
SOCKSDIRECT_CTL_SOCKET set: pid, terminal, signals and exit code are the program's own. A monitor
is started if none answers; if that fails too, PROGRAM runs over kernel TCP.`,
    examples: [
      "socksdirect run -- redis-server --port 7000",
      "socksdirect run -- redis-benchmark -p 7000 -q",
      "socksdirect run --control-socket /tmp/mine.sock -- python3 server.py",
    ],
    load: () => import("./run.ts"),
  },
  {
    name: "env",
    summary: "print the exports that run would set",
    options: [socketOption],
    detail: "Starts a monitor if none answers, and says so on stderr.",
    examples: ['eval "$(socksdirect env)"; redis-server --port 7000'],
    load: () => import("./env.ts"),
  },
  {
    name: "monitor",
    summary: "run the monitor (in the foreground, unless told otherwise)",
    options: [
      socketOption,
      {
        name: "log-level",
        value: "LEVEL",
        choices: ["error", "warn", "info", "debug"],
        summary: "how much it says on stderr",
      },
      { name: "foreground", summary: "stay in the foreground (the default)" },
      { name: "detach", summary: "start one in the background unless one answers already" },
      { name: "stop", summary: "ask the one that runs to end" },
      { name: "quiet", summary: "with --detach: say nothing about success" },
    ],
    detail: `
A monitor serves a host (root's: /run/socksdirect/control.sock) or one user
($XDG_RUNTIME_DIR/socksdirect/control.sock, else /tmp/socksdirect-UID/control.sock). Every command
talks to the one of --control-socket, else of SOCKSDIRECT_CTL_SOCKET, else to the system-wide one if
it runs, else to the user's own. A detached one writes its log to CONTROL-SOCKET.log.`,
    examples: ["socksdirect monitor", "socksdirect monitor --detach", "socksdirect monitor --stop"],
    load: () => import("./monitor.ts"),
  },
  {
    name: "status",
    summary: "the monitor: pid, uptime, how much it serves",
    options: listing,
    examples: ["socksdirect status", "socksdirect status --json"],
    load: () => import("./status.ts"),
  },
  {
    name: "processes",
    summary: "the processes that registered",
    options: listing,
    examples: ["socksdirect processes"],
    load: () => import("./processes.ts"),
  },
  {
    name: "connections",
    summary: "each connection: both ends, carriers, bytes, and why not on a ring",
    options: [
      ...listing,
      { name: "pid", value: "PID", summary: "only those with an end in this process" },
    ],
    detail: `
Each direction shows what went by ring and what by kernel TCP as bytes (messages); '>' marks the
carrier that it is on now.`,
    examples: ["socksdirect connections", "socksdirect connections --pid 4711 --json"],
    load: () => import("./connections.ts"),
  },
  {
    name: "explain",
    summary: "why the connections of a process are, or are not, on a ring, and what to do",
    operands: "PID[:FD]",
    operandCount: [1, 1],
    options: listing,
    examples: ["socksdirect explain 4711", "socksdirect explain 4711:12"],
    load: () => import("./explain.ts"),
  },
  {
    name: "metrics",
    summary: "the monitor's metrics, as Prometheus text",
    options: listing,
    examples: ["socksdirect metrics", "socksdirect metrics --json"],
    load: () => import("./metrics.ts"),
  },
  {
    name: "ping",
    summary: "whether the monitor answers, and how fast",
    options: listing,
    examples: ["socksdirect ping"],
    load: () => import("./ping.ts"),
  },
  {
    name: "drain",
    summary: "stop, or allow again, new connections on rings",
    operands: "[on|off]",
    operandCount: [0, 1],
    operandChoices: ["on", "off"],
    options: listing,
    detail: "Running connections go on; new ones stay on kernel TCP while draining is on.",
    examples: ["socksdirect drain", "socksdirect drain off"],
    load: () => import("./drain.ts"),
  },
  {
    name: "check",
    summary: "whether a program can be accelerated, before it is started",
    operands: "PROGRAM...",
    operandCount: [1, Infinity],
    options: [jsonOption],
    detail: `
Looks at the file (of a script: at its interpreter): statically linked and setuid programs do not
load libraries and stay on kernel TCP. Exit code 1 unless every PROGRAM can be accelerated.`,
    examples: ["socksdirect check redis-server ./my-server"],
    load: () => import("./check.ts"),
  },
  {
    name: "doctor",
    summary: "whether this machine is fit, and what to do where it is not",
    options: listing,
    examples: ["socksdirect doctor"],
    load: () => import("./doctor.ts"),
  },
  {
    name: "demo",
    summary: "kernel TCP and SocksDirect side by side, for real programs",
    options: [
      jsonOption,
      { name: "runs", value: "N", summary: "runs of each kind (5); the table shows medians" },
      { name: "quick", summary: "one short run of each kind: a look, not a measurement" },
    ],
    detail: "Uses a monitor of its own; yours, if one runs, is not disturbed.",
    examples: ["socksdirect demo", "socksdirect demo --runs 9 --json"],
    load: () => import("./demo.ts"),
  },
  {
    name: "test",
    summary: "run every test: Zig, interleavings, format, lint, types, Deno, real programs",
    operands: "[SUITE...]",
    operandCount: [0, Infinity],
    options: [
      { name: "full", summary: "suites, apps and random: also what takes too long for every day" },
      { name: "runs", value: "N", summary: "random: so many runs, each from a seed of its own" },
      { name: "steps", value: "N", summary: "random: steps of each run" },
      { name: "seed", value: "N", summary: "random: the first run's seed; the others follow" },
    ],
    detail: `
Without SUITE: all of them. The last line is 'N passed, N failed', with ', N skipped' behind it
when tests were skipped.`,
    examples: [
      "socksdirect test",
      "socksdirect test zig interleave",
      "socksdirect test apps --full",
      "socksdirect test random --runs 5 --steps 10000 --seed 7",
    ],
    load: () => import("./suites.ts"),
  },
  {
    name: "build",
    summary: "build the native code (which happens by itself when a source has changed)",
    options: [{ name: "all", summary: "for every supported architecture and libc" }],
    examples: ["socksdirect build --all"],
    load: () => import("./build.ts"),
  },
  {
    name: "bench",
    summary: "measure against the figures that the project promises",
    operands: "[ARG...]",
    operandCount: [0, Infinity],
    passThrough: true,
    detail:
      "Everything behind 'bench' goes to reproduce/bench.ts; docs/BENCHMARKING.md has it all.",
    examples: ["socksdirect bench --quick", "socksdirect bench --gate"],
    load: () => import("./bench.ts"),
  },
  {
    name: "completion",
    summary: "print the completion script for a shell",
    operands: "bash|zsh|fish",
    operandCount: [1, 1],
    operandChoices: shells,
    examples: [
      'eval "$(socksdirect completion bash)"',
      "socksdirect completion fish > ~/.config/fish/completions/socksdirect.fish",
    ],
    load: () => import("./completion.ts"),
  },
  {
    name: "version",
    summary: "print the versions of SocksDirect, Deno and Zig",
    options: [jsonOption],
    examples: ["socksdirect version"],
    load: () => import("./version.ts"),
  },
  {
    name: "help",
    summary: "show every command, or one in detail",
    operands: "[COMMAND]",
    operandCount: [0, 1],
    examples: ["socksdirect help run"],
    load: () => import("./help.ts"),
  },
];

export const commandNames: readonly string[] = commands.map((spec) => spec.name);
