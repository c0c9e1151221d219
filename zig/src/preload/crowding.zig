//! Whether other threads want the cpus that this process runs on. A watch that takes a cpu from the
//! very thread that it waits for, or from others with work to do, costs more than the sleep and the
//! wake-up that it saves: ten processes of a database and its clients on two cpus are slower with it
//! than over TCP.
//!
//! The kernel knows: /proc/thread-self/schedstat says for how long the thread has run and for how
//! long it was ready to run and had no cpu. Of the second there is next to nothing while everybody
//! has a cpu (1 to 3 % of both with two busy processes on two cpus), and half and more when they
//! share (50 to 70 % with ten). It is read when watches took longer than the sleeps that they saved,
//! and the last time is `crowding_look_ns` ago; never while waits are over soon.
//!
//! Without /proc nothing is known; the gap between two steps of a watch still is (spin.zig).

const std = @import("std");
const clock = @import("clock.zig");
const constants = @import("../constants.zig");
const Mutex = @import("lock.zig").Mutex;
const sys = @import("sys.zig");
const thread = @import("thread.zig");

/// Held while the file is open: a child forked at that moment must not inherit it. Nothing else is
/// taken under it.
pub var mutex: Mutex = .{};

/// What the calling thread went through between its last two looks.
pub noinline fn isCrowded() bool {
    const now = clock.ticks();
    const last = &thread.mine().scheduled;
    const never = last.looked_at == 0;
    if (!never and now -% last.looked_at < clock.fromNs(constants.crowding_look_ns)) return last.crowded;
    const before = last.times;
    last.* = .{ .looked_at = now, .times = readTimes() orelse .{} };
    last.crowded = !never and last.times.showCrowdSince(before);
    return last.crowded;
}

pub const Scheduled = extern struct {
    /// Clock of the last look, 0: none.
    looked_at: u64 = 0,
    times: Times = .{},
    crowded: bool = false,
};

/// Of a thread, from its beginning.
pub const Times = extern struct {
    ran_ns: u64 = 0,
    waited_ns: u64 = 0,

    fn showCrowdSince(now: Times, before: Times) bool {
        // A forked child has its parent's numbers and starts with none of its own.
        if (now.ran_ns < before.ran_ns or now.waited_ns < before.waited_ns) return false;
        const ran = now.ran_ns - before.ran_ns;
        const waited = now.waited_ns - before.waited_ns;
        if (ran + waited < constants.crowding_wanted_ns) return false;
        return waited > (ran + waited) / constants.crowding_share;
    }

    fn parse(text: []const u8) ?Times {
        var words = std.mem.tokenizeAny(u8, text, " \n");
        const ran = words.next() orelse return null;
        const waited = words.next() orelse return null;
        return .{
            .ran_ns = std.fmt.parseInt(u64, ran, 10) catch return null,
            .waited_ns = std.fmt.parseInt(u64, waited, 10) catch return null,
        };
    }
};

fn readTimes() ?Times {
    const guard = mutex.lock();
    if (!guard.ok()) return null;
    defer guard.unlock();
    var buffer: [80]u8 = undefined;
    return Times.parse(sys.readFile("/proc/thread-self/schedstat", &buffer) orelse return null);
}

test "a third of the time that a thread wants to run spent without a cpu is a crowd" {
    const ms = 1_000_000;
    const before: Times = .{ .ran_ns = 500 * ms, .waited_ns = 900 * ms };
    const busy: Times = .{ .ran_ns = 510 * ms, .waited_ns = 900 * ms + ms };
    try std.testing.expect(!busy.showCrowdSince(before));
    const crowded: Times = .{ .ran_ns = 505 * ms, .waited_ns = 906 * ms };
    try std.testing.expect(crowded.showCrowdSince(before));
}

test "a thread that hardly ran, and a forked child's first look, say nothing" {
    const before: Times = .{ .ran_ns = 5_000_000, .waited_ns = 7_000_000 };
    try std.testing.expect(!(Times{ .ran_ns = 5_000_100, .waited_ns = 7_100_000 }).showCrowdSince(before));
    try std.testing.expect(!(Times{ .ran_ns = 100_000, .waited_ns = 90_000_000 }).showCrowdSince(before));
}

test "the kernel's file" {
    try std.testing.expectEqual(Times{ .ran_ns = 12, .waited_ns = 34 }, Times.parse("12 34 5\n").?);
    try std.testing.expectEqual(null, Times.parse("12"));
    try std.testing.expectEqual(null, Times.parse("twelve 34 5\n"));
    if (sys.call(.access, .{ "/proc/thread-self/schedstat", @as(usize, 0) }) != 0) return error.SkipZigTest;
    try std.testing.expect(readTimes().?.ran_ns > 0);
}
