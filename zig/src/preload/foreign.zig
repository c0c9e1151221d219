//! A connection is about to be used by code that does not go through this library: another program
//! (exec, posix_spawn, a passed descriptor) or libc's own insides (fdopen). Both directions move to
//! kernel TCP first, and stay there. (PROTOCOL M2)

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const Reason = @import("../reason.zig").Reason;
const arena_module = @import("arena.zig");
const conn_module = @import("conn.zig");
const fds = @import("fds.zig");
const interest = @import("interest.zig");
const log = @import("log.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");

const Conn = conn_module.Conn;
const Wake = carrier.Wake(carrier.Native);

/// What becomes of bytes in our ring that the peer does not re-send in time.
pub const Stakes = enum {
    /// The new holder must see every byte: without them the connection ends with a reset.
    must,
    /// This program goes on using the connection, and the other very likely never touches it
    /// (system, popen, posix_spawn): then reading stays on the ring.
    may_stay,
};

/// Every connection that would survive exec, before this program is replaced.
pub fn releaseSurvivors(reason: Reason) void {
    releaseAll(reason, .must);
}

/// The same before another program is started beside this one.
pub fn releaseForSpawn(reason: Reason) void {
    releaseAll(reason, .may_stay);
}

fn releaseAll(reason: Reason, stakes: Stakes) void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        const flags = sys.call(.fcntl, .{ fd, sys.F_GETFD, 0 });
        if (flags < 0 or flags & sys.FD_CLOEXEC != 0) continue;
        releaseFor(c, reason, stakes);
    }
}

pub fn release(c: *Conn, reason: Reason) void {
    releaseFor(c, reason, .must);
}

fn releaseFor(c: *Conn, reason: Reason, stakes: Stakes) void {
    switch (c.stateOf()) {
        .undecided => conn_module.makePlain(c, reason),
        .attached => {
            if (c.role == .client and arena_module.withdraw(c)) {
                interest.detach(c, false);
                arena_module.unbind(c);
                return conn_module.makePlain(c, reason);
            }
            const sent = releaseTx(c, reason);
            if (!releaseRx(c, stakes) or !sent) {
                if (stakes == .must) return giveUp(c);
            }
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

/// True: the kernel carries what comes from here on. False: the peer did not re-send in time.
fn releaseRx(c: *Conn, stakes: Stakes) bool {
    const deadline = sys.nowNs() + constants.recall_timeout_ns;
    const held = c.lockRx() orelse return false;
    defer c.unlockRx(held);
    var r = c.receiver();
    var rung = false;
    while (true) {
        // Again each turn: a sender found in the middle of a move ends on TCP without our wish.
        switch (r.recall(c.kernel(), c.bells())) {
            .left => return true,
            .corrupt => return false,
            .waiting => {},
        }
        if (!rung) {
            // Whoever of the peer sleeps for our bytes can re-send its own just as well.
            Wake.notify(&c.tx_direction.attn, &c.end.tx.rang, c.bells());
            rung = true;
        }
        if (sys.nowNs() > deadline) break;
        sys.futexWait(&unused_futex, 0, 200_000);
    }
    if (stakes == .may_stay) return r.recallCancel() or r.recallDone();
    return false;
}

const unused_futex: u32 = 0;

/// The peer did not take its bytes back in time, so the other program could not read them: it must
/// not see a stream with a hole. The connection ends with a reset.
fn giveUp(c: *Conn) void {
    log.warn("fd {d}: peer did not move its bytes to TCP in time; connection reset", .{c.fd});
    conn_module.fail(c, .recall_timeout);
}
