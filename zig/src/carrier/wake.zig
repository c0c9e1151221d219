//! How a sleeper is found: wait words in shared memory, written by sleepers, read by whoever
//! publishes. (PROTOCOL.md, Sleeping and waking)
//!
//! The store-load pair that must never fail, on each side:
//!
//!   sleeper:   word = my value   | full barrier | look at the ring again | sleep in the kernel
//!   publisher: head (or tail)    | full barrier | look at the words      | ring the doorbell
//!
//! With either barrier missing both may look too early, and the wake-up is lost. (Publishers of
//! `head` may leave theirs out while sleepers have one for both: barrier.zig.) A word is cleared
//! only by the sleeper who set it: a publisher that cleared it and died before it rang would silence
//! every other publisher. Instead each publisher remembers the value it has rung (`rang`, stored
//! after the ring); an epoch makes every sleep's value new.

const constants = @import("../constants.zig");
const barrier = @import("barrier.zig");
const Direction = @import("../layout.zig").Direction;

pub const Kind = enum(u2) {
    none = 0,
    /// A sleeping thread: ring waiter `target` of link `link` at once.
    thread = 1,
    /// An epoll instance: set this slot's bit in row `target`, then ring if the row sleeps.
    row = 2,
    _,
};

/// One wait word.
pub const Attention = packed struct(u64) {
    kind: u2 = 0,
    link: u16 = 0,
    /// Waiter number (thread) or row number (row).
    target: u16 = 0,
    epoch: u30 = 0,

    pub fn word(attention: Attention) u64 {
        return @bitCast(attention);
    }

    pub fn from(value: u64) Attention {
        return @bitCast(value);
    }
};

pub const Words = [constants.wait_words]u64;

pub fn Wake(comptime Env: type) type {
    return struct {
        /// Sleeper: announces `value`. The index to disarm with, or null when every word is taken
        /// (then sleep with a short timeout: nobody will ring). Ends with the full barrier; look
        /// at the ring again after this, and only then sleep.
        pub fn arm(words: *Words, value: u64) ?u8 {
            const index = announce(words, value) orelse return null;
            // Pairs with the fence in `notify`: our word is visible before we look again.
            if (!Env.faults.no_consumer_fence) Env.fence();
            return index;
        }

        /// The same for who sleeps for bytes: publishers may have left their barrier out.
        pub fn armForBytes(direction: *Direction, value: u64) ?u8 {
            const index = announce(&direction.attn, value) orelse return null;
            barrier.Barrier(Env).beforeLooking(direction);
            return index;
        }

        fn announce(words: *Words, value: u64) ?u8 {
            for (0..words.len) |i| {
                if (Env.load(.relaxed, &words[i]) != 0) continue;
                if (Env.cas(&words[i], 0, value) == null) return @intCast(i);
            }
            return null;
        }

        /// Sleeper: takes its own word back.
        pub fn disarm(words: *Words, index: u8) void {
            Env.store(.acquire_or_release, &words[index], 0);
        }

        /// As `disarm`, for a sleeper that cannot be sure that the slot is still its own (another
        /// thread may have closed the connection): clears the word only if it is still ours.
        pub fn disarmExact(words: *Words, index: u8, value: u64) void {
            _ = Env.cas(&words[index], value, 0);
        }

        /// Publisher, after its release store: rings whoever sleeps. `bells.ring(value)` must wake
        /// the named waiter; `bells.ready(value)` sets the ready bit and rings a sleeping row.
        pub inline fn notify(words: *Words, rang: *Words, bells: anytype) void {
            // Pairs with the fence in `arm`: what we published is visible before we look.
            if (!Env.faults.no_producer_fence) Env.fence();
            look(words, rang, bells);
        }

        /// The same behind a release store of `head`.
        pub inline fn notifyOfBytes(direction: *Direction, rang: *Words, bells: anytype) void {
            barrier.Barrier(Env).afterPublishing(direction);
            look(&direction.attn, rang, bells);
        }

        inline fn look(words: *Words, rang: *Words, bells: anytype) void {
            var any: u64 = 0;
            inline for (0..constants.wait_words) |i| any |= Env.load(.relaxed, &words[i]);
            if (any != 0) {
                @branchHint(.unlikely);
                notifyArmed(words, rang, bells);
            }
        }

        noinline fn notifyArmed(words: *Words, rang: *Words, bells: anytype) void {
            for (words, rang) |*shared, *done| {
                const value = Env.load(.acquire_or_release, shared);
                if (value == 0) continue;
                const attention = Attention.from(value);
                switch (@as(Kind, @enumFromInt(attention.kind))) {
                    .thread => {
                        if (done.* == value) continue;
                        if (Env.faults.producer_clears) _ = Env.cas(shared, value, 0);
                        _ = bells.ring(attention);
                        done.* = value;
                    },
                    .row => bells.ready(attention),
                    .none, _ => {}, // a peer's nonsense: nobody to ring
                }
            }
        }
    };
}

test "attention survives its word" {
    const std = @import("std");
    const a: Attention = .{ .kind = 1, .link = 7, .target = 65535, .epoch = 3 };
    try std.testing.expectEqual(a, Attention.from(a.word()));
}

test "arm takes a free word and notify rings it once an epoch" {
    const std = @import("std");
    const Native = @import("native.zig").Native;
    const W = Wake(Native);
    const Bells = struct {
        rings: u32 = 0,
        fn ring(bells: *@This(), _: Attention) bool {
            bells.rings += 1;
            return true;
        }
        fn ready(_: *@This(), _: Attention) void {}
    };
    var words: Words = @splat(0);
    var rang: Words = @splat(0);
    var bells: Bells = .{};
    W.notify(&words, &rang, &bells);
    try std.testing.expectEqual(0, bells.rings);
    const first = W.arm(&words, (Attention{ .kind = 1, .target = 5, .epoch = 1 }).word()).?;
    W.notify(&words, &rang, &bells);
    W.notify(&words, &rang, &bells);
    try std.testing.expectEqual(1, bells.rings);
    W.disarm(&words, first);
    _ = W.arm(&words, (Attention{ .kind = 1, .target = 5, .epoch = 2 }).word()).?;
    W.notify(&words, &rang, &bells);
    try std.testing.expectEqual(2, bells.rings);
}

test "the fifth sleeper finds every word taken" {
    const std = @import("std");
    const Native = @import("native.zig").Native;
    var words: Words = @splat(0);
    for (0..constants.wait_words) |i| {
        const value = (Attention{ .kind = 1, .target = @intCast(i), .epoch = 1 }).word();
        try std.testing.expect(Wake(Native).arm(&words, value) != null);
    }
    try std.testing.expectEqual(null, Wake(Native).arm(&words, 77));
}
