//! A connection is about to be used by code that does not go through this library: another program
//! (exec, posix_spawn, a passed descriptor) or libc's own insides (fdopen). Both directions move to
//! kernel TCP first. (PROTOCOL M2) They stay there for good, or, where the other program got the
//! connection by inheritance only, until it has gone: `hold`.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const Reason = @import("../reason.zig").Reason;
const arena_module = @import("arena.zig");
const clock = @import("clock.zig");
const conn_module = @import("conn.zig");
const control = @import("control.zig");
const cork = @import("cork.zig");
const fds = @import("fds.zig");
const holders = @import("holders.zig");
const interest = @import("interest.zig");
const links = @import("links.zig");
const log = @import("log.zig");
const outsiders = @import("outsiders.zig");
const process = @import("process.zig");
const section = @import("section.zig");
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

/// Every connection that would survive exec, before this program is replaced; and none is used by
/// this process any more. `execFailed`, if it comes back.
pub fn beforeExec(reason: Reason) void {
    section.enter();
    defer section.leave();
    releaseAll(reason, .must);
    if (process.inVforkChild()) return;
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        if (conn_module.find(fd)) |c| holders.setLeaving(c.end, process.id());
    }
}

/// This program goes on after all.
pub fn execFailed() void {
    if (process.inVforkChild()) return;
    section.enter();
    defer section.leave();
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        holders.stay(c.end, process.id());
        c.hold_look_at = 0;
    }
}

/// Before another program is started beside this one.
pub fn releaseForSpawn(reason: Reason) void {
    section.enter();
    defer section.leave();
    releaseAll(reason, .may_stay);
}

fn releaseAll(reason: Reason, stakes: Stakes) void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        const flags = sys.call(.fcntl, .{ fd, sys.F_GETFD, 0 });
        if (flags < 0 or flags & sys.FD_CLOEXEC != 0) continue;
        hold(c, reason, stakes);
    }
}

/// For good: the kernel carries it from here on.
pub fn release(c: *Conn, reason: Reason) void {
    switch (c.stateOf()) {
        .undecided => return conn_module.makePlain(c, reason),
        .attached => {},
        else => return,
    }
    if (takeOfferBack(c, reason)) return;
    if (reason == .fd_passed) setElsewhere(c, true);
    const sent = leaveTx(c, reason, conn_module.flag_stay);
    if (!releaseRx(c, .must) or !sent) return giveUp(c);
    c.setReason(reason);
}

/// An attached connection that nobody has adopted is on kernel TCP from here on.
fn takeOfferBack(c: *Conn, reason: Reason) bool {
    if (c.role != .client or !arena_module.withdraw(c)) return false;
    interest.detach(c, false);
    arena_module.unbind(c);
    conn_module.makePlain(c, reason);
    return true;
}

/// Before fork: no offer may stand. Who adopts it is introduced to this process alone, so a child that
/// goes on with the connection could not wake him. One that is adopted already: we know by whom.
pub fn settleOffers() void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        if (c.fd != fd or !isOffered(c) or takeOfferBack(c, .shared_by_fork)) continue;
        const state: layout.SlotState = @bitCast(@atomicLoad(u64, &c.slot.state, .acquire));
        if (!links.isKnown(c.arena, state.server_link)) control.process();
    }
}

/// With the arena mutex held, nobody makes further ones.
pub fn anyOffer() bool {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        if (!isOffered(c)) continue;
        const state: layout.SlotState = @bitCast(@atomicLoad(u64, &c.slot.state, .acquire));
        if (state.tag == @intFromEnum(layout.SlotTag.offered)) return true;
    }
    return false;
}

/// This end has not seen an adoption.
fn isOffered(c: *const Conn) bool {
    return c.role == .client and c.isAttached() and
        @atomicLoad(u32, &c.end.state, .acquire) == @intFromEnum(layout.EndState.offered);
}

/// For an epoll instance that other processes use (sharing.zig): readiness has to be the kernel's to
/// tell. False: bytes lie in the ring that the peer did not re-send in time; this process goes on
/// reading them there.
pub fn leaveRings(c: *Conn, patience_ns: u64) bool {
    switch (c.stateOf()) {
        .undecided => {
            conn_module.makePlain(c, .epoll_shared);
            return true;
        },
        .attached => {},
        else => return true,
    }
    if (takeOfferBack(c, .epoll_shared)) return true;
    const sent = leaveTx(c, .epoll_shared, conn_module.flag_stay);
    const received = recallFor(c, patience_ns, .may_stay) == .left;
    if (sent and received) c.setReason(.epoll_shared);
    return sent and received;
}

/// As long as another program holds it, which is found out at later data calls.
pub fn hold(c: *Conn, reason: Reason, stakes: Stakes) void {
    switch (c.stateOf()) {
        .undecided, .attached => {},
        else => return,
    }
    setElsewhere(c, true);
    const forever = c.end.tx.flags & conn_module.flag_stay != 0 and !c.isHeld();
    const flags = if (forever) conn_module.flag_stay else conn_module.flag_stay | conn_module.flag_held;
    const sent = leaveTx(c, reason, flags);
    const attached = c.isAttached();
    const received = !attached or releaseRx(c, stakes);
    if (!(sent and received) and stakes == .must) return giveUp(c);
    c.setReason(reason);
    c.hold_look_ns = constants.hold_look_ns_min;
    c.hold_look_at = clock.ticks() + clock.fromNs(c.hold_look_ns);
}

// ---------------------------------------------------------------------------------------------
// Coming back

/// At a data call of a held connection: the hold ends when nobody outside the library's tables has
/// the socket any more. Seldom asked, more and more seldom.
pub noinline fn considerLift(c: *Conn) void {
    const now = clock.ticks();
    if (now < c.hold_look_at) return;
    c.hold_look_ns = @max(constants.hold_look_ns_min, @min(2 * c.hold_look_ns, constants.hold_look_ns_max));
    c.hold_look_at = now + clock.fromNs(c.hold_look_ns);
    const holds = @atomicLoad(u64, &c.end.holds, .acquire);
    if (!outsiders.nobody(c, .{ .since = c.end.held_since_ns })) return;
    lift(c, holds);
}

/// `holds`: as it was before the look. A hold that another thread began meanwhile stands.
fn lift(c: *Conn, holds: u64) void {
    const tx = c.lockTx() orelse return;
    defer c.unlockTx(tx);
    if (c.end.holds != holds or !c.isHeld()) return;
    if (c.isAttached()) {
        const rx = c.lockRx() orelse return;
        defer c.unlockRx(rx);
        var r = c.receiver();
        if (!r.recallLift()) return;
    }
    c.end.tx.flags &= ~(conn_module.flag_stay | conn_module.flag_held);
    setElsewhere(c, false);
    conn_module.readModes(c);
    conn_module.tellModesChanged(c);
    c.setReason(if (c.isAttached()) .none else .undecided);
    c.next_attempt = c.calls +% 1;
    log.debug("fd {d}: no other program holds it any more", .{c.fd});
}

// ---------------------------------------------------------------------------------------------
// Leaving

/// Sets `flags`, and moves sending to TCP. False: the kernel did not take all in time.
fn leaveTx(c: *Conn, reason: Reason, flags: u32) bool {
    const deadline = sys.nowNs() + constants.recall_timeout_ns;
    while (true) {
        {
            const held = c.lockTx() orelse return false;
            defer c.unlockTx(held);
            note(c, flags);
            cork.give(c);
            if (!c.isAttached()) return true;
            var s = c.sender();
            if (!s.inRing()) return true;
            // Nothing can be sent any more, and trying would take the socket's error away.
            if (c.kernel().failed()) return true;
            // Whatever comes now is refused here, or answered with a reset, whoever sends it.
            if (c.shutWrite() or stream.isShutAndUnread(c)) return true;
            stream.leave(c, &s, reason);
            if (!s.inRing()) return true;
        }
        if (sys.nowNs() > deadline) return false;
        var p = [_]sys.PollFd{.{ .fd = c.fd, .events = sys.POLLOUT }};
        _ = sys.poll(&p, 1_000_000, null);
    }
}

fn setElsewhere(c: *Conn, is: bool) void {
    const held = c.lockRx() orelse return;
    defer c.unlockRx(held);
    if (is) c.end.rx.flags |= conn_module.flag_elsewhere else c.end.rx.flags &= ~conn_module.flag_elsewhere;
}

/// Holds the send lock.
fn note(c: *Conn, flags: u32) void {
    const end = c.end;
    if (flags & conn_module.flag_held == 0) {
        end.tx.flags &= ~conn_module.flag_held;
    } else {
        // The first program of several decides from when on one of them can have been started.
        if (!c.isHeld()) end.held_since_ns = outsiders.nowBootNs();
        @atomicStore(u64, &end.holds, end.holds +% 1, .release);
    }
    end.tx.flags |= flags;
}

/// True: the kernel carries what comes from here on. False: the peer did not re-send in time.
fn releaseRx(c: *Conn, stakes: Stakes) bool {
    const patience_ns: u64 = switch (stakes) {
        .must => constants.recall_timeout_must_ns,
        .may_stay => constants.recall_timeout_ns,
    };
    return recallFor(c, patience_ns, stakes) != .failed;
}

const Recalled = enum {
    left,
    /// The peer did not answer, and reading stays on the ring.
    stays,
    failed,
};

fn recallFor(c: *Conn, patience_ns: u64, stakes: Stakes) Recalled {
    const deadline = sys.nowNs() + patience_ns;
    const held = c.lockRx() orelse return .failed;
    defer c.unlockRx(held);
    // After a reset nobody will answer: the kernel says what there is to say.
    if (c.kernel().failed()) return .left;
    var r = c.receiver();
    var rung = false;
    while (true) {
        // Again each turn: a sender found in the middle of a move ends on TCP without our wish.
        switch (r.recall(c.kernel(), c.bells())) {
            .left => return .left,
            .corrupt => return .failed,
            .waiting => {},
        }
        if (!rung) {
            // Whoever of the peer sleeps for our bytes can re-send its own just as well.
            Wake.notifyOfBytes(c.tx_direction, &c.end.tx.rang, c.bells());
            rung = true;
        }
        if (sys.nowNs() > deadline) break;
        sys.pause(200_000);
    }
    if (stakes == .must) return .failed;
    if (r.recallCancel()) return .stays;
    return if (r.recallDone()) .left else .failed;
}

/// The peer did not take its bytes back in time, so the other program could not read them: it must
/// not see a stream with a hole. The connection ends with a reset.
fn giveUp(c: *Conn) void {
    log.warn("fd {d}: peer did not move its bytes to TCP in time; connection reset", .{c.fd});
    conn_module.fail(c, .recall_timeout);
}
