//! Intercepted calls that move bytes: thin: find the connection, else the real function.

const std = @import("std");
const api_socket = @import("api_socket.zig");
const cancel = @import("cancel.zig");
const conn_module = @import("conn.zig");
const epoll = @import("epoll.zig");
const faults = @import("faults.zig");
const fds = @import("fds.zig");
const foreign = @import("foreign.zig");
const listeners = @import("listeners.zig");
const options = @import("options.zig");
const real = @import("real.zig");
const section = @import("section.zig");
const sharing = @import("sharing.zig");
const short = @import("short.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");
const transfer = @import("transfer.zig");
const unread = @import("unread.zig");
const user = @import("user.zig");

const Conn = conn_module.Conn;
const Iovec = sys.Iovec;
const Msghdr = sys.Msghdr;

const iov_max = 1024;

/// The end of a call on `c`, with its raw result: handlers that were put off run first, as they do at
/// the end of a system call. Null: they have interrupted it and want it to begin again.
inline fn finish(c: *Conn, result: isize) ?isize {
    conn_module.done(c);
    if (result == section.restart) {
        @branchHint(.unlikely);
        return if (section.wasInterrupted()) sys.fail(.INTR) else null;
    }
    return sys.ret(result);
}

inline fn receiveOne(c: *Conn, buffer: ?*anyopaque, len: usize, flags: u32) ?isize {
    if (short.receive(c, buffer, len, flags)) |n| return finish(c, n);
    const iov = [_]Iovec{.{ .base = @ptrCast(buffer), .len = @min(len, stream.Buffers.bytes_max) }};
    var b: stream.Buffers = .{ .iov = &iov, .remaining = iov[0].len };
    return finish(c, stream.receive(c, &b, flags));
}

inline fn sendOne(c: *Conn, buffer: ?*const anyopaque, len: usize, flags: u32) ?isize {
    if (short.send(c, buffer, len, flags)) |n| return finish(c, n);
    const iov = [_]Iovec{.{ .base = @ptrCast(@constCast(buffer)), .len = @min(len, stream.Buffers.bytes_max) }};
    var b: stream.Buffers = .{ .iov = &iov, .remaining = iov[0].len };
    return finish(c, stream.send(c, &b, flags));
}

/// `read`: with no room it does not wait.
const Vector = enum { read, receive, send };

fn vector(c: *Conn, iov: ?[*]const Iovec, count: usize, flags: u32, comptime way: Vector) ?isize {
    if (count > iov_max) return finish(c, sys.neg(.INVAL));
    if (count == 1) if (iov) |one| if (user.load(Iovec, &one[0])) |v| {
        const n = switch (way) {
            .read, .receive => short.receive(c, v.base, v.len, flags),
            .send => short.send(c, v.base, v.len, flags),
        };
        if (n) |all| return finish(c, all);
    };
    return finish(c, vectorRaw(c, iov, count, flags, way));
}

/// The array is copied, as the kernel copies it: another thread may change it meanwhile. Small ones
/// take little of the stack.
fn vectorRaw(c: *Conn, iov: ?[*]const Iovec, count: usize, flags: u32, comptime way: Vector) isize {
    if (count <= 8) return vectorCopied(8, c, iov, count, flags, way);
    if (count <= 64) return vectorCopied(64, c, iov, count, flags, way);
    return vectorCopied(iov_max, c, iov, count, flags, way);
}

noinline fn vectorCopied(comptime room: usize, c: *Conn, iov: ?[*]const Iovec, count: usize, flags: u32, comptime way: Vector) isize {
    var list: [room]Iovec = undefined;
    if (count > 0) {
        const from = iov orelse return sys.neg(.FAULT);
        if (!user.loadMany(Iovec, list[0..count], from)) return sys.neg(.FAULT);
    }
    var b = stream.Buffers.init(list[0..count]) orelse return sys.neg(.INVAL);
    return switch (way) {
        .read => if (b.remaining == 0) 0 else stream.receive(c, &b, flags),
        .receive => stream.receive(c, &b, flags),
        .send => stream.send(c, &b, flags),
    };
}

/// The connection, for a call that is a cancellation point.
inline fn enter(fd: c_int) ?*Conn {
    if (conn_module.find(fd) == null) return null;
    cancel.point();
    return conn_module.acquire(fd);
}

pub fn recv(fd: c_int, buffer: ?*anyopaque, len: usize, flags: c_int) callconv(.c) isize {
    while (enter(fd)) |c| return receiveOne(c, buffer, len, @bitCast(flags)) orelse continue;
    return real.get("recv", @TypeOf(recv))(fd, buffer, len, flags);
}

pub fn __recv_chk(fd: c_int, buffer: ?*anyopaque, len: usize, room: usize, flags: c_int) callconv(.c) isize {
    if (len > room) overflow();
    return recv(fd, buffer, len, flags);
}

pub fn recvfrom(fd: c_int, buffer: ?*anyopaque, len: usize, flags: c_int, from: ?*anyopaque, from_len: ?*u32) callconv(.c) isize {
    while (enter(fd)) |c| {
        const n = receiveOne(c, buffer, len, @bitCast(flags)) orelse continue;
        if (n >= 0 and from != null) if (from_len) |l| {
            if (!user.store(u32, l, 0)) return sys.fail(.FAULT); // TCP tells no address
        };
        return n;
    }
    return real.get("recvfrom", @TypeOf(recvfrom))(fd, buffer, len, flags, from, from_len);
}

pub fn __recvfrom_chk(fd: c_int, buffer: ?*anyopaque, len: usize, room: usize, flags: c_int, from: ?*anyopaque, from_len: ?*u32) callconv(.c) isize {
    if (len > room) overflow();
    return recvfrom(fd, buffer, len, flags, from, from_len);
}

pub fn read(fd: c_int, buffer: ?*anyopaque, len: usize) callconv(.c) isize {
    if (len != 0) while (enter(fd)) |c| return receiveOne(c, buffer, len, 0) orelse continue;
    return real.get("read", @TypeOf(read))(fd, buffer, len);
}

pub fn __read_chk(fd: c_int, buffer: ?*anyopaque, len: usize, room: usize) callconv(.c) isize {
    if (len > room) overflow();
    return read(fd, buffer, len);
}

pub fn readv(fd: c_int, iov: ?[*]const Iovec, count: c_int) callconv(.c) isize {
    if (count >= 0) while (enter(fd)) |c| return vector(c, iov, @intCast(count), 0, .read) orelse continue;
    return real.get("readv", @TypeOf(readv))(fd, iov, count);
}

const RWF_NOWAIT = 8;
/// HIPRI, DSYNC, SYNC, NOWAIT, APPEND: of these a socket obeys NOWAIT.
const rwf_known = 0x1f;

pub fn preadv2(fd: c_int, iov: ?[*]const Iovec, count: c_int, offset: i64, flags: c_int) callconv(.c) isize {
    if (offset == -1 and count >= 0) while (enter(fd)) |c| {
        return vectorFlagged(c, iov, @intCast(count), flags, .read) orelse continue;
    };
    return real.get("preadv2", @TypeOf(preadv2))(fd, iov, count, offset, flags);
}

pub fn pwritev2(fd: c_int, iov: ?[*]const Iovec, count: c_int, offset: i64, flags: c_int) callconv(.c) isize {
    if (offset == -1 and count >= 0) while (enter(fd)) |c| {
        return vectorFlagged(c, iov, @intCast(count), flags, .send) orelse continue;
    };
    return real.get("pwritev2", @TypeOf(pwritev2))(fd, iov, count, offset, flags);
}

pub const preadv64v2 = preadv2;
pub const pwritev64v2 = pwritev2;

fn vectorFlagged(c: *Conn, iov: ?[*]const Iovec, count: usize, flags: c_int, comptime way: Vector) ?isize {
    if (flags & ~@as(c_int, rwf_known) != 0) return finish(c, sys.neg(.OPNOTSUPP));
    const dont_wait: u32 = if (flags & RWF_NOWAIT != 0) sys.MSG_DONTWAIT else 0;
    return vector(c, iov, count, dont_wait, way);
}

pub fn recvmsg(fd: c_int, msg: ?*Msghdr, flags: c_int) callconv(.c) isize {
    while (enter(fd)) |c| {
        const m = loadHeader(msg) orelse return finish(c, sys.neg(.FAULT)).?;
        const kernel_only = @as(u32, @bitCast(flags)) & stream.receive_kernel_flags != 0;
        const tells_left = c.tellsLeft();
        if (kernel_only or (m.controllen != 0 or tells_left) and controlIsTheKernels(c)) {
            conn_module.done(c);
            return real.get("recvmsg", @TypeOf(recvmsg))(fd, msg, flags);
        }
        const n = vectorMessage(c, m, flags, .receive) orelse continue;
        if (n >= 0) {
            const to = msg.?;
            const control: Control = if (tells_left) tellLeft(fd, m) else .{};
            const told = user.store(u32, &to.namelen, 0) and
                user.store(usize, &to.controllen, control.bytes) and
                user.store(i32, &to.flags, flags & MSG_CMSG_CLOEXEC | control.flags);
            if (!told) return sys.fail(.FAULT);
        }
        return n;
    }
    return real.get("recvmsg", @TypeOf(recvmsg))(fd, msg, flags);
}

/// Linux hands it back among the message's flags.
const MSG_CMSG_CLOEXEC = 0x40000000;

const MSG_CTRUNC = 8;

/// What a recvmsg has written where control data goes, and the flags that say so.
const Control = struct { bytes: usize = 0, flags: i32 = 0 };

/// TCP_INQ: how many bytes can be read after this call, of the ring's and the kernel's.
fn tellLeft(fd: c_int, m: Msghdr) Control {
    const LeftMessage = extern struct { header: ControlHeader, left: i32 align(1) };
    const room = if (m.control == null) 0 else m.controllen;
    if (room < @sizeOf(ControlHeader)) return .{ .flags = MSG_CTRUNC };
    const bytes = @min(room, @sizeOf(LeftMessage));
    const c = conn_module.acquire(fd) orelse return .{};
    defer conn_module.done(c);
    const message: LeftMessage = .{
        .header = .{ .len = bytes, .level = sys.IPPROTO_TCP, .kind = options.TCP_INQ },
        .left = unread.leftToRead(c),
    };
    const into: [*]u8 = @ptrCast(m.control.?);
    const written = if (bytes == @sizeOf(LeftMessage))
        user.store(LeftMessage, @ptrCast(into), message)
    else
        user.store(ControlHeader, @ptrCast(into), message.header);
    if (!written) return .{};
    const padded = std.mem.alignForward(usize, @sizeOf(LeftMessage), @alignOf(usize));
    return .{ .bytes = @min(room, padded), .flags = if (bytes < @sizeOf(LeftMessage)) MSG_CTRUNC else 0 };
}

fn loadHeader(msg: ?*const Msghdr) ?Msghdr {
    var m = user.load(Msghdr, msg orelse return null) orelse return null;
    m.iovlen = real.messageLength(m.iovlen);
    m.controllen = real.messageLength(m.controllen);
    return m;
}

fn vectorMessage(c: *Conn, m: Msghdr, flags: c_int, comptime way: Vector) ?isize {
    if (m.iovlen <= iov_max) return vector(c, m.iov, m.iovlen, @bitCast(flags), way);
    return finish(c, sys.neg(.MSGSIZE));
}

/// Control data (time stamps, bytes in queue) exists in the kernel only, for those who asked for it.
fn controlIsTheKernels(c: *Conn) bool {
    if (c.stateOf() == .undecided and options.wantsControl(c.fd)) foreign.release(c, .socket_option);
    if (!c.isAttached()) return c.stateOf() == .plain;
    const r = c.receiver();
    return !r.inRing() and r.recallDone();
}

pub fn recvmmsg(fd: c_int, messages: ?[*]sys.Mmsghdr, count: c_uint, flags: c_int, timeout: ?*sys.Timespec) callconv(.c) c_int {
    if (conn_module.find(fd) == null or messages == null) {
        return real.get("recvmmsg", @TypeOf(recvmmsg))(fd, messages, count, flags, timeout);
    }
    const limit_ns: ?u64 = if (timeout) |t| limitOf(user.load(sys.Timespec, t) orelse return @intCast(sys.fail(.FAULT))) orelse
        return @intCast(sys.fail(.INVAL)) else null;
    const MSG_WAITFORONE = 0x10000;
    const start = sys.nowNs();
    var each = flags & ~@as(c_int, MSG_WAITFORONE);
    var done: c_int = 0;
    for (messages.?[0..@min(count, iov_max)]) |*m| {
        const n = recvmsg(fd, &m.hdr, each);
        if (n < 0) break;
        if (!user.store(u32, &m.len, @intCast(n))) {
            _ = sys.fail(.FAULT);
            break;
        }
        done += 1;
        if (flags & MSG_WAITFORONE != 0) each |= sys.MSG_DONTWAIT;
        if (limit_ns) |limit| if (sys.nowNs() - start >= limit) break;
    }
    if (done > 0) if (timeout) |t| tellTimeLeft(t, limit_ns.? -| (sys.nowNs() - start));
    return if (done > 0) done else if (count == 0) 0 else -1;
}

fn limitOf(t: sys.Timespec) ?u64 {
    if (t.sec < 0 or t.nsec < 0 or t.nsec >= 1_000_000_000) return null;
    return @as(u64, @intCast(t.sec)) *| 1_000_000_000 +| @as(u64, @intCast(t.nsec));
}

/// Linux tells how much of the timeout is left.
fn tellTimeLeft(timeout: *sys.Timespec, ns: u64) void {
    const left: sys.Timespec = .{ .sec = @intCast(ns / 1_000_000_000), .nsec = @intCast(ns % 1_000_000_000) };
    _ = user.store(sys.Timespec, timeout, left);
}

pub fn send(fd: c_int, buffer: ?*const anyopaque, len: usize, flags: c_int) callconv(.c) isize {
    while (enter(fd)) |c| return sendOne(c, buffer, len, @bitCast(flags)) orelse continue;
    return real.get("send", @TypeOf(send))(fd, buffer, len, flags);
}

pub fn sendto(fd: c_int, buffer: ?*const anyopaque, len: usize, flags: c_int, to: ?*const anyopaque, to_len: u32) callconv(.c) isize {
    // A connected TCP socket ignores the address.
    while (enter(fd)) |c| return sendOne(c, buffer, len, @bitCast(flags)) orelse continue;
    const n = real.get("sendto", @TypeOf(sendto))(fd, buffer, len, flags, to, to_len);
    if (flags & sys.MSG_FASTOPEN != 0) api_socket.noteFastOpen(fd, n);
    return n;
}

pub fn write(fd: c_int, buffer: ?*const anyopaque, len: usize) callconv(.c) isize {
    while (enter(fd)) |c| return sendOne(c, buffer, len, 0) orelse continue;
    return real.get("write", @TypeOf(write))(fd, buffer, len);
}

pub fn writev(fd: c_int, iov: ?[*]const Iovec, count: c_int) callconv(.c) isize {
    if (count >= 0) while (enter(fd)) |c| return vector(c, iov, @intCast(count), 0, .send) orelse continue;
    return real.get("writev", @TypeOf(writev))(fd, iov, count);
}

pub fn sendmsg(fd: c_int, msg: ?*const Msghdr, flags: c_int) callconv(.c) isize {
    while (enter(fd)) |c| {
        const m = loadHeader(msg) orelse return finish(c, sys.neg(.FAULT)).?;
        if (m.controllen == 0) return vectorMessage(c, m, flags, .send) orelse continue;
        return sendWithControl(c, fd, msg, flags);
    }
    if (msg) |m| releasePassed(m);
    const n = real.get("sendmsg", @TypeOf(sendmsg))(fd, msg, flags);
    if (flags & sys.MSG_FASTOPEN != 0) api_socket.noteFastOpen(fd, n);
    return n;
}

/// Control data means something to the kernel only: the connection leaves the ring for it.
fn sendWithControl(c: *Conn, fd: c_int, msg: ?*const Msghdr, flags: c_int) isize {
    if (c.isAttached()) foreign.release(c, .socket_option);
    conn_module.done(c);
    return real.get("sendmsg", @TypeOf(sendmsg))(fd, msg, flags);
}

/// SCM_RIGHTS over a Unix socket: connections among the descriptors go back to TCP first. (Nothing is
/// read, and nothing need be, as long as this process has no connections; what is not accessible is
/// the kernel's to refuse.)
fn releasePassed(msg: *const Msghdr) void {
    if (!fds.any_of_application) return;
    faults.install();
    section.enter();
    defer section.leave();
    const m = loadHeader(msg) orelse return;
    if (m.controllen < @sizeOf(ControlHeader)) return;
    const bytes: [*]const u8 = @ptrCast(m.control orelse return);
    var at: usize = 0;
    while (at + @sizeOf(ControlHeader) <= m.controllen) {
        var header = user.load(ControlHeader, @ptrCast(bytes + at)) orelse return;
        header.len = real.messageLength(header.len);
        if (header.len < @sizeOf(ControlHeader) or header.len > m.controllen - at) return;
        if (header.level == sys.SOL_SOCKET and header.kind == sys.SCM_RIGHTS) {
            var offset: usize = @sizeOf(ControlHeader);
            while (offset + 4 <= header.len) : (offset += 4) {
                const passed = user.load(Descriptor, @ptrCast(bytes + at + offset)) orelse return;
                if (conn_module.find(passed.number)) |c| foreign.release(c, .fd_passed);
                if (epoll.find(passed.number)) |e| sharing.passed(e);
            }
        }
        at += std.mem.alignForward(usize, header.len, 8);
    }
}

const ControlHeader = extern struct { len: usize align(1), level: i32 align(1), kind: i32 align(1) };
const Descriptor = extern struct { number: i32 align(1) };

pub fn sendmmsg(fd: c_int, messages: ?[*]sys.Mmsghdr, count: c_uint, flags: c_int) callconv(.c) c_int {
    if (conn_module.find(fd) == null or messages == null) {
        if (messages) |list| for (list[0..@min(count, iov_max)]) |*m| releasePassed(&m.hdr);
        return real.get("sendmmsg", @TypeOf(sendmmsg))(fd, messages, count, flags);
    }
    var done: c_int = 0;
    for (messages.?[0..@min(count, iov_max)]) |*m| {
        const n = sendmsg(fd, &m.hdr, flags);
        if (n < 0) break;
        if (!user.store(u32, &m.len, @intCast(n))) {
            _ = sys.fail(.FAULT);
            break;
        }
        done += 1;
    }
    return if (done > 0) done else if (count == 0) 0 else -1;
}

// -- file to socket, pipe to socket ------------------------------------------------------------

pub fn sendfile(out: c_int, in: c_int, offset: ?*i64, count: usize) callconv(.c) isize {
    while (conn_module.acquire(out)) |c| {
        if (transfer.sendsByRing(c)) return finish(c, transfer.sendfile(c, in, offset, count)) orelse continue;
        conn_module.done(c);
        break;
    }
    return real.get("sendfile", @TypeOf(sendfile))(out, in, offset, count);
}

pub fn sendfile64(out: c_int, in: c_int, offset: ?*i64, count: usize) callconv(.c) isize {
    return sendfile(out, in, offset, count);
}

pub fn splice(in: c_int, in_offset: ?*i64, out: c_int, out_offset: ?*i64, len: usize, flags: c_uint) callconv(.c) isize {
    if (len == 0) return real.get("splice", @TypeOf(splice))(in, in_offset, out, out_offset, len, flags);
    while (enter(in)) |c| {
        const applies = in_offset == null and out_offset == null and transfer.isPipe(out) and transfer.applies(c);
        if (applies) return finish(c, transfer.fromSocket(c, out, len, flags)) orelse continue;
        conn_module.done(c);
        return real.get("splice", @TypeOf(splice))(in, in_offset, out, out_offset, len, flags);
    }
    while (enter(out)) |c| {
        const applies = in_offset == null and out_offset == null and transfer.isPipe(in) and transfer.sendsByRing(c);
        if (applies) return finish(c, transfer.toSocket(c, in, len, flags)) orelse continue;
        conn_module.done(c);
        break;
    }
    return real.get("splice", @TypeOf(splice))(in, in_offset, out, out_offset, len, flags);
}

/// A fortified call whose buffer is smaller than its length: what glibc does.
fn overflow() noreturn {
    const chk_fail = real.find("__chk_fail") orelse @panic("buffer overflow detected");
    const abort: *const fn () callconv(.c) noreturn = @ptrCast(@alignCast(chk_fail));
    abort();
}
