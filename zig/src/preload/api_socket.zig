//! Intercepted calls that make, name and end sockets and descriptors.

const std = @import("std");
const addr = @import("addr.zig");
const conn_module = @import("conn.zig");
const cork = @import("cork.zig");
const control = @import("control.zig");
const early = @import("early.zig");
const epoll = @import("epoll.zig");
const fds = @import("fds.zig");
const foreign = @import("foreign.zig");
const interest = @import("interest.zig");
const listeners = @import("listeners.zig");
const negotiate = @import("negotiate.zig");
const options = @import("options.zig");
const own_fds = @import("own_fds.zig");
const process = @import("process.zig");
const real = @import("real.zig");
const section = @import("section.zig");
const sys = @import("sys.zig");
const unread = @import("unread.zig");
const user = @import("user.zig");

// -- making connections --------------------------------------------------------------------------

pub fn socket(domain: c_int, kind: c_int, protocol: c_int) callconv(.c) c_int {
    return created(real.get("socket", @TypeOf(socket))(domain, kind, protocol));
}

pub fn listen(fd: c_int, backlog: c_int) callconv(.c) c_int {
    const result = real.get("listen", @TypeOf(listen))(fd, backlog);
    if (result != 0 or control.disabled) return result;
    if (fds.kindOf(fd) == .early) early.forget(fd);
    quiet(fd, listeners.track);
    return result;
}

/// Runs something of ours after a successful call without showing its errno.
fn quiet(fd: c_int, comptime action: fn (c_int) void) void {
    section.enter();
    defer section.leave();
    const saved = sys.errno().*;
    action(fd);
    sys.errno().* = saved;
}

pub fn accept(fd: c_int, address: ?*anyopaque, len: ?*u32) callconv(.c) c_int {
    beforeAccept(fd);
    return accepted(fd, real.get("accept", @TypeOf(accept))(fd, address, len), 0);
}

pub fn accept4(fd: c_int, address: ?*anyopaque, len: ?*u32, flags: c_int) callconv(.c) c_int {
    beforeAccept(fd);
    return accepted(fd, real.get("accept4", @TypeOf(accept4))(fd, address, len, flags), flags);
}

/// A listener that this process inherited is registered at its first accept.
fn beforeAccept(fd: c_int) void {
    if (control.disabled) return;
    if (listeners.find(fd)) |l| {
        if (l.session != control.session or l.session == 0) quiet(fd, reRegister);
        return;
    }
    if (fds.kindOf(fd) == .none) quiet(fd, listeners.track);
}

fn reRegister(fd: c_int) void {
    if (listeners.find(fd)) |l| listeners.ensureRegistered(l);
}

fn accepted(listener_fd: c_int, fd: c_int, flags: c_int) c_int {
    if (fd < 0) return fd;
    forgetStale(fd);
    if (listeners.find(listener_fd) == null) return fd;
    section.enter();
    defer section.leave();
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    control.checkLine();
    _ = conn_module.track(fd, .server, flags & sys.SOCK_NONBLOCK != 0);
    return fd;
}

pub fn connect(fd: c_int, address: ?*const anyopaque, len: u32) callconv(.c) c_int {
    const result = real.get("connect", @TypeOf(connect))(fd, address, len);
    if (control.disabled or address == null) return result;
    if (result == 0 and len >= 2 and @as(*align(1) const u16, @ptrCast(address.?)).* == sys.AF_UNSPEC) {
        quiet(fd, disconnected);
        return result;
    }
    const started = result == 0 or sys.errno().* == @intFromEnum(sys.E.INPROGRESS) or
        sys.errno().* == @intFromEnum(sys.E.INTR);
    if (started and addr.fromSockaddr(@ptrCast(address.?), len) != null) noteConnecting(fd);
    return result;
}

/// A send with MSG_FASTOPEN connects, too. `result` is what the kernel said to it.
pub fn noteFastOpen(fd: c_int, result: isize) void {
    const started = result >= 0 or sys.errno().* == @intFromEnum(sys.E.INPROGRESS);
    if (started and !control.disabled) noteConnecting(fd);
}

fn noteConnecting(fd: c_int) void {
    if (conn_module.find(fd) != null) return;
    section.enter();
    defer section.leave();
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    const protocol = sys.getSockopt(fd, sys.SOL_SOCKET, sys.SO_PROTOCOL, i32) orelse return;
    if (protocol != sys.IPPROTO_TCP) return;
    control.checkLine();
    if (!negotiate.isYoung()) _ = control.ensure();
    early.trackConnected(fd);
}

/// connect(AF_UNSPEC) has taken the connection apart. The socket lives on and may be connected
/// again: to us this was a close.
fn disconnected(fd: c_int) void {
    const c = conn_module.acquire(fd) orelse return;
    defer conn_module.done(c);
    c.end.rx.flags |= conn_module.flag_shut; // the socket's error is the application's to read
    const linger = sys.getSockopt(fd, sys.SOL_SOCKET, sys.SO_LINGER, sys.Linger);
    var each: c_int = 0;
    while (each < fds.used) : (each += 1) {
        if (conn_module.find(each) == c) conn_module.dropDescriptor(c, each);
    }
    // A close with unread bytes makes it a reset; that was for this connection, not for the next.
    if (linger) |l| _ = sys.call(.setsockopt, .{ fd, sys.SOL_SOCKET, sys.SO_LINGER, &l, @sizeOf(sys.Linger) });
}

pub fn shutdown(fd: c_int, how: c_int) callconv(.c) c_int {
    if (conn_module.acquire(fd)) |c| {
        defer conn_module.done(c);
        // Everything sent is published already; the kernel's FIN comes after it.
        noteShutdown(c, how);
        const tells = c.shutRead() and c.shutWrite() and c.isAttached();
        // The peer takes this together with our FIN, which comes later by this call. If it has come by
        // an earlier one, the kernel first has to take no more.
        if (tells and how != 0) conn_module.tellClosed(c);
        const result = real.get("shutdown", @TypeOf(shutdown))(fd, how);
        if (tells and how == 0) conn_module.tellClosed(c);
        if (result == 0) interest.wakeAll(c);
        return result;
    }
    return real.get("shutdown", @TypeOf(shutdown))(fd, how);
}

fn noteShutdown(c: *conn_module.Conn, how: c_int) void {
    if (how == 1 or how == 2) {
        const held = c.lockTx();
        c.end.tx.flags |= conn_module.flag_shut;
        if (held) |h| c.unlockTx(h);
    }
    if (how == 0 or how == 2) {
        const held = c.lockRx();
        c.end.rx.flags |= conn_module.flag_shut;
        if (held) |h| c.unlockRx(h);
    }
}

// -- descriptors -----------------------------------------------------------------------------------

/// A descriptor number that the kernel has just given out cannot be what we thought it was.
pub fn created(fd: c_int) c_int {
    forgetStale(fd);
    return fd;
}

pub fn forgetStale(fd: c_int) void {
    if (fd < 0 or fds.load(fd) == 0 or process.inVforkChild()) return;
    section.enter();
    defer section.leave();
    if (fds.kindOf(fd) == .own) return own_fds.lost(fd);
    dropAny(fd);
}

/// The library's part of close(2). False: the descriptor is the library's own.
fn dropAny(fd: c_int) void {
    section.enter();
    defer section.leave();
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    switch (fds.kindOf(fd)) {
        .none, .own, _ => {},
        .conn => if (conn_module.find(fd)) |c| conn_module.dropDescriptor(c, fd),
        .epoll => if (epoll.find(fd)) |e| epoll.dropDescriptor(e, fd),
        .listener => if (listeners.find(fd)) |l| listeners.dropDescriptor(l, fd),
        .early => early.forget(fd),
    }
}

pub fn close(fd: c_int) callconv(.c) c_int {
    if (fds.load(fd) != 0 and !process.inVforkChild()) {
        // The application closes every number it can think of: ours are not its.
        if (fds.kindOf(fd) == .own) return @intCast(sys.fail(.BADF));
        dropAny(fd);
    }
    return real.get("close", @TypeOf(close))(fd);
}

/// musl's.
pub fn posix_close(fd: c_int, flags: c_int) callconv(.c) c_int {
    _ = flags; // none is defined
    return close(fd);
}

pub fn close_range(first: c_uint, last: c_uint, flags: c_uint) callconv(.c) c_int {
    const CLOSE_RANGE_UNSHARE = 2;
    const CLOSE_RANGE_CLOEXEC = 4;
    if (process.inVforkChild()) return rangeCall(first, last, flags);
    const tracked = @min(fds.used, @as(usize, last) +| 1);
    if (flags & ~@as(c_uint, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 or first > last) {
        return @intCast(sys.fail(.INVAL));
    }
    if (flags & CLOSE_RANGE_CLOEXEC != 0) return rangeCall(first, last, flags);
    // Around our own descriptors: the kernel closes the gaps between them.
    var from: usize = first;
    var fd: usize = first;
    while (fd < tracked) : (fd += 1) {
        const number: c_int = @intCast(fd);
        if (fds.load(number) == 0) continue;
        if (fds.kindOf(number) != .own) {
            dropAny(number);
            continue;
        }
        if (fd > from) _ = rangeCall(@intCast(from), @intCast(fd - 1), flags);
        from = fd + 1;
    }
    return if (from <= last) rangeCall(@intCast(from), last, flags) else 0;
}

fn rangeCall(first: c_uint, last: c_uint, flags: c_uint) c_int {
    return @intCast(sys.ret(sys.call(.close_range, .{ first, last, flags })));
}

pub fn closefrom(low: c_int) callconv(.c) void {
    _ = close_range(@intCast(@max(low, 0)), std.math.maxInt(c_uint), 0);
}

/// What `from` is, `to` is now too.
fn duplicated(from: c_int, to: c_int) c_int {
    if (to < 0 or to == from) return to;
    if (fds.load(from) == 0 and fds.load(to) == 0) return to;
    section.enter();
    defer section.leave();
    if (process.inVforkChild()) return handedOver(from, to);
    forgetStale(to);
    switch (fds.kindOf(from)) {
        .none, .own, .early, _ => {},
        .conn => if (conn_module.find(from)) |c| conn_module.addDescriptor(c, to),
        .epoll => if (epoll.find(from)) |e| epoll.addDescriptor(e, to),
        .listener => if (listeners.find(from)) |l| listeners.addDescriptor(l, to),
    }
    return to;
}

/// In a vfork child the tables are the parent's; a duplicate made there is for the program that the
/// child will execute, so the connection goes back to TCP.
fn handedOver(from: c_int, to: c_int) c_int {
    if (conn_module.find(from)) |c| foreign.hold(c, .exec, .must);
    return to;
}

pub fn dup(fd: c_int) callconv(.c) c_int {
    return duplicated(fd, real.get("dup", @TypeOf(dup))(fd));
}

pub fn dup2(from: c_int, to: c_int) callconv(.c) c_int {
    if (from != to and !yieldNumber(from, to)) return @intCast(sys.fail(.MFILE));
    return duplicated(from, real.get("dup2", @TypeOf(dup2))(from, to));
}

pub fn dup3(from: c_int, to: c_int, flags: c_int) callconv(.c) c_int {
    if (from != to and !yieldNumber(from, to)) return @intCast(sys.fail(.MFILE));
    return duplicated(from, real.get("dup3", @TypeOf(dup3))(from, to, flags));
}

/// dup2 closes its target: our part of that close. Only when the call will succeed. False: the
/// number is the library's and cannot be had, because no other is free.
fn yieldNumber(from: c_int, to: c_int) bool {
    if (fds.load(to) == 0 or process.inVforkChild()) return true;
    if (sys.call(.fcntl, .{ from, sys.F_GETFD, 0 }) < 0) return true;
    section.enter();
    defer section.leave();
    if (fds.kindOf(to) == .own) return own_fds.evict(to);
    dropAny(to);
    return true;
}

pub fn fcntl(fd: c_int, command: c_int, argument: usize) callconv(.c) c_int {
    if (command == sys.F_SETFL and argument & sys.O_ASYNC != 0) leaveForSignals(fd);
    const result = real.get("fcntl", @TypeOf(fcntl))(fd, command, argument);
    return afterFcntl(fd, command, argument, result);
}

pub fn fcntl64(fd: c_int, command: c_int, argument: usize) callconv(.c) c_int {
    if (command == sys.F_SETFL and argument & sys.O_ASYNC != 0) leaveForSignals(fd);
    const result = if (real.find("fcntl64") != null)
        real.get("fcntl64", @TypeOf(fcntl64))(fd, command, argument)
    else
        real.get("fcntl", @TypeOf(fcntl))(fd, command, argument);
    return afterFcntl(fd, command, argument, result);
}

/// O_ASYNC: SIGIO is raised for what the kernel carries.
fn leaveForSignals(fd: c_int) void {
    section.enter();
    defer section.leave();
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    if (conn_module.find(fd)) |c| foreign.release(c, .socket_option);
}

fn afterFcntl(fd: c_int, command: c_int, argument: usize, result: c_int) c_int {
    if (result < 0) return result;
    switch (command) {
        sys.F_DUPFD, sys.F_DUPFD_CLOEXEC => return duplicated(fd, result),
        sys.F_SETFL => if (conn_module.acquire(fd)) |c| {
            defer conn_module.done(c);
            c.nonblocking = argument & sys.O_NONBLOCK != 0;
            conn_module.tellModesChanged(c);
        },
        else => {},
    }
    return result;
}

pub fn ioctl(fd: c_int, request: c_ulong, argument: usize) callconv(.c) c_int {
    const c = conn_module.acquire(fd) orelse
        return real.get("ioctl", @TypeOf(ioctl))(fd, request, argument);
    defer conn_module.done(c);
    if (@as(u32, @truncate(request)) == sys.FIOASYNC and argument != 0) {
        if (user.load(c_int, @ptrFromInt(argument)) orelse 0 != 0) leaveForSignals(fd);
    }
    if (c.isAttached() and argument != 0) {
        const value: *c_int = @ptrFromInt(argument);
        switch (@as(u32, @truncate(request))) {
            sys.FIONREAD => {
                return tell(value, unread.bytes(c));
            },
            sys.SIOCATMARK => if (unread.isBeforeMark(c)) {
                return tell(value, 0);
            },
            // SIOCOUTQ is the kernel's: what is in the ring has arrived, as if acknowledged.
            else => {},
        }
    }
    const result = real.get("ioctl", @TypeOf(ioctl))(fd, request, argument);
    if (result == 0 and @as(u32, @truncate(request)) == sys.FIONBIO and argument != 0) {
        c.nonblocking = @as(*const c_int, @ptrFromInt(argument)).* != 0;
        conn_module.tellModesChanged(c);
    }
    return result;
}

fn tell(value: *c_int, bytes: usize) c_int {
    const told = user.store(c_int, value, @intCast(@min(bytes, std.math.maxInt(c_int))));
    return if (told) 0 else @intCast(sys.fail(.FAULT));
}

pub fn setsockopt(fd: c_int, level: c_int, name: c_int, value: ?*const anyopaque, len: u32) callconv(.c) c_int {
    const moves = options.movesToTcp(level, name);
    if (moves) @atomicStore(bool, &options.asked, true, .monotonic);
    if (options.isLeft(level, name)) @atomicStore(bool, &options.left_asked, true, .monotonic);
    const c = conn_module.acquire(fd) orelse
        return real.get("setsockopt", @TypeOf(setsockopt))(fd, level, name, value, len);
    defer conn_module.done(c);
    if (cork.isMeant(level, name) and cork.keep(c, value, len)) return 0;
    if (moves and !turnsOff(level, name, value, len)) foreign.release(c, .socket_option);
    const result = real.get("setsockopt", @TypeOf(setsockopt))(fd, level, name, value, len);
    if (result == 0 and options.isMode(level, name)) {
        const saved = sys.errno().*;
        conn_module.readModes(c);
        conn_module.tellModesChanged(c);
        if (name == sys.SO_RCVLOWAT) interest.wakeAll(c);
        sys.errno().* = saved;
    }
    return result;
}

/// The option asks for nothing: no time stamps, no offset of MSG_PEEK.
fn turnsOff(level: c_int, name: c_int, value: ?*const anyopaque, len: u32) bool {
    const wanted = options.numberIn(value, len) orelse return false;
    return if (options.isControl(level, name)) wanted == 0 else options.isPeekOffset(level, name) and wanted < 0;
}

/// The kernel's answer, with the ring's bytes in it where it counts bytes.
pub fn getsockopt(fd: c_int, level: c_int, name: c_int, value: ?*anyopaque, len: ?*u32) callconv(.c) c_int {
    const c = conn_module.acquire(fd) orelse
        return real.get("getsockopt", @TypeOf(getsockopt))(fd, level, name, value, len);
    defer conn_module.done(c);
    if (cork.isMeant(level, name)) cork.giveNow(c);
    if (level == sys.IPPROTO_TCP and name == options.TCP_ZEROCOPY_RECEIVE) foreign.release(c, .socket_option);
    const result = real.get("getsockopt", @TypeOf(getsockopt))(fd, level, name, value, len);
    if (result == 0 and level == sys.IPPROTO_TCP and name == sys.TCP_INFO and c.isAttached()) {
        addRingBytes(c, @ptrCast(value.?), len.?.*);
    }
    if (result == 0 and level == sys.SOL_SOCKET and name == sys.SO_ERROR and len.?.* == 4) {
        const told: *align(1) c_int = @ptrCast(value.?);
        if (told.* == 0) if (c.takeError()) |err| {
            told.* = -err;
        };
    }
    return result;
}

/// struct tcp_info: which of its counters count bytes. (The kernel has just written there, so the
/// memory is good.)
fn addRingBytes(c: *conn_module.Conn, info: [*]u8, len: u32) void {
    const carried = unread.ringCarried(c);
    const counters = [_]struct { offset: u32, bytes: u64 }{
        .{ .offset = 120, .bytes = carried.sent },
        .{ .offset = 128, .bytes = carried.received },
        .{ .offset = 200, .bytes = carried.sent },
    };
    for (counters) |counter| {
        if (counter.offset + 8 > len) continue;
        const at = info[counter.offset..][0..8];
        std.mem.writeInt(u64, at, std.mem.readInt(u64, at, .little) +% counter.bytes, .little);
    }
}
