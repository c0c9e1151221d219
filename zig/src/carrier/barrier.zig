//! The barrier between publishing bytes and the look whether somebody sleeps for them.
//!
//! Publisher and sleeper each write one word and then read the other's: `head` and a wait word. One of
//! them must see the other, so each needs a full barrier in between (wake.zig). A publisher that
//! streams pays for it with every message: it waits until the message's lines have come over. A
//! sleeper needs it once. So a receiver that has received many messages makes the publisher's barrier
//! **light**, nothing but an order for the compiler, and takes upon itself a barrier on every cpu that
//! runs a publisher (membarrier(2), GLOBAL_EXPEDITED), should it ever sleep.
//!
//! `Direction.barrier` is written by the receiver's side alone: an epoch, and
//!
//!   full      both have a barrier of their own
//!   light     the publisher may leave its out, if its process is registered for the other's
//!   closing   as full for publishers; a barrier everywhere is on its way
//!
//!      relax (receiver)        heavy (whoever announces)           heavy, after the barrier
//!   full(e) ------> light(e+1) ----------------> closing(e+1) ----------------> full(e+1)
//!
//! Invariants. (1) A publisher reads the mode behind its store of `head`, and before the wait words.
//! (2) Who announces something (a wait word, WANT) reads the mode behind that, and looks at `head`
//! last; unless the mode was full, a barrier everywhere comes in between. (3) Between the last moment
//! at which a publisher can have read light(e) and full(e) lies a barrier everywhere that began after
//! closing(e) had been written: a publisher that left its barrier out has either been seen or sees.
//!
//! So: the barrier everywhere falls before the publisher's store of `head` (then its look comes behind
//! the announcement), or behind it (then we see `head`). Who finds full(e) announced it behind that
//! barrier, and no publisher of epoch e is on its way any more. A publisher that reads light(e+1) got
//! it from a `relax` that an earlier announcer's look at the mode precedes: it sees the announcement.
//! The epoch keeps a late `heavy` of one light spell from ending the closing of the next. The
//! interleaving test explores all of it (sim/light.zig).

const layout = @import("../layout.zig");

const Direction = layout.Direction;

pub const Mode = enum(u2) { full = 0, light = 1, closing = 2, _ };

pub const State = packed struct(u64) {
    mode: Mode = .full,
    epoch: u62 = 0,

    fn word(state: State) u64 {
        return @bitCast(state);
    }
};

pub fn Barrier(comptime Env: type) type {
    return struct {
        /// Publisher, behind its release store of `head` and before its look at wait words and flags.
        pub inline fn afterPublishing(direction: *const Direction) void {
            const state: State = @bitCast(Env.load(.acquire_or_release, &direction.barrier));
            if (state.mode == .light and Env.hasBarrierFromAfar()) return Env.compilerFence();
            if (!Env.faults.no_producer_fence) Env.fence();
        }

        /// Receiver's side, between an announcement and the look at `head`.
        pub inline fn beforeLooking(direction: *Direction) void {
            // The announcement before the look at the mode, too.
            if (!Env.faults.no_consumer_fence) Env.fence();
            const seen = Env.load(.acquire_or_release, &direction.barrier);
            if (@as(State, @bitCast(seen)).mode != .full) heavy(direction, seen);
        }

        noinline fn heavy(direction: *Direction, seen: u64) void {
            var state: State = @bitCast(seen);
            if (state.mode == .light) {
                var closing = state;
                closing.mode = .closing;
                if (Env.faults.full_at_once) closing.mode = .full;
                const found = Env.cas(&direction.barrier, state.word(), closing.word());
                state = if (found) |other| @bitCast(other) else closing;
            }
            if (!Env.faults.no_far_barrier) Env.fenceEverywhere();
            // Another one's light spell, begun meanwhile, is not ours to end: what we announced comes
            // before it.
            if (state.mode != .closing) return;
            var full = state;
            full.mode = .full;
            _ = Env.cas(&direction.barrier, state.word(), full.word());
        }

        /// Receiver: publishers may leave their barrier out from now on.
        pub noinline fn relax(direction: *Direction) void {
            const seen = Env.load(.acquire_or_release, &direction.barrier);
            const state: State = @bitCast(seen);
            if (state.mode != .full) return;
            const light: State = .{ .mode = .light, .epoch = if (Env.faults.same_epoch) state.epoch else state.epoch +% 1 };
            _ = Env.cas(&direction.barrier, seen, light.word());
        }
    };
}

test "publishers leave their barrier out from relax to the first sleep, and again after the next" {
    const std = @import("std");
    const B = Barrier(@import("native.zig").Native);
    var direction = std.mem.zeroes(Direction);
    for (1..3) |epoch| {
        B.relax(&direction);
        try std.testing.expectEqual(State{ .mode = .light, .epoch = @intCast(epoch) }, @as(State, @bitCast(direction.barrier)));
        B.relax(&direction); // no second spell in the first
        B.beforeLooking(&direction);
        try std.testing.expectEqual(State{ .mode = .full, .epoch = @intCast(epoch) }, @as(State, @bitCast(direction.barrier)));
        B.beforeLooking(&direction);
    }
}

test "a closing that a dead process left is finished by the next sleeper" {
    const std = @import("std");
    const B = Barrier(@import("native.zig").Native);
    var direction = std.mem.zeroes(Direction);
    direction.barrier = @bitCast(State{ .mode = .closing, .epoch = 7 });
    B.beforeLooking(&direction);
    try std.testing.expectEqual(State{ .epoch = 7 }, @as(State, @bitCast(direction.barrier)));
}
