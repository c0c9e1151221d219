/** `metrics`: the monitor's Prometheus text as it is, or its samples as JSON. */

import type { Call } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { controlSocket } from "./socket.ts";

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number | string;
}

export async function run(call: Call): Promise<number> {
  using client = new MonitorClient(controlSocket(call));
  const text = await client.text("/metrics");
  if (call.flags.has("json")) console.log(JSON.stringify(samplesOf(text), null, 2));
  else console.log(text.trimEnd());
  return 0;
}

/** Samples of the text format; NaN and infinities stay words, which JSON numbers cannot be. */
export function samplesOf(text: string): Sample[] {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
    const [, name, labelText, valueText] = line.match(/^([^\s{]+)(?:\{(.*)\})?\s+(\S+)/) ??
      [line, line, "", "NaN"];
    const value = Number(valueText);
    return { name, labels: labelsOf(labelText ?? ""), value: isFinite(value) ? value : valueText };
  });
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(/([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name] = value.replace(/\\(.)/g, (_, escaped) => escaped === "n" ? "\n" : escaped);
  }
  return labels;
}
