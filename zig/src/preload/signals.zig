//! Signals and sleeping. A plain recv that is interrupted by a handler installed with SA_RESTART
//! goes on by itself, one interrupted by a handler without it fails with EINTR; poll, which we sleep
//! in, always fails with EINTR, and a handler may run while we spin, where nothing fails at all.
//!
//! So handlers installed without SA_RESTART are wrapped: the wrapper counts, rings whoever sleeps
//! (its bell makes the poll return even if the signal came just before it), and calls the handler.
//! A wait that finds the count changed ends with EINTR; any other interruption goes back to sleep.

const std = @import("std");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");

const SA_RESTART: u64 = 0x10000000;
const signals_max = 65;

/// Handlers without SA_RESTART that have run in this process.
var interruptions: u64 = 0;
/// The application's handlers behind the wrapper.
var originals: [signals_max]usize = @splat(0);

pub fn count() u64 {
    return @atomicLoad(u64, &interruptions, .acquire);
}

fn wrapper(number: c_int, info: ?*anyopaque, context: ?*anyopaque) callconv(.c) void {
    _ = @atomicRmw(u64, &interruptions, .Add, 1, .acq_rel);
    const saved = sys.errno().*;
    waiters.kickSleeping();
    sys.errno().* = saved;
    const original = @atomicLoad(usize, &originals[@intCast(number)], .acquire);
    if (original <= 1) return;
    const handler: *const fn (c_int, ?*anyopaque, ?*anyopaque) callconv(.c) void = @ptrFromInt(original);
    handler(number, info, context);
}

/// What to install in place of `handler`.
pub fn wrapped(number: c_int, handler: usize, flags: u64) usize {
    if (number < 1 or number >= signals_max) return handler;
    const is_handler = handler > 1; // SIG_DFL 0, SIG_IGN 1
    if (!is_handler or flags & SA_RESTART != 0) return handler;
    if (handler == @intFromPtr(&wrapper)) return handler;
    @atomicStore(usize, &originals[@intCast(number)], handler, .release);
    return @intFromPtr(&wrapper);
}

/// What the application may see of an installed handler.
pub fn unwrapped(number: c_int, handler: usize, original_before: usize) usize {
    _ = number;
    return if (handler == @intFromPtr(&wrapper)) original_before else handler;
}

pub fn originalOf(number: c_int) usize {
    if (number < 1 or number >= signals_max) return 0;
    return @atomicLoad(usize, &originals[@intCast(number)], .acquire);
}

/// ppoll for a call that Linux would restart: -EINTR only if a handler without SA_RESTART has run
/// since `since` (a value of `count`).
pub fn poll(fds: []sys.PollFd, timeout_ns: ?u64, since: u64) isize {
    const deadline = if (timeout_ns) |ns| sys.nowNs() +| ns else 0;
    var left = timeout_ns;
    while (true) {
        if (count() != since) return sys.neg(.INTR);
        const n = sys.poll(fds, left, null);
        if (count() != since) return sys.neg(.INTR);
        if (n != sys.neg(.INTR)) return n;
        if (timeout_ns != null) {
            const now = sys.nowNs();
            if (now >= deadline) return 0;
            left = deadline - now;
        }
    }
}

test "only handlers without SA_RESTART are wrapped, and the application sees its own" {
    const handler: usize = 0x1234560;
    try std.testing.expectEqual(handler, wrapped(10, handler, SA_RESTART));
    try std.testing.expectEqual(1, wrapped(10, 1, 0));
    const installed = wrapped(10, handler, 0);
    try std.testing.expect(installed != handler);
    try std.testing.expectEqual(handler, unwrapped(10, installed, originalOf(10)));
}
