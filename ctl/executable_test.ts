import { assertEquals, assertStringIncludes } from "@std/assert";
import { checkText } from "./check.ts";
import { type Executable, inspect, verdictOf } from "./executable.ts";

/** An ELF header with, perhaps, a loader's name behind its one program header. */
function elf(machine: number, loader?: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, machine, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, loader === undefined ? 1 : 3, true);
  if (loader !== undefined) {
    view.setBigUint64(72, 120n, true);
    view.setBigUint64(96, BigInt(loader.length + 1), true);
    bytes.set(new TextEncoder().encode(loader), 120);
  }
  return bytes;
}

async function withFiles(
  files: Record<string, string | Uint8Array<ArrayBuffer>>,
  test: (dir: string) => void,
) {
  const dir = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      await Deno.writeFile(`${dir}/${name}`, bytes, { mode: 0o755 });
    }
    test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const facts = (file: string, path?: string) => {
  const { kind, arch, libc } = inspect(file, path)!;
  return [kind, arch, libc];
};

Deno.test("the loader that a program names says its libc, the header its architecture", async () => {
  await withFiles({
    glibc: elf(62, "/lib64/ld-linux-x86-64.so.2"),
    musl: elf(183, "/lib/ld-musl-aarch64.so.1"),
    static: elf(62),
    riscv: elf(243, "/lib/ld-linux-riscv64-lp64d.so.1"),
    text: "just text",
  }, (dir) => {
    assertEquals(facts(`${dir}/glibc`), ["dynamic", "x86_64", "glibc"]);
    assertEquals(facts(`${dir}/musl`), ["dynamic", "aarch64", "musl"]);
    assertEquals(facts(`${dir}/static`), ["static", "x86_64", undefined]);
    assertEquals(facts(`${dir}/riscv`), ["dynamic", undefined, "glibc"]);
    assertEquals(facts(`${dir}/text`), ["unknown", undefined, undefined]);
  });
});

Deno.test("a script is what its interpreter is, also by env and through other scripts", async () => {
  await withFiles({ lang: elf(62, "/lib/ld-musl-x86_64.so.1") }, (dir) => {
    Deno.writeTextFileSync(`${dir}/plain`, `#!${dir}/lang -x\nwork\n`);
    Deno.writeTextFileSync(`${dir}/byenv`, "#! /usr/bin/env -S A=1 lang\nwork\n");
    Deno.writeTextFileSync(`${dir}/twice`, `#!${dir}/plain\n`);
    Deno.writeTextFileSync(`${dir}/circle`, `#!${dir}/circle\n`);
    for (const script of ["plain", "byenv", "twice"]) {
      assertEquals(inspect(`${dir}/${script}`, dir)?.path, `${dir}/lang`, script);
    }
    assertEquals(inspect(`${dir}/circle`), undefined);
    assertEquals(inspect("lang", `/nowhere:${dir}`)?.path, `${dir}/lang`);
    assertEquals(inspect("lang", "/nowhere"), undefined);
  });
});

Deno.test("only dynamically linked programs with their caller's rights are accelerated", () => {
  const fine: Executable = {
    path: "/bin/x",
    kind: "dynamic",
    arch: "x86_64",
    libc: "musl",
    elevated: false,
  };
  assertEquals(verdictOf(fine).canBeAccelerated, true);
  const others: Partial<Executable>[] = [
    { kind: "static" },
    { kind: "unknown" },
    { arch: undefined },
    { libc: undefined },
    { elevated: true },
  ];
  for (const other of others) {
    assertEquals(verdictOf({ ...fine, ...other }).canBeAccelerated, false, JSON.stringify(other));
  }
});

Deno.test("the line of a program that cannot be accelerated says why and what to do", () => {
  const executable: Executable = { path: "/x/go", kind: "static", elevated: false };
  const text = checkText({ program: "go", path: "/x/go", ...verdictOf(executable) });
  assertStringIncludes(text, "no   go (runs '/x/go'): statically linked");
  assertStringIncludes(text, "\n     to do: use a dynamically linked build");
});
