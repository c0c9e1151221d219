//! epoll instances that are themselves waited for: by another instance, or by poll and select.
//!
//! Whoever waits from outside asks the kernel, and for the kernel an instance is readable when one of
//! the descriptors in it is. So an instance that has ring connections stays announced to them while
//! the application is elsewhere ("parked"), and doorbells, or the instance's own bell for what is
//! ready already, make it readable.
//!
//! But bells ring for other reasons too (bytes that were read meanwhile, a change of a registration),
//! and the control descriptor tells of any message from a peer or the monitor. So what the kernel
//! says of an instance with rings in it, or with other instances in it, is looked into before the
//! application hears of it: `isReadable` serves what is ours, and says what is left.
//!
//! Lock order: the outer instance's mutex before the inner one's. (The kernel allows no rings of
//! instances.)

const std = @import("std");
const epoll = @import("epoll.zig");
const fds = @import("fds.zig");
const interest = @import("interest.zig");
const lock = @import("lock.zig");
const readiness = @import("readiness.zig");
const sharing = @import("sharing.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");
const Pool = @import("pool.zig").Pool;

const Epoll = epoll.Epoll;

/// One instance's place in another, through one descriptor. In the outer one's list, under its mutex.
pub const Nest = struct {
    next_free: ?*Nest = null,
    next: ?*Nest,
    inner: *Epoll,
    fd: i32,
    events: u32,
    data: u64,
};

var pool: Pool(Nest, 64) = .{};

// ---------------------------------------------------------------------------------------------
// Who is in whom

/// Somebody is going to wait for this instance itself.
pub fn begin(e: *Epoll) void {
    if (e.claim != null) sharing.use(e);
    if (e.nested) return;
    e.nested = true;
    park(e);
}

/// Those in `e` are used, too (sharing.zig). Before any lock is taken.
pub fn useInner(e: *Epoll) void {
    var at = e.nests;
    while (at) |nest| : (at = nest.next) {
        if (nest.inner.claim != null) sharing.use(nest.inner);
        if (nest.inner.nests != null) useInner(nest.inner);
    }
}

/// The kernel has done this with instance `inner` in `e`.
pub fn changed(e: *Epoll, op: c_int, fd: i32, inner: *Epoll, event: ?*const sys.EpollEvent) void {
    const guard = e.mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    const place = placeOf(e, fd, inner);
    if (op == sys.EPOLL_CTL_DEL) {
        if (place) |p| remove(p);
        return;
    }
    const wanted = event orelse return;
    if (wanted.events & sys.EPOLLET != 0) expectEdges(inner);
    const nest = if (place) |p| p.*.? else pool.take() orelse return;
    const next = if (place == null) e.nests else nest.next;
    nest.* = .{ .next = next, .inner = inner, .fd = fd, .events = wanted.events, .data = wanted.data };
    if (place == null) e.nests = nest;
}

/// From here on every ring is heard, also while the instance is readable.
fn expectEdges(e: *Epoll) void {
    if (e.edge_nested) return;
    const guard = e.mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    e.edge_nested = true;
    if (e.parked) _ = announce(e);
}

/// How many instances are registered in `e` with this data.
pub fn countData(e: *const Epoll, data: u64) u32 {
    var count: u32 = 0;
    var at = e.nests;
    while (at) |nest| : (at = nest.next) {
        if (nest.data == data) count += 1;
    }
    return count;
}

fn placeOf(e: *Epoll, fd: i32, inner: *const Epoll) ?*?*Nest {
    var place = &e.nests;
    while (place.*) |nest| : (place = &nest.next) {
        if (nest.inner == inner and nest.fd == fd) return place;
    }
    return null;
}

fn remove(place: *?*Nest) void {
    const nest = place.*.?;
    place.* = nest.next;
    pool.give(nest);
}

/// The instance is closed.
pub fn forget(e: *Epoll) void {
    while (e.nests != null) remove(&e.nests);
    if (!e.nested) return;
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const outer = epoll.find(fd) orelse continue;
        if (outer.nests == null) continue;
        const guard = outer.mutex.lock();
        defer guard.unlock();
        if (!guard.ok()) continue;
        var place = &outer.nests;
        while (place.*) |nest| {
            if (nest.inner == e) remove(place) else place = &nest.next;
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Parked

/// The application is elsewhere: doorbells must make the instance readable, and so must events that
/// are there already.
pub fn park(e: *Epoll) void {
    const guard = e.mutex.lock();
    if (!guard.ok() or e.parked) return guard.unlock();
    defer guard.unlock();
    if (e.claim != null) sharing.notePark(e);
    if (!announce(e)) return;
    if (!kernelSays(e)) ringOwn(e);
    // Readable already, until the next look at all rows: nobody has to ring for more. (But each ring
    // is an edge to whoever waits for edges.)
    if (e.sleepers == 1 and !e.edge_nested) readiness.silence(e);
}

/// The application waits on the instance itself.
pub fn unpark(e: *Epoll) void {
    const guard = e.mutex.lock();
    if (!guard.ok() or !e.parked) return guard.unlock();
    defer guard.unlock();
    e.parked = false;
    readiness.endAnnouncement(e);
}

/// Announces the instance to its rings, anew if it is parked: what has rung may ring again. True:
/// there are ring events now.
fn announce(e: *Epoll) bool {
    if (e.parked) readiness.endAnnouncement(e);
    e.parked = true;
    const found = readiness.announce(e);
    e.reachable = found.reachable;
    interest.synchronise(e);
    return found.ready;
}

fn ringOwn(e: *Epoll) void {
    if (epoll.waiterOf(e)) |w| waiters.kick(w.number);
}

fn kernelSays(e: *const Epoll) bool {
    var polled = [_]sys.PollFd{.{ .fd = e.fd, .events = sys.POLLIN }};
    return sys.poll(&polled, 0, null) > 0;
}

// ---------------------------------------------------------------------------------------------
// Looking

/// Bells can ring all the time; after so many rounds an instance counts as readable.
const rounds_max = 8;

/// Has this nested instance events for the application? Afterwards the kernel says the same.
/// `edge`: who asks has been told, and what comes from now on has to ring again.
pub fn isReadable(e: *Epoll, edge: bool) bool {
    const guard = e.mutex.lock();
    if (!guard.ok()) return kernelSays(e);
    defer guard.unlock();
    if (e.settled and e.ring_count == 0) return kernelSays(e);
    var at = e.nests;
    while (at) |nest| : (at = nest.next) _ = isReadable(nest.inner, false);
    // A thread that is asleep in it is woken by the same bells, and empties them itself.
    if (e.sleepers > @intFromBool(e.parked)) return kernelSays(e);
    if (e.parked and e.reachable and !edge and readiness.peek(e)) return true;
    for (0..rounds_max) |_| {
        const says = kernelSays(e);
        if (announce(e)) {
            if (!says) ringOwn(e);
            return true;
        }
        if (!says) return false;
        const w = e.waiter orelse return true;
        if (!waiters.drainAll(w)) return true;
    }
    return true;
}

/// Takes the events of inner instances that have none out of what the kernel reported for `e`; the
/// number that remain. Holds `e`'s mutex.
pub fn verify(e: *Epoll, events: []sys.EpollEvent) usize {
    var kept: usize = 0;
    for (events) |event| {
        const silent = silentNest(e, event.data);
        if (silent) |nest| {
            if (countEvents(events[0..kept], event.data) >= readyWith(e, event.data)) {
                if (nest.events & sys.EPOLLONESHOT != 0) rearm(e, nest);
                continue;
            }
        }
        events[kept] = event;
        kept += 1;
    }
    return kept;
}

/// An inner instance that is registered with this data and has no events.
fn silentNest(e: *Epoll, data: u64) ?*const Nest {
    var silent: ?*const Nest = null;
    var at = e.nests;
    while (at) |nest| : (at = nest.next) {
        if (nest.data != data) continue;
        if (!isReadable(nest.inner, nest.events & sys.EPOLLET != 0)) silent = nest;
    }
    return silent;
}

/// How many registrations of `e` with this data have events: it may be others', too.
fn readyWith(e: *Epoll, data: u64) usize {
    if (!interest.isSharedData(e, data)) return 0;
    var ready: usize = 0;
    var list: epoll.KnownList = .open(e);
    defer list.close();
    while (list.next()) |known| {
        if (known.data != data) continue;
        const asked: u16 = @truncate(known.events);
        var polled = [_]sys.PollFd{.{ .fd = known.fd, .events = @bitCast(asked) }};
        if (sys.poll(&polled, 0, null) > 0) ready += 1;
    }
    return ready;
}

fn countEvents(events: []const sys.EpollEvent, data: u64) usize {
    var count: usize = 0;
    for (events) |event| if (event.data == data) {
        count += 1;
    };
    return count;
}

/// The kernel has disarmed a one-shot registration for nothing.
fn rearm(e: *const Epoll, nest: *const Nest) void {
    if (epoll.find(nest.fd) != nest.inner) return;
    var event: sys.EpollEvent = .{ .events = nest.events, .data = nest.data };
    _ = sys.call(.epoll_ctl, .{ e.fd, sys.EPOLL_CTL_MOD, nest.fd, &event });
}

/// Whether everything that could make this instance readable rings. If not (no descriptors for
/// doorbells, too many sleepers on a ring, inherited by fork) it is looked at now, and the caller
/// has to come again soon.
pub fn isReachable(e: *Epoll) bool {
    if (e.nested and !e.reachable and !(e.settled and e.ring_count == 0)) {
        _ = isReadable(e, false);
        return false;
    }
    var reachable = true;
    var at = e.nests;
    while (at) |nest| : (at = nest.next) reachable = isReachable(nest.inner) and reachable;
    return reachable;
}
