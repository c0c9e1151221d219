import { assertEquals } from "@std/assert";
import { type Send, send } from "./core/model.ts";
import { Outbox, type Outcome } from "./outbox.ts";

function message(payload: number): Send {
  return send(1, { type: "pong", sequence: 0, body: { payload: BigInt(payload) } });
}

/** An outbox over a socket with room for some messages. */
function box() {
  const socket = { room: Infinity, sent: [] as number[] };
  const outbox: Outbox = new Outbox(({ reply }): Outcome => {
    if (socket.room === 0) return "full";
    socket.room -= 1;
    if (reply.type === "pong") socket.sent.push(Number(reply.body.payload));
    return "sent";
  });
  return { socket, outbox };
}

Deno.test("messages go out at once while there is room", () => {
  const { socket, outbox } = box();
  outbox.push(message(1));
  outbox.push(message(2));
  assertEquals(socket.sent, [1, 2]);
  assertEquals(outbox.length, 0);
});

Deno.test("messages wait in order when the socket is full", () => {
  const { socket, outbox } = box();
  socket.room = 1;
  for (const payload of [1, 2, 3]) outbox.push(message(payload));
  socket.room = 1;
  outbox.push(message(4));
  assertEquals(socket.sent, [1]);
  outbox.flush();
  assertEquals(socket.sent, [1, 2]);
  socket.room = Infinity;
  outbox.flush();
  assertEquals(socket.sent, [1, 2, 3, 4]);
});

Deno.test("a message that can not be sent does not hold up the next", () => {
  const tried: string[] = [];
  const outbox = new Outbox(({ reply }) => {
    tried.push(reply.type);
    return "discarded";
  });
  outbox.push(message(1));
  outbox.push(message(2));
  assertEquals(tried.length, 2);
  assertEquals(outbox.length, 0);
});

Deno.test("what sending pushes goes out after what waited before", () => {
  const order: number[] = [];
  const outbox: Outbox = new Outbox(({ reply }): Outcome => {
    if (reply.type !== "pong") return "discarded";
    order.push(Number(reply.body.payload));
    if (reply.body.payload === 1n) outbox.push(message(2));
    return "sent";
  });
  outbox.push(message(1));
  assertEquals(order, [1, 2]);
});

Deno.test("draining returns what was not sent", () => {
  const { socket, outbox } = box();
  socket.room = 0;
  outbox.push(message(1));
  assertEquals(outbox.drain().length, 1);
  assertEquals(outbox.length, 0);
});
