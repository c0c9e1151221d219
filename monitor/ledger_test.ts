import { assertEquals } from "@std/assert";
import { NativeError } from "../ffi/error.ts";
import { deadListed, Ledger, noTotals } from "./ledger.ts";

/** A ledger over tables that are numbers: table `fd` has sent `sent[fd]` bytes by ring. */
function setUp() {
  const sent: Record<number, bigint> = {};
  const open = new Set<number>();
  const parents = new Set<number>();
  const ledger = new Ledger({
    readTotals: (fd) => {
      if (!open.has(fd)) throw new NativeError("read", "EBADF");
      return { ...noTotals(), tx: { ...noTotals().tx, ring_bytes: sent[fd] } };
    },
    close: (fd) => open.delete(fd),
    hasChildren: (ownPid) => parents.has(ownPid),
  });
  const retire = (pid: number, bytes: bigint) => {
    open.add(pid);
    sent[pid] = bytes;
    ledger.retire({ pid, program: `p${pid}`, ownPid: pid, tableFd: pid });
  };
  return { ledger, retire, sent, open, parents };
}

Deno.test("a dead process keeps its totals", () => {
  const { ledger, retire } = setUp();
  retire(1, 10n);
  retire(2, 5n);
  assertEquals(ledger.sum().tx.ring_bytes, 15n);
  assertEquals(ledger.dead().map(({ pid, totals }) => [pid, totals.tx.ring_bytes]), [
    [1, 10n],
    [2, 5n],
  ]);
});

Deno.test("a process without a table counts as nothing", () => {
  const { ledger } = setUp();
  ledger.retire({ pid: 1, program: "p", ownPid: 1, tableFd: -1 });
  assertEquals(ledger.sum().tx.ring_bytes, 0n);
  assertEquals(ledger.dead().length, 1);
});

Deno.test("what a forked child counts later in its dead parent's table is seen", () => {
  const { ledger, retire, sent } = setUp();
  retire(1, 10n);
  sent[1] = 25n;
  assertEquals(ledger.sum().tx.ring_bytes, 25n);
});

Deno.test("only the newest tables stay open, and the others keep what they had last", () => {
  const { ledger, retire, sent, open } = setUp();
  for (let pid = 1; pid <= 40; pid++) retire(pid, 1n);
  assertEquals(open.size, 32);
  sent[1] = 99n;
  assertEquals(ledger.sum().tx.ring_bytes, 40n);
});

Deno.test("a table whose owner has live children stays open, within limits", () => {
  const { retire, open, parents } = setUp();
  for (let pid = 1; pid <= 3; pid++) parents.add(pid);
  for (let pid = 1; pid <= 60; pid++) retire(pid, 1n);
  assertEquals([1, 2, 3, 4].map((pid) => open.has(pid)), [true, true, true, false]);
  for (let pid = 61; pid <= 400; pid++) {
    parents.add(pid);
    retire(pid, 1n);
  }
  assertEquals(open.size <= 128, true);
});

Deno.test("the list is bounded, the sum is not", () => {
  const { ledger, retire } = setUp();
  for (let pid = 1; pid <= deadListed + 50; pid++) retire(pid, 1n);
  assertEquals(ledger.dead().length, deadListed);
  assertEquals(ledger.dead()[0].pid, 51);
  assertEquals(ledger.sum().tx.ring_bytes, BigInt(deadListed + 50));
});

Deno.test("closing closes every table", () => {
  const { ledger, retire, open } = setUp();
  retire(1, 1n);
  ledger.close();
  assertEquals(open.size, 0);
});
