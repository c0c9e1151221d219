/** The version, from the one place that has it. */

import config from "../deno.json" with { type: "json" };

export const version: string = config.version;
