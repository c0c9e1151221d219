//! Ready rows: how one epoll instance waits for thousands of rings at a cost that grows with what
//! is ready. A row is a bitmap with a bit for each slot of an arena, a summary with a bit for each
//! of the bitmap's words, and a sleeping word.
//!
//!   publisher: head | full barrier (notify) | bit | full barrier | summary | full barrier | sleeping
//!   taker:     summary = 0 | full barrier | its words = 0 | full barrier | look at those rings
//!   sleeper:   sleeping = me | full barrier | summary | sleep in the kernel
//!
//! A bit and its summary are two cache lines that go over and come back by atomic operations. So the
//! line of the summary also has room for one mark that needs neither, the direct one:
//!
//!   publisher: head | full barrier | taken = direct's count? | direct = count + 1, slot | full
//!              barrier | sleeping
//!   taker:     direct's count = taken? no: taken = count | look at that ring
//!
//! While the last direct mark has not been taken, or when another publisher is quicker, it is the
//! bit's turn. That is also so for the same slot once more: nobody leaves a direct mark alone because
//! it is there already. Hence the taker needs no barrier: a publisher either sees that its last one
//! was taken and makes another, or sets the bit.
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
        /// Publisher: marks `slot` in the row and rings its owner if it sleeps. `rung` remembers the
        /// sleep that has been rung already: one word a process and row, whatever the slot, for who is
        /// on the way to its row needs no second ring. `bells.ring` says whether it has rung.
        pub fn markReady(row: *layout.Row, bits: [*]u64, slot: u32, rung: *u64, bells: anytype) void {
            if (!markDirectly(row, slot)) return markByBit(row, bits, slot, rung, bells);
            ringSleeper(row, rung, bells);
        }

        /// As `markReady`, where the direct mark is not to be had.
        pub fn markByBit(row: *layout.Row, bits: [*]u64, slot: u32, rung: *u64, bells: anytype) void {
            const index = slot / 64;
            const summary = &row.summary[index / 64];
            Env.prefetchWrite(&bits[index]);
            if (Env.faults.summary_before_bit) _ = setBit(summary, index);
            const was_marked = !setBit(&bits[index], slot);
            if (was_marked and Env.faults.bit_without_summary) return;
            if (!Env.faults.summary_before_bit) _ = setBit(summary, index);
            ringSleeper(row, rung, bells);
        }

        inline fn ringSleeper(row: *layout.Row, rung: *u64, bells: anytype) void {
            const sleeping = Env.load(.acquire_or_release, &row.sleeping);
            if (sleeping == 0 or sleeping == Env.load(.relaxed, rung)) return;
            if (bells.ring(wake.Attention.from(sleeping))) Env.store(.relaxed, rung, sleeping);
        }

        /// False: the last one has not been taken, or somebody else was quicker. True: ends with a
        /// full barrier (`sleeper`, above).
        inline fn markDirectly(row: *layout.Row, slot: u32) bool {
            Env.prefetchWrite(&row.direct);
            const now = Env.load(.relaxed, &row.direct);
            const is_taken = now >> 32 == Env.load(.relaxed, &row.taken);
            if (!is_taken and !Env.faults.direct_untaken) return false;
            const next = ((now >> 32) +% 1) << 32 | slot;
            // Release: pairs with the acquire in `take`, which then sees our head.
            if (Env.cas(&row.direct, now, next) != null) return false;
            if (!Env.faults.no_mark_fence) Env.fenceAfterRmw();
            return true;
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
            return directMark(row) != null or anyBit(row, bits);
        }

        pub inline fn anyBit(row: *const layout.Row, bits: []const u64) bool {
            for (row.summary[0..summaryWords(bits)]) |*word| {
                if (Env.load(.relaxed, word) != 0) return true;
            }
            return false;
        }

        /// Owner: the slot of a direct mark that has not been taken yet.
        pub inline fn directMark(row: *const layout.Row) ?u32 {
            const direct = Env.load(.acquire_or_release, &row.direct); // pairs with `markDirectly`
            if (direct >> 32 == Env.load(.relaxed, &row.taken)) return null;
            return @truncate(direct);
        }

        /// Owner: takes every mark; `taker.marked(slot)` for each, which looks at that ring.
        pub inline fn take(row: *layout.Row, bits: []u64, taker: anytype) void {
            takeDirect(row, bits, taker);
            takeBits(row, bits, taker);
        }

        inline fn takeDirect(row: *layout.Row, bits: []const u64, taker: anytype) void {
            const direct = Env.load(.acquire_or_release, &row.direct); // pairs with `markDirectly`
            if (direct >> 32 == Env.load(.relaxed, &row.taken)) return;
            Env.store(.relaxed, &row.taken, direct >> 32);
            const slot: u32 = @truncate(direct);
            if (slot < bits.len * 64) taker.marked(slot); // else a peer's nonsense
        }

        pub inline fn takeBits(row: *layout.Row, bits: []u64, taker: anytype) void {
            for (row.summary[0..summaryWords(bits)], 0..) |*summary, i| {
                const seen = Env.load(.relaxed, summary);
                if (seen == 0) continue;
                const first = i * 64 + @ctz(seen);
                if (first < bits.len) Env.prefetchWrite(&bits[first]);
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

test "the first mark is a direct one, those made before it is taken are bits, and all are taken" {
    const std = @import("std");
    const R = Rows(@import("native.zig").Native);
    const Bells = struct {
        fn ring(_: @This(), _: wake.Attention) bool {
            return true;
        }
    };
    const Taker = struct {
        slots: [4]u32 = undefined,
        count: usize = 0,
        pub fn marked(taker: *@This(), slot: u32) void {
            taker.slots[taker.count] = slot;
            taker.count += 1;
        }
    };
    var row = std.mem.zeroes(layout.Row);
    var bits: [2]u64 = @splat(0);
    var rung: u64 = 0;
    for (0..3) |_| {
        for ([_]u32{ 70, 3, 70 }) |slot| R.markReady(&row, &bits, slot, &rung, Bells{});
        try std.testing.expectEqual(70, R.directMark(&row).?);
        try std.testing.expectEqual(3, row.summary[0]);
        try std.testing.expect(R.anyReady(&row, &bits));
        var taker: Taker = .{};
        R.take(&row, &bits, &taker);
        try std.testing.expectEqualSlices(u32, &.{ 70, 3, 70 }, taker.slots[0..taker.count]);
        try std.testing.expect(!R.anyReady(&row, &bits));
    }
}

test "a direct mark of a slot that there is not is nobody's" {
    const std = @import("std");
    const R = Rows(@import("native.zig").Native);
    const Nobody = struct {
        pub fn marked(_: *@This(), _: u32) void {
            unreachable;
        }
    };
    var row = std.mem.zeroes(layout.Row);
    var bits: [1]u64 = @splat(0);
    row.direct = 1 << 32 | 64;
    var nobody: Nobody = .{};
    R.take(&row, &bits, &nobody);
    try std.testing.expectEqual(null, R.directMark(&row));
}
