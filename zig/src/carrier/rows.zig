//! Ready rows: how one epoll instance waits for thousands of rings at a cost that grows with what
//! is ready. A row is a bitmap with a bit for each slot of an arena, a summary with a bit for each
//! of the bitmap's words, and a sleeping word.
//!
//!   publisher: head | full barrier (notify) | bit | full barrier | summary | full barrier | sleeping
//!   taker:     summary = 0 | full barrier | its words = 0 | full barrier | look at those rings
//!   sleeper:   sleeping = me | full barrier | summary | sleep in the kernel
//!
//! A publisher that finds a bit set leaves it alone, and has not done yet: who set it may not have
//! come to the summary, and may never (killed). So it goes on to the summary; that one set too, it
//! looks at `sleeping`.
//!
//! Why no wake-up is lost. (1) A bit that a publisher found set is taken later than its head became
//! visible (head | barrier | bit against bit | barrier | head), so the taker sees these bytes. (2) A
//! summary bit that it found set is taken, or was taken by somebody who has not come to that word
//! yet (bit | barrier | summary against summary | barrier | bit): either way the bit is. (3) One that
//! it set itself stays until it is taken. (4) A sleeper either sees the summary bit or is seen
//! asleep; a summary bit found set was set for it too, or it is awake and taking.
//!
//! A bit says "look", nothing more: a peer's false bit costs one look.

const layout = @import("../layout.zig");
const wake = @import("wake.zig");

pub fn Rows(comptime Env: type) type {
    return struct {
        /// Publisher: marks `slot` in the row and rings its owner if it sleeps. `rung` remembers
        /// the sleep that has been rung already.
        pub fn markReady(row: *layout.Row, bits: [*]u64, slot: u32, rung: *u64, bells: anytype) void {
            const index = slot / 64;
            const summary = &row.summary[index / 64];
            Env.prefetchWrite(summary);
            Env.prefetchWrite(&bits[index]);
            if (Env.faults.summary_before_bit) _ = setBit(summary, index);
            const was_marked = !setBit(&bits[index], slot);
            if (was_marked and Env.faults.bit_without_summary) return;
            Env.hint(&row.hint, slot);
            if (!Env.faults.summary_before_bit) _ = setBit(summary, index);
            const sleeping = Env.load(.acquire_or_release, &row.sleeping);
            if (sleeping == 0 or sleeping == rung.*) return;
            bells.ring(wake.Attention.from(sleeping));
            rung.* = sleeping;
        }

        /// False: it was set already. True: ends with a full barrier (`taker` and `sleeper`, above).
        inline fn setBit(word: *u64, number: u32) bool {
            const bit = @as(u64, 1) << @truncate(number);
            if (Env.load(.relaxed, word) & bit != 0) return false;
            _ = Env.bitOr(word, bit);
            if (!Env.faults.no_mark_fence) Env.fenceAfterRmw();
            return true;
        }

        /// Owner: from here on publishers ring. Look at `anyReady` again before sleeping.
        pub fn sleepBegin(row: *layout.Row, value: u64) void {
            Env.store(.relaxed, &row.sleeping, value);
            if (!Env.faults.no_consumer_fence) Env.fence(); // pairs with markReady
        }

        pub fn sleepEnd(row: *layout.Row) void {
            Env.store(.acquire_or_release, &row.sleeping, 0);
        }

        pub inline fn anyReady(row: *const layout.Row, bits: []const u64) bool {
            for (row.summary[0..summaryWords(bits)]) |*word| {
                if (Env.load(.relaxed, word) != 0) return true;
            }
            return false;
        }

        /// Owner: takes every mark; `taker.marked(slot)` for each, which looks at that ring.
        /// `taker.expect(slot)` may bring its lines into the cache before: the way of the marks' own
        /// lines, from the publisher's cache to ours, is long enough for that.
        pub inline fn take(row: *layout.Row, bits: []u64, taker: anytype) void {
            for (row.summary[0..summaryWords(bits)], 0..) |*summary, i| {
                const seen = Env.load(.relaxed, summary);
                if (seen == 0) continue;
                const first = i * 64 + @ctz(seen);
                if (first < bits.len) Env.prefetchWrite(&bits[first]);
                taker.expect(Env.hinted(&row.hint));
                var words = takeWord(summary);
                while (words != 0) : (words &= words - 1) {
                    const index = i * 64 + @ctz(words);
                    if (index >= bits.len) break; // a peer's nonsense
                    var marks = takeWord(&bits[index]);
                    while (marks != 0) : (marks &= marks - 1) {
                        taker.marked(@as(u32, @intCast(index * 64 + @ctz(marks))));
                    }
                }
            }
        }

        inline fn takeWord(word: *u64) u64 {
            const taken = Env.exchange(word, 0);
            if (!Env.faults.no_take_fence) Env.fenceAfterRmw(); // pairs with markReady
            return taken;
        }

        inline fn summaryWords(bits: []const u64) usize {
            return (bits.len + 63) / 64;
        }
    };
}
