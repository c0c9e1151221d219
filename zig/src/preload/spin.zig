//! How long to watch a ring before sleeping in the kernel. A spin pays when the peer answers within
//! it and burns a core when it does not; so the budget follows what happened lately, and is zero
//! while the cores are wanted by somebody else.
//!
//!   data came during the spin, or soon after falling asleep   -> full budget
//!   spun in vain and slept for long                            -> half of it, down to nothing
//!   the cpu was taken away during a spin                       -> none for a while (whole process)
//!   watching costs more than sleeping would, and the thread
//!   has to queue for cpus (crowding.zig)                       -> none for a while
//!   the peer last published from the very cpu we run on        -> it needs this cpu: yield it
//!   a yield took long                                          -> somebody else has it: sleep
//!
//! Handing the cpu to and fro by sched_yield takes half of what a doorbell and its wake-up take; but
//! beside a busy program a yield costs a whole time slice of that, so one such is enough for a while.
//!
//! How much a full budget is, and whether it can sink to nothing, is the profile's (profile.zig).

const std = @import("std");
const builtin = @import("builtin");
const constants = @import("../constants.zig");
const clock = @import("clock.zig");
const crowding = @import("crowding.zig");
const ends = @import("ends.zig");
const sys = @import("sys.zig");
const Profile = @import("profile.zig").Profile;

/// Clock until which this process does not spin: somebody else wants the cores.
var crowded_until: u64 = 0;
/// Clock until which it does not yield: whoever shares its cpu keeps it.
var unyielding_until: u64 = 0;
/// Cores this process may use. With one, and no way to tell where the peer runs, nothing spins.
pub var cpus: u32 = 2;

/// Of which `Spin` forgets half when there are more: the last ones count most.
const hits_remembered = 256;
const watched_ns_remembered = 16 * constants.watched_ns_judged;

pub const Spin = extern struct {
    profile: Profile = .balanced,
    budget_ns: u32 = constants.spin_ns_max,
    /// Messages this end had sent when it last waited for one.
    sent: u64 = 0,
    /// The last wait was over within its spin.
    hit_last: bool = false,
    /// What watching was good for lately, and what it took (clock).
    hits: u32 = 0,
    watched: u64 = 0,
    /// Clock until which nothing restores the budget; 0: watching has paid since it last did not.
    sleeps_until: u64 = 0,

    /// How to wait now; null: sleep at once.
    pub inline fn watch(spin: *Spin, peer_cpu_plus_one: u32) ?Watch {
        if (spin.budget_ns == 0 and spin.profile != .frugal) return null;
        const mine = currentCpuPlusOne();
        // Pinned to one cpu, it is enough to know that the peer runs on another.
        if (mine == 0 and cpus < 2) return null;
        const now = clock.ticks();
        const yields = mine != 0 and mine == peer_cpu_plus_one;
        if (now < if (yields) unyielding_until else crowded_until) return null;
        // Yielding takes less CPU than sleeping, so the frugal do it too.
        const ns = if (!yields) spin.budget_ns else if (spin.profile == .frugal)
            constants.yield_ns_max
        else
            @min(spin.budget_ns, constants.yield_ns_max);
        if (ns == 0) return null;
        return .{ .start = now, .last = now, .budget = clock.fromNs(ns), .yields = yields };
    }

    /// Data comes fast, and not in answer to what this end sends.
    pub inline fn isStreaming(spin: *Spin, sent: u64) bool {
        defer spin.sent = sent;
        return spin.hit_last and spin.sent == sent;
    }

    /// From here on it waits by this profile.
    pub fn follow(spin: *Spin, profile: Profile) void {
        spin.profile = profile;
        spin.budget_ns = profile.spinNsMax();
    }

    pub inline fn hit(spin: *Spin, watched: *const Watch) void {
        spin.hits +%= 1;
        spin.watched += watched.last -% watched.start;
        if (spin.hits > hits_remembered or watched.wasLong()) spin.noteCost(watched);
        if (spin.profile == .balanced) {
            spin.budget_ns = constants.spin_ns_max;
        } else spin.budget_ns = spin.profile.spinNsMax();
        spin.hit_last = true;
    }

    /// The spin was in vain.
    pub fn missed(spin: *Spin, watched: *const Watch) void {
        const half = if (spin.budget_ns < 2000) 0 else spin.budget_ns / 2;
        spin.budget_ns = @max(half, spin.profile.spinNsMin());
        spin.hit_last = false;
        spin.watched += watched.last -% watched.start;
        spin.noteCost(watched);
    }

    /// Slept this long for data.
    pub fn slept(spin: *Spin, ns: u64) void {
        const full = spin.profile.spinNsMax();
        if (ns >= @max(full, constants.short_sleep_ns)) return;
        if (spin.sleeps_until != 0 and clock.ticks() < spin.sleeps_until) return;
        spin.budget_ns = full;
    }

    /// Watching is free while nobody else wants the cpu, and should else cost no more than the sleeps
    /// that it saves. Who answers within microseconds is worth watching on the fullest machine.
    noinline fn noteCost(spin: *Spin, watched: *const Watch) void {
        const is_costly = spin.isCostly();
        if (is_costly and spin.profile != .latency and !watched.yields and crowding.isCrowded()) {
            spin.stopWatching();
        }
    }

    fn isCostly(spin: *Spin) bool {
        const watched_ns = clock.toNs(spin.watched);
        const saved = (@as(u64, spin.hits) + 1) * constants.sleep_cost_ns;
        const judged: u64 = if (spin.sleeps_until != 0) constants.spin_ns_max else constants.watched_ns_judged;
        const is_costly = watched_ns > @max(saved, judged);
        if (spin.hits > hits_remembered or watched_ns > watched_ns_remembered) {
            if (!is_costly) spin.sleeps_until = 0;
            spin.hits /= 2;
            spin.watched /= 2;
        }
        return is_costly;
    }

    fn stopWatching(spin: *Spin) void {
        spin.hits = 0;
        spin.watched = 0;
        spin.budget_ns = 0;
        spin.sleeps_until = clock.ticks() + clock.fromNs(constants.oversubscribed_ns);
        ends.count("crowded");
    }
};

/// Watches the time during a spin. `step` says whether to go on.
pub const Watch = struct {
    start: u64,
    last: u64,
    budget: u64,
    /// The peer needs this cpu: every step gives it away for a moment.
    yields: bool,

    inline fn wasLong(watch: *const Watch) bool {
        return watch.last -% watch.start > watch.budget / 8;
    }

    pub inline fn step(watch: *Watch) bool {
        if (watch.yields) _ = sys.call(.sched_yield, .{});
        const now = clock.ticks();
        if (now -% watch.last > clock.fromNs(constants.preempted_gap_ns)) {
            @branchHint(.cold);
            if (watch.yields) {
                unyielding_until = now + clock.fromNs(constants.unyielding_ns);
            } else {
                crowded_until = now + clock.fromNs(constants.oversubscribed_ns);
            }
            return false;
        }
        watch.last = now;
        return now -% watch.start < watch.budget;
    }
};

/// Offset of glibc's struct rseq from the thread pointer; null: not registered.
pub var rseq_offset: ?isize = null;

/// The cpu this thread runs on, plus one; 0 = unknown.
pub inline fn currentCpuPlusOne() u32 {
    const offset = rseq_offset orelse return 0;
    switch (builtin.cpu.arch) {
        .x86_64 => {
            const cpu_id_offset = 4;
            return 1 +% asm volatile ("movl %%fs:(%[at]), %[out]"
                : [out] "=r" (-> u32),
                : [at] "r" (offset + cpu_id_offset),
            );
        },
        .aarch64 => {
            const thread_pointer = asm volatile ("mrs %[out], tpidr_el0"
                : [out] "=r" (-> usize),
            );
            const address = thread_pointer +% @as(usize, @bitCast(offset)) + 4;
            return 1 +% @atomicLoad(u32, @as(*const u32, @ptrFromInt(address)), .monotonic);
        },
        else => return 0,
    }
}

const no_watch: Watch = .{ .start = 0, .last = 0, .budget = 0, .yields = false };

test "a spin in vain halves the budget and quick data restores it" {
    var spin: Spin = .{};
    cpus = 2;
    const full = spin.budget_ns;
    spin.missed(&no_watch);
    try std.testing.expectEqual(full / 2, spin.budget_ns);
    for (0..20) |_| spin.missed(&no_watch);
    try std.testing.expectEqual(0, spin.budget_ns);
    spin.slept(10 * constants.spin_ns_max);
    try std.testing.expectEqual(0, spin.budget_ns);
    spin.slept(10_000);
    try std.testing.expectEqual(full, spin.budget_ns);
}

test "watches that take longer than sleeps would are costly, and quick hits outweigh them" {
    cpus = 2;
    const full: Watch = .{ .start = 0, .last = clock.fromNs(150_000), .budget = 0, .yields = false };
    // Of a profile that never stops, however crowded the tests' machine is.
    var slow: Spin = .{ .profile = .latency };
    for (0..6) |_| {
        slow.missed(&full);
        try std.testing.expect(!slow.isCostly());
    }
    slow.missed(&full);
    try std.testing.expect(slow.isCostly());
    var quick: Spin = .{ .profile = .latency };
    for (0..100) |_| {
        for (0..1000) |_| quick.hit(&no_watch);
        quick.missed(&full);
        try std.testing.expect(!quick.isCostly());
    }
}

test "who has stopped watching does not begin again at once, and is judged sooner" {
    cpus = 2;
    var spin: Spin = .{};
    spin.stopWatching();
    spin.slept(1000);
    try std.testing.expectEqual(null, spin.watch(0));
    spin.sleeps_until = clock.ticks();
    spin.slept(1000);
    try std.testing.expect(spin.watch(0) != null);
    spin.watched = clock.fromNs(160_000);
    try std.testing.expect(spin.isCostly());
}

test "profiles: the latency-minded never stop watching, the frugal never begin" {
    cpus = 2;
    var spin: Spin = .{};
    spin.follow(.latency);
    for (0..40) |_| spin.missed(&no_watch);
    try std.testing.expectEqual(constants.spin_ns_latency_min, spin.budget_ns);
    try std.testing.expect(spin.watch(0) != null);
    spin.follow(.frugal);
    spin.hit(&no_watch);
    spin.slept(1000);
    try std.testing.expectEqual(null, spin.watch(0));
}
