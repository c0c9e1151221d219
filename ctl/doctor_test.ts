import { assertEquals, assertStringIncludes } from "@std/assert";
import { doctorText } from "./doctor.ts";
import {
  type Check,
  cpus,
  kernelVersion,
  libcVersion,
  limitChecks,
  memoryCgroup,
} from "./doctor_checks.ts";
import { ctl } from "./fake_monitor.ts";
import { Kernel } from "./kernel.ts";

const limits = (openFiles: string, addressSpace: string) =>
  `Limit                     Soft Limit           Hard Limit           Units
Max open files            ${openFiles.padEnd(20)} 524288               files
Max address space         ${addressSpace.padEnd(20)} unlimited            bytes
`;

Deno.test("the kernel floor is 5.15, compared as numbers", () => {
  for (const release of ["5.15.0-91-generic", "5.15", "6.1.0", "10.0"]) {
    assertEquals(kernelVersion(release).level, "ok", release);
  }
  for (const release of ["5.9.1", "4.19", "5.14.21"]) {
    assertEquals(kernelVersion(release).level, "fail", release);
  }
});

Deno.test("the libc floor is glibc 2.31", () => {
  assertEquals(libcVersion("2.31").level, "ok");
  assertEquals(libcVersion("2.4").level, "fail");
  assertEquals(libcVersion(undefined).level, "warn");
  assertEquals(libcVersion(undefined, "7f00-7f01 r-xp /lib/ld-musl-x86_64.so.1").level, "ok");
});

Deno.test("few open files or a bounded address space are worth a look", () => {
  const levels = (text: string) => limitChecks(text).map(({ level }) => level);
  assertEquals(levels(limits("1024", "unlimited")), ["ok", "ok"]);
  assertEquals(levels(limits("256", "1073741824")), ["warn", "warn"]);
  assertStringIncludes(limitChecks(limits("256", "1073741824"))[1].detail, "1.00 GiB");
});

Deno.test("one cpu means no spinning, and doctor says so", () => {
  assertStringIncludes(cpus(1).detail, "spinning is off");
  assertEquals(cpus(2).level, "ok");
});

Deno.test("a small memory cgroup is worth a look", () => {
  assertEquals(memoryCgroup(Infinity).level, "ok");
  assertEquals(memoryCgroup(256 * 1024 ** 2).level, "warn");
});

Deno.test("each check that is not ok says what to do, and the last line sums up", () => {
  const checks: Check[] = [
    { name: "a", level: "ok", detail: "fine" },
    { name: "bb", level: "fail", detail: "broken", todo: "mend it" },
  ];
  const text = doctorText(checks);
  assertStringIncludes(text, "fail  bb  broken\n          to do: mend it");
  assertStringIncludes(text, "not fit: 1 failed");
  assertEquals(doctorText(checks.slice(0, 1)).split("\n").at(-1), "fit");
});

Deno.test("this kernel has what the tests themselves need, and the probes leave no fd open", () => {
  const openFds = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = openFds();
  using kernel = new Kernel();
  assertEquals(kernel.pidfd(), undefined);
  assertEquals(kernel.memfdSeals(), undefined);
  assertEquals(kernel.netnsCookie(), undefined);
  assertEquals(kernel.eventfd(), undefined);
  assertEquals(kernel.seqpacketPair(), undefined);
  assertEquals(kernel.sockDiag(), undefined);
  assertEquals(openFds(), before);
});

Deno.test("doctor looks at everything that it promises", async () => {
  const { stdout } = await ctl("doctor", "--json", "--control-socket", "/nowhere/c.sock");
  const checks: Check[] = JSON.parse(stdout);
  const names = checks.map(({ name }) => name);
  for (
    const name of [
      "kernel",
      "pidfd",
      "memfd seals",
      "SO_NETNS_COOKIE",
      "rseq",
      "membarrier",
      "cpus",
    ]
  ) assertEquals(names.includes(name), true, name);
  assertEquals(checks.find(({ name }) => name === "monitor")?.level, "warn");
  for (const { name, level, todo } of checks) {
    assertEquals(todo !== undefined, level !== "ok", name);
  }
});
