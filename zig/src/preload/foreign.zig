//! A connection is about to be used by code that does not go through this library: another program
//! (exec, posix_spawn, a passed descriptor) or libc's own insides (fdopen). Both directions move to
//! kernel TCP first, and stay there. (PROTOCOL M2)

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const Reason = @import("../reason.zig").Reason;
const arena_module = @import("arena.zig");
const conn_module = @import("conn.zig");
const fds = @import("fds.zig");
const interest = @import("interest.zig");
const log = @import("log.zig");
const negotiate = @import("negotiate.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");

const Conn = conn_module.Conn;

/// Every connection that would survive exec.
pub fn releaseSurvivors(reason: Reason) void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        const flags = sys.call(.fcntl, .{ fd, sys.F_GETFD, 0 });
        if (flags < 0 or flags & sys.FD_CLOEXEC != 0) continue;
        release(c, reason);
    }
}

pub fn release(c: *Conn, reason: Reason) void {
    switch (c.stateOf()) {
        .undecided => conn_module.makePlain(c, reason),
        .attached => {
            if (c.role == .client and arena_module.withdraw(c)) {
                interest.detach(c, false);
                arena_module.unbind(c);
                return conn_module.makePlain(c, reason);
            }
            if (!releaseTx(c, reason) or !releaseRx(c)) return giveUp(c);
            c.setReason(reason);
        },
        else => {},
    }
}

fn releaseTx(c: *Conn, reason: Reason) bool {
    const deadline = sys.nowNs() + constants.recall_timeout_ns;
    while (true) {
        {
            const held = c.lockTx() orelse return false;
            defer c.unlockTx(held);
            c.end.tx.flags |= conn_module.flag_stay;
            var s = c.sender();
            if (!s.inRing()) return true;
            stream.leave(c, &s, reason);
            if (!s.inRing()) return true;
        }
        if (sys.nowNs() > deadline) return false;
        var p = [_]sys.PollFd{.{ .fd = c.fd, .events = sys.POLLOUT }};
        _ = sys.poll(&p, 1_000_000, null);
    }
}

fn releaseRx(c: *Conn) bool {
    const deadline = sys.nowNs() + constants.recall_timeout_ns;
    const held = c.lockRx() orelse return false;
    defer c.unlockRx(held);
    var r = c.receiver();
    switch (r.recall(c.kernel(), c.bells())) {
        .left => return true,
        .corrupt => return false,
        .waiting => {},
    }
    while (!r.recallDone()) {
        if (sys.nowNs() > deadline) return false;
        sys.futexWait(&unused_futex, 0, 200_000); // a short sleep; the peer answers by the gate
    }
    return true;
}

const unused_futex: u32 = 0;

/// The peer did not take its bytes back in time, so the other program could not read them: it must
/// not see a stream with a hole. The connection ends with a reset.
fn giveUp(c: *Conn) void {
    log.warn("fd {d}: peer did not move its bytes to TCP in time; connection reset", .{c.fd});
    c.setReason(.recall_timeout);
    stream.reset(c);
}
