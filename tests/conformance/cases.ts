/** The cases that sdconform knows, and how they are named in all that is said about them. */

import { root } from "../harness.ts";

export const program = `${root}/zig/zig-out/bin/sdconform`;

export interface Case {
  topic: string;
  name: string;
  summary: string;
  /** What carries its bytes when both ends are preloaded (zig/conformance/case.zig). */
  carrier: "ring" | "tcp" | "either";
  /** Reason codes that may (with "tcp": must) explain bytes that went by TCP. */
  reasons: string[];
  /** Why its transcript is not the kernel's, if so. */
  differs: string | null;
}

export const pathOf = ({ topic, name }: Case) => `${topic}/${name}`;

export function listCases(): Case[] {
  const { code, stdout } = new Deno.Command(program, { args: ["list"] }).outputSync();
  if (code !== 0) throw new Error(`'${program} list' ended with ${code}; is it built?`);
  return JSON.parse(new TextDecoder().decode(stdout));
}
