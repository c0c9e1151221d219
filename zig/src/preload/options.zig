//! Every option of a TCP socket that a program can set or ask for by setsockopt, getsockopt, ioctl
//! and fcntl, and what it means for a connection on a ring. The intercepted calls go by this table,
//! docs/API.md is made from it, and tests/coverage_test.ts compares it with the kernel's headers.

const std = @import("std");
const sys = @import("sys.zig");
const user = @import("user.zig");

pub const Call = enum { sockopt, ioctl, fcntl };

pub const How = enum {
    /// Holds on the ring too, or tells about its bytes.
    accelerated,
    /// The kernel's own: right for the socket underneath, and nothing on the ring depends on it.
    passed,
    /// Asks for something that only the kernel can do to the bytes, or tell about each of them.
    moves_to_tcp,
};

pub const Option = struct {
    call: Call,
    level: i32 = 0,
    number: u32,
    name: []const u8,
    how: How,
    note: []const u8,
};

const SOL = sys.SOL_SOCKET;
const TCP = sys.IPPROTO_TCP;

fn socket(number: u32, name: []const u8, how: How, note: []const u8) Option {
    return .{ .call = .sockopt, .level = SOL, .number = number, .name = name, .how = how, .note = note };
}

fn tcp(number: u32, name: []const u8, how: How, note: []const u8) Option {
    return .{ .call = .sockopt, .level = TCP, .number = number, .name = name, .how = how, .note = note };
}

fn ioctl(number: u32, name: []const u8, how: How, note: []const u8) Option {
    return .{ .call = .ioctl, .number = number, .name = name, .how = how, .note = note };
}

fn fcntl(number: u32, name: []const u8, how: How, note: []const u8) Option {
    return .{ .call = .fcntl, .number = number, .name = name, .how = how, .note = note };
}

const each_byte = "recvmsg tells it about bytes that the kernel carries";
const identity = "the socket's own";
const setup = "matters before there is a connection, or for its end";
const below = "about packets: ring bytes are in none";
const no_tcp = "not for TCP: the kernel says so";

pub const entries = [_]Option{
    socket(sys.SO_RCVTIMEO, "SO_RCVTIMEO", .accelerated, "blocked calls end as on TCP"),
    socket(sys.SO_SNDTIMEO, "SO_SNDTIMEO", .accelerated, "blocked calls end as on TCP"),
    socket(66, "SO_RCVTIMEO_NEW", .accelerated, "as SO_RCVTIMEO"),
    socket(67, "SO_SNDTIMEO_NEW", .accelerated, "as SO_SNDTIMEO"),
    socket(sys.SO_RCVLOWAT, "SO_RCVLOWAT", .accelerated, "recv, poll and epoll wait for so many bytes"),
    socket(sys.SO_ERROR, "SO_ERROR", .passed, "errors are the kernel's"),
    socket(sys.SO_LINGER, "SO_LINGER", .passed, "the close is the kernel's; bytes are in the peer's ring by then"),
    socket(29, "SO_TIMESTAMP", .moves_to_tcp, each_byte),
    socket(35, "SO_TIMESTAMPNS", .moves_to_tcp, each_byte),
    socket(37, "SO_TIMESTAMPING", .moves_to_tcp, each_byte),
    socket(63, "SO_TIMESTAMP_NEW", .moves_to_tcp, each_byte),
    socket(64, "SO_TIMESTAMPNS_NEW", .moves_to_tcp, each_byte),
    socket(65, "SO_TIMESTAMPING_NEW", .moves_to_tcp, each_byte),
    socket(26, "SO_ATTACH_FILTER", .moves_to_tcp, "a program in the kernel decides about each packet"),
    socket(50, "SO_ATTACH_BPF", .moves_to_tcp, "a program in the kernel decides about each packet"),
    socket(SO_PEEK_OFF, "SO_PEEK_OFF", .moves_to_tcp, "MSG_PEEK from an offset is the kernel's"),
    socket(1, "SO_DEBUG", .passed, below),
    socket(2, "SO_REUSEADDR", .passed, setup),
    socket(3, "SO_TYPE", .passed, identity),
    socket(5, "SO_DONTROUTE", .passed, below),
    socket(6, "SO_BROADCAST", .passed, no_tcp),
    socket(7, "SO_SNDBUF", .passed, "the kernel's buffer; a ring has its own size"),
    socket(8, "SO_RCVBUF", .passed, "the kernel's buffer; a ring has its own size"),
    socket(9, "SO_KEEPALIVE", .passed, "the kernel watches the connection underneath"),
    socket(10, "SO_OOBINLINE", .passed, "urgent data goes by TCP"),
    socket(11, "SO_NO_CHECK", .passed, no_tcp),
    socket(12, "SO_PRIORITY", .passed, below),
    socket(14, "SO_BSDCOMPAT", .passed, no_tcp),
    socket(15, "SO_REUSEPORT", .passed, setup),
    socket(16, "SO_PASSCRED", .passed, no_tcp),
    socket(17, "SO_PEERCRED", .passed, no_tcp),
    socket(19, "SO_SNDLOWAT", .passed, "always 1 on Linux"),
    socket(22, "SO_SECURITY_AUTHENTICATION", .passed, "no such thing in the kernel"),
    socket(23, "SO_SECURITY_ENCRYPTION_TRANSPORT", .passed, "no such thing in the kernel"),
    socket(24, "SO_SECURITY_ENCRYPTION_NETWORK", .passed, "no such thing in the kernel"),
    socket(25, "SO_BINDTODEVICE", .passed, setup),
    socket(27, "SO_DETACH_FILTER", .passed, "the filter's connection is on TCP"),
    socket(28, "SO_PEERNAME", .passed, identity),
    socket(30, "SO_ACCEPTCONN", .passed, identity),
    socket(31, "SO_PEERSEC", .passed, identity),
    socket(32, "SO_SNDBUFFORCE", .passed, "as SO_SNDBUF"),
    socket(33, "SO_RCVBUFFORCE", .passed, "as SO_RCVBUF"),
    socket(34, "SO_PASSSEC", .passed, no_tcp),
    socket(36, "SO_MARK", .passed, below),
    socket(38, "SO_PROTOCOL", .passed, identity),
    socket(39, "SO_DOMAIN", .passed, identity),
    socket(40, "SO_RXQ_OVFL", .passed, no_tcp),
    socket(41, "SO_WIFI_STATUS", .passed, no_tcp),
    socket(43, "SO_NOFCS", .passed, no_tcp),
    socket(44, "SO_LOCK_FILTER", .passed, "the filter's connection is on TCP"),
    socket(45, "SO_SELECT_ERR_QUEUE", .passed, "the error queue is the kernel's"),
    socket(46, "SO_BUSY_POLL", .passed, below),
    socket(47, "SO_MAX_PACING_RATE", .passed, "ring bytes are not paced"),
    socket(48, "SO_BPF_EXTENSIONS", .passed, identity),
    socket(49, "SO_INCOMING_CPU", .passed, below),
    socket(51, "SO_ATTACH_REUSEPORT_CBPF", .passed, setup),
    socket(52, "SO_ATTACH_REUSEPORT_EBPF", .passed, setup),
    socket(53, "SO_CNX_ADVICE", .passed, below),
    socket(55, "SO_MEMINFO", .passed, "the kernel's memory: ring bytes take none of it"),
    socket(56, "SO_INCOMING_NAPI_ID", .passed, below),
    socket(57, "SO_COOKIE", .passed, identity),
    socket(59, "SO_PEERGROUPS", .passed, no_tcp),
    socket(60, "SO_ZEROCOPY", .passed, "sends with MSG_ZEROCOPY leave the ring; their completions are the kernel's"),
    socket(61, "SO_TXTIME", .passed, no_tcp),
    socket(62, "SO_BINDTOIFINDEX", .passed, setup),
    socket(68, "SO_DETACH_REUSEPORT_BPF", .passed, setup),
    socket(69, "SO_PREFER_BUSY_POLL", .passed, below),
    socket(70, "SO_BUSY_POLL_BUDGET", .passed, below),
    socket(71, "SO_NETNS_COOKIE", .passed, identity),
    socket(72, "SO_BUF_LOCK", .passed, "the kernel's buffers"),
    socket(73, "SO_RESERVE_MEM", .passed, "the kernel's buffers"),
    socket(74, "SO_TXREHASH", .passed, below),
    socket(75, "SO_RCVMARK", .passed, no_tcp),
    socket(76, "SO_PASSPIDFD", .passed, no_tcp),
    socket(77, "SO_PEERPIDFD", .passed, no_tcp),
    socket(78, "SO_DEVMEM_LINEAR", .passed, "device memory: never on this host's loopback"),
    socket(79, "SO_DEVMEM_DMABUF", .passed, "device memory: never on this host's loopback"),
    socket(80, "SO_DEVMEM_DONTNEED", .passed, "device memory: never on this host's loopback"),
    socket(82, "SO_RCVPRIORITY", .passed, no_tcp),
    socket(83, "SO_PASSRIGHTS", .passed, no_tcp),
    socket(84, "SO_INQ", .passed, no_tcp),

    tcp(sys.TCP_INFO, "TCP_INFO", .accelerated, "bytes sent, acknowledged and received count those of the ring; the rest is about packets"),
    tcp(TCP_REPAIR, "TCP_REPAIR", .moves_to_tcp, "takes the kernel's connection apart"),
    tcp(31, "TCP_ULP", .moves_to_tcp, "the kernel transforms the stream (kTLS)"),
    tcp(TCP_INQ, "TCP_INQ", .accelerated, "recvmsg tells of bytes of ring and kernel"),
    tcp(TCP_ZEROCOPY_RECEIVE, "TCP_ZEROCOPY_RECEIVE", .moves_to_tcp, "maps what the kernel received"),
    tcp(1, "TCP_NODELAY", .passed, "ring bytes are never delayed"),
    tcp(2, "TCP_MAXSEG", .passed, below),
    tcp(TCP_CORK, "TCP_CORK", .accelerated, "ring bytes are never held back; the kernel hears of it when they leave the ring"),
    tcp(4, "TCP_KEEPIDLE", .passed, "the kernel watches the connection underneath"),
    tcp(5, "TCP_KEEPINTVL", .passed, "the kernel watches the connection underneath"),
    tcp(6, "TCP_KEEPCNT", .passed, "the kernel watches the connection underneath"),
    tcp(7, "TCP_SYNCNT", .passed, setup),
    tcp(8, "TCP_LINGER2", .passed, setup),
    tcp(9, "TCP_DEFER_ACCEPT", .passed, setup),
    tcp(10, "TCP_WINDOW_CLAMP", .passed, below),
    tcp(12, "TCP_QUICKACK", .passed, below),
    tcp(13, "TCP_CONGESTION", .passed, below),
    tcp(14, "TCP_MD5SIG", .passed, below),
    tcp(16, "TCP_THIN_LINEAR_TIMEOUTS", .passed, below),
    tcp(17, "TCP_THIN_DUPACK", .passed, below),
    tcp(18, "TCP_USER_TIMEOUT", .passed, "the kernel watches its own bytes; a ring's peer is on this host"),
    tcp(20, "TCP_REPAIR_QUEUE", .passed, "in repair only: on TCP"),
    tcp(21, "TCP_QUEUE_SEQ", .passed, "in repair only: on TCP"),
    tcp(22, "TCP_REPAIR_OPTIONS", .passed, "in repair only: on TCP"),
    tcp(23, "TCP_FASTOPEN", .passed, setup),
    tcp(24, "TCP_TIMESTAMP", .passed, below),
    tcp(25, "TCP_NOTSENT_LOWAT", .passed, "the kernel's queue; a ring is writable when half of it is free"),
    tcp(26, "TCP_CC_INFO", .passed, below),
    tcp(27, "TCP_SAVE_SYN", .passed, setup),
    tcp(28, "TCP_SAVED_SYN", .passed, setup),
    tcp(29, "TCP_REPAIR_WINDOW", .passed, "in repair only: on TCP"),
    tcp(30, "TCP_FASTOPEN_CONNECT", .passed, setup),
    tcp(32, "TCP_MD5SIG_EXT", .passed, below),
    tcp(33, "TCP_FASTOPEN_KEY", .passed, setup),
    tcp(34, "TCP_FASTOPEN_NO_COOKIE", .passed, setup),
    tcp(37, "TCP_TX_DELAY", .passed, "ring bytes are never delayed"),
    tcp(38, "TCP_AO_ADD_KEY", .passed, below),
    tcp(39, "TCP_AO_DEL_KEY", .passed, below),
    tcp(40, "TCP_AO_INFO", .passed, below),
    tcp(41, "TCP_AO_GET_KEYS", .passed, below),
    tcp(42, "TCP_AO_REPAIR", .passed, "in repair only: on TCP"),
    tcp(43, "TCP_IS_MPTCP", .passed, identity),
    tcp(44, "TCP_RTO_MAX_MS", .passed, below),
    tcp(45, "TCP_RTO_MIN_US", .passed, below),
    tcp(46, "TCP_DELACK_MAX_US", .passed, below),

    ioctl(sys.FIONREAD, "FIONREAD", .accelerated, "bytes of ring and kernel that can be read (also SIOCINQ, TIOCINQ)"),
    ioctl(sys.SIOCOUTQ, "SIOCOUTQ", .accelerated, "ring bytes count as acknowledged (also TIOCOUTQ)"),
    ioctl(sys.FIONBIO, "FIONBIO", .accelerated, "as O_NONBLOCK"),
    ioctl(sys.FIOASYNC, "FIOASYNC", .moves_to_tcp, "SIGIO is raised for what the kernel carries"),
    ioctl(0x8905, "SIOCATMARK", .accelerated, "the mark comes after the bytes of the ring"),
    ioctl(0x894B, "SIOCOUTQNSD", .passed, "bytes not sent yet: of a ring's there are none"),
    ioctl(0x5451, "FIOCLEX", .passed, "looked at when a program is executed"),
    ioctl(0x5450, "FIONCLEX", .passed, "looked at when a program is executed"),
    ioctl(0x8901, "FIOSETOWN", .passed, "who gets SIGURG and SIGIO, which the kernel sends"),
    ioctl(0x8902, "SIOCSPGRP", .passed, "who gets SIGURG and SIGIO, which the kernel sends"),
    ioctl(0x8903, "FIOGETOWN", .passed, identity),
    ioctl(0x8904, "SIOCGPGRP", .passed, identity),
    ioctl(0x8906, "SIOCGSTAMP", .passed, no_tcp),
    ioctl(0x8907, "SIOCGSTAMPNS", .passed, no_tcp),

    fcntl(sys.F_DUPFD, "F_DUPFD", .accelerated, "one more descriptor for the same connection"),
    fcntl(sys.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC", .accelerated, "one more descriptor for the same connection"),
    fcntl(sys.F_SETFL, "F_SETFL", .accelerated, "O_NONBLOCK holds, in all processes that share it; O_ASYNC moves to TCP"),
    fcntl(sys.F_GETFL, "F_GETFL", .passed, identity),
    fcntl(sys.F_GETFD, "F_GETFD", .passed, identity),
    fcntl(sys.F_SETFD, "F_SETFD", .passed, "looked at when a program is executed"),
    fcntl(8, "F_SETOWN", .passed, "who gets SIGURG and SIGIO, which the kernel sends"),
    fcntl(9, "F_GETOWN", .passed, identity),
    fcntl(10, "F_SETSIG", .passed, "as F_SETOWN"),
    fcntl(11, "F_GETSIG", .passed, identity),
    fcntl(15, "F_SETOWN_EX", .passed, "as F_SETOWN"),
    fcntl(16, "F_GETOWN_EX", .passed, identity),
    fcntl(17, "F_GETOWNER_UIDS", .passed, identity),
    fcntl(1027, "F_DUPFD_QUERY", .passed, identity),
};

const SO_PEEK_OFF = 42;
const TCP_REPAIR = 19;
pub const TCP_INQ = 36;
pub const TCP_CORK = 3;
pub const TCP_ZEROCOPY_RECEIVE = 35;

/// An option's value, where it is an int; null: too short, or not accessible.
pub fn numberIn(value: ?*const anyopaque, len: u32) ?i32 {
    if (len < @sizeOf(i32)) return null;
    const Unaligned = extern struct { number: i32 align(1) };
    const loaded = user.load(Unaligned, @ptrCast(value orelse return null)) orelse return null;
    return loaded.number;
}

const Name = struct { level: i32, number: u32 };

const moving = select(.moves_to_tcp);

fn select(comptime how: How) []const Name {
    comptime var names: []const Name = &.{};
    inline for (entries) |entry| if (entry.call == .sockopt and entry.how == how) {
        names = names ++ .{Name{ .level = entry.level, .number = entry.number }};
    };
    return names;
}

/// A connection with this option is TCP for good.
pub fn movesToTcp(level: c_int, name: c_int) bool {
    for (moving) |option| {
        if (level == option.level and name == option.number) return true;
    }
    return false;
}

/// Asks recvmsg for control data, unless it is 0.
pub fn isControl(level: c_int, name: c_int) bool {
    for (sys.control_options) |option| {
        if (level == option.level and name == option.name) return true;
    }
    return false;
}

/// Negative: none.
pub fn isPeekOffset(level: c_int, name: c_int) bool {
    return level == SOL and name == SO_PEEK_OFF;
}

/// What `readModes` reads.
pub fn isMode(level: c_int, name: c_int) bool {
    if (isLeft(level, name)) return true;
    return level == SOL and switch (name) {
        sys.SO_RCVTIMEO, sys.SO_SNDTIMEO, sys.SO_RCVLOWAT, 66, 67 => true,
        else => false,
    };
}

pub fn isLeft(level: c_int, name: c_int) bool {
    return level == TCP and name == TCP_INQ;
}

/// Some socket of this process was given TCP_INQ. Relaxed: a connection that has it read its modes
/// after that.
pub var left_asked = false;

pub inline fn hasAskedForLeft() bool {
    return @atomicLoad(bool, &left_asked, .monotonic);
}

/// Some socket of this process was given an option that moves to TCP, maybe before it had a
/// connection, or as a listener whose connections inherit it.
pub var asked = false;

/// Whether a socket has been asked for something that only the kernel has: time stamps of each
/// byte, or SIGIO.
pub fn keepsOnTcp(fd: i32) bool {
    const flags = sys.call(.fcntl, .{ fd, sys.F_GETFL, 0 });
    if (flags >= 0 and flags & sys.O_ASYNC != 0) return true;
    return @atomicLoad(bool, &asked, .monotonic) and wantsControl(fd);
}

/// Whether recvmsg on it delivers control data.
pub fn wantsControl(fd: i32) bool {
    for (sys.control_options) |option| {
        if (sys.getSockopt(fd, option.level, option.name, u32) orelse 0 != 0) return true;
    }
    return false;
}

test "no option is in the table twice" {
    @setEvalBranchQuota(100_000);
    for (entries, 0..) |one, i| for (entries[i + 1 ..]) |other| {
        const same = one.call == other.call and one.level == other.level and one.number == other.number;
        if (same) std.debug.print("{s} and {s}\n", .{ one.name, other.name });
        try std.testing.expect(!same);
    };
}
