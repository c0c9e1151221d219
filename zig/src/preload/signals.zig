//! Signals and sleeping. A plain recv that is interrupted by a handler installed with SA_RESTART
//! goes on by itself; poll never does. So we remember which handlers were installed without
//! SA_RESTART: as long as there is none, an interrupted sleep goes back to sleep.

const std = @import("std");
const sys = @import("sys.zig");

const SA_RESTART: u64 = 0x10000000;

/// Bit n: signal n+1 has a handler that was installed without SA_RESTART.
var interrupting: u64 = 0;

/// What a kernel-level sigaction looks like to us: handler and flags.
pub fn installed(signal: c_int, is_handler: bool, flags: u64) void {
    if (signal < 1 or signal > 64) return;
    const bit = @as(u64, 1) << @intCast(signal - 1);
    if (is_handler and flags & SA_RESTART == 0) {
        _ = @atomicRmw(u64, &interrupting, .Or, bit, .acq_rel);
    } else {
        _ = @atomicRmw(u64, &interrupting, .And, ~bit, .acq_rel);
    }
}

/// ppoll that restarts where Linux would restart the call it stands for.
pub fn poll(fds: []sys.PollFd, timeout_ns: ?u64) isize {
    const deadline = if (timeout_ns) |ns| sys.nowNs() +| ns else 0;
    var left = timeout_ns;
    while (true) {
        const n = sys.poll(fds, left, null);
        if (n != sys.neg(.INTR)) return n;
        if (@atomicLoad(u64, &interrupting, .acquire) != 0) return n;
        if (timeout_ns != null) {
            const now = sys.nowNs();
            if (now >= deadline) return 0;
            left = deadline - now;
        }
    }
}

test "only handlers without SA_RESTART interrupt" {
    installed(10, true, SA_RESTART);
    try std.testing.expectEqual(0, interrupting);
    installed(10, true, 0);
    try std.testing.expect(interrupting != 0);
    installed(10, false, 0);
    try std.testing.expectEqual(0, interrupting);
}
