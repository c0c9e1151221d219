//! How long to watch a ring before sleeping in the kernel. A spin pays when the peer answers within
//! it and burns a core when it does not; so the budget follows what happened lately, and is zero
//! while the cores are wanted by somebody else.
//!
//!   data came during the spin, or soon after falling asleep   -> full budget
//!   spun in vain and slept for long                            -> half of it, down to nothing
//!   the cpu was taken away during a spin                       -> none for a while (whole process)
//!   the peer last published from the very cpu we run on        -> none: it needs this cpu

const std = @import("std");
const builtin = @import("builtin");
const constants = @import("../constants.zig");
const clock = @import("clock.zig");

/// Clock until which this process does not spin: somebody else wants the cores.
var crowded_until: u64 = 0;
/// Cores this process may use. With one, and no way to tell where the peer runs, nothing spins.
pub var cpus: u32 = 2;

pub const Spin = struct {
    budget_ns: u32 = 0,
    known: bool = false,
    /// Messages this end had sent when it last waited for one.
    sent: u64 = 0,
    /// The last wait was over within its spin.
    hit_last: bool = false,

    /// Ticks to spin now, 0 = sleep at once.
    pub inline fn budget(spin: *Spin, peer_cpu_plus_one: u32) u64 {
        if (!spin.known) {
            spin.known = true;
            spin.budget_ns = constants.spin_ns_max;
        }
        if (spin.budget_ns == 0) return 0;
        const mine = currentCpuPlusOne();
        // Pinned to one cpu, it is enough to know that the peer runs on another.
        if (mine == 0 and cpus < 2) return 0;
        if (mine != 0 and mine == peer_cpu_plus_one) return 0;
        return clock.fromNs(spin.budget_ns);
    }

    /// Data comes fast, and not in answer to what this end sends.
    pub inline fn isStreaming(spin: *Spin, sent: u64) bool {
        defer spin.sent = sent;
        return spin.hit_last and spin.sent == sent;
    }

    pub inline fn hit(spin: *Spin) void {
        spin.budget_ns = constants.spin_ns_max;
        spin.hit_last = true;
    }

    /// The spin was in vain.
    pub fn missed(spin: *Spin) void {
        spin.budget_ns = if (spin.budget_ns < 2000) 0 else spin.budget_ns / 2;
        spin.hit_last = false;
    }

    /// Slept this long for data.
    pub fn slept(spin: *Spin, ns: u64) void {
        if (ns < constants.short_sleep_ns) spin.budget_ns = constants.spin_ns_max;
    }
};

pub inline fn crowded(now: u64) bool {
    return now < crowded_until;
}

/// Watches the time during a spin. `step` says whether to go on.
pub const Watch = struct {
    start: u64,
    last: u64,
    budget: u64,

    pub inline fn begin(budget: u64) ?Watch {
        if (budget == 0) return null;
        const now = clock.ticks();
        if (crowded(now)) return null;
        return .{ .start = now, .last = now, .budget = budget };
    }

    pub inline fn step(watch: *Watch) bool {
        const now = clock.ticks();
        if (now -% watch.last > clock.fromNs(constants.preempted_gap_ns)) {
            @branchHint(.cold);
            crowded_until = now + clock.fromNs(constants.oversubscribed_ns);
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

test "a spin in vain halves the budget and quick data restores it" {
    var spin: Spin = .{};
    cpus = 2;
    _ = spin.budget(0);
    const full = spin.budget_ns;
    spin.missed();
    try std.testing.expectEqual(full / 2, spin.budget_ns);
    for (0..20) |_| spin.missed();
    try std.testing.expectEqual(0, spin.budget_ns);
    spin.slept(10 * constants.spin_ns_max);
    try std.testing.expectEqual(0, spin.budget_ns);
    spin.slept(10_000);
    try std.testing.expectEqual(full, spin.budget_ns);
}
