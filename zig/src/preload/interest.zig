//! What applications want to hear about connections: registrations in epoll instances, and their
//! copies in the kernel.
//!
//! The kernel keeps every registration, because FIN, errors and TCP bytes come from it, but for a
//! ring connection it needs to know about a change only before it is asked the next time. Programs
//! that change a registration at every message (add OUT, write, remove OUT, add IN ...) then pay no
//! system call for it. While a connection sends through the ring, EPOLLOUT (always true there) is
//! left out of the kernel's copy.

const std = @import("std");
const layout = @import("../layout.zig");
const abandoned = @import("abandoned.zig");
const conn_module = @import("conn.zig");
const epoll = @import("epoll.zig");
const fds = @import("fds.zig");
const foreign = @import("foreign.zig");
const lock = @import("lock.zig");
const log = @import("log.zig");
const nesting = @import("nesting.zig");
const readiness = @import("readiness.zig");
const sharing = @import("sharing.zig");
const sys = @import("sys.zig");
const Pool = @import("pool.zig").Pool;
const Profile = @import("profile.zig").Profile;

const Conn = conn_module.Conn;
const Epoll = epoll.Epoll;
const Registration = epoll.Registration;

const in_events = sys.EPOLLIN | sys.EPOLLRDNORM;
const out_events = sys.EPOLLOUT | sys.EPOLLWRNORM;

var pool: Pool(Registration, 256) = .{};
/// Guards `Conn.registrations`, which instances with different mutexes share. Innermost but `pool`.
var places_mutex: lock.Mutex = .{};

// ---------------------------------------------------------------------------------------------
// epoll_ctl

/// epoll_ctl for an attached connection without a system call; null: the kernel has to do it now.
pub fn change(e: *Epoll, c: *Conn, op: c_int, fd: i32, event: ?*const sys.EpollEvent) ?isize {
    if (e.foreign) return sharing.control(e, c, op, fd, event);
    if (!c.isAttached()) return changeSilent(e, c, op, fd, event);
    if (op != sys.EPOLL_CTL_DEL) {
        const wanted = event orelse return null;
        if (wanted.events & sys.EPOLLEXCLUSIVE != 0) return null;
    }
    const guard = e.mutex.lock();
    if (!guard.ok()) return null;
    defer guard.unlock();
    const known = placeOf(c, e, fd);
    const r = if (known) |place| place.*.? else null;
    if (r) |old| if (old.events & sys.EPOLLEXCLUSIVE != 0) return null;
    const there = r != null and r.?.wanted;
    switch (op) {
        sys.EPOLL_CTL_ADD => {
            if (there) return sys.neg(.EXIST);
            const fresh = r orelse make(e, c, fd) orelse return null;
            set(fresh, event.?);
            markDirty(fresh);
        },
        sys.EPOLL_CTL_MOD => {
            if (!there) return sys.neg(.NOENT);
            set(r.?, event.?);
            markDirty(r.?);
        },
        sys.EPOLL_CTL_DEL => {
            if (!there) return sys.neg(.NOENT);
            delete(r.?);
        },
        else => return null,
    }
    epoll.kickSleepers(e);
    return 0;
}

/// epoll_ctl for a ONESHOT registration that had fired when its connection left the ring for good: the
/// kernel has none, and the next MOD makes one. Null: it is not that.
pub fn changeSilent(e: *Epoll, c: *Conn, op: c_int, fd: i32, event: ?*const sys.EpollEvent) ?isize {
    if (c.registration_count == 0) return null;
    const guard = e.mutex.lock();
    if (!guard.ok()) return null;
    defer guard.unlock();
    const place = placeOf(c, e, fd) orelse return null;
    const r = place.*.?;
    if (!r.wanted or !r.disabled or r.in_kernel) return null;
    switch (op) {
        sys.EPOLL_CTL_ADD => return sys.neg(.EXIST),
        sys.EPOLL_CTL_DEL => delete(r),
        sys.EPOLL_CTL_MOD => {
            const wanted = event orelse return null;
            var result = sys.call(.epoll_ctl, .{ e.fd, sys.EPOLL_CTL_ADD, fd, wanted });
            // Another process that uses the instance may have been first.
            if (result == sys.neg(.EXIST)) result = sys.call(.epoll_ctl, .{ e.fd, op, fd, wanted });
            if (result < 0) return result;
            set(r, wanted);
            r.in_kernel = true;
            r.kernel_events = wanted.events;
            r.kernel_data = wanted.data;
        },
        else => return null,
    }
    return 0;
}

/// The kernel has accepted an ADD or MOD of a tracked connection with these events.
pub fn registered(e: *Epoll, c: *Conn, fd: i32, event: *const sys.EpollEvent) void {
    var overflow = false;
    if (e.settled and leftFor(e, c, fd)) return;
    {
        const guard = e.mutex.lock();
        if (!guard.ok()) return;
        defer guard.unlock();
        const place = placeOf(c, e, fd);
        const found = if (place) |p| p.*.? else make(e, c, fd);
        if (found) |r| {
            set(r, event);
            r.in_kernel = true;
            r.kernel_events = if (e.settled) event.events else kernelEvents(c, event.events);
            r.kernel_data = event.data;
            r.moved = e.settled;
            epoll.kickSleepers(e);
        } else overflow = true;
    }
    if (overflow) tooMany(c);
}

pub fn unregistered(e: *Epoll, c: *Conn, fd: i32) void {
    const guard = e.mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    const place = placeOf(c, e, fd) orelse return;
    place.*.?.in_kernel = false;
    delete(place.*.?);
}

/// One epoll instance more than we keep track of: its readiness could not be told there, so the
/// connection leaves the ring.
fn tooMany(c: *Conn) void {
    log.warn("fd {d}: in too many epoll instances; kernel TCP", .{c.fd});
    foreign.release(c, .epoll_shared);
}

fn make(e: *Epoll, c: *Conn, fd: i32) ?*Registration {
    const guard = places_mutex.lock();
    defer guard.unlock();
    const place = for (&c.registrations) |*p| {
        if (p.* == null) break p;
    } else return null;
    const r = pool.take() orelse return null;
    r.* = std.mem.zeroInit(Registration, .{ .epoll = e, .conn = c });
    r.hot_index = Registration.not_hot;
    r.fd = fd;
    @atomicStore(?*Registration, place, r, .release);
    c.registration_count += 1;
    r.previous = null;
    r.next = e.registrations;
    if (e.registrations) |first| first.previous = r;
    e.registrations = r;
    return r;
}

fn set(r: *Registration, event: *const sys.EpollEvent) void {
    countKinds(r, event.events);
    r.wanted = true;
    r.events = event.events;
    r.data = event.data;
    r.disabled = false;
    r.rearm = true;
    // A new or changed registration reports what is there, edge-triggered too.
    r.seen_head = r.conn.end.rx.position;
    r.out_reported = false;
    if (!r.conn.isAttached()) return;
    if (r.joined) readiness.lookAt(r) else join(r);
}

/// How many registrations are of the kinds that need care with the kernel's events.
fn countKinds(r: *Registration, events: u32) void {
    const before = if (r.wanted) r.events else 0;
    countKind(&r.epoll.oneshot_count, before & sys.EPOLLONESHOT != 0, events & sys.EPOLLONESHOT != 0);
    countKind(&r.epoll.exclusive_count, before & sys.EPOLLEXCLUSIVE != 0, events & sys.EPOLLEXCLUSIVE != 0);
}

fn countKind(count: *u32, was: bool, is: bool) void {
    if (was and !is) count.* -= 1;
    if (!was and is) count.* += 1;
}

fn delete(r: *Registration) void {
    countKinds(r, 0);
    r.wanted = false;
    leave(r);
    if (r.in_kernel) markDirty(r) else if (!r.dirty) free(r);
}

fn free(r: *Registration) void {
    if (r.previous) |p| p.next = r.next else r.epoll.registrations = r.next;
    if (r.next) |n| n.previous = r.previous;
    const guard = places_mutex.lock();
    defer guard.unlock();
    for (&r.conn.registrations) |*place| {
        if (place.* == r) @atomicStore(?*Registration, place, null, .release);
    }
    r.conn.registration_count -= 1;
    pool.give(r);
}

/// A registration, and its instance's mutex held.
const Locked = struct { r: *Registration, guard: lock.Mutex.Guard };

/// What stands at one of a connection's places. Whoever comes from the connection has no lock yet: a
/// thread that waits on the instance may free the registration meanwhile (an epoll_ctl only marks it
/// for that), and the pool give it to another connection. It is the place's own if it still stands
/// there, with the same instance, once that one's mutex is held: only under this is it taken out.
/// Null: none stands there, or, where `kinds` is not 0, none that asks for one of these events.
fn lockPlace(place: *?*Registration, kinds: u32) ?Locked {
    while (true) {
        const r = @atomicLoad(?*Registration, place, .acquire) orelse return null;
        if (kinds != 0 and @atomicLoad(u32, &r.events, .monotonic) & kinds == 0) return null;
        const e = @atomicLoad(*Epoll, &r.epoll, .monotonic);
        const guard = e.mutex.lock();
        const stands = @atomicLoad(?*Registration, place, .acquire) == r;
        if (stands and @atomicLoad(*Epoll, &r.epoll, .monotonic) == e) return .{ .r = r, .guard = guard };
        guard.unlock();
    }
}

/// The place of `fd` in `e`, whose mutex is held.
fn placeOf(c: *Conn, e: *Epoll, fd: i32) ?*?*Registration {
    for (&c.registrations) |*place| {
        const r = place.* orelse continue;
        if (r.epoll == e and r.fd == fd) return place;
    }
    return null;
}

// ---------------------------------------------------------------------------------------------
// The kernel's copy

/// What the kernel is to watch: without OUT while sending rides the ring, and without ONESHOT, which
/// `claimOneshot` sees to. The same with OUT as without it where IN is wanted, so that a program that
/// switches OUT on and off at every message (wrk) costs no system call.
pub fn kernelEvents(c: *Conn, wanted: u32) u32 {
    if (!c.isAttached()) return wanted;
    const events = wanted & ~sys.EPOLLONESHOT;
    const in_ring = c.end.tx.carrier == @intFromEnum(layout.Carrier.ring);
    if (!in_ring or events & (in_events | out_events) == 0) return events;
    // Whoever waits for space has to hear that the peer is going: then a send does not block. (Its
    // end is IN as well: all that the kernel takes with EXCLUSIVE, and no further wake-up with IN.)
    const going: u32 = if (events & sys.EPOLLEXCLUSIVE != 0) sys.EPOLLIN else sys.EPOLLRDHUP;
    return (events & ~out_events) | going;
}

/// Kernel events of connections that wait for space: RDHUP means that a send will not block. What
/// the application did not ask for is taken out; the number that remain.
pub fn translate(e: *Epoll, events: []sys.EpollEvent) usize {
    var kept: usize = 0;
    for (events) |event| {
        var told = event;
        const end_events = sys.EPOLLIN | sys.EPOLLRDHUP | sys.EPOLLHUP | sys.EPOLLERR;
        if (event.events & end_events != 0) told.events = translated(e, event);
        if (told.events == 0) continue;
        events[kept] = told;
        kept += 1;
    }
    return kept;
}

fn translated(e: *const Epoll, event: sys.EpollEvent) u32 {
    const end = event.events & (sys.EPOLLRDHUP | sys.EPOLLHUP | sys.EPOLLERR) != 0;
    if (!end and e.exclusive_count == 0) return event.events;
    var at = e.registrations;
    while (at) |r| : (at = r.next) {
        if (!r.joined or r.data != event.data) continue;
        if (end) r.conn.kernel_speaks = true;
        // The reset has made the kernel an event of its own, which tells everything.
        if (end and abandoned.resetIfAbandoned(r.conn)) return 0;
        const going = r.kernel_events & ~r.events & (sys.EPOLLIN | sys.EPOLLRDHUP);
        const hidden = r.events & ~r.kernel_events & out_events;
        if (going | hidden == 0) continue;
        if (event.events & going == 0 and !end) continue;
        const taken: u32 = if (r.conn.hasError()) sys.EPOLLERR else 0;
        return (event.events & ~going) | hidden | taken;
    }
    return event.events;
}

/// More than one registration carries this data.
pub fn isSharedData(e: *Epoll, data: u64) bool {
    var count: u32 = 0;
    var at = e.registrations;
    while (at) |r| : (at = r.next) {
        if (r.wanted and r.data == data) count += 1;
        if (count > 1) return true;
    }
    count += nesting.countData(e, data);
    if (count > 1) return true;
    if (!epoll.mayBeUnknown(e, data)) return false;
    count = 0;
    var list: epoll.KnownList = .open(e);
    defer list.close();
    while (list.next()) |known| {
        if (known.data == data) count += 1;
    }
    return count > 1;
}

fn markDirty(r: *Registration) void {
    if (r.dirty) return;
    const e = r.epoll;
    if (e.dirty_count == epoll.dirty_max) synchronise(e);
    r.dirty = true;
    e.dirty[e.dirty_count] = r;
    e.dirty_count += 1;
}

/// Brings the kernel's registrations up to date. Holds the instance's mutex.
pub fn synchronise(e: *Epoll) void {
    const count = e.dirty_count;
    e.dirty_count = 0;
    for (e.dirty[0..count]) |r| {
        r.dirty = false;
        apply(r);
        if (!r.wanted) free(r);
    }
}

fn apply(r: *Registration) void {
    const target = if (r.epoll.settled) r.events else kernelEvents(r.conn, r.events);
    if (!r.wanted or r.disabled) {
        if (r.in_kernel) tellKernel(r, sys.EPOLL_CTL_DEL, target);
        r.in_kernel = false;
        return;
    }
    if (!r.in_kernel) {
        tellKernel(r, sys.EPOLL_CTL_ADD, target);
    } else {
        const sticky = r.events & (sys.EPOLLET | sys.EPOLLONESHOT) != 0 and r.rearm;
        if (r.kernel_events == target and r.kernel_data == r.data and !sticky) return;
        if (r.events & sys.EPOLLEXCLUSIVE != 0) {
            // An exclusive registration cannot be modified.
            tellKernel(r, sys.EPOLL_CTL_DEL, target);
            tellKernel(r, sys.EPOLL_CTL_ADD, target);
        } else tellKernel(r, sys.EPOLL_CTL_MOD, target);
    }
    r.in_kernel = true;
    r.rearm = false;
    r.kernel_events = target;
    r.kernel_data = r.data;
}

fn tellKernel(r: *Registration, op: c_int, events: u32) void {
    var event: sys.EpollEvent = .{ .events = events, .data = r.data };
    const result = sys.call(.epoll_ctl, .{ r.epoll.fd, op, r.fd, &event });
    if (result < 0) log.debug("epoll {d}: operation {d} on fd {d}: errno {d}", .{ r.epoll.fd, op, r.fd, -result });
}

/// A ring event of a ONESHOT registration was reported: silent, in the kernel too, until MOD.
pub fn fireOnce(r: *Registration) void {
    r.disabled = true;
    markDirty(r);
}

/// ONESHOT among events that the kernel reported; the number that remain. On TCP the kernel has
/// disabled the registration, and so do we. On the ring its copy has no ONESHOT (ring and kernel
/// could fire at once, for two threads): whoever gets here first, under the mutex, has it.
pub fn claimOneshot(e: *Epoll, events: []sys.EpollEvent) usize {
    var kept: usize = 0;
    for (events) |event| {
        if (!claim(e, event.data)) continue;
        events[kept] = event;
        kept += 1;
    }
    return kept;
}

fn claim(e: *Epoll, data: u64) bool {
    var fired = false;
    var at = e.registrations;
    while (at) |r| : (at = r.next) {
        if (r.data != data or !r.wanted or r.events & sys.EPOLLONESHOT == 0) continue;
        fired = r.joined and r.disabled;
        if (fired) continue; // perhaps another one with the same data
        r.disabled = true;
        if (r.joined) markDirty(r);
        return true;
    }
    return !fired;
}

// ---------------------------------------------------------------------------------------------
// Connections joining and leaving the ring

/// `c` has just got a slot: its registrations start to listen to the arena.
pub fn attach(c: *Conn) void {
    if (c.registration_count == 0) return;
    for (&c.registrations) |*place| {
        const locked = lockPlace(place, 0) orelse continue;
        defer locked.guard.unlock();
        const r = locked.r;
        if (r.wanted and !r.joined) join(r);
        if (r.wanted and r.events & sys.EPOLLONESHOT != 0) markDirty(r);
        epoll.kickSleepers(r.epoll);
    }
}

/// Something has happened that wakes everybody on Linux (a shutdown, another SO_RCVLOWAT): all are
/// looked at, and whoever waits for edges is told what is true now.
pub fn wakeAll(c: *Conn) void {
    if (c.registration_count == 0 or !c.isAttached()) return;
    for (&c.registrations) |*place| {
        const locked = lockPlace(place, 0) orelse continue;
        defer locked.guard.unlock();
        const r = locked.r;
        if (r.events & sys.EPOLLET != 0) {
            r.seen_head = c.end.rx.position;
            r.out_reported = false;
        }
        if (r.joined) readiness.lookAt(r);
        epoll.kickSleepers(r.epoll);
    }
}

/// Sending entered or left the ring: who tells about OUT changes.
pub fn carrierChanged(c: *Conn) void {
    if (c.registration_count == 0 or isOver(c)) return;
    for (&c.registrations) |*place| {
        const locked = lockPlace(place, out_events) orelse continue;
        defer locked.guard.unlock();
        const r = locked.r;
        r.out_reported = false;
        if (!r.wanted or r.epoll.foreign) continue; // settled: the kernel's copy has OUT
        markDirty(r);
        // The kernel's copy has told of OUT so far, and the last look found nothing to add to it.
        if (r.joined) readiness.lookAt(r);
        epoll.kickSleepers(r.epoll);
    }
}

/// Sending is on TCP. Another process that holds the connection may have moved it: then this one's
/// copy in the kernel still lacks OUT.
pub fn leaveOutToKernel(r: *Registration) void {
    if (r.in_kernel and r.kernel_events & out_events != r.events & out_events) markDirty(r);
}

/// Nothing more can be sent or received: the kernel has told so, and that is the last edge.
fn isOver(c: *const Conn) bool {
    var p = [_]sys.PollFd{.{ .fd = c.fd, .events = 0 }};
    return sys.poll(&p, 0, null) > 0 and p[0].revents & sys.POLLHUP != 0;
}

/// A send found the ring full: whoever waits for space has to be looked at, and armed, again.
pub fn ringIsFull(c: *Conn) void {
    if (c.registration_count == 0) return;
    for (&c.registrations) |*place| {
        const locked = lockPlace(place, out_events) orelse continue;
        defer locked.guard.unlock();
        const r = locked.r;
        r.out_reported = false;
        if (r.joined) readiness.lookAt(r);
        epoll.kickSleepers(r.epoll);
    }
}

fn join(r: *Registration) void {
    const e = r.epoll;
    followProfile(e, r.conn.spin.profile);
    e.ring_count += 1;
    r.joined = true;
    r.seen_head = r.conn.end.rx.position;
    readiness.listenTo(r);
}

/// An instance waits as the most eager of its connections.
fn followProfile(e: *Epoll, wanted: Profile) void {
    const now = e.spin.profile;
    if (wanted == now) return;
    if (e.ring_count == 0 or @intFromEnum(wanted) < @intFromEnum(now)) e.spin.follow(wanted);
}

fn leave(r: *Registration) void {
    if (!r.joined) return;
    const e = r.epoll;
    e.ring_count -= 1;
    r.joined = false;
    readiness.unlisten(r);
}

/// `c` is closed here, or leaves the ring for good. The kernel forgets registrations of a closed
/// file by itself; of one that goes on over TCP it has to know the whole truth.
pub fn detach(c: *Conn, closing: bool) void {
    for (&c.registrations) |*place| {
        const locked = lockPlace(place, 0) orelse continue;
        defer locked.guard.unlock();
        drop(locked.r, closing);
    }
}

/// A descriptor of `c` is about to be closed.
pub fn forgetDescriptor(c: *Conn, fd: i32) void {
    for (&c.registrations) |*place| {
        const locked = lockPlace(place, 0) orelse continue;
        defer locked.guard.unlock();
        const r = locked.r;
        if (r.fd != fd) continue;
        // The kernel knows a registration by the number that is closed now, and keeps it as long as
        // another descriptor has the file: this is the last time that it can be told of changes.
        if (c.refs <= 1) drop(r, true) else if (r.dirty) synchronise(r.epoll);
    }
}

/// Holds the instance's mutex.
fn drop(r: *Registration, closing: bool) void {
    const e = r.epoll;
    if (r.dirty) synchroniseBut(e, r);
    leave(r);
    const knows = !e.foreign or e.settled;
    // A copy of the descriptor elsewhere would keep a deleted registration alive in the kernel.
    if (knows and (!closing or (!r.wanted and r.in_kernel))) applyPlain(r);
    if (knows and !closing and r.wanted and r.disabled) {
        r.in_kernel = false;
        return; // `changeSilent`
    }
    countKinds(r, 0);
    free(r);
}

/// As `synchronise`, but `except` is left to the caller.
fn synchroniseBut(e: *Epoll, except: *Registration) void {
    var kept: u32 = 0;
    for (e.dirty[0..e.dirty_count]) |r| {
        if (r == except) continue;
        e.dirty[kept] = r;
        kept += 1;
    }
    e.dirty_count = kept;
    except.dirty = false;
}

/// The kernel's copy for a connection that is the kernel's alone from here on.
fn applyPlain(r: *Registration) void {
    if (r.epoll.settled and r.in_kernel and !r.agrees) return; // another process has changed it
    if (!r.wanted or r.disabled) {
        if (r.in_kernel) tellKernel(r, sys.EPOLL_CTL_DEL, 0);
    } else if (!r.in_kernel) {
        tellKernel(r, sys.EPOLL_CTL_ADD, r.events);
    } else if (r.kernel_events != r.events or r.kernel_data != r.data) {
        if (r.events & sys.EPOLLEXCLUSIVE != 0) {
            tellKernel(r, sys.EPOLL_CTL_DEL, 0); // it cannot be modified
            tellKernel(r, sys.EPOLL_CTL_ADD, r.events);
        } else tellKernel(r, sys.EPOLL_CTL_MOD, r.events);
    }
}

// ---------------------------------------------------------------------------------------------
// Instances that other processes use (sharing.zig)

/// No ring has a place in the instance from here on. Holds its mutex, as do the next two.
pub fn leaveAll(e: *Epoll) void {
    var at = e.registrations;
    while (at) |r| : (at = r.next) leave(r);
}

/// Which registrations the kernel has as we believe: another process may have changed them, and then
/// its word is the later one.
pub fn compareWithKernel(e: *Epoll) void {
    const always = sys.EPOLLERR | sys.EPOLLHUP; // as the kernel adds them by itself
    var list: epoll.KnownList = .open(e);
    defer list.close();
    while (list.next()) |known| {
        const c = conn_module.find(known.fd) orelse continue;
        const place = placeOf(c, e, known.fd) orelse continue;
        const r = place.*.?;
        r.agrees = known.data == r.kernel_data and known.events | always == r.kernel_events | always;
    }
}

/// What could not be recalled may have been read meanwhile.
pub fn retryRead(e: *Epoll) void {
    var at = e.registrations;
    while (at) |r| : (at = r.next) {
        if (r.joined and readiness.hasReadAll(r.conn)) r.moved = false;
    }
}

/// `c` has left its rings, or (not `moved`) could not be moved entirely: then its registrations are
/// looked at at every wait, beside the kernel's.
pub fn settled(e: *Epoll, c: *Conn, moved: bool) void {
    for (&c.registrations) |*place| {
        const locked = lockPlace(place, 0) orelse continue;
        defer locked.guard.unlock();
        const r = locked.r;
        if (r.epoll != e) continue;
        if (moved) {
            drop(r, false);
            // Kept: it was one-shot and has fired (`changeSilent`).
            if (place.* == r) r.moved = true;
            continue;
        }
        if (r.dirty) synchroniseBut(e, r);
        r.moved = true;
        if (r.joined) continue;
        if (r.wanted and !r.disabled) applyPlain(r);
        r.in_kernel = r.wanted and !r.disabled;
        r.kernel_events = r.events;
        r.kernel_data = r.data;
        const seen = r.seen_head;
        join(r);
        r.seen_head = seen;
    }
}

/// A registration in a settled instance that is made on the way (a socket that was not connected when
/// it was registered). True: the kernel has it and needs no help.
fn leftFor(e: *Epoll, c: *Conn, fd: i32) bool {
    if (!foreign.leaveRings(c, 0)) return false;
    const guard = e.mutex.lock();
    if (!guard.ok()) return true;
    defer guard.unlock();
    if (placeOf(c, e, fd)) |place| {
        countKinds(place.*.?, 0);
        leave(place.*.?);
        free(place.*.?);
    }
    return true;
}

/// The instance itself is closed.
pub fn dropInstance(e: *Epoll) void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        for (&c.registrations) |*place| {
            const locked = lockPlace(place, 0) orelse continue;
            defer locked.guard.unlock();
            if (locked.r.epoll != e) continue;
            locked.r.in_kernel = false;
            drop(locked.r, true);
        }
    }
}

test "a registration that is freed while a thread waits for its instance is nobody's to touch" {
    const e = try std.testing.allocator.create(Epoll);
    defer std.testing.allocator.destroy(e);
    e.mutex = .{};
    e.registrations = null;
    const conns = try std.testing.allocator.alloc(Conn, 2);
    defer std.testing.allocator.free(conns);
    for (conns) |*c| {
        c.registrations = @splat(null);
        c.registration_count = 0;
    }
    const held = e.mutex.lock();
    const r = make(e, &conns[0], 7).?;
    const Waiting = struct {
        fn run(c: *Conn, found: *?*Registration) void {
            const locked = lockPlace(&c.registrations[0], 0) orelse return;
            found.* = locked.r;
            locked.guard.unlock();
        }
    };
    var found: ?*Registration = null;
    const waiting = try std.Thread.spawn(.{}, Waiting.run, .{ &conns[0], &found });
    const asleep = 1 << 63; // lock.zig
    while (@atomicLoad(u64, &e.mutex.word, .monotonic) & asleep == 0) try std.Thread.yield();
    free(r);
    try std.testing.expectEqual(r, make(e, &conns[1], 8).?);
    held.unlock();
    waiting.join();
    try std.testing.expectEqual(null, found);
    const own = lockPlace(&conns[1].registrations[0], 0).?;
    try std.testing.expectEqual(r, own.r);
    own.guard.unlock();
    free(r);
}
