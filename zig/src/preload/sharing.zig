//! epoll instances that several processes may use: inherited by fork, or passed as a descriptor.
//!
//! An instance is one object of the kernel's, whoever holds it, but rings are known to the process
//! that has registered them alone. So:
//!
//!   Invariant: an instance has ring connections in one process at most, its *owner*, and only as
//!   long as no other process uses it. Once a second one does it is *settled* in each process that
//!   uses it: its connections are on TCP, the kernel's registrations are the application's own, and
//!   waits sleep in the kernel like any other.
//!
//! To use is to wait on it, to change a registration, or to wait for it (nested, poll). Being
//! inherited is not: the children of most servers never touch their parent's instance. What decides
//! is a `Claim` in memory that parent and children share, made before the first fork: 0, the owner's
//! process id, or `shared`, from which nothing leads back. A parent that has had connections in the
//! instance is its owner; one that has not leaves it to whoever is first, so that a server that makes
//! its instance and then forks into the background keeps its rings.
//!
//! Two uses at the same time. The owner counts itself in before it sleeps, and then looks who owns;
//! a second process writes `shared`, and then looks at the count; both are sequentially consistent,
//! so one of them sees the other. An owner that is not asleep finds out at its next use. One that is
//! gets a *summons*: a descriptor that is readable, put into the instance (level-triggered: it wakes
//! the owner whether it is asleep already or about to be), and the second process waits, before it
//! asks the kernel for the first time, until the owner has moved its connections.
//!
//! An owner that is elsewhere (in another call, or computing) and comes back late: connections that
//! it has added after the fork are unknown to the second process and stay on their rings until then.

const std = @import("std");
const constants = @import("../constants.zig");
const conn_module = @import("conn.zig");
const ends = @import("ends.zig");
const epoll = @import("epoll.zig");
const foreign = @import("foreign.zig");
const interest = @import("interest.zig");
const links = @import("links.zig");
const log = @import("log.zig");
const nesting = @import("nesting.zig");
const process = @import("process.zig");
const readiness = @import("readiness.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");

const Conn = conn_module.Conn;
const Epoll = epoll.Epoll;

/// Whose an instance is; in memory that parent and children share.
pub const Claim = extern struct {
    /// 0, a process id, or `shared`.
    owner: u32 = 0,
    /// The owner's threads between their last look at `owner` and the end of their sleep.
    asleep: u32 = 0,
    /// Somebody in the owner may wait for the instance itself, elsewhere.
    parked: u32 = 0,
    /// The owner's connections have been moved.
    moved: u32 = 0,

    const shared = std.math.maxInt(u32);

    const Found = enum { mine, taken, already_shared };

    /// `mine`: this process has claimed it. `clean`: it has nothing of another owner's in its tables.
    fn use(claim: *Claim, me: u32, mine: bool, clean: bool) Found {
        while (true) {
            // Acquire pairs with the exchange that wrote `shared`.
            const owner = @atomicLoad(u32, &claim.owner, .acquire);
            if (owner == shared) return .already_shared;
            if (owner == me and mine) return .mine;
            const next = if (owner == 0 and clean) me else shared;
            // Sequentially consistent: before the look at `asleep` (see above).
            if (@cmpxchgStrong(u32, &claim.owner, owner, next, .seq_cst, .monotonic) != null) continue;
            return if (next == me) .mine else .taken;
        }
    }

    fn isLost(claim: *const Claim) bool {
        return @atomicLoad(u32, &claim.owner, .seq_cst) == shared;
    }

    /// The owner closes the instance: whoever uses it next may own it.
    fn giveUp(claim: *Claim, me: u32) void {
        _ = @cmpxchgStrong(u32, &claim.owner, me, 0, .acq_rel, .monotonic);
    }
};

/// Claims are never used again: a child may look at one long after its parent has closed the
/// instance. Those that are made later, by a process that has used up all, are shared from the start.
const claims_max = constants.epoll_claims_max;
var claims: ?*[claims_max]Claim = null;
var claims_used: usize = 0;
/// For instances that are shared from the start, as far as this process knows.
var nobodys: Claim = .{ .owner = Claim.shared };

/// Before fork, under the instance's mutex.
pub fn prepare(e: *Epoll) void {
    if (e.claim != null) return;
    const claim = makeClaim() orelse {
        e.claim = &nobodys;
        return;
    };
    e.mine = e.registrations != null or e.waiter != null or e.sleepers > 0 or e.nested;
    claim.* = .{
        .owner = if (e.mine) process.id() else 0,
        .asleep = e.sleepers - @intFromBool(e.parked),
        .parked = @intFromBool(e.nested),
    };
    e.claim = claim;
}

fn makeClaim() ?*Claim {
    if (claims == null) {
        const memory = sys.mapInherited(@sizeOf(Claim) * claims_max) orelse return null;
        claims = @ptrCast(@alignCast(memory));
    }
    if (claims_used == claims_max) return null;
    const claim = &claims.?[claims_used];
    if (!ends.populate(@ptrCast(claim), @sizeOf(Claim))) return null;
    claims_used += 1;
    return claim;
}

/// In a forked child: hands off, until the instance is used.
pub fn afterForkChild() void {
    // Inherited ones stay where they are; the child's children get theirs from a mapping of its own.
    claims = null;
    claims_used = 0;
}

pub fn inherit(e: *Epoll) void {
    e.mine = false;
    e.foreign = true;
    if (e.settled) e.waiter = null;
}

/// The instance is closed here.
pub fn forget(e: *Epoll) void {
    const claim = e.claim orelse return;
    if (e.mine and !e.settled) claim.giveUp(process.id());
}

// ---------------------------------------------------------------------------------------------
// Using

/// At every use of an instance with a claim. No lock is held.
pub fn use(e: *Epoll) void {
    const claim = e.claim orelse return;
    if (e.settled) return if (e.ring_count > 0 or e.waiter != null) settleRest(e);
    const clean = !e.foreign or (e.waiter == null and e.rows == null and e.ring_count == 0);
    switch (claim.use(process.id(), e.mine, clean)) {
        .mine => {
            if (e.mine) return;
            e.mine = true;
            e.foreign = false;
        },
        .taken => {
            summon(e, claim);
            settle(e);
        },
        .already_shared => settle(e),
    }
}

/// The descriptor goes to another process, which has no part in the claim.
pub fn passed(e: *Epoll) void {
    if (e.claim) |claim| {
        const before = @atomicRmw(u32, &claim.owner, .Xchg, Claim.shared, .seq_cst);
        if (before != Claim.shared and before != 0 and !e.mine) summon(e, claim);
    } else e.claim = &nobodys;
    settle(e);
}

/// This thread is going to sleep in the kernel. False: `use` it first. Else it ends with `endSleep`.
/// Under the instance's mutex, as is the change of `sleepers` that goes with it (`prepare`).
pub fn beginSleep(e: *Epoll) bool {
    const claim = e.claim.?;
    _ = @atomicRmw(u32, &claim.asleep, .Add, 1, .seq_cst); // before the look at `owner` (see above)
    if (e.settled or !claim.isLost()) return true;
    cancelledAsleep(e);
    return false;
}

/// No lock is held.
pub fn endSleep(e: *Epoll) void {
    if (!e.settled and e.claim.?.isLost()) settle(e);
    cancelledAsleep(e);
}

/// The same for a thread that is cancelled: others, or the next use, find out.
pub fn cancelledAsleep(e: *Epoll) void {
    _ = @atomicRmw(u32, &e.claim.?.asleep, .Sub, 1, .release); // pairs with the acquire in `summon`
}

/// From now on somebody may wait for the instance elsewhere.
pub fn notePark(e: *Epoll) void {
    if (e.claim) |claim| if (e.mine) @atomicStore(u32, &claim.parked, 1, .seq_cst);
}

/// Wakes the owner, and waits until it has moved its connections. (One that was killed in its sleep,
/// or stopped, does not answer: patience ends.)
fn summon(e: *Epoll, claim: *Claim) void {
    const asleep = @atomicLoad(u32, &claim.asleep, .seq_cst) != 0;
    if (!asleep and @atomicLoad(u32, &claim.parked, .seq_cst) == 0) return;
    const readable: u32 = 1;
    const fd = sys.ownFd(sys.call(.eventfd2, .{ readable, sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC })) orelse return;
    defer sys.close(fd);
    waiters.epollAdd(e.fd, fd);
    defer waiters.epollRemove(e.fd, fd);
    const patience: u64 = if (asleep) constants.recall_timeout_must_ns else constants.recall_timeout_ns;
    const deadline = sys.nowNs() + patience;
    while (@atomicLoad(u32, &claim.moved, .acquire) == 0) {
        if (asleep and @atomicLoad(u32, &claim.asleep, .acquire) == 0) return;
        if (sys.nowNs() > deadline) {
            log.debug("epoll {d}: its owner does not answer", .{e.fd});
            return;
        }
        sys.pause(200_000);
    }
}

// ---------------------------------------------------------------------------------------------
// Settling

/// The kernel's alone from here on: every connection to TCP, and nothing of ours in the instance.
fn settle(e: *Epoll) void {
    if (!leaveAll(e)) return;
    log.debug("epoll {d}: other processes use it; kernel events only", .{e.fd});
    var patience: u64 = constants.recall_timeout_ns;
    while (takeUnmoved(e)) |c| {
        const moved = foreign.leaveRings(c, patience);
        if (!moved) patience = 0; // that peer is busy elsewhere; its other connections too, most likely
        interest.settled(e, c, moved);
        c.unpin();
    }
    // Release pairs with the acquire in `summon`: the kernel's registrations are right.
    if (e.mine) @atomicStore(u32, &e.claim.?.moved, 1, .release);
    var nest = e.nests;
    while (nest) |n| : (nest = n.next) passed(n.inner);
}

/// Takes all rings and bells out of the instance. False: another thread has.
fn leaveAll(e: *Epoll) bool {
    if (e.nested) nesting.unpark(e);
    const guard = e.mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    if (e.settled) return false;
    if (!e.foreign) interest.synchronise(e);
    interest.leaveAll(e);
    readiness.dropRows(e, null);
    const inherited_waiter = e.foreign;
    e.settled = true;
    e.foreign = true;
    interest.compareWithKernel(e);
    if (inherited_waiter) dropInherited(e) else dropWaiter(e);
    return true;
}

/// One that has to be moved still, pinned.
fn takeUnmoved(e: *Epoll) ?*Conn {
    const guard = e.mutex.lock();
    if (!guard.ok()) return null;
    defer guard.unlock();
    var at = e.registrations;
    while (at) |r| : (at = r.next) {
        if (r.moved) continue;
        r.conn.pin();
        return r.conn;
    }
    return null;
}

/// What could not be moved yet, because the peer did not re-send what lies unread in the ring: now
/// that it has been read, nothing is to be re-sent.
fn settleRest(e: *Epoll) void {
    {
        const guard = e.mutex.lock();
        if (!guard.ok()) return;
        defer guard.unlock();
        if (e.waiter != null) dropWaiter(e);
        if (e.ring_count == 0) return;
        interest.retryRead(e);
    }
    while (takeUnmoved(e)) |c| {
        interest.settled(e, c, foreign.leaveRings(c, 0));
        c.unpin();
    }
}

/// Our bells, once no thread sleeps with them any more. Holds the mutex.
fn dropWaiter(e: *Epoll) void {
    const w = e.waiter orelse return;
    if (links.control_epoll >= 0) waiters.epollRemove(e.fd, links.control_epoll);
    if (e.sleepers > @intFromBool(e.parked)) return;
    waiters.leaveEpoll(w);
    waiters.destroy(w);
    e.waiter = null;
}

/// Those of the process that had the instance before fork, by the copies of them that we have.
fn dropInherited(e: *Epoll) void {
    for (links.inherited_control) |fd| if (fd >= 0) waiters.epollRemove(e.fd, fd);
    const w = e.waiter orelse return;
    waiters.leaveEpoll(w);
    waiters.closeInherited(w);
    e.waiter = null; // the object is of a pool that this process does not use
}

// ---------------------------------------------------------------------------------------------
// Registrations of a settled instance

/// epoll_ctl for a tracked connection, after `use`: it goes to TCP, and the rest is the kernel's. Raw result.
pub fn control(e: *Epoll, c: *Conn, op: c_int, fd: i32, event: ?*const sys.EpollEvent) isize {
    if (interest.changeSilent(e, c, op, fd, event)) |result| return result;
    const moved = op == sys.EPOLL_CTL_DEL or foreign.leaveRings(c, constants.recall_timeout_ns);
    const result = sys.call(.epoll_ctl, .{ e.fd, op, fd, event });
    if (result < 0) return result;
    if (op == sys.EPOLL_CTL_DEL) {
        interest.unregistered(e, c, fd);
    } else if (!moved) interest.registered(e, c, fd, event.?);
    return result;
}

test "the first user of an unclaimed instance owns it, the second shares it" {
    var claim: Claim = .{};
    try std.testing.expectEqual(.mine, claim.use(7, false, true));
    try std.testing.expectEqual(.mine, claim.use(7, true, true));
    try std.testing.expectEqual(.taken, claim.use(8, false, true));
    try std.testing.expect(claim.isLost());
    try std.testing.expectEqual(.already_shared, claim.use(7, true, true));
    claim.giveUp(7);
    try std.testing.expect(claim.isLost());
}

test "what its owner has closed is free for a process that has nothing of the owner's" {
    var claim: Claim = .{ .owner = 7 };
    claim.giveUp(7);
    try std.testing.expectEqual(.mine, claim.use(8, false, true));
    claim.giveUp(8);
    try std.testing.expectEqual(.taken, claim.use(9, false, false));
}

test "a process id that has come again is not the owner" {
    var claim: Claim = .{ .owner = 7 };
    try std.testing.expectEqual(.taken, claim.use(7, false, true));
}
