import { assertEquals, assertThrows } from "@std/assert";
import { constants, structs } from "../ffi/layout.gen.ts";
import { decodeReply, decodeRequest, encode, GarbageError, type Request } from "./protocol.ts";

const connect: Request = { type: "connect", sequence: 9, body: { group: 3, slots_wanted: 128 } };

Deno.test("a request survives the way to the monitor", () => {
  assertEquals(decodeRequest(encode(connect)), connect);
});

Deno.test("an answer survives the way to a library", () => {
  const reply = {
    type: "welcome" as const,
    sequence: 1,
    body: { abi_version: 1, process_index: 7, generation: 2n ** 63n, registry_bytes: 5n },
  };
  assertEquals(decodeReply(encode(reply)), reply);
});

Deno.test("every kind of garbage is refused with what is wrong", () => {
  const good = encode(connect);
  const changed = (at: number, byte: number) => {
    const bytes = good.slice();
    bytes[at] = byte;
    return bytes;
  };
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "0 bytes"],
    [good.slice(0, 15), "15 bytes"],
    [changed(0, 0), "magic"],
    [changed(structs.Header.fields.type.offset, 99), "type is 99"],
    [changed(structs.Header.fields.size.offset, 1), "says that it has 1"],
    [good.slice(0, 20), "says that it has 24"],
    [withSize(good.slice(0, 20), 20), "connect has 20 bytes, not 24"],
  ];
  for (const [bytes, part] of cases) {
    assertThrows(() => decodeRequest(bytes), GarbageError, part);
  }
});

Deno.test("an answer is no request", () => {
  const pong = encode({ type: "refused", sequence: 0, body: { group: 1, reason: 2 } });
  assertThrows(() => decodeRequest(pong), GarbageError, "type is");
});

Deno.test("random packets are garbage or requests, and nothing else", () => {
  for (let i = 0; i < 2000; i++) {
    const bytes = crypto.getRandomValues(new Uint8Array(i % constants.messageBytesMax));
    if (bytes.length >= 16 && i % 2 === 0) bytes.set(encode(connect).slice(0, 6));
    try {
      decodeRequest(bytes);
    } catch (error) {
      if (!(error instanceof GarbageError)) throw error;
    }
  }
});

function withSize(bytes: Uint8Array, size: number): Uint8Array {
  bytes[structs.Header.fields.size.offset] = size;
  return bytes;
}
