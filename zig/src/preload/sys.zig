//! The kernel as the library needs it: raw system calls (never libc, whose calls may be ours), the
//! structs they take, and errno. Results are `isize`: negative errno or the value.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;

pub const E = linux.E;
pub const SYS = linux.SYS;

pub const SOCK_STREAM = 1;
pub const SOCK_DGRAM = 2;
pub const SOCK_SEQPACKET = 5;
pub const SOCK_NONBLOCK = 0o4000;
pub const SOCK_CLOEXEC = 0o2000000;
pub const AF_UNSPEC = 0;
pub const AF_UNIX = 1;
pub const AF_INET = 2;
pub const AF_INET6 = 10;
pub const AF_NETLINK = 16;
pub const IPPROTO_TCP = 6;
pub const SOL_SOCKET = 1;
pub const SO_TYPE = 3;
pub const SO_ERROR = 4;
pub const SO_LINGER = 13;
pub const SO_RCVLOWAT = 18;
pub const SO_RCVTIMEO = 20;
pub const SO_SNDTIMEO = 21;
pub const SO_ACCEPTCONN = 30;
pub const SO_PROTOCOL = 38;
pub const SO_COOKIE = 57;
pub const SO_NETNS_COOKIE = 71;
pub const TCP_INFO = 11;
pub const FIONREAD = 0x541b;
pub const SIOCOUTQ = 0x5411;
pub const SIOCATMARK = 0x8905;
pub const FIONBIO = 0x5421;
pub const FIOASYNC = 0x5452;
pub const F_DUPFD = 0;
pub const F_GETFD = 1;
pub const F_SETFD = 2;
pub const F_GETFL = 3;
pub const F_SETFL = 4;
pub const F_DUPFD_CLOEXEC = 1030;
pub const F_ADD_SEALS = 1033;
pub const FD_CLOEXEC = 1;
pub const O_NONBLOCK = 0o4000;
pub const O_ASYNC = 0o20000;
pub const MSG_OOB = 1;
pub const MSG_PEEK = 2;
pub const MSG_TRUNC = 0x20;
pub const MSG_DONTWAIT = 0x40;
pub const MSG_WAITALL = 0x100;
pub const MSG_ERRQUEUE = 0x2000;
pub const MSG_NOSIGNAL = 0x4000;
pub const MSG_MORE = 0x8000;
pub const MSG_ZEROCOPY = 0x4000000;
pub const MSG_FASTOPEN = 0x20000000;
pub const MSG_CMSG_CLOEXEC = 0x40000000;
pub const SCM_RIGHTS = 1;
pub const POLLIN: i16 = 0x001;
pub const POLLPRI: i16 = 0x002;
pub const POLLOUT: i16 = 0x004;
pub const POLLERR: i16 = 0x008;
pub const POLLHUP: i16 = 0x010;
pub const POLLNVAL: i16 = 0x020;
pub const POLLRDNORM: i16 = 0x040;
pub const POLLWRNORM: i16 = 0x100;
pub const POLLRDHUP: i16 = 0x2000;
pub const EPOLLIN: u32 = 0x001;
pub const EPOLLPRI: u32 = 0x002;
pub const EPOLLOUT: u32 = 0x004;
pub const EPOLLERR: u32 = 0x008;
pub const EPOLLHUP: u32 = 0x010;
pub const EPOLLRDNORM: u32 = 0x040;
pub const EPOLLWRNORM: u32 = 0x100;
pub const EPOLLRDHUP: u32 = 0x2000;
pub const EPOLLEXCLUSIVE: u32 = 1 << 28;
pub const EPOLLONESHOT: u32 = 1 << 30;
pub const EPOLLET: u32 = 1 << 31;
pub const EPOLL_CTL_ADD = 1;
pub const EPOLL_CTL_DEL = 2;
pub const EPOLL_CTL_MOD = 3;
pub const EPOLL_CLOEXEC = SOCK_CLOEXEC;

/// Options after which recvmsg delivers control data on a TCP socket.
pub const control_options = [_]struct { level: i32, name: i32 }{
    .{ .level = SOL_SOCKET, .name = 29 }, // SO_TIMESTAMP
    .{ .level = SOL_SOCKET, .name = 35 }, // SO_TIMESTAMPNS
    .{ .level = SOL_SOCKET, .name = 37 }, // SO_TIMESTAMPING
    .{ .level = SOL_SOCKET, .name = 63 }, // the same three with 64-bit time
    .{ .level = SOL_SOCKET, .name = 64 },
    .{ .level = SOL_SOCKET, .name = 65 },
};

pub const Timespec = extern struct { sec: i64 = 0, nsec: i64 = 0 };
pub const Timeval = extern struct { sec: i64 = 0, usec: i64 = 0 };
pub const Iovec = extern struct { base: ?[*]u8, len: usize };
pub const PollFd = extern struct { fd: i32, events: i16, revents: i16 = 0 };
pub const Linger = extern struct { onoff: i32, linger: i32 };

/// The kernel packs this struct on x86-64 only.
pub const EpollEvent = switch (builtin.cpu.arch) {
    .x86_64 => extern struct { events: u32, data: u64 align(4) },
    else => extern struct { events: u32, data: u64 },
};

pub const Msghdr = extern struct {
    name: ?*anyopaque = null,
    namelen: u32 = 0,
    iov: ?[*]Iovec = null,
    iovlen: usize = 0,
    control: ?*anyopaque = null,
    controllen: usize = 0,
    flags: i32 = 0,
};

pub const Mmsghdr = extern struct { hdr: Msghdr, len: u32 };

pub const SockaddrStorage = extern struct {
    family: u16 align(8) = 0,
    bytes: [126]u8 = @splat(0),
};

comptime {
    std.debug.assert(@sizeOf(EpollEvent) == if (builtin.cpu.arch == .x86_64) 12 else 16);
    std.debug.assert(@sizeOf(Msghdr) == 56);
    std.debug.assert(@sizeOf(Mmsghdr) == 64);
}

/// Any system call; arguments are integers or pointers. Negative errno or the value.
pub inline fn call(comptime number: SYS, args: anytype) isize {
    const fields = @typeInfo(@TypeOf(args)).@"struct".field_names;
    var words: [6]usize = @splat(0);
    inline for (fields, 0..) |name, i| words[i] = toWord(@field(args, name));
    return @bitCast(switch (fields.len) {
        0 => linux.syscall0(number),
        1 => linux.syscall1(number, words[0]),
        2 => linux.syscall2(number, words[0], words[1]),
        3 => linux.syscall3(number, words[0], words[1], words[2]),
        4 => linux.syscall4(number, words[0], words[1], words[2], words[3]),
        5 => linux.syscall5(number, words[0], words[1], words[2], words[3], words[4]),
        else => linux.syscall6(number, words[0], words[1], words[2], words[3], words[4], words[5]),
    });
}

inline fn toWord(value: anytype) usize {
    return switch (@typeInfo(@TypeOf(value))) {
        .pointer => @intFromPtr(value),
        .optional => if (value) |p| @intFromPtr(p) else 0,
        .null => 0,
        .comptime_int => if (value < 0) @bitCast(@as(isize, value)) else value,
        .int => |info| if (info.signedness == .signed)
            @bitCast(@as(isize, value))
        else
            @as(usize, value),
        else => @compileError("pass integers and pointers"),
    };
}

extern "c" fn __errno_location() *c_int;

pub inline fn errno() *c_int {
    return __errno_location();
}

/// Turns a raw result into what a libc function returns: -1 with errno, or the value.
pub inline fn ret(result: isize) isize {
    if (result < 0) {
        @branchHint(.unlikely);
        errno().* = @intCast(-result);
        return -1;
    }
    return result;
}

pub fn fail(code: E) isize {
    errno().* = @intCast(@intFromEnum(code));
    return -1;
}

pub fn neg(code: E) isize {
    return -@as(isize, @intFromEnum(code));
}

/// The beginning of a file, as much as fits: of /proc, whose files come whole in one read. Null: it
/// cannot be read, or is empty.
pub fn readFile(path: [*:0]const u8, buffer: []u8) ?[]const u8 {
    const at_cwd: isize = -100;
    const fd = call(.openat, .{ at_cwd, path, SOCK_CLOEXEC });
    if (fd < 0) return null;
    defer _ = call(.close, .{fd});
    const n = call(.read, .{ fd, buffer.ptr, buffer.len });
    return if (n > 0) buffer[0..@intCast(n)] else null;
}

/// Closes a descriptor of the library's own.
pub fn close(fd: i32) void {
    if (@import("fds.zig").kindOf(fd) == .own) @import("fds.zig").clear(fd);
    _ = call(.close, .{fd});
}

pub fn getSockopt(fd: i32, level: i32, name: i32, comptime T: type) ?T {
    var value: T = std.mem.zeroes(T);
    var len: u32 = @sizeOf(T);
    if (call(.getsockopt, .{ fd, level, name, &value, &len }) < 0) return null;
    return value;
}

pub fn mapShared(fd: i32, bytes: usize, writable: bool) ?[*]align(4096) u8 {
    const prot: usize = if (writable) 3 else 1;
    const shared_noreserve: usize = 0x01 | 0x4000;
    return mapResult(call(.mmap, .{ 0, bytes, prot, shared_noreserve, fd, 0 }));
}

/// Zeroed memory that children share; pages cost nothing until touched.
pub fn mapInherited(bytes: usize) ?[*]align(4096) u8 {
    const shared_anonymous_noreserve: usize = 0x01 | 0x20 | 0x4000;
    return mapResult(call(.mmap, .{ 0, bytes, 3, shared_anonymous_noreserve, -1, 0 }));
}

/// Zeroed private memory; pages cost nothing until touched.
pub fn mapPrivate(bytes: usize) ?[*]align(4096) u8 {
    const private_anonymous_noreserve: usize = 0x02 | 0x20 | 0x4000;
    return mapResult(call(.mmap, .{ 0, bytes, 3, private_anonymous_noreserve, -1, 0 }));
}

pub const huge_page_bytes = 2 * 1024 * 1024;

/// As `mapPrivate`, one huge page's worth of memory where one may lie. The system is free to give
/// small pages.
pub fn mapHuge() ?[*]align(4096) u8 {
    const MADV_HUGEPAGE = 14;
    const memory = mapPrivate(2 * huge_page_bytes) orelse return null;
    const before = std.mem.alignForward(usize, @intFromPtr(memory), huge_page_bytes) - @intFromPtr(memory);
    if (before > 0) unmap(memory, before);
    const page: [*]align(4096) u8 = @alignCast(memory + before);
    unmap(page + huge_page_bytes, huge_page_bytes - before);
    _ = call(.madvise, .{ page, huge_page_bytes, MADV_HUGEPAGE });
    return page;
}

fn mapResult(result: isize) ?[*]align(4096) u8 {
    if (result < 0) return null;
    return @ptrFromInt(@as(usize, @bitCast(result)));
}

pub fn unmap(address: [*]u8, bytes: usize) void {
    _ = call(.munmap, .{ address, bytes });
}

/// libc's, because it reads the vDSO: no system call.
extern "c" fn clock_gettime(clock: c_int, now: *Timespec) c_int;

pub fn nowNs() u64 {
    const monotonic = 1;
    var now: Timespec = .{};
    _ = clock_gettime(monotonic, &now);
    return @as(u64, @intCast(now.sec)) * 1_000_000_000 + @as(u64, @intCast(now.nsec));
}

pub fn poll(fds: []PollFd, timeout_ns: ?u64, mask: ?*const anyopaque) isize {
    var ts: Timespec = .{};
    var timeout: ?*Timespec = null;
    if (timeout_ns) |ns| {
        ts = .{ .sec = @intCast(ns / 1_000_000_000), .nsec = @intCast(ns % 1_000_000_000) };
        timeout = &ts;
    }
    const mask_bytes: usize = 8;
    return call(.ppoll, .{ fds.ptr, fds.len, timeout, mask, mask_bytes });
}

/// A raw futex wait on a word other processes may share; bounded.
pub fn futexWait(word: *const u32, expected: u32, timeout_ns: u64) void {
    const ts: Timespec = .{
        .sec = @intCast(timeout_ns / 1_000_000_000),
        .nsec = @intCast(timeout_ns % 1_000_000_000),
    };
    _ = call(.futex, .{ word, 0, expected, &ts });
}

/// Sleeps for so long, or less; wakes for nobody.
pub fn pause(ns: u64) void {
    futexWait(&nobodys_word, 0, ns);
}

const nobodys_word: u32 = 0;

pub fn futexWake(word: *const u32, count: u32) void {
    _ = call(.futex, .{ word, 1, count });
}

/// Lowest number for descriptors of our own: out of the application's way, but within its limit.
pub var own_fd_low: i32 = @import("../constants.zig").own_fd_min;

/// Moves one of our own descriptors to a high number, close-on-exec, where the application's close
/// calls do not reach it. Null: `fd` was an error.
pub fn ownFd(fd: isize) ?i32 {
    const fds = @import("fds.zig");
    if (fd < 0) return null;
    var at: i32 = @intCast(fd);
    if (at < own_fd_low) {
        const high = call(.fcntl, .{ at, F_DUPFD_CLOEXEC, own_fd_low });
        if (high >= 0) {
            _ = call(.close, .{at});
            at = @intCast(high);
        }
    }
    _ = fds.set(.own, at, null);
    return at;
}
