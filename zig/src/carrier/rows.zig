//! Ready rows: how one epoll instance waits for thousands of rings at a cost that grows with what
//! is ready. A row is a bitmap with a bit for each slot of an arena, and a sleeping word.
//!
//!   waiter:    sleeping = me | full barrier | look at the bits        | sleep in the kernel
//!   publisher: head | full barrier (notify) | set the bit | full barrier | look at sleeping, ring
//!
//! The waiter takes bits by exchange and then looks at those rings; a bit set again later is seen
//! at the next exchange. A bit says "look", nothing more: a peer's false bit costs one look.

const layout = @import("../layout.zig");
const wake = @import("wake.zig");

pub fn Rows(comptime Env: type) type {
    return struct {
        /// Publisher: marks `slot` in the row and rings its owner if it sleeps. `rung` remembers
        /// the sleep that has been rung already.
        pub fn markReady(row: *layout.Row, bits: [*]u64, slot: u32, rung: *u64, bells: anytype) void {
            const word = &bits[slot / 64];
            const bit = @as(u64, 1) << @truncate(slot);
            // A bit that is still set will be exchanged after our head became visible.
            if (Env.load(.relaxed, word) & bit == 0) {
                _ = Env.bitOr(word, bit);
                Env.fence(); // the bit before the look at `sleeping`; pairs with sleepBegin
            }
            const sleeping = Env.load(.acquire_or_release, &row.sleeping);
            if (sleeping == 0 or sleeping == rung.*) return;
            bells.ring(wake.Attention.from(sleeping));
            rung.* = sleeping;
        }

        /// Waiter: from here on publishers ring. Look at the bits again before sleeping.
        pub fn sleepBegin(row: *layout.Row, value: u64) void {
            Env.store(.relaxed, &row.sleeping, value);
            if (!Env.faults.no_consumer_fence) Env.fence(); // pairs with markReady
        }

        pub fn sleepEnd(row: *layout.Row) void {
            Env.store(.acquire_or_release, &row.sleeping, 0);
        }

        pub fn anyReady(bits: []const u64) bool {
            for (bits) |*word| if (Env.load(.relaxed, word) != 0) return true;
            return false;
        }

        /// Waiter: takes the bits of one word; then looks at those rings (acquire of their head).
        pub fn take(word: *u64) u64 {
            if (Env.load(.relaxed, word) == 0) return 0;
            return Env.exchange(word, 0);
        }
    };
}
