//! Never slower: finds out whether a connection would do better over kernel TCP, by trying.
//!
//! A ring is slow where its reader is not woken at once: no descriptors for doorbells, more sleepers
//! than wait words, or something that nobody thought of. Rather than know every cause, the sender
//! compares what it can measure of either carrier: the time from a send until the next bytes from the
//! peer (an exchange). Where exchanges take long by ring, it carries some by TCP, some by ring, and so
//! on:
//!
//!   resting ──▶ ring, 4096 ──fast──▶ resting, twice as long
//!                   │ most slow       (64 when TCP was better last time)
//!                   ▼
//!               TCP, 12 ──not twice as fast, the 2nd time──▶ resting, twice as long
//!                   │
//!                   ├──twice as fast, the 5th time──▶ TCP; after as long, all once more
//!                   ▼
//!               ring, 12 ──▶ TCP, 12 ...
//!
//! Blocks follow each other within milliseconds, so both carriers meet the same machine, and no
//! exchange counts for more than 2.5 ms, so that one during which a cpu was taken away decides
//! nothing. Every end of a trial doubles the time until the next one, up to ten minutes, so that
//! nothing flaps: a trial takes 84 exchanges by TCP at most, and most end after 28 in 4096. The bar is high
//! because exchanges wait for others, too (fifty clients of one server), and crowded cpus are noisy.
//!
//! Each end judges its own sending only: who reads slowly is told by TCP then, whatever carries the
//! other direction. Streams without answers are not judged, nor ends that several processes hold.
//!
//! Costs nothing while resting: the state is looked at when the sender looks at its kernel socket,
//! every 2 ms. All but `answered` under the send lock; what `answered` adds is read by the sender
//! whenever it comes (monotonic: a lost sample is one sample fewer).

const std = @import("std");
const constants = @import("../constants.zig");
const clock = @import("clock.zig");

/// SOCKSDIRECT_GUARD=0 turns it off.
pub var enabled = true;

pub const Phase = enum(u8) { resting, ring_block, tcp_block, tcp_kept };

/// What the sender is to do about its carrier.
pub const Advice = enum { ring, tcp };

pub const Guard = extern struct {
    phase: Phase = .resting,
    /// Blocks of this trial in which TCP was better, and was not.
    wins: u8 = 0,
    losses: u8 = 0,
    /// This trial asks whether TCP is still better, and is short.
    is_recheck: bool = false,
    /// Exchanges of this block so far; those before 0 are for the change to settle.
    exchanges: i32 = 0,
    /// Clock of the first send since the peer's last bytes; 0: none.
    sent_at: u64 = 0,
    /// Sum over this block, in ticks, and how many of its exchanges were slow.
    elapsed: u64 = 0,
    slow: u32 = 0,
    block_began: u64 = 0,
    /// Mean exchange of the last block by ring, in ticks.
    ring_mean: u64 = 0,
    /// Clock of the next trial (0: not set yet), and how long after the last.
    next_at: u64 = 0,
    interval_ns: u64 = 0,

    pub inline fn isSampling(guard: *const Guard) bool {
        return guard.phase == .ring_block or guard.phase == .tcp_block;
    }

    /// Bytes are being sent.
    pub inline fn sent(guard: *Guard, now: u64) void {
        if (!guard.isSampling()) return;
        if (@atomicLoad(u64, &guard.sent_at, .monotonic) == 0) @atomicStore(u64, &guard.sent_at, now, .monotonic);
    }

    /// Bytes have come.
    pub inline fn answered(guard: *Guard) void {
        if (!guard.isSampling()) return;
        answeredNow(guard, clock.ticks());
    }

    fn answeredNow(guard: *Guard, now: u64) void {
        const since = @atomicLoad(u64, &guard.sent_at, .monotonic);
        if (since == 0) return;
        @atomicStore(u64, &guard.sent_at, 0, .monotonic);
        const n = @atomicLoad(i32, &guard.exchanges, .monotonic);
        if (n >= 0) {
            const took = @min(now -% since, clock.fromNs(constants.guard_exchange_ns_max));
            @atomicStore(u64, &guard.elapsed, guard.elapsed +% took, .monotonic);
            const is_slow = took >= clock.fromNs(constants.guard_slow_ns);
            @atomicStore(u32, &guard.slow, guard.slow + @intFromBool(is_slow), .monotonic);
        }
        @atomicStore(i32, &guard.exchanges, n +% 1, .monotonic);
    }

    /// The next step, if it is due. Now and then while sending by ring; at each send by TCP in
    /// phases that keep it there.
    pub fn step(guard: *Guard, now: u64) Advice {
        switch (guard.phase) {
            .resting => {
                if (guard.next_at == 0) guard.rest(now);
                if (now >= guard.next_at) guard.begin(.ring_block, now);
            },
            .ring_block => {
                const is_first = guard.wins + guard.losses == 0;
                const wanted: u32 = if (!is_first)
                    constants.guard_exchanges
                else if (guard.is_recheck) constants.guard_exchanges_recheck else constants.guard_exchanges_first;
                if (guard.mean(wanted)) |ticks| {
                    guard.ring_mean = ticks;
                    if (!is_first or guard.isMostlySlow()) guard.begin(.tcp_block, now) else guard.rest(now);
                } else {
                    const limit_ns: u64 = if (is_first) constants.guard_block_first_ns_max else constants.guard_block_ns_max;
                    if (guard.isOlder(limit_ns, now)) guard.rest(now);
                }
            },
            .tcp_block => if (guard.mean(constants.guard_exchanges)) |ticks| {
                guard.judge(ticks, now);
            } else if (guard.isOlder(constants.guard_block_ns_max, now)) guard.rest(now),
            .tcp_kept => if (now >= guard.next_at) {
                guard.is_recheck = true;
                guard.begin(.ring_block, now);
            },
        }
        return switch (guard.phase) {
            .resting, .ring_block => .ring,
            .tcp_block, .tcp_kept => .tcp,
        };
    }

    /// A block by TCP is over.
    fn judge(guard: *Guard, tcp_mean: u64, now: u64) void {
        const is_better = tcp_mean *| 2 <= guard.ring_mean;
        if (is_better) guard.wins += 1 else guard.losses += 1;
        const kept = guard.wins == constants.guard_wins;
        if (!kept and guard.losses < constants.guard_losses) return guard.begin(.ring_block, now);
        guard.rest(now);
        if (kept) guard.phase = .tcp_kept;
    }

    fn begin(guard: *Guard, phase: Phase, now: u64) void {
        @atomicStore(i32, &guard.exchanges, -settling, .monotonic);
        @atomicStore(u64, &guard.elapsed, 0, .monotonic);
        @atomicStore(u32, &guard.slow, 0, .monotonic);
        @atomicStore(u64, &guard.sent_at, 0, .monotonic);
        guard.block_began = now;
        guard.phase = phase;
    }

    fn rest(guard: *Guard, now: u64) void {
        const twice = 2 * guard.interval_ns;
        guard.interval_ns = std.math.clamp(twice, constants.guard_interval_ns_min, constants.guard_interval_ns_max);
        guard.next_at = now + clock.fromNs(guard.interval_ns);
        guard.wins = 0;
        guard.losses = 0;
        guard.is_recheck = false;
        guard.phase = .resting;
    }

    /// Null: fewer exchanges than `wanted` so far.
    fn mean(guard: *const Guard, wanted: u32) ?u64 {
        const n = @atomicLoad(i32, &guard.exchanges, .monotonic);
        if (n < wanted) return null;
        return @atomicLoad(u64, &guard.elapsed, .monotonic) / @as(u32, @intCast(n));
    }

    /// One exchange during which a cpu was taken away says nothing.
    fn isMostlySlow(guard: *const Guard) bool {
        const n: u32 = @intCast(@max(0, @atomicLoad(i32, &guard.exchanges, .monotonic)));
        return @atomicLoad(u32, &guard.slow, .monotonic) * 2 > n;
    }

    /// Traffic is too thin to compare anything.
    fn isOlder(guard: *const Guard, ns: u64, now: u64) bool {
        return now -% guard.block_began > clock.fromNs(ns);
    }
};

const settling = 2;

// ---------------------------------------------------------------------------------------------

/// Exchanges of `ring_us` or `tcp_us`, whichever carries them, one at least and until `seconds` have
/// passed.
const Simulation = struct {
    guard: Guard = .{},
    now: u64 = 1_000_000,
    on_tcp: bool = false,
    tcp_exchanges: u32 = 0,
    changes: u32 = 0,

    fn run(sim: *Simulation, ring_us: u64, tcp_us: u64, seconds: u64) void {
        const end = sim.now + clock.fromNs(seconds * 1_000_000_000);
        while (true) {
            const tcp = sim.guard.step(sim.now) == .tcp;
            if (tcp != sim.on_tcp) sim.changes += 1;
            sim.on_tcp = tcp;
            if (tcp) sim.tcp_exchanges += 1;
            sim.guard.sent(sim.now);
            sim.now += clock.fromNs(1000 * if (tcp) tcp_us else ring_us);
            if (sim.guard.isSampling()) sim.guard.answeredNow(sim.now);
            if (sim.now >= end) return;
        }
    }
};

test "a ring whose exchanges are fast is never left" {
    var sim: Simulation = .{};
    sim.run(constants.guard_slow_ns / 1000 - 50, 5, 60);
    try std.testing.expectEqual(0, sim.tcp_exchanges);
}

test "a ring that is slower than TCP is left, and seldom tried again" {
    var sim: Simulation = .{};
    sim.run(1000, 60, 10);
    try std.testing.expectEqual(.tcp_kept, sim.guard.phase);
    const changes = sim.changes;
    sim.run(1000, 60, 600);
    try std.testing.expect(sim.changes <= changes + 12 * 12); // at most 12 more trials
    try std.testing.expectEqual(.tcp_kept, sim.guard.phase);
}

test "a slow peer is slow over TCP too: the ring is kept, and trials become rare" {
    var sim: Simulation = .{};
    sim.run(1000, 990, 600);
    try std.testing.expectEqual(.resting, sim.guard.phase);
    try std.testing.expect(sim.tcp_exchanges <= 12 * constants.guard_losses * (constants.guard_exchanges + 4));
}

test "fifty clients of one server: exchanges vary by a third, and nothing is decided for TCP" {
    var random = std.Random.DefaultPrng.init(7);
    var sim: Simulation = .{};
    for (0..20_000) |_| sim.run(800 + random.random().uintLessThan(u64, 800), 800 + random.random().uintLessThan(u64, 800), 0);
    try std.testing.expect(!sim.on_tcp);
}

test "what was slow for a while comes back to the ring" {
    var sim: Simulation = .{};
    sim.run(1000, 60, 10);
    try std.testing.expect(sim.on_tcp);
    sim.run(1, 60, 60);
    try std.testing.expect(!sim.on_tcp);
}

test "too little traffic decides nothing" {
    var sim: Simulation = .{};
    sim.run(constants.guard_block_first_ns_max / 1000, 60, 20_000);
    try std.testing.expectEqual(0, sim.tcp_exchanges);
}
