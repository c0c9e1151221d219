/** `version`: of SocksDirect and of the tools it is built and run with. */

import type { Call } from "./cli.ts";
import { installedZig, root } from "./paths.ts";
import { fields } from "./table.ts";

export async function run(call: Call): Promise<number> {
  const versions = {
    socksdirect: projectVersion(),
    deno: Deno.version.deno,
    zig: await zigVersion(),
  };
  if (call.flags.has("json")) console.log(JSON.stringify(versions, null, 2));
  else console.log(fields(Object.entries(versions)));
  return 0;
}

/** build.zig.zon is where the version is written. */
export function projectVersion(): string {
  const text = Deno.readTextFileSync(`${root}/zig/build.zig.zon`);
  return text.match(/\.version = "([^"]+)"/)?.[1] ?? "unknown";
}

export async function zigVersion(): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(installedZig, { args: ["version"] }).output();
    return new TextDecoder().decode(stdout).trim();
  } catch {
    return "not installed";
  }
}
