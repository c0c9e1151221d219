//! Waiters: whoever of this process can sleep, a thread in a blocking call or an epoll instance.
//! Each has a number (which stands in shared memory while it sleeps), a local bell (an eventfd that
//! only this process rings) and, for each link it has waited on, a doorbell whose other end that
//! peer process holds.
//!
//! Thread waiters are taken from a pool for the time of a sleep and given back; an epoll instance
//! keeps its own.

const std = @import("std");
const constants = @import("../constants.zig");
const protocol = @import("../protocol.zig");
const arena_module = @import("arena.zig");
const carrier = @import("../carrier/carrier.zig");
const control = @import("control.zig");
const fds = @import("fds.zig");
const links = @import("links.zig");
const packet = @import("packet.zig");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;
const Pool = @import("pool.zig").Pool;

const Arena = arena_module.Arena;

/// Our end of one doorbell.
pub const Bell = struct {
    next_free: ?*Bell = null,
    next: ?*Bell,
    link: *links.PeerLink,
    arena: *Arena,
    fd: i32,
};

pub const Waiter = struct {
    next_free: ?*Waiter = null,
    number: u16,
    local: i32,
    /// The epoll instance it belongs to; -1: a thread's.
    epoll_fd: i32,
    /// Only who has taken it changes the list, or, while nobody has, who holds links.mutex.
    bells: ?*Bell,

    pub fn attention(w: *Waiter, kind: carrier.AttentionKind, link: u16, target: u16) u64 {
        _ = w;
        const value: carrier.Attention = .{
            .kind = @intFromEnum(kind),
            .link = link,
            .target = target,
            .epoch = @truncate(@atomicRmw(u32, &epoch_counter, .Add, 1, .monotonic)),
        };
        return value.word();
    }
};

/// Tag in the upper half of epoll data for descriptors of ours inside the application's epoll.
pub var epoll_tag: u64 = 0;
pub const tag_mask: u64 = 0xffff_ffff_0000_0000;

var pool: Pool(Waiter, 32) = .{};
var bell_pool: Pool(Bell, 64) = .{};
var idle: ?*Waiter = null;
/// In a forked child: those of instances that it has inherited, whose descriptors sit in there until
/// it uses them (sharing.zig). By `next_free`.
var inherited: ?*Waiter = null;
var idle_mutex: Mutex = .{};
var numbered: [constants.waiters_max]?*Waiter = @splat(null);
var next_number: u32 = 1;
/// Makes every announced value new, whoever had the number before.
var epoch_counter: u32 = 1;

/// A waiter for the time of one sleep; null: no descriptors left.
pub fn take() ?*Waiter {
    const guard = idle_mutex.lock();
    if (!guard.ok()) return null;
    if (idle) |w| {
        idle = w.next_free;
        guard.unlock();
        return w;
    }
    guard.unlock();
    return create(-1);
}

pub fn give(w: *Waiter) void {
    const guard = idle_mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    w.next_free = idle;
    idle = w;
}

pub fn create(epoll_fd: i32) ?*Waiter {
    const w = pool.take() orelse return null;
    const local = sys.ownFd(sys.call(.eventfd2, .{ 0, sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC })) orelse {
        pool.give(w);
        return null;
    };
    w.* = .{ .number = 0, .local = local, .epoll_fd = epoll_fd, .bells = null };
    if (assignNumber(w)) return w;
    sys.close(local);
    pool.give(w);
    return null;
}

/// The lowest free number; 0 stays unused. A peer's doorbell of an earlier user of the number is
/// replaced when the new one arrives.
fn assignNumber(w: *Waiter) bool {
    for (numbered[1..], 1..) |*place, number| {
        if (place.* != null) continue;
        w.number = @intCast(number);
        if (@cmpxchgStrong(?*Waiter, place, null, w, .acq_rel, .monotonic) != null) continue;
        _ = @atomicRmw(u32, &next_number, .Max, @as(u32, @intCast(number)) + 1, .acq_rel);
        return true;
    }
    return false;
}

/// Gives every process that may publish to this waiter over `a` a doorbell. False: not possible
/// now (no descriptors); sleep with a bounded timeout.
pub fn prepare(w: *Waiter, a: *Arena, server_link: u16) bool {
    links.announceChild(a);
    // The message about an adopting worker lies in our control socket since before it adopted.
    if (a.side == 0 and server_link != 0 and !links.isKnown(a, server_link)) control.process();
    const guard = links.mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    closeDeadBells(w);
    var sound = !a.unannounced;
    var at = a.links;
    while (at) |l| : (at = l.next) {
        // An offer that is still open (link 0) may be adopted by any of them.
        const relevant = a.side == 1 or server_link == 0 or l.link == server_link or l.from_fork;
        if (!relevant or l.dead) continue;
        if (!introduce(w, l)) sound = false;
    }
    return sound;
}

fn introduce(w: *Waiter, l: *links.PeerLink) bool {
    var at = w.bells;
    while (at) |b| : (at = b.next) if (b.link == l and b.arena == l.arena) return true;
    const bell = bell_pool.take() orelse return false;
    var pair: [2]i32 = undefined;
    const kind = sys.SOCK_STREAM | sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC;
    if (sys.call(.socketpair, .{ sys.AF_UNIX, kind, 0, &pair }) < 0) {
        bell_pool.give(bell);
        return false;
    }
    const message: protocol.Doorbell = .{
        .header = undefined,
        .arena_id = l.arena.id,
        .link = l.arena.my_link,
        .waiter = w.number,
    };
    const sent = packet.send(l.channel, .doorbell, message, &.{pair[1]});
    sys.close(pair[1]);
    if (sent < 0) {
        sys.close(pair[0]);
        bell_pool.give(bell);
        return false; // full channel: the peer's WAKE, or a bounded sleep, serves
    }
    bell.* = .{
        .next = w.bells,
        .link = l,
        .arena = l.arena,
        .fd = sys.ownFd(pair[0]) orelse pair[0],
    };
    w.bells = bell;
    if (w.epoll_fd >= 0) epollAdd(w.epoll_fd, bell.fd);
    return true;
}

/// A descriptor of ours into the application's epoll, level-triggered, recognisable by its data.
pub fn epollAdd(epoll_fd: i32, fd: i32) void {
    var event: sys.EpollEvent = .{ .events = sys.EPOLLIN, .data = epoll_tag | @as(u32, @bitCast(fd)) };
    _ = sys.call(.epoll_ctl, .{ epoll_fd, sys.EPOLL_CTL_ADD, fd, &event });
}

pub fn epollRemove(epoll_fd: i32, fd: i32) void {
    var event: sys.EpollEvent = .{ .events = 0, .data = 0 };
    _ = sys.call(.epoll_ctl, .{ epoll_fd, sys.EPOLL_CTL_DEL, fd, &event });
}

/// All that is `w`'s, out of its instance: another process is going to sleep there.
pub fn leaveEpoll(w: *Waiter) void {
    epollRemove(w.epoll_fd, w.local);
    var at = w.bells;
    while (at) |b| : (at = b.next) epollRemove(w.epoll_fd, b.fd);
}

/// The copies that a forked child has of an instance's of its parent's.
pub fn closeInherited(w: *const Waiter) void {
    var place = &inherited;
    while (place.*) |other| {
        if (other == w) place.* = other.next_free else place = &other.next_free;
    }
    sys.close(w.local);
    var at = w.bells;
    while (at) |b| : (at = b.next) sys.close(b.fd);
}

/// One of the copies gets another number, under which its instance does not know it.
fn forgetInherited(fd: i32) void {
    var inherited_waiter = inherited;
    while (inherited_waiter) |w| : (inherited_waiter = w.next_free) {
        if (w.local == fd) w.local = -1;
        var at = w.bells;
        while (at) |b| : (at = b.next) if (b.fd == fd) {
            b.fd = -1;
        };
    }
}

/// A forked child of a peer announced itself: it needs the doorbells of whoever may be asleep.
/// Holds links.mutex.
pub fn introduceAll(a: *Arena) void {
    for (numbered[0..@min(next_number, numbered.len)]) |maybe| {
        const w = maybe orelse continue;
        const before = w.bells;
        if (before == null) continue;
        var link = a.links;
        while (link) |l| : (link = l.next) {
            if (!l.dead and l.from_fork) _ = introduce(w, l);
        }
        // Asleep, perhaps, on the bells that it had.
        if (w.bells != before) kick(w.number);
    }
}

/// Wakes one of our own waiters.
pub fn kick(number: u32) void {
    if (number >= numbered.len) return;
    const w = numbered[number] orelse return;
    const one: u64 = 1;
    _ = sys.call(.write, .{ w.local, &one, 8 });
}

/// Empties one of `w`'s bells. Only if it is still that: the number may have become another file's,
/// the application's (own_fds.zig) or ours, while the kernel's answer was on its way.
pub fn drainFd(w: *Waiter, fd: i32) void {
    const guard = links.mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    if (fd == w.local) {
        _ = emptied(fd);
        return;
    }
    var place: *?*Bell = &w.bells;
    while (place.*) |b| : (place = &b.next) {
        if (b.fd == fd) break;
    } else return;
    _ = drainBell(w, place);
}

/// Empties the bells of an instance's waiter and serves the control descriptor. True: one had rung.
pub fn drainAll(w: *Waiter) bool {
    var control_fd = [_]sys.PollFd{.{ .fd = links.control_epoll, .events = sys.POLLIN }};
    const message = control_fd[0].fd >= 0 and sys.poll(&control_fd, 0, null) > 0;
    if (message) control.process();
    const guard = links.mutex.lock();
    if (!guard.ok()) return message;
    defer guard.unlock();
    var rung = (emptied(w.local) orelse 0) > 0;
    var place = &w.bells;
    while (place.*) |bell| {
        if (drainBell(w, place)) rung = true;
        if (place.* == bell) place = &bell.next;
    }
    return rung or message;
}

/// True: it had rung, or its peer had closed its copy: that is readable for ever, so ours is closed
/// as well, and the peer gets another before the next sleep.
fn drainBell(w: *Waiter, place: *?*Bell) bool {
    const bell = place.*.?;
    const bytes = emptied(bell.fd) orelse return false;
    if (bytes > 0) return true;
    place.* = bell.next;
    closeBell(w, bell);
    return true;
}

/// Null: there was nothing to read, or it is no descriptor of ours.
fn emptied(fd: i32) ?usize {
    if (fds.kindOf(fd) != .own) return null;
    var sink: [64]u8 = undefined;
    const n = sys.call(.read, .{ fd, &sink, sink.len });
    return if (n >= 0) @intCast(n) else null;
}

/// The descriptors a thread sleeps on besides its socket; bells of `a`, or of every arena.
/// Fills `into` to the last place only when there are more: then sleep with a timeout.
pub fn pollSet(w: *Waiter, a: ?*Arena, into: []sys.PollFd) usize {
    var n: usize = 0;
    into[n] = .{ .fd = w.local, .events = sys.POLLIN };
    n += 1;
    const control_fd = links.control_epoll;
    if (control_fd >= 0) {
        into[n] = .{ .fd = control_fd, .events = sys.POLLIN };
        n += 1;
    }
    var at = w.bells;
    while (at) |b| : (at = b.next) {
        if (a != null and b.arena != a) continue;
        if (b.link.dead or n == into.len) continue;
        into[n] = .{ .fd = b.fd, .events = sys.POLLIN };
        n += 1;
    }
    return n;
}

/// After a sleep: empties what rang and reads control messages if there are any.
pub fn afterSleep(w: *Waiter, polled: []const sys.PollFd) void {
    for (polled) |*p| {
        if (p.revents == 0) continue;
        if (p.fd == links.control_epoll) control.process() else drainFd(w, p.fd);
    }
}

/// The arena goes away: its doorbells too. Holds links.mutex.
pub fn forgetArena(a: *Arena) void {
    for (numbered[0..@min(next_number, numbered.len)]) |maybe| {
        const w = maybe orelse continue;
        var at = &w.bells;
        while (at.*) |b| {
            if (b.arena == a) {
                at.* = b.next;
                closeBell(w, b);
            } else at = &b.next;
        }
    }
}

/// The doorbells that peers had which are gone. By who has taken `w`; holds links.mutex.
fn closeDeadBells(w: *Waiter) void {
    var at = &w.bells;
    while (at.*) |b| {
        if (b.link.dead) {
            at.* = b.next;
            closeBell(w, b);
        } else at = &b.next;
    }
}

/// The same for all waiters that no thread has taken. Holds links.mutex.
pub fn closeIdleBells() void {
    const guard = idle_mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    var at = idle;
    while (at) |w| : (at = w.next_free) closeDeadBells(w);
}

/// A waiter of ours has given that process a doorbell and not closed its end yet.
pub fn hasBellFor(l: *const links.PeerLink) bool {
    for (numbered[0..@min(next_number, numbered.len)]) |maybe| {
        const w = maybe orelse continue;
        var at = w.bells;
        while (at) |b| : (at = b.next) if (b.link == l) return true;
    }
    return false;
}

fn closeBell(w: *Waiter, b: *Bell) void {
    if (w.epoll_fd >= 0) epollRemove(w.epoll_fd, b.fd);
    sys.close(b.fd);
    bell_pool.give(b);
}

/// An epoll instance is closed: its waiter and doorbells too.
pub fn destroy(w: *Waiter) void {
    const guard = links.mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    numbered[w.number] = null;
    while (w.bells) |b| {
        w.bells = b.next;
        sys.close(b.fd);
        bell_pool.give(b);
    }
    sys.close(w.local);
    pool.give(w);
}

/// In a forked child every waiter is new: the parent sleeps on the old ones.
pub fn afterForkChild() void {
    for (numbered[0..@min(next_number, numbered.len)]) |*maybe| {
        const w = maybe.* orelse continue;
        maybe.* = null;
        if (w.epoll_fd >= 0) {
            w.next_free = inherited;
            inherited = w;
            continue;
        }
        sys.close(w.local);
        var at = w.bells;
        while (at) |b| : (at = b.next) sys.close(b.fd);
    }
    idle = null;
    idle_mutex = .{};
    next_number = 1;
    pool = .{};
    bell_pool = .{};
}

/// One of our descriptors has another number, or (-1) is gone; the old number still names the same
/// file until the caller goes on.
pub fn ownFdMoved(old: i32, new: i32) void {
    const guard = links.mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    forgetInherited(old);
    for (numbered[0..@min(next_number, numbered.len)]) |maybe| {
        const w = maybe orelse continue;
        if (w.epoll_fd >= 0) moveInEpoll(w.epoll_fd, old, new);
        if (w.local == old) w.local = if (new >= 0) new else replaceLocal(w);
        var at = &w.bells;
        while (at.*) |b| {
            if (b.fd == old and new < 0) {
                at.* = b.next; // a new one is made at the next sleep
                bell_pool.give(b);
                continue;
            }
            if (b.fd == old) b.fd = new;
            at = &b.next;
        }
    }
}

/// Our descriptors are found again by the number in their event's data.
fn moveInEpoll(epoll_fd: i32, old: i32, new: i32) void {
    var event: sys.EpollEvent = .{ .events = 0, .data = 0 };
    const was_there = sys.call(.epoll_ctl, .{ epoll_fd, sys.EPOLL_CTL_DEL, old, &event }) == 0;
    if (was_there and new >= 0) epollAdd(epoll_fd, new);
}

fn replaceLocal(w: *Waiter) i32 {
    const fd = sys.ownFd(sys.call(.eventfd2, .{ 0, sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC })) orelse return -1;
    if (w.epoll_fd >= 0) epollAdd(w.epoll_fd, fd);
    return fd;
}

/// Wakes every thread of ours that may be asleep.
pub fn kickAll() void {
    for (1..@min(next_number, numbered.len)) |number| kick(@intCast(number));
}
