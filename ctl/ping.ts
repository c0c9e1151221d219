/** `ping`. */

import type { Call } from "./cli.ts";
import { MonitorClient } from "./client.ts";
import { controlSocket } from "./socket.ts";

export async function run(call: Call): Promise<number> {
  const socket = controlSocket(call);
  using client = new MonitorClient(socket);
  const start = performance.now();
  await client.post("/v1/ping");
  const milliseconds = Number((performance.now() - start).toFixed(2));
  if (call.flags.has("json")) {
    console.log(JSON.stringify({ ok: true, control_socket: socket, milliseconds }));
  } else {
    console.log(`pong from '${socket}' in ${milliseconds} ms`);
  }
  return 0;
}
