//! Intercepted calls that wait for several descriptors: epoll, poll, select.

const std = @import("std");
const constants = @import("../constants.zig");
const cancel = @import("cancel.zig");
const conn_module = @import("conn.zig");
const control = @import("control.zig");
const early = @import("early.zig");
const epoll = @import("epoll.zig");
const faults = @import("faults.zig");
const fds = @import("fds.zig");
const foreign = @import("foreign.zig");
const interest = @import("interest.zig");
const listeners = @import("listeners.zig");
const nesting = @import("nesting.zig");
const poll_module = @import("poll.zig");
const real = @import("real.zig");
const section = @import("section.zig");
const sharing = @import("sharing.zig");
const sys = @import("sys.zig");
const user = @import("user.zig");

const EpollEvent = sys.EpollEvent;

pub fn epoll_create(size: c_int) callconv(.c) c_int {
    return tracked(real.get("epoll_create", @TypeOf(epoll_create))(size));
}

pub fn epoll_create1(flags: c_int) callconv(.c) c_int {
    return tracked(real.get("epoll_create1", @TypeOf(epoll_create1))(flags));
}

fn tracked(fd: c_int) c_int {
    if (fd >= 0) epoll.track(fd);
    return fd;
}

pub fn epoll_ctl(epfd: c_int, op: c_int, fd: c_int, asked: ?*EpollEvent) callconv(.c) c_int {
    const Real = @TypeOf(epoll_ctl);
    section.enter();
    defer section.leave();
    var copied: EpollEvent = undefined;
    var event = asked;
    const e = epoll.find(epfd) orelse return controlUnknown(epfd, op, fd, event);
    if (e.claim != null) sharing.use(e);
    if (listeners.find(fd)) |l| listeners.ensureRegistered(l);
    if (op != sys.EPOLL_CTL_DEL) if (epoll.find(fd)) |inner| nesting.begin(inner);
    const c = conn_module.acquire(fd) orelse return controlUntracked(e, epfd, op, fd, event);
    defer conn_module.done(c);
    if (op != sys.EPOLL_CTL_DEL) if (event) |from| {
        copied = user.load(EpollEvent, from) orelse return @intCast(sys.fail(.FAULT));
        event = &copied;
    };
    if (interest.change(e, c, op, fd, event)) |result| return @intCast(sys.ret(result));
    if (op == sys.EPOLL_CTL_DEL) {
        const result = real.get("epoll_ctl", Real)(epfd, op, fd, event);
        if (result == 0) interest.unregistered(e, c, fd);
        return result;
    }
    const wanted = event orelse return real.get("epoll_ctl", Real)(epfd, op, fd, event);
    var masked = wanted.*;
    masked.events = interest.kernelEvents(c, wanted.events);
    const result = real.get("epoll_ctl", Real)(epfd, op, fd, &masked);
    if (result == 0) interest.registered(e, c, fd, wanted);
    return result;
}

/// An instance that came from elsewhere (SCM_RIGHTS, exec): waits on it are the kernel's.
fn controlUnknown(epfd: c_int, op: c_int, fd: c_int, event: ?*EpollEvent) c_int {
    const result = real.get("epoll_ctl", @TypeOf(epoll_ctl))(epfd, op, fd, event);
    if (result != 0 or op == sys.EPOLL_CTL_DEL) return result;
    if (epoll.find(fd)) |inner| sharing.passed(inner);
    const c = conn_module.acquire(fd) orelse return result;
    defer conn_module.done(c);
    _ = foreign.leaveRings(c, constants.recall_timeout_ns);
    return result;
}

/// No connection, or none yet.
fn controlUntracked(e: *epoll.Epoll, epfd: c_int, op: c_int, fd: c_int, event: ?*EpollEvent) c_int {
    const result = real.get("epoll_ctl", @TypeOf(epoll_ctl))(epfd, op, fd, event);
    if (epoll.find(fd)) |inner| {
        if (result == 0) nesting.changed(e, op, fd, inner, event);
    } else if (result == 0 and op != sys.EPOLL_CTL_DEL) if (user.load(EpollEvent, event.?)) |given| {
        epoll.noteUnknown(e, given.data);
    };
    if (result != 0 or control.disabled or early.changed(e, op, fd, event)) return result;
    const c = conn_module.acquire(fd) orelse return result;
    defer conn_module.done(c);
    if (op == sys.EPOLL_CTL_DEL) {
        interest.unregistered(e, c, fd);
    } else if (event) |wanted| interest.registered(e, c, fd, wanted);
    return result;
}

pub fn epoll_wait(epfd: c_int, events: ?[*]EpollEvent, max: c_int, timeout: c_int) callconv(.c) c_int {
    if (ours(epfd, events, max)) |o| return waitOn(o, fromMs(timeout), null);
    return real.get("epoll_wait", @TypeOf(epoll_wait))(epfd, events, max, timeout);
}

pub fn epoll_pwait(epfd: c_int, events: ?[*]EpollEvent, max: c_int, timeout: c_int, mask: ?*const anyopaque) callconv(.c) c_int {
    if (ours(epfd, events, max)) |o| return waitOn(o, fromMs(timeout), mask);
    return real.get("epoll_pwait", @TypeOf(epoll_pwait))(epfd, events, max, timeout, mask);
}

pub fn epoll_pwait2(epfd: c_int, events: ?[*]EpollEvent, max: c_int, timeout: ?*const sys.Timespec, mask: ?*const anyopaque) callconv(.c) c_int {
    if (ours(epfd, events, max)) |o| {
        const limit = fromTimespec(timeout) catch |wrong| return failed(wrong);
        return waitOn(o, limit, mask);
    }
    const mask_bytes: usize = 8;
    return @intCast(sys.ret(sys.call(.epoll_pwait2, .{ epfd, events, max, timeout, mask, mask_bytes })));
}

const Ours = struct { fd: c_int, e: *epoll.Epoll, events: []EpollEvent };

/// The instance, if it has ring connections and the arguments are sound (else the kernel says why
/// not), and as much of `events` as can be written.
fn ours(epfd: c_int, events: ?[*]EpollEvent, max: c_int) ?Ours {
    const e = epoll.find(epfd) orelse return null;
    if (!epoll.concernsUs(e) or events == null or max <= 0) return null;
    faults.install();
    const room = user.writable(EpollEvent, events.?[0..@intCast(max)]);
    return .{ .fd = epfd, .e = e, .events = events.?[0..room] };
}

fn waitOn(o: Ours, timeout_ns: ?u64, mask: ?*const anyopaque) c_int {
    if (o.events.len == 0) return waitInVain(o.e, timeout_ns, mask);
    cancel.point();
    cancel.hold();
    defer cancel.unhold();
    const masked: ?section.Masked = .begin(mask);
    section.enter();
    // A handler may have closed it since it was looked up.
    const n = if (epoll.find(o.fd) != o.e) sys.neg(.BADF) else epoll.wait(.{
        .e = o.e,
        .events = o.events,
        .timeout_ns = timeout_ns,
        .mask = mask,
    });
    section.leaveMasked(masked);
    return @intCast(sys.ret(n));
}

fn fromMs(ms: c_int) ?u64 {
    return if (ms < 0) null else @as(u64, @intCast(ms)) * 1_000_000;
}

const WrongTime = error{ NotAccessible, NotATime };

/// Null: for ever.
fn fromTimespec(timeout: ?*const sys.Timespec) WrongTime!?u64 {
    const t = user.load(sys.Timespec, timeout orelse return null) orelse return error.NotAccessible;
    if (t.sec < 0 or t.nsec < 0 or t.nsec >= 1_000_000_000) return error.NotATime;
    return @as(u64, @intCast(t.sec)) *| 1_000_000_000 +| @as(u64, @intCast(t.nsec));
}

fn fromTimeval(timeout: ?*const sys.Timeval) WrongTime!?u64 {
    const t = user.load(sys.Timeval, timeout orelse return null) orelse return error.NotAccessible;
    if (t.sec < 0 or t.usec < 0) return error.NotATime;
    return @as(u64, @intCast(t.sec)) *| 1_000_000_000 +| @as(u64, @intCast(t.usec)) *| 1000;
}

fn failed(wrong: WrongTime) c_int {
    return @intCast(switch (wrong) {
        error.NotAccessible => sys.fail(.FAULT),
        error.NotATime => sys.fail(.INVAL),
    });
}

/// No event can be told, so none may be used up: EFAULT as soon as there is one.
fn waitInVain(e: *epoll.Epoll, timeout_ns: ?u64, mask: ?*const anyopaque) c_int {
    section.enter();
    nesting.begin(e);
    section.leave();
    var instance = [_]sys.PollFd{.{ .fd = e.fd, .events = sys.POLLIN }};
    const ready = pollOurs(&instance, timeout_ns, mask);
    return if (ready > 0) @intCast(sys.fail(.FAULT)) else ready;
}

// -- poll ------------------------------------------------------------------------------------------

pub fn poll(polled: ?[*]sys.PollFd, n: c_ulong, timeout: c_int) callconv(.c) c_int {
    if (slice(polled, n)) |entries| if (concernsUs(entries)) {
        return pollOurs(entries, fromMs(timeout), null);
    };
    return real.get("poll", @TypeOf(poll))(polled, n, timeout);
}

pub fn __poll_chk(polled: ?[*]sys.PollFd, n: c_ulong, timeout: c_int, room: usize) callconv(.c) c_int {
    _ = room;
    return poll(polled, n, timeout);
}

pub fn ppoll(polled: ?[*]sys.PollFd, n: c_ulong, timeout: ?*const sys.Timespec, mask: ?*const anyopaque) callconv(.c) c_int {
    if (slice(polled, n)) |entries| if (concernsUs(entries)) {
        const limit = fromTimespec(timeout) catch |wrong| return failed(wrong);
        return pollOurs(entries, limit, mask);
    };
    return real.get("ppoll", @TypeOf(ppoll))(polled, n, timeout, mask);
}

pub fn __ppoll_chk(polled: ?[*]sys.PollFd, n: c_ulong, timeout: ?*const sys.Timespec, mask: ?*const anyopaque, room: usize) callconv(.c) c_int {
    _ = room;
    return ppoll(polled, n, timeout, mask);
}

/// Registers listeners on the way.
fn concernsUs(entries: []const sys.PollFd) bool {
    section.enter();
    defer section.leave();
    return poll_module.concernsUs(entries);
}

fn slice(polled: ?[*]sys.PollFd, n: c_ulong) ?[]sys.PollFd {
    const list = polled orelse return null;
    if (n == 0 or n > fds.limit or !fds.any_of_application) return null;
    faults.install();
    const entries = list[0..n];
    return if (reventsWritable(entries)) entries else null;
}

/// A look at each page. (Whatever is in `revents`, the call overwrites it.)
fn reventsWritable(entries: []sys.PollFd) bool {
    const stride = constants.page_bytes / @sizeOf(sys.PollFd);
    var i: usize = 0;
    while (i < entries.len) : (i += stride) {
        if (!user.store(i16, &entries[i].revents, 0)) return false;
    }
    return user.store(i16, &entries[entries.len - 1].revents, 0);
}

fn pollOurs(entries: []sys.PollFd, timeout_ns: ?u64, mask: ?*const anyopaque) c_int {
    cancel.point();
    cancel.hold();
    defer cancel.unhold();
    const masked: ?section.Masked = .begin(mask);
    section.enter();
    const n = poll_module.wait(.{ .polled = entries, .timeout_ns = timeout_ns, .mask = mask });
    section.leaveMasked(masked);
    return @intCast(sys.ret(n));
}

// -- select ----------------------------------------------------------------------------------------

/// As long as the call's highest descriptor needs.
const Bits = ?[*]poll_module.FdSet;

pub fn select(n: c_int, read: Bits, write: Bits, except: Bits, timeout: ?*sys.Timeval) callconv(.c) c_int {
    var call: Select = .{ .sets = .{ read, write, except } };
    if (!call.begin(n)) return real.get("select", @TypeOf(select))(n, read, write, except, timeout);
    const limit = fromTimeval(timeout);
    const start = sys.nowNs();
    const result = call.finish(limit, null);
    if (timeout) |t| if (limit catch null) |total| {
        // Linux tells the time left.
        const left = total -| (sys.nowNs() - start);
        const told: sys.Timeval = .{ .sec = @intCast(left / 1_000_000_000), .usec = @intCast(left % 1_000_000_000 / 1000) };
        _ = user.store(sys.Timeval, t, told);
    };
    return result;
}

pub fn pselect(n: c_int, read: Bits, write: Bits, except: Bits, timeout: ?*const sys.Timespec, mask: ?*const anyopaque) callconv(.c) c_int {
    var call: Select = .{ .sets = .{ read, write, except } };
    if (!call.begin(n)) return real.get("pselect", @TypeOf(pselect))(n, read, write, except, timeout, mask);
    return call.finish(fromTimespec(timeout), mask);
}

const Select = struct {
    sets: [3]Bits,
    space: Space = .{},
    entries: []sys.PollFd = &.{},

    /// False: the kernel's alone. True: a section, until `finish`.
    fn begin(call: *Select, n: c_int) bool {
        section.enter();
        call.entries = selectEntries(n, call.sets, &call.space) orelse {
            call.space.free();
            section.leave();
            return false;
        };
        return true;
    }

    fn finish(call: *Select, limit: WrongTime!?u64, mask: ?*const anyopaque) c_int {
        const masked: ?section.Masked = .begin(mask);
        const result = call.wait(limit, mask);
        call.space.free();
        section.leaveMasked(masked);
        return result;
    }

    fn wait(call: *Select, limit: WrongTime!?u64, mask: ?*const anyopaque) c_int {
        const ns = limit catch |wrong| return failed(wrong);
        const result = pollOurs(call.entries, ns, mask);
        if (result < 0) return result;
        return @intCast(sys.ret(poll_module.toSets(call.entries, call.sets[0], call.sets[1], call.sets[2])));
    }
};

/// Room for an entry a descriptor: on the stack, or, for enlarged sets, mapped.
const Space = struct {
    small: [1024]sys.PollFd = undefined,
    mapped: ?[*]align(4096) u8 = null,
    bytes: usize = 0,

    fn room(space: *Space, n: usize) ?[]sys.PollFd {
        if (n <= space.small.len) return &space.small;
        space.bytes = n * @sizeOf(sys.PollFd);
        space.mapped = sys.mapPrivate(space.bytes) orelse return null;
        const entries: [*]sys.PollFd = @ptrCast(space.mapped.?);
        return entries[0..n];
    }

    fn free(space: *Space) void {
        if (space.mapped) |memory| sys.unmap(memory, space.bytes);
    }
};

fn selectEntries(n: c_int, sets: [3]Bits, space: *Space) ?[]sys.PollFd {
    if (n <= 0 or !fds.any_of_application) return null;
    faults.install();
    var count: usize = @intCast(n);
    // The kernel reads no further than its own table of descriptors: programs pass their limit for
    // `n` beside sets of 1024 bits.
    if (count > 1024) count = @min(count, tableSize() orelse return null);
    const words = (count + 63) / 64;
    for (sets) |maybe| if (maybe) |set| {
        if (!user.isWritable(std.mem.sliceAsBytes(set[0..words]))) return null; // EFAULT, says the kernel
    };
    const entries = space.room(count) orelse return null;
    return poll_module.fromSets(count, sets[0], sets[1], sets[2], entries);
}

/// Places in the kernel's table of this process's descriptors.
fn tableSize() ?usize {
    var buffer: [1024]u8 = undefined;
    const status = sys.readFile("/proc/self/status", &buffer) orelse return null;
    var lines = std.mem.tokenizeScalar(u8, status, '\n');
    while (lines.next()) |line| {
        if (!std.mem.startsWith(u8, line, "FDSize:")) continue;
        return std.fmt.parseInt(usize, std.mem.trim(u8, line[7..], " \t"), 10) catch null;
    }
    return null;
}
