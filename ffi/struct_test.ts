import { assertEquals } from "@std/assert";
import { readStruct, sizeOf, structBuffer, writeStruct } from "./struct.ts";

Deno.test("a struct with structs and arrays inside comes back as it was written", () => {
  const listener = {
    group: 7,
    uid: 0xffff_ffff,
    netns: 2n ** 64n - 1n,
    endpoint: {
      address: new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
      port: 65535,
      family: 6,
      scope: 3,
    },
  };
  const buffer = structBuffer("RegistryListener");
  writeStruct("RegistryListener", listener, buffer);
  assertEquals(readStruct("RegistryListener", buffer), listener);
});

Deno.test("numbers are little endian at their offsets", () => {
  const buffer = structBuffer("Header");
  writeStruct("Header", { magic: 0x04030201, type: 0x0605 }, buffer);
  assertEquals([...buffer.slice(0, 8)], [1, 2, 3, 4, 5, 6, 0, 0]);
});

Deno.test("fields that are not given keep what was there", () => {
  const buffer = structBuffer("Unlisten");
  writeStruct("Unlisten", { group: 1, reserved: 2 }, buffer);
  writeStruct("Unlisten", { reserved: 9 }, buffer);
  const { group, reserved } = readStruct("Unlisten", buffer);
  assertEquals([group, reserved], [1, 9]);
});

Deno.test("negative descriptors stay negative", () => {
  const buffer = structBuffer("Peer");
  writeStruct("Peer", { pidfd: -1 }, buffer);
  assertEquals(readStruct("Peer", buffer).pidfd, -1);
});

Deno.test("what was read does not change with the buffer", () => {
  const buffer = structBuffer("Endpoint");
  const endpoint = readStruct("Endpoint", buffer);
  buffer.fill(255);
  assertEquals(endpoint.address[0], 0);
});

Deno.test("a buffer has room for every struct and is aligned", () => {
  assertEquals(structBuffer("EndRecord", 3).length, 3 * sizeOf("EndRecord"));
  assertEquals(structBuffer("Peer").byteOffset, 0);
});
