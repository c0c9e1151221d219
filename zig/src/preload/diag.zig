//! One exact question to sock_diag(7): is there a TCP socket with this address pair and cookie, and
//! who owns it? Unprivileged, about 4 us.

const std = @import("std");
const layout = @import("../layout.zig");
const addr = @import("addr.zig");
const log = @import("log.zig");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const NLMSG_ERROR = 2;

const Request = extern struct {
    len: u32 = @sizeOf(Request),
    type: u16 = SOCK_DIAG_BY_FAMILY,
    flags: u16 = NLM_F_REQUEST,
    sequence: u32 = 0,
    pid: u32 = 0,
    family: u8,
    protocol: u8 = sys.IPPROTO_TCP,
    extensions: u8 = 0,
    pad: u8 = 0,
    states: u32 = 0xffff_ffff,
    /// struct inet_diag_sockid: ports and addresses in network order, seen from that socket.
    source_port: [2]u8,
    target_port: [2]u8,
    source: [16]u8 = @splat(0),
    target: [16]u8 = @splat(0),
    interface: u32 = 0,
    cookie: [2]u32,
};

comptime {
    std.debug.assert(@sizeOf(Request) == 72);
}

var mutex: Mutex = .{};
var socket: i32 = -1;

/// The client end of `tuple` exists, has this cookie and belongs to `uid`.
pub fn confirm(tuple: *const layout.Tuple, ipv6_socket: bool, cookie: u64, uid: u32) bool {
    // A v4-mapped connection may be an AF_INET6 socket: the kernel finds either by its family.
    const owner = ask(tuple, ipv6_socket, cookie) orelse ask(tuple, !ipv6_socket, cookie) orelse return false;
    return owner == uid;
}

fn ask(tuple: *const layout.Tuple, as_ipv6: bool, cookie: u64) ?u32 {
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

fn exchange(request: *const Request) ?u32 {
    if (socket < 0) {
        const kind = 3 | sys.SOCK_CLOEXEC; // SOCK_RAW
        socket = sys.ownFd(sys.call(.socket, .{ sys.AF_NETLINK, kind, NETLINK_SOCK_DIAG })) orelse {
            log.warn("no sock_diag socket: offers cannot be verified", .{});
            return null;
        };
    }
    if (sys.call(.sendto, .{ socket, request, @sizeOf(Request), 0, 0, 0 }) < 0) return null;
    var answer: [1024]u8 align(8) = undefined;
    const n = sys.call(.recvfrom, .{ socket, &answer, answer.len, 0, 0, 0 });
    if (n < 16 + 72) return null;
    const kind = std.mem.readInt(u16, answer[4..6], .little);
    if (kind != SOCK_DIAG_BY_FAMILY) return null;
    // struct inet_diag_msg: 4 bytes, sockid of 48, expires, rqueue, wqueue, uid, inode
    const uid_offset = 16 + 4 + 48 + 12;
    const id_offset = 16 + 4;
    if (!std.mem.eql(u8, answer[id_offset..][0..4], std.mem.asBytes(request)[24..28])) return null;
    return std.mem.readInt(u32, answer[uid_offset..][0..4], .little);
}

pub fn afterForkChild() void {
    mutex = .{};
    if (socket >= 0) sys.close(socket);
    socket = -1;
}

pub fn ownFdMoved(old: i32, new: i32) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    if (socket == old) socket = new;
}
