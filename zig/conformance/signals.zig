//! Signals that a case catches: it counts them, and nothing else.

const libc = @import("libc.zig");
const Side = @import("side.zig").Side;

var counts: [65]u32 = @splat(0);

fn count(number: c_int) callconv(.c) void {
    _ = @atomicRmw(u32, &counts[@intCast(number)], .Add, 1, .monotonic);
}

/// From now on the signal is counted. With `restart` interrupted calls go on (SA_RESTART).
pub fn catchSignal(t: *Side, number: c_int, restart: bool) void {
    const action: libc.sigaction_t = .{
        .handler = &count,
        .flags = if (restart) libc.SA_RESTART else 0,
    };
    if (libc.sigaction(number, &action, null) != 0) t.fail("sigaction of {d}", .{number});
}

/// Records how often it has come.
pub fn caught(t: *Side, number: c_int) void {
    t.note("signal {d} has come {d} times", .{ number, @atomicLoad(u32, &counts[@intCast(number)], .monotonic) });
}
