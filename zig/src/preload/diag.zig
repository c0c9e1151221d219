//! One exact question to sock_diag(7): is there a TCP socket with this address pair and cookie, and
//! who owns it? Unprivileged, about 4 us.
//!
//! A process that may not make a netlink socket (seccomp) asks the monitor for one: `wanted` until
//! it comes, and questions are answered by `.later`.

const std = @import("std");
const layout = @import("../layout.zig");
const addr = @import("addr.zig");
const log = @import("log.zig");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const INET_DIAG_INFO = 2;
/// The kernel takes it for "any socket of these addresses" (INET_DIAG_NOCOOKIE).
const any_cookie = std.math.maxInt(u64);

const Request = extern struct {
    len: u32 = @sizeOf(Request),
    type: u16 = SOCK_DIAG_BY_FAMILY,
    flags: u16 = NLM_F_REQUEST,
    sequence: u32 = 0,
    pid: u32 = 0,
    family: u8,
    protocol: u8 = sys.IPPROTO_TCP,
    extensions: u8 = 1 << (INET_DIAG_INFO - 1),
    pad: u8 = 0,
    states: u32 = 0xffff_ffff,
    /// struct inet_diag_sockid: ports and addresses in network order, seen from that socket.
    source_port: [2]u8,
    target_port: [2]u8,
    source: [16]u8 = @splat(0),
    target: [16]u8 = @splat(0),
    /// lo, by which everything on one host goes: finds sockets that are bound to it, too.
    interface: u32 = loopback_index,
    cookie: [2]u32,
};

/// The first interface of every network namespace.
const loopback_index = 1;

comptime {
    std.debug.assert(@sizeOf(Request) == 72);
}

var mutex: Mutex = .{};
var socket: i32 = -1;
/// No socket could be made here.
var refused = false;

pub const Answer = enum { yes, no, later };

/// The client end of `tuple` exists, has this cookie and belongs to `uid`.
pub fn confirm(tuple: *const layout.Tuple, ipv6_socket: bool, cookie: u64, uid: u32) Answer {
    // Written by the peer: a cookie that fits every socket proves nothing.
    if (cookie == 0 or cookie == any_cookie) return .no;
    if (!ready()) return .later;
    const found = askEither(tuple, ipv6_socket, cookie) orelse return .no;
    return if (found.uid == uid) .yes else .no;
}

/// The cookie of this process's own socket, where getsockopt does not tell.
pub fn cookieOf(tuple: *const layout.Tuple) ?u64 {
    if (!ready()) return null;
    return (askEither(tuple, false, any_cookie) orelse return null).cookie;
}

/// A number in struct tcp_info of this process's own socket, where getsockopt gives less than that.
pub fn tcpInfo(fd: i32, offset: usize) ?u64 {
    if (!ready()) return null;
    const tuple: layout.Tuple = .{
        .client = addr.local(fd) orelse return null,
        .server = addr.peer(fd) orelse return null,
    };
    const found = askEither(&tuple, false, any_cookie) orelse return null;
    const info = found.info[0..found.info_len];
    return if (offset + 8 <= info.len) std.mem.readInt(u64, info[offset..][0..8], .little) else null;
}

/// No process has the `client` end of the pair any more. False, too, when it cannot be asked for.
pub fn isOwnerless(tuple: *const layout.Tuple) bool {
    if (!ready()) return false;
    const found = askEither(tuple, false, any_cookie) orelse return true;
    return found.inode == 0;
}

/// A socket is to be borrowed from the monitor.
pub fn wanted() bool {
    return @atomicLoad(bool, &refused, .monotonic) and @atomicLoad(i32, &socket, .monotonic) < 0;
}

/// The monitor lends one.
pub fn lend(fd: i32) void {
    const guard = mutex.lock();
    if (!guard.ok() or socket >= 0) {
        guard.unlock();
        return sys.close(fd);
    }
    defer guard.unlock();
    @atomicStore(i32, &socket, fd, .monotonic);
}

/// A socket is at hand, or can be made.
fn ready() bool {
    const guard = mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    if (socket >= 0) return true;
    if (refused) return false;
    const kind = 3 | sys.SOCK_CLOEXEC; // SOCK_RAW
    const made = sys.ownFd(sys.call(.socket, .{ sys.AF_NETLINK, kind, NETLINK_SOCK_DIAG }));
    if (made) |fd| socket = fd else {
        log.info("no sock_diag socket: asking the monitor for one", .{});
        @atomicStore(bool, &refused, true, .monotonic);
    }
    return made != null;
}

const Found = struct {
    uid: u32,
    cookie: u64,
    /// 0: no process has it.
    inode: u32,
    /// struct tcp_info, as much of it as is of interest.
    info: [160]u8 = undefined,
    info_len: usize = 0,
};

/// A v4-mapped connection may be an AF_INET6 socket: the kernel finds either by its family.
fn askEither(tuple: *const layout.Tuple, ipv6_first: bool, cookie: u64) ?Found {
    return ask(tuple, ipv6_first, cookie) orelse ask(tuple, !ipv6_first, cookie);
}

fn ask(tuple: *const layout.Tuple, as_ipv6: bool, cookie: u64) ?Found {
    const mapped = addr.isMapped(&tuple.client);
    if (!as_ipv6 and !mapped) return null;
    var request: Request = .{
        .family = if (as_ipv6) sys.AF_INET6 else sys.AF_INET,
        .source_port = undefined,
        .target_port = undefined,
        .cookie = .{ @truncate(cookie), @truncate(cookie >> 32) },
    };
    std.mem.writeInt(u16, &request.source_port, tuple.client.port, .big);
    std.mem.writeInt(u16, &request.target_port, tuple.server.port, .big);
    if (as_ipv6) {
        request.source = tuple.client.address;
        request.target = tuple.server.address;
    } else {
        @memcpy(request.source[0..4], tuple.client.address[12..16]);
        @memcpy(request.target[0..4], tuple.server.address[12..16]);
    }
    const guard = mutex.lock();
    if (!guard.ok()) return null;
    defer guard.unlock();
    return exchange(&request);
}

fn exchange(request: *const Request) ?Found {
    if (sys.call(.sendto, .{ socket, request, @sizeOf(Request), 0, 0, 0 }) < 0) return null;
    var answer: [1024]u8 align(8) = undefined;
    const n = sys.call(.recvfrom, .{ socket, &answer, answer.len, 0, 0, 0 });
    if (n < 16 + 72) return null;
    const kind = std.mem.readInt(u16, answer[4..6], .little);
    if (kind != SOCK_DIAG_BY_FAMILY) return null;
    // struct inet_diag_msg: 4 bytes, sockid of 48 (cookie last), expires, rqueue, wqueue, uid, inode
    const uid_offset = 16 + 4 + 48 + 12;
    const cookie_offset = 16 + 4 + 40;
    const id_offset = 16 + 4;
    if (!std.mem.eql(u8, answer[id_offset..][0..4], std.mem.asBytes(request)[24..28])) return null;
    var found: Found = .{
        .uid = std.mem.readInt(u32, answer[uid_offset..][0..4], .little),
        .cookie = std.mem.readInt(u64, answer[cookie_offset..][0..8], .little),
        .inode = std.mem.readInt(u32, answer[uid_offset + 4 ..][0..4], .little),
    };
    if (attribute(answer[16 + 72 .. @min(@as(usize, @intCast(n)), answer.len)], INET_DIAG_INFO)) |info| {
        found.info_len = @min(info.len, found.info.len);
        @memcpy(found.info[0..found.info_len], info[0..found.info_len]);
    }
    return found;
}

/// One of the attributes behind an answer: each has its length, a number and its bytes.
fn attribute(list: []const u8, number: u16) ?[]const u8 {
    var rest = list;
    while (rest.len >= 4) {
        const len = std.mem.readInt(u16, rest[0..2], .little);
        if (len < 4 or len > rest.len) return null;
        if (std.mem.readInt(u16, rest[2..4], .little) == number) return rest[4..len];
        rest = rest[@min(rest.len, std.mem.alignForward(usize, len, 4))..];
    }
    return null;
}

pub fn afterForkChild() void {
    mutex = .{};
    if (socket >= 0) sys.close(socket);
    socket = -1;
    refused = false;
}

pub fn ownFdMoved(old: i32, new: i32) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    if (socket == old) socket = new;
}
