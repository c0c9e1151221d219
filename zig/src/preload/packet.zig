//! One control packet in or out: a struct and up to a few descriptors. (protocol.zig)

const std = @import("std");
const protocol = @import("../protocol.zig");
const constants = @import("../constants.zig");
const sys = @import("sys.zig");

pub const fds_max = 4;

const Control = extern struct {
    len: usize align(8),
    level: i32,
    type: i32,
    fds: [fds_max]i32,
};

fn controlLen(count: usize) usize {
    return 16 + std.mem.alignForward(usize, count * 4, 8);
}

/// Sends `message` (its header filled in here) with descriptors; negative errno or bytes sent.
/// Never blocks, never raises SIGPIPE.
pub fn send(fd: i32, comptime kind: protocol.Type, message: anytype, descriptors: []const i32) isize {
    var body = message;
    body.header = .{
        .type = @intFromEnum(kind),
        .size = @sizeOf(@TypeOf(body)),
        .sequence = 0,
    };
    var iov = [_]sys.Iovec{.{ .base = @ptrCast(&body), .len = @sizeOf(@TypeOf(body)) }};
    var control: Control = undefined;
    var msg: sys.Msghdr = .{ .iov = &iov, .iovlen = 1 };
    if (descriptors.len > 0) {
        control = .{
            .len = 16 + descriptors.len * 4,
            .level = sys.SOL_SOCKET,
            .type = sys.SCM_RIGHTS,
            .fds = @splat(0),
        };
        @memcpy(control.fds[0..descriptors.len], descriptors);
        msg.control = &control;
        msg.controllen = controlLen(descriptors.len);
    }
    return sys.call(.sendmsg, .{ fd, &msg, sys.MSG_DONTWAIT | sys.MSG_NOSIGNAL });
}

pub const Received = struct {
    bytes: [constants.message_bytes_max]u8 align(8) = undefined,
    len: usize = 0,
    fds: [fds_max]i32 = @splat(-1),
    fd_count: usize = 0,

    pub fn kind(packet: *const Received) protocol.Type {
        const header: *const protocol.Header = @ptrCast(&packet.bytes);
        return @enumFromInt(header.type);
    }

    /// The body, if the packet is as large as its type says.
    pub fn as(packet: *const Received, comptime T: type) ?*const T {
        return if (packet.len == @sizeOf(T)) @ptrCast(&packet.bytes) else null;
    }

    /// Takes descriptor `index` out of the packet; the caller owns it.
    pub fn take(packet: *Received, index: usize) ?i32 {
        if (index >= packet.fd_count or packet.fds[index] < 0) return null;
        defer packet.fds[index] = -1;
        return packet.fds[index];
    }

    pub fn closeRest(packet: *Received) void {
        for (packet.fds[0..packet.fd_count]) |fd| if (fd >= 0) sys.close(fd);
        packet.fd_count = 0;
    }
};

pub const Outcome = enum { packet, none, gone, garbage };

/// One packet, if there is one. `gone`: nothing is left to read, and nobody will send any more.
pub fn receive(fd: i32, packet: *Received) Outcome {
    var iov = [_]sys.Iovec{.{ .base = &packet.bytes, .len = packet.bytes.len }};
    var control: Control = undefined;
    var msg: sys.Msghdr = .{
        .iov = &iov,
        .iovlen = 1,
        .control = &control,
        .controllen = @sizeOf(Control),
    };
    // That the peer has left packets of ours unread is told once, before what it has sent.
    const n = while (true) {
        const result = sys.call(.recvmsg, .{ fd, &msg, sys.MSG_DONTWAIT | sys.MSG_CMSG_CLOEXEC });
        if (result != sys.neg(.CONNRESET)) break result;
    };
    if (n == sys.neg(.AGAIN) or n == sys.neg(.INTR)) return .none;
    if (n <= 0) return .gone;
    packet.len = @intCast(n);
    packet.fd_count = 0;
    if (msg.controllen >= 16 and control.type == sys.SCM_RIGHTS and control.len >= 16) {
        packet.fd_count = @min(fds_max, (control.len - 16) / 4);
        for (packet.fds[0..packet.fd_count], control.fds[0..packet.fd_count]) |*to, from| {
            to.* = sys.ownFd(from) orelse from;
        }
    }
    const header: *const protocol.Header = @ptrCast(&packet.bytes);
    const sound = packet.len >= @sizeOf(protocol.Header) and header.magic == protocol.magic and
        header.size == packet.len;
    if (!sound) {
        packet.closeRest();
        return .garbage;
    }
    return .packet;
}

test "a packet arrives whole with its descriptor" {
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(0, sys.call(.socketpair, .{ sys.AF_UNIX, sys.SOCK_SEQPACKET, 0, &pair }));
    var ping: protocol.Ping = undefined;
    ping.payload = 42;
    try std.testing.expect(send(pair[0], .ping, ping, &.{pair[0]}) > 0);
    var packet: Received = .{};
    try std.testing.expectEqual(.packet, receive(pair[1], &packet));
    try std.testing.expectEqual(protocol.Type.ping, packet.kind());
    try std.testing.expectEqual(42, packet.as(protocol.Ping).?.payload);
    try std.testing.expectEqual(null, packet.as(protocol.Hello));
    try std.testing.expect(packet.take(0) != null);
    try std.testing.expectEqual(.none, receive(pair[1], &packet));
    sys.close(pair[0]);
}

test "what a peer sent before it left arrives, though it has not read what it was sent" {
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(0, sys.call(.socketpair, .{ sys.AF_UNIX, sys.SOCK_SEQPACKET, 0, &pair }));
    defer sys.close(pair[1]);
    var ping: protocol.Ping = undefined;
    ping.payload = 42;
    try std.testing.expect(send(pair[1], .ping, ping, &.{}) > 0);
    try std.testing.expect(send(pair[0], .ping, ping, &.{}) > 0);
    sys.close(pair[0]);
    var packet: Received = .{};
    try std.testing.expectEqual(.packet, receive(pair[1], &packet));
    try std.testing.expectEqual(.gone, receive(pair[1], &packet));
}
