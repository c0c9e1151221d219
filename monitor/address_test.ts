import { assertEquals } from "@std/assert";
import { formatAddress } from "./address.ts";

function format(groups: string, family: number): string {
  const bytes = groups.split(" ").flatMap((group) => {
    const number = parseInt(group, 16);
    return [number >> 8, number & 255];
  });
  return formatAddress({ address: new Uint8Array(bytes), family, port: 0, scope: 0 });
}

Deno.test("IPv4 is written in dots, however it is stored", () => {
  assertEquals(format("0 0 0 0 0 ffff 7f00 1", 4), "127.0.0.1");
  assertEquals(format("0 0 0 0 0 ffff a00 2", 6), "10.0.0.2");
  assertEquals(format("0 0 0 0 0 0 0 0", 4), "0.0.0.0");
});

Deno.test("IPv6 leaves out the first longest run of zeros", () => {
  assertEquals(format("0 0 0 0 0 0 0 0", 6), "::");
  assertEquals(format("0 0 0 0 0 0 0 1", 6), "::1");
  assertEquals(format("fe80 0 0 0 0 0 0 0", 6), "fe80::");
  assertEquals(format("2001 db8 0 0 1 0 0 1", 6), "2001:db8::1:0:0:1");
  assertEquals(format("1 0 2 3 4 5 6 7", 6), "1:0:2:3:4:5:6:7");
});
