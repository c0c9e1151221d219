/** Addresses as people write them, from the 16 bytes that shared memory has. */

import type { Endpoint } from "../ffi/registry.ts";

export function formatAddress(endpoint: Endpoint): string {
  const { address: bytes, family } = endpoint;
  if (family !== 4 && !isMapped(bytes)) return formatIpv6(bytes);
  return `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
}

function isMapped(address: Uint8Array): boolean {
  const isPrefix = (byte: number, i: number) => i >= 12 || byte === (i < 10 ? 0 : 0xff);
  return address.every(isPrefix);
}

/** RFC 5952: lower case, no leading zeros, the first longest run of zero groups left out. */
function formatIpv6(address: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => address[2 * i] << 8 | address[2 * i + 1]);
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(":");
  const before = hex.slice(0, run.start).join(":");
  const after = hex.slice(run.start + run.length).join(":");
  return `${before}::${after}`;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, i) => {
    if (group !== 0) start = i + 1;
    else if (i + 1 - start > best.length) best = { start, length: i + 1 - start };
  });
  return best;
}
