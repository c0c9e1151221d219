/**
 * Python packages of the matrix, installed from PyPI into a virtual environment of the tests' own
 * (.toolchain/python-apps), once.
 */

import { root } from "../harness/files.ts";
import { python } from "../harness.ts";

const packages = ["aiohttp==3.14.5", "uvloop==0.23.0", "grpcio==1.85.3"];

const folder = `${root}/.toolchain/python-apps`;
const stamp = `${folder}/installed`;

/** Its interpreter; whether it can be had, `obstacleOf` says. */
export const packagedPython = `${folder}/bin/python`;

/** Why that package cannot be used here, or undefined. */
export async function obstacleOf(name: string): Promise<string | undefined> {
  if (python === undefined) return "python3 not installed";
  const failure = await installing();
  if (await succeeds(packagedPython, "-c", `import ${name}`)) return undefined;
  return failure ?? `Python package ${name} does not work here`;
}

let once: Promise<string | undefined> | undefined;

function installing(): Promise<string | undefined> {
  return once ??= install();
}

async function install(): Promise<string | undefined> {
  if (readOrEmpty(stamp) === packages.join("\n")) return undefined;
  if (!await succeeds(python!, "-m", "venv", folder)) return "python3 cannot make a venv";
  const missing = [];
  // One at a time: a package that is not to be had costs its own tests only.
  for (const each of packages) {
    if (!await succeeds(packagedPython, "-m", "pip", "install", "--quiet", each)) {
      missing.push(each);
    }
  }
  if (missing.length > 0) return `pip cannot install ${missing.join(", ")}`;
  await Deno.writeTextFile(stamp, packages.join("\n"));
  return undefined;
}

async function succeeds(program: string, ...args: string[]): Promise<boolean> {
  try {
    const options = { args, stdin: "null", stdout: "null", stderr: "null" } as const;
    return (await new Deno.Command(program, options).output()).success;
  } catch {
    return false;
  }
}

function readOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
