//! Options, flags and what the kernel tells about a socket, recorded.

const std = @import("std");
const connection = @import("connection.zig");
const libc = @import("libc.zig");
const text = @import("text.zig");
const Side = @import("side.zig").Side;

pub const Option = struct {
    level: c_int,
    number: c_int,
    name: []const u8,

    fn so(number: c_int, name: []const u8) Option {
        return .{ .level = libc.SOL_SOCKET, .number = number, .name = name };
    }

    fn tcp(number: c_int, name: []const u8) Option {
        return .{ .level = libc.IPPROTO_TCP, .number = number, .name = name };
    }

    pub const REUSEADDR = so(2, "SO_REUSEADDR");
    pub const TYPE = so(3, "SO_TYPE");
    pub const ERROR = so(4, "SO_ERROR");
    pub const DONTROUTE = so(5, "SO_DONTROUTE");
    pub const BROADCAST = so(6, "SO_BROADCAST");
    pub const SNDBUF = so(7, "SO_SNDBUF");
    pub const RCVBUF = so(8, "SO_RCVBUF");
    pub const KEEPALIVE = so(9, "SO_KEEPALIVE");
    pub const OOBINLINE = so(10, "SO_OOBINLINE");
    pub const PRIORITY = so(12, "SO_PRIORITY");
    pub const LINGER = so(13, "SO_LINGER");
    pub const REUSEPORT = so(15, "SO_REUSEPORT");
    pub const RCVLOWAT = so(18, "SO_RCVLOWAT");
    pub const SNDLOWAT = so(19, "SO_SNDLOWAT");
    pub const RCVTIMEO = so(20, "SO_RCVTIMEO");
    pub const SNDTIMEO = so(21, "SO_SNDTIMEO");
    pub const BINDTODEVICE = so(25, "SO_BINDTODEVICE");
    pub const ACCEPTCONN = so(30, "SO_ACCEPTCONN");
    pub const MARK = so(36, "SO_MARK");
    pub const PROTOCOL = so(38, "SO_PROTOCOL");
    pub const DOMAIN = so(39, "SO_DOMAIN");
    pub const PEEK_OFF = so(42, "SO_PEEK_OFF");
    pub const BUSY_POLL = so(46, "SO_BUSY_POLL");
    pub const INCOMING_CPU = so(49, "SO_INCOMING_CPU");
    pub const ZEROCOPY = so(60, "SO_ZEROCOPY");

    pub const NODELAY = tcp(1, "TCP_NODELAY");
    pub const MAXSEG = tcp(2, "TCP_MAXSEG");
    pub const CORK = tcp(3, "TCP_CORK");
    pub const KEEPIDLE = tcp(4, "TCP_KEEPIDLE");
    pub const KEEPINTVL = tcp(5, "TCP_KEEPINTVL");
    pub const KEEPCNT = tcp(6, "TCP_KEEPCNT");
    pub const SYNCNT = tcp(7, "TCP_SYNCNT");
    pub const LINGER2 = tcp(8, "TCP_LINGER2");
    pub const DEFER_ACCEPT = tcp(9, "TCP_DEFER_ACCEPT");
    pub const WINDOW_CLAMP = tcp(10, "TCP_WINDOW_CLAMP");
    pub const QUICKACK = tcp(12, "TCP_QUICKACK");
    pub const USER_TIMEOUT = tcp(18, "TCP_USER_TIMEOUT");
    pub const FASTOPEN = tcp(23, "TCP_FASTOPEN");
    pub const NOTSENT_LOWAT = tcp(25, "TCP_NOTSENT_LOWAT");
    pub const INQ = tcp(36, "TCP_INQ");
    pub const FASTOPEN_CONNECT = tcp(30, "TCP_FASTOPEN_CONNECT");

    pub const V6ONLY: Option = .{ .level = libc.IPPROTO_IPV6, .number = 26, .name = "IPV6_V6ONLY" };
    pub const TOS: Option = .{ .level = libc.IPPROTO_IP, .number = 1, .name = "IP_TOS" };
};

pub fn setOption(t: *Side, fd: c_int, option: Option, value: c_int) c_int {
    t.begin("setsockopt({s}, {s}, {d})", .{ t.name(fd), option.name, value });
    return t.result(libc.setsockopt(fd, option.level, option.number, &value, @sizeOf(c_int)));
}

/// With bytes of any length, for wrong lengths and structs.
pub fn setOptionBytes(t: *Side, fd: c_int, option: Option, value: []const u8) c_int {
    t.begin("setsockopt({s}, {s}, {f})", .{ t.name(fd), option.name, text.bytes(value) });
    return t.result(libc.setsockopt(fd, option.level, option.number, value.ptr, @intCast(value.len)));
}

pub fn getOption(t: *Side, fd: c_int, option: Option) void {
    var value: c_int = -77;
    var length: u32 = @sizeOf(c_int);
    t.begin("getsockopt({s}, {s})", .{ t.name(fd), option.name });
    const code = libc.getsockopt(fd, option.level, option.number, &value, &length);
    if (code < 0) {
        _ = t.result(code);
    } else if (option.number == Option.ERROR.number and option.level == libc.SOL_SOCKET) {
        t.end(" = {d}, {f}", .{ code, text.errno(value) });
    } else {
        t.end(" = {d}, {d} in {d} bytes", .{ code, value, length });
    }
}

/// What the kernel has, asked past libc.
pub fn getOptionOfKernel(t: *Side, fd: c_int, option: Option) void {
    var value: c_int = -77;
    var length: u32 = @sizeOf(c_int);
    t.begin("the kernel's getsockopt({s}, {s})", .{ t.name(fd), option.name });
    const number: c_long = @intFromEnum(@import("std").os.linux.SYS.getsockopt);
    const code = libc.syscall(number, @as(c_long, fd), @as(c_long, option.level), @as(c_long, option.number), &value, &length);
    if (code < 0) _ = t.result(code) else t.end(" = {d}, {d} in {d} bytes", .{ code, value, length });
}

pub fn setTimeout(t: *Side, fd: c_int, option: Option, ms: c_long) c_int {
    const value: libc.timeval = .{ .sec = @divFloor(ms, 1000), .usec = @mod(ms, 1000) * 1000 };
    t.begin("setsockopt({s}, {s}, {d} ms)", .{ t.name(fd), option.name, ms });
    return t.result(libc.setsockopt(fd, option.level, option.number, &value, @sizeOf(libc.timeval)));
}

pub fn getTimeout(t: *Side, fd: c_int, option: Option) void {
    var value: libc.timeval = .{ .sec = -1, .usec = -1 };
    var length: u32 = @sizeOf(libc.timeval);
    t.begin("getsockopt({s}, {s})", .{ t.name(fd), option.name });
    const code = libc.getsockopt(fd, option.level, option.number, &value, &length);
    if (code < 0) _ = t.result(code) else t.end(" = {d}.{d:0>6} s", .{ value.sec, @abs(value.usec) });
}

pub fn setLinger(t: *Side, fd: c_int, on: c_int, seconds: c_int) c_int {
    const value = [2]c_int{ on, seconds };
    t.begin("setsockopt({s}, SO_LINGER, {d} {d})", .{ t.name(fd), on, seconds });
    return t.result(libc.setsockopt(fd, libc.SOL_SOCKET, Option.LINGER.number, &value, @sizeOf([2]c_int)));
}

pub fn setNonBlocking(t: *Side, fd: c_int, on: bool) void {
    const flags = libc.fcntl(fd, libc.F_GETFL, @as(c_int, 0));
    const wanted = if (on) flags | libc.O_NONBLOCK else flags & ~@as(c_int, libc.O_NONBLOCK);
    t.begin("fcntl({s}, F_SETFL, {s})", .{ t.name(fd), if (on) "O_NONBLOCK" else "blocking" });
    _ = t.result(libc.fcntl(fd, libc.F_SETFL, wanted));
}

pub fn isNonBlocking(t: *Side, fd: c_int) void {
    t.begin("fcntl({s}, F_GETFL)", .{t.name(fd)});
    const flags = libc.fcntl(fd, libc.F_GETFL, @as(c_int, 0));
    if (flags < 0) {
        _ = t.result(flags);
    } else t.end(" = {s}", .{if (flags & libc.O_NONBLOCK != 0) "O_NONBLOCK" else "blocking"});
}

/// An ioctl with a pointer to an int; `FIONBIO` reads it, the others write it.
pub fn ioctlInt(t: *Side, fd: c_int, request: Request, value: c_int) void {
    var word: c_int = value;
    t.begin("ioctl({s}, {s}, {d})", .{ t.name(fd), @tagName(request), value });
    const code = libc.ioctl(fd, @backingInt(request), @intFromPtr(&word));
    if (code < 0) _ = t.result(code) else t.end(" = {d}, {d}", .{ code, word });
}

pub const Request = enum(c_ulong) {
    FIONBIO = 0x5421,
    FIOASYNC = 0x5452,
    FIONREAD = 0x541b,
    SIOCOUTQ = 0x5411,
    SIOCOUTQNSD = 0x894b,
    SIOCATMARK = 0x8905,
    unknown = 0x7777,
};

/// The state that TCP_INFO gives, by name.
pub fn tcpState(t: *Side, fd: c_int) void {
    var info: [256]u8 align(8) = @splat(0);
    var length: u32 = info.len;
    t.begin("getsockopt({s}, TCP_INFO)", .{t.name(fd)});
    const code = libc.getsockopt(fd, libc.IPPROTO_TCP, libc.TCP_INFO, &info, &length);
    if (code < 0) _ = t.result(code) else t.end(" = {d}, state {d}", .{ code, info[0] });
}

// -- addresses ----------------------------------------------------------------------------------

pub fn sockName(t: *Side, fd: c_int) void {
    var address: connection.Address = .{};
    t.begin("getsockname({s})", .{t.name(fd)});
    endAddress(t, libc.getsockname(fd, &address.storage, &address.length), &address);
}

pub fn peerName(t: *Side, fd: c_int) void {
    var address: connection.Address = .{};
    t.begin("getpeername({s})", .{t.name(fd)});
    endAddress(t, libc.getpeername(fd, &address.storage, &address.length), &address);
}

/// accept4 that records the peer's address.
pub fn acceptName(t: *Side, listener: c_int, flags: c_int, label: []const u8) c_int {
    var address: connection.Address = .{};
    t.begin("accept4({s}, 0x{x}, address)", .{ t.name(listener), flags });
    const fd = libc.accept4(listener, &address.storage, &address.length, flags);
    if (fd < 0) return t.result(fd);
    t.label(fd, label);
    endAddress(t, 0, &address);
    return fd;
}

/// Ports are not recorded, only whether there is one.
fn endAddress(t: *Side, code: c_int, address: *const connection.Address) void {
    if (code < 0) {
        _ = t.result(code);
        return;
    }
    const port = if (address.port() == 0) "no port" else "a port";
    const family = std.mem.readInt(u16, address.storage[0..2], .native);
    switch (family) {
        libc.AF_INET => t.end(" = {any}, {s}, length {d}", .{
            address.storage[4..8],
            port,
            address.length,
        }),
        libc.AF_INET6 => t.end(" = {x}, scope {d}, {s}, length {d}", .{
            address.storage[8..24],
            std.mem.readInt(u32, address.storage[24..28], .native),
            port,
            address.length,
        }),
        else => t.end(" = family {d}, length {d}", .{ family, address.length }),
    }
}
