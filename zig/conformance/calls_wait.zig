//! Calls that wait for several descriptors, recorded, and the kernel's own descriptors that wake
//! them: epoll, poll, select, eventfd, timerfd and the like.
//!
//! Events are recorded by the data they carry, in its order and not the kernel's: which of several
//! ready descriptors is told first is nobody's promise.

const std = @import("std");
const libc = @import("libc.zig");
const text = @import("text.zig");
const Side = @import("side.zig").Side;

pub const IN = 0x1;
pub const PRI = 0x2;
pub const OUT = 0x4;
pub const ERR = 0x8;
pub const HUP = 0x10;
pub const RDHUP = 0x2000;
pub const EXCLUSIVE = 1 << 28;
pub const ONESHOT = 1 << 30;
pub const ET = 1 << 31;

pub const Operation = enum(c_int) { ADD = 1, DEL = 2, MOD = 3, NONE = 9 };

/// The kernel packs this struct on x86-64 only.
pub const Event = switch (@import("builtin").cpu.arch) {
    .x86_64 => extern struct { events: u32, data: u64 align(4) },
    else => extern struct { events: u32, data: u64 },
};

extern "c" fn epoll_create1(flags: c_int) c_int;
extern "c" fn epoll_ctl(ep: c_int, op: c_int, fd: c_int, event: ?*Event) c_int;
extern "c" fn epoll_wait(ep: c_int, events: ?[*]Event, max: c_int, timeout_ms: c_int) c_int;
extern "c" fn epoll_pwait(ep: c_int, events: [*]Event, max: c_int, timeout_ms: c_int, mask: ?*const Mask) c_int;
extern "c" fn syscall(number: c_long, ...) c_long;
extern "c" fn ppoll(fds: [*]libc.pollfd, count: c_ulong, timeout: ?*const libc.timespec, mask: ?*const Mask) c_int;
extern "c" fn select(count: c_int, read: ?*Set, write: ?*Set, except: ?*Set, timeout: ?*libc.timeval) c_int;
extern "c" fn pselect(count: c_int, read: ?*Set, write: ?*Set, except: ?*Set, timeout: ?*const libc.timespec, mask: ?*const Mask) c_int;
extern "c" fn eventfd(value: c_uint, flags: c_int) c_int;
extern "c" fn timerfd_create(clock: c_int, flags: c_int) c_int;
extern "c" fn timerfd_settime(fd: c_int, flags: c_int, new: *const [2]libc.timespec, old: ?*anyopaque) c_int;
extern "c" fn signalfd(fd: c_int, mask: *const Mask, flags: c_int) c_int;
extern "c" fn inotify_init1(flags: c_int) c_int;
extern "c" fn inotify_add_watch(fd: c_int, path: [*:0]const u8, mask: u32) c_int;
extern "c" fn getrlimit(resource: c_int, limits: *[2]u64) c_int;
extern "c" fn setrlimit(resource: c_int, limits: *const [2]u64) c_int;
extern "c" fn sigprocmask(how: c_int, set: ?*const Mask, old: ?*Mask) c_int;

/// A sigset_t.
pub const Mask = extern struct {
    words: [16]c_ulong = @splat(0),

    pub fn of(signal: u6) Mask {
        var mask: Mask = .{};
        mask.words[0] = @as(c_ulong, 1) << (signal - 1);
        return mask;
    }
};

pub const Set = extern struct { words: [set_words]u64 = @splat(0) };
/// Twice what FD_SETSIZE allows: programs with many descriptors enlarge their sets.
const set_words = 2048 / 64;

// -- epoll ----------------------------------------------------------------------------------------

pub fn epollCreate(t: *Side, label: []const u8) c_int {
    t.begin("epoll_create1(0)", .{});
    return t.resultFd(epoll_create1(0), label);
}

pub fn epollCtl(t: *Side, ep: c_int, op: Operation, fd: c_int, events: u32, data: u64) void {
    t.begin("epoll_ctl({s}, {s}, {s}, {f}, 0x{x})", .{
        t.name(ep), @tagName(op), t.name(fd), text.events(events), data,
    });
    var event: Event = .{ .events = events, .data = data };
    _ = t.result(epoll_ctl(ep, @backingInt(op), fd, &event));
}

pub fn epollAdd(t: *Side, ep: c_int, fd: c_int, events: u32, data: u64) void {
    epollCtl(t, ep, .ADD, fd, events, data);
}

const events_max = 16;

/// Several milliseconds long waits that end early are recorded as such: by their events only.
pub fn epollWait(t: *Side, ep: c_int, max: c_int, timeout_ms: c_int) void {
    var events: [events_max]Event = undefined;
    t.begin("epoll_wait({s}, {d}, {d})", .{ t.name(ep), max, timeout_ms });
    endEvents(t, epoll_wait(ep, &events, max, timeout_ms), &events);
}

/// `-1` for the address of the events.
pub fn epollWaitNowhere(t: *Side, ep: c_int, max: c_int) void {
    t.begin("epoll_wait({s}, nowhere, {d}, 0)", .{ t.name(ep), max });
    _ = t.result(epoll_wait(ep, null, max, 0));
}

pub fn epollPwait(t: *Side, ep: c_int, timeout_ms: c_int, mask: ?*const Mask) void {
    var events: [events_max]Event = undefined;
    t.begin("epoll_pwait({s}, {d})", .{ t.name(ep), timeout_ms });
    endEvents(t, epoll_pwait(ep, &events, events_max, timeout_ms, mask), &events);
}

pub fn epollPwait2(t: *Side, ep: c_int, timeout: ?libc.timespec, mask: ?*const Mask) void {
    var events: [events_max]Event = undefined;
    const given = if (timeout) |*given| given else null;
    t.begin("epoll_pwait2({s}, {?d} ns)", .{ t.name(ep), if (timeout) |limit| limit.nsec else null });
    endEvents(t, epoll_pwait2(ep, &events, events_max, given, mask), &events);
}

/// By number: libc has it from 2.35 on.
fn epoll_pwait2(ep: c_int, events: [*]Event, max: c_int, timeout: ?*const libc.timespec, mask: ?*const Mask) c_int {
    const mask_bytes: usize = 8;
    const limit: usize = if (max > 0) @intCast(max) else 0;
    return @intCast(syscall(@intFromEnum(std.os.linux.SYS.epoll_pwait2), @as(c_long, ep), events, limit, timeout, mask, mask_bytes));
}

fn endEvents(t: *Side, n: c_int, events: *[events_max]Event) void {
    if (n < 0) {
        _ = t.result(n);
        return;
    }
    const found = events[0..@intCast(n)];
    std.mem.sort(Event, found, {}, isBefore);
    var buffer: [512]u8 = undefined;
    var w: std.Io.Writer = .fixed(&buffer);
    for (found) |event| w.print(" 0x{x}:{f}", .{ event.data, text.events(event.events) }) catch {};
    t.end(" = {d}{s}", .{ n, w.buffered() });
}

fn isBefore(_: void, a: Event, b: Event) bool {
    return if (a.data != b.data) a.data < b.data else a.events < b.events;
}

/// Waits, with room for `max` events, until each of these data has been told: how often, and in
/// which order, is not recorded. More than `calls_max` waits are too many.
pub fn epollTellsAll(t: *Side, ep: c_int, max: c_int, wanted: []const u64, calls_max: usize) void {
    var seen: [events_max]bool = @splat(false);
    t.begin("-- epoll_wait({s}, {d}) tells all of {d}", .{ t.name(ep), max, wanted.len });
    for (0..calls_max) |_| {
        var events: [events_max]Event = undefined;
        const n = epoll_wait(ep, &events, max, 1000);
        if (n < 0) return t.end(": {f}", .{text.errno(libc.errno())});
        for (events[0..@intCast(n)]) |event| {
            for (wanted, seen[0..wanted.len]) |data, *mark| mark.* = mark.* or data == event.data;
        }
        if (std.mem.findScalar(bool, seen[0..wanted.len], false) == null) return t.end(": yes", .{});
    }
    t.end(": no", .{});
}

/// epoll_ctl without recording.
pub fn epollChange(ep: c_int, op: Operation, fd: c_int, event: *Event) c_int {
    return epoll_ctl(ep, @backingInt(op), fd, event);
}

/// epoll_wait without recording: its first event's data, or null.
pub fn epollTake(ep: c_int, timeout_ms: c_int) ?u64 {
    var event: [1]Event = undefined;
    return if (epoll_wait(ep, &event, 1, timeout_ms) == 1) event[0].data else null;
}

// -- poll and select ------------------------------------------------------------------------------

pub const Entry = struct { fd: c_int, events: c_short };

pub fn pollMany(t: *Side, entries: []const Entry, timeout_ms: c_int) void {
    var polled: [128]libc.pollfd = undefined;
    for (entries, polled[0..entries.len]) |entry, *to| to.* = .{ .fd = entry.fd, .events = entry.events };
    t.begin("poll({d} entries, {d})", .{ entries.len, timeout_ms });
    endPolled(t, libc.poll(&polled, entries.len, timeout_ms), polled[0..entries.len]);
}

pub fn ppollMany(t: *Side, entries: []const Entry, timeout: ?libc.timespec, mask: ?*const Mask) void {
    var polled: [128]libc.pollfd = undefined;
    for (entries, polled[0..entries.len]) |entry, *to| to.* = .{ .fd = entry.fd, .events = entry.events };
    const given = if (timeout) |*given| given else null;
    t.begin("ppoll({d} entries, {?d} ns)", .{ entries.len, if (timeout) |limit| limit.nsec else null });
    endPolled(t, ppoll(&polled, entries.len, given, mask), polled[0..entries.len]);
}

fn endPolled(t: *Side, n: c_int, polled: []const libc.pollfd) void {
    if (n < 0) {
        _ = t.result(n);
        return;
    }
    var buffer: [512]u8 = undefined;
    var w: std.Io.Writer = .fixed(&buffer);
    for (polled, 0..) |p, i| {
        if (p.revents != 0) w.print(" {d}:{f}", .{ i, text.events(p.revents) }) catch {};
    }
    t.end(" = {d}{s}", .{ n, w.buffered() });
}

pub const Asked = struct {
    read: []const c_int = &.{},
    write: []const c_int = &.{},
    except: []const c_int = &.{},
    timeout_ms: c_long = 0,
    mask: ?*const Mask = null,
    /// Else one more than the highest.
    count: ?c_int = null,
};

pub fn selectFor(t: *Side, asked: Asked) void {
    var sets = setsOf(asked);
    var timeout: libc.timeval = .{
        .sec = @divTrunc(asked.timeout_ms, 1000),
        .usec = @rem(asked.timeout_ms, 1000) * 1000,
    };
    t.begin("select({d} ms)", .{asked.timeout_ms});
    endSelected(t, asked, &sets, select(countOf(asked), &sets[0], &sets[1], &sets[2], &timeout));
}

pub fn pselectFor(t: *Side, asked: Asked) void {
    var sets = setsOf(asked);
    const timeout: libc.timespec = .{
        .sec = @divTrunc(asked.timeout_ms, 1000),
        .nsec = @rem(asked.timeout_ms, 1000) * 1_000_000,
    };
    t.begin("pselect({d} ms)", .{asked.timeout_ms});
    endSelected(t, asked, &sets, pselect(countOf(asked), &sets[0], &sets[1], &sets[2], &timeout, asked.mask));
}

fn setsOf(asked: Asked) [3]Set {
    var sets: [3]Set = @splat(.{});
    for ([_][]const c_int{ asked.read, asked.write, asked.except }, &sets) |fds, *set| {
        for (fds) |fd| set.words[@intCast(@divTrunc(fd, 64))] |= @as(u64, 1) << @intCast(@rem(fd, 64));
    }
    return sets;
}

fn countOf(asked: Asked) c_int {
    if (asked.count) |count| return count;
    var highest: c_int = -1;
    for ([_][]const c_int{ asked.read, asked.write, asked.except }) |fds| {
        for (fds) |fd| highest = @max(highest, fd);
    }
    return highest + 1;
}

fn endSelected(t: *Side, asked: Asked, sets: *const [3]Set, n: c_int) void {
    if (n < 0) {
        _ = t.result(n);
        return;
    }
    var buffer: [512]u8 = undefined;
    var w: std.Io.Writer = .fixed(&buffer);
    const names = [_][]const u8{ "read", "write", "except" };
    for ([_][]const c_int{ asked.read, asked.write, asked.except }, sets, names) |fds, *set, name| {
        for (fds) |fd| {
            const bit = set.words[@intCast(@divTrunc(fd, 64))] >> @intCast(@rem(fd, 64)) & 1;
            if (bit != 0) w.print(" {s}:{s}", .{ name, t.name(fd) }) catch {};
        }
    }
    t.end(" = {d}{s}", .{ n, w.buffered() });
}

/// Numbers up to here; skips nothing: where the limit is lower, the case fails.
pub fn allowDescriptors(t: *Side, count: u64) void {
    const RLIMIT_NOFILE = 7;
    var limits: [2]u64 = undefined;
    if (getrlimit(RLIMIT_NOFILE, &limits) != 0) t.fail("getrlimit", .{});
    limits[0] = @max(limits[0], count);
    limits[1] = @max(limits[1], count);
    if (setrlimit(RLIMIT_NOFILE, &limits) != 0) t.fail("setrlimit to {d}", .{count});
}

/// select for reading, without recording.
pub fn selectRead(count: c_int, read: *Set) c_int {
    return select(count, read, null, null, null);
}

// -- the kernel's descriptors ---------------------------------------------------------------------

pub fn eventFd(t: *Side, value: c_uint) c_int {
    t.begin("eventfd({d})", .{value});
    return t.resultFd(eventfd(value, 0), "eventfd");
}

/// Adds to an eventfd.
pub fn signalEvent(t: *Side, fd: c_int) void {
    const one: u64 = 1;
    t.begin("write({s}, 1)", .{t.name(fd)});
    _ = t.result(libc.write(fd, std.mem.asBytes(&one), 8));
}

/// One that fires after so long.
pub fn timer(t: *Side, ns: c_long) c_int {
    t.begin("timerfd_create", .{});
    const fd = t.resultFd(timerfd_create(libc.CLOCK_MONOTONIC, 0), "timerfd");
    const times = [2]libc.timespec{ .{ .sec = 0, .nsec = 0 }, .{ .sec = 0, .nsec = ns } };
    t.begin("timerfd_settime({d} ns)", .{ns});
    _ = t.result(timerfd_settime(fd, 0, &times, null));
    return fd;
}

/// Blocks the signal and makes a descriptor that tells of it.
pub fn signalFd(t: *Side, signal: u6) c_int {
    blockSignal(t, signal);
    const mask: Mask = .of(signal);
    t.begin("signalfd", .{});
    return t.resultFd(signalfd(-1, &mask, 0), "signalfd");
}

pub fn blockSignal(t: *Side, signal: u6) void {
    const mask: Mask = .of(signal);
    t.begin("sigprocmask(BLOCK, {d})", .{signal});
    _ = t.result(sigprocmask(0, &mask, null));
}

pub fn unblockSignal(t: *Side, signal: u6) void {
    const mask: Mask = .of(signal);
    t.begin("sigprocmask(UNBLOCK, {d})", .{signal});
    _ = t.result(sigprocmask(1, &mask, null));
}

pub fn raise(t: *Side, signal: u6) void {
    t.begin("raise({d})", .{signal});
    _ = t.result(libc.kill(libc.getpid(), signal));
}

/// One that tells when something is opened in /proc/self.
pub fn inotify(t: *Side, path: [*:0]const u8) c_int {
    const IN_OPEN = 0x20;
    t.begin("inotify_init1", .{});
    const fd = t.resultFd(inotify_init1(0), "inotify");
    t.begin("inotify_add_watch", .{});
    const watch = inotify_add_watch(fd, path, IN_OPEN);
    t.end(": {s}", .{if (watch > 0) "watched" else "failed"});
    return fd;
}
