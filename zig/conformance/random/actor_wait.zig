//! An actor's calls that wait for several descriptors, and `settle`.

const std = @import("std");
const libc = @import("../libc.zig");
const waiting = @import("../calls_wait.zig");
const wire = @import("wire.zig");

const Command = wire.Command;
const Reply = wire.Reply;

extern "c" fn epoll_create1(flags: c_int) c_int;
extern "c" fn epoll_wait(ep: c_int, events: [*]waiting.Event, max: c_int, timeout_ms: c_int) c_int;
extern "c" fn ppoll(fds: [*]libc.pollfd, count: c_ulong, timeout: ?*const libc.timespec, mask: ?*const anyopaque) c_int;
extern "c" fn select(
    count: c_int,
    read: ?*waiting.Set,
    write: ?*waiting.Set,
    except: ?*waiting.Set,
    timeout: ?*libc.timeval,
) c_int;

/// Calls that come within 20 us may tell rings only (a listed difference): these do not. Awake, as the
/// conductor takes a thread that sleeps for one that sleeps in its call (`untilAsleep`).
fn pause() void {
    const start = now();
    while (now() - start < 25_000) {}
}

fn now() i64 {
    var time: libc.timespec = undefined;
    _ = libc.clock_gettime(libc.CLOCK_MONOTONIC, &time);
    return time.sec * 1_000_000_000 + time.nsec;
}

pub fn poll(c: *const Command, reply: *Reply) i64 {
    pause();
    var polled: [wire.entries_max]libc.pollfd = undefined;
    const entries = c.entries[0..c.entry_count];
    for (entries, polled[0..entries.len]) |entry, *to| {
        to.* = .{ .fd = entry.fd, .events = @bitCast(@as(u16, @truncate(entry.events))) };
    }
    const n = if (c.op == .poll)
        libc.poll(&polled, entries.len, @intCast(c.a))
    else
        ppoll(&polled, entries.len, if (c.a < 0) null else &.{ .sec = 0, .nsec = c.a * 1_000_000 }, null);
    if (n <= 0) return n;
    for (entries, polled[0..entries.len]) |entry, p| {
        if (p.revents != 0) tell(reply, entry.data, @as(u16, @bitCast(p.revents)));
    }
    return n;
}

fn tell(reply: *Reply, data: u64, events: u32) void {
    reply.entries[reply.entry_count] = .{ .data = data, .events = events };
    reply.entry_count += 1;
}

/// Asked by poll's bits: IN, OUT and PRI stand for the three sets.
pub fn selectMany(c: *const Command, reply: *Reply) i64 {
    pause();
    const bits = [_]u32{ waiting.IN, waiting.OUT, waiting.PRI };
    const entries = c.entries[0..c.entry_count];
    var sets: [3]waiting.Set = @splat(.{});
    var highest: c_int = -1;
    for (entries) |entry| {
        highest = @max(highest, entry.fd);
        for (&sets, bits) |*set, bit| {
            if (entry.events & bit != 0) set.words[wordOf(entry.fd)] |= bitOf(entry.fd);
        }
    }
    var timeout: libc.timeval = .{ .sec = 0, .usec = c.a * 1000 };
    const limit = if (c.a < 0) null else &timeout;
    const n = select(highest + 1, &sets[0], &sets[1], &sets[2], limit);
    if (n <= 0) return n;
    for (entries) |entry| {
        var events: u32 = 0;
        for (&sets, bits) |*set, bit| {
            if (set.words[wordOf(entry.fd)] & bitOf(entry.fd) != 0) events |= bit;
        }
        if (events != 0) tell(reply, entry.data, events);
    }
    return n;
}

fn wordOf(fd: c_int) usize {
    return @intCast(@divTrunc(fd, 64));
}

fn bitOf(fd: c_int) u64 {
    return @as(u64, 1) << @intCast(@rem(fd, 64));
}

pub fn epollCreate() i64 {
    return epoll_create1(0);
}

pub fn epollCtl(c: *const Command) i64 {
    var event: waiting.Event = .{ .events = c.entries[0].events, .data = c.entries[0].data };
    return waiting.epollChange(c.fd, @fromBackingInt(@intCast(c.flags)), c.entries[0].fd, &event);
}

/// Events by their data, in its order: which is told first is nobody's promise.
pub fn epollWait(c: *const Command, reply: *Reply) i64 {
    pause();
    var events: [wire.entries_max]waiting.Event = undefined;
    const n = epoll_wait(c.fd, &events, wire.entries_max, @intCast(c.a));
    if (n <= 0) return n;
    const found = events[0..@intCast(n)];
    std.mem.sort(waiting.Event, found, {}, isBefore);
    for (found) |event| tell(reply, event.data, event.events);
    return n;
}

fn isBefore(_: void, a: waiting.Event, b: waiting.Event) bool {
    return if (a.data != b.data) a.data < b.data else a.events < b.events;
}

const settle_looks_max = 20_000;

/// Waits until what is on its way has come: of each descriptor, so many bytes to be received, these
/// events, and the answer to a FIN of its own. The value is 0, or of the first that never comes to that, 1 and what it says.
pub fn settle(c: *const Command, reply: *Reply) i64 {
    for (c.entries[0..c.entry_count]) |entry| {
        for (0..settle_looks_max) |_| {
            if (isSettled(entry, reply)) break;
            _ = libc.nanosleep(&.{ .sec = 0, .nsec = 100_000 }, null);
        } else {
            reply.entries[0].data = entry.data;
            return 1;
        }
    }
    return 0;
}

fn isSettled(entry: wire.Entry, reply: *Reply) bool {
    if (entry.events != 0) {
        var polled = [_]libc.pollfd{.{ .fd = entry.fd, .events = libc.POLLRDHUP | libc.POLLPRI }};
        _ = libc.poll(&polled, 1, 0);
        const seen = @as(u16, @bitCast(polled[0].revents));
        reply.entries[0].events = seen;
        if (seen & entry.events != entry.events) return false;
    }
    if (awaitsAnswer(entry.fd)) return false;
    // Last, in every case: the kernel answers when it has done with the segment that it is at.
    var queued: c_int = -1;
    const code = libc.ioctl(entry.fd, libc.FIONREAD, @intFromPtr(&queued));
    reply.a = queued;
    return code == 0 and (entry.queued < 0 or queued == entry.queued);
}

/// A FIN has been sent that is not acknowledged yet. The peer takes some milliseconds for that, and
/// then whoever waits for edges here is woken once more.
fn awaitsAnswer(fd: c_int) bool {
    const fin_wait_1 = 4;
    const last_ack = 9;
    const closing = 11;
    var info: [8]u8 = @splat(0);
    var length: u32 = info.len;
    if (libc.getsockopt(fd, libc.IPPROTO_TCP, libc.TCP_INFO, &info, &length) != 0) return false;
    return switch (info[0]) {
        fin_wait_1, last_ack, closing => true,
        else => false,
    };
}
