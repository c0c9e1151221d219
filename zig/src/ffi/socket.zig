//! Control sockets: SOCK_SEQPACKET over a Unix path, the credentials of who connected, and packets
//! with descriptors. Everything is non-blocking; the one place that waits is poller.zig.

const std = @import("std");
const linux = std.os.linux;
const status = @import("status.zig");
const types = @import("types.zig");
const Status = status.Status;

const so_peerpidfd = 77;
const so_netns_cookie = 71;

const seqpacket = linux.SOCK.SEQPACKET | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;

const Ucred = extern struct { pid: i32, uid: u32, gid: u32 };

/// Binds and listens at `path`, which must not exist. The file gets its permissions before anyone
/// can connect.
pub fn listen(path: []const u8, mode: u32, backlog: u32) Status {
    const address = addressOf(path) orelse return status.failure(.NAMETOOLONG);
    const fd = status.of(linux.socket(linux.AF.UNIX, seqpacket, 0));
    if (status.failed(fd)) return fd;
    const outcome = listenBound(fd, &address, mode, backlog);
    if (status.failed(outcome)) {
        _ = linux.close(fd);
        return outcome;
    }
    return fd;
}

fn listenBound(fd: i32, address: *const linux.sockaddr.un, mode: u32, backlog: u32) Status {
    const bound = status.of(linux.bind(fd, @ptrCast(address), @sizeOf(linux.sockaddr.un)));
    if (status.failed(bound)) return bound;
    const path: [*:0]const u8 = @ptrCast(&address.path);
    const changed = status.of(linux.chmod(path, mode));
    if (status.failed(changed)) return changed;
    return status.of(linux.listen(fd, backlog));
}

/// Binds a datagram socket at `path`, which must not exist. `receive` reads it. Who sends finds out
/// from the error when some ten datagrams lie there unread (net.unix.max_dgram_qlen).
pub fn bindDatagrams(path: []const u8, mode: u32) Status {
    const address = addressOf(path) orelse return status.failure(.NAMETOOLONG);
    const kind = linux.SOCK.DGRAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    const fd = status.of(linux.socket(linux.AF.UNIX, kind, 0));
    if (status.failed(fd)) return fd;
    var outcome = status.of(linux.bind(fd, @ptrCast(&address), @sizeOf(linux.sockaddr.un)));
    if (!status.failed(outcome)) outcome = status.of(linux.chmod(@ptrCast(&address.path), mode));
    if (!status.failed(outcome)) return fd;
    _ = linux.close(fd);
    return outcome;
}

/// Connects to a control socket, as the preload library does; for tests and probes.
pub fn connect(path: []const u8) Status {
    const address = addressOf(path) orelse return status.failure(.NAMETOOLONG);
    const fd = status.of(linux.socket(linux.AF.UNIX, seqpacket, 0));
    if (status.failed(fd)) return fd;
    const connected = status.of(linux.connect(fd, &address, @sizeOf(linux.sockaddr.un)));
    if (status.failed(connected)) {
        _ = linux.close(fd);
        return connected;
    }
    return fd;
}

/// Accepts one connection and asks the kernel who it is.
pub fn accept(listener: i32, peer: *types.Peer) Status {
    const flags = linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    const fd = status.of(linux.accept4(listener, null, null, flags));
    if (status.failed(fd)) return fd;
    var credentials: Ucred = undefined;
    const known = getOption(Ucred, fd, linux.SO.PEERCRED, &credentials);
    if (status.failed(known)) {
        _ = linux.close(fd);
        return known;
    }
    peer.* = .{
        .fd = fd,
        .pidfd = acceptPidfd(fd, credentials.pid),
        .pid = @bitCast(credentials.pid),
        .uid = credentials.uid,
        .gid = credentials.gid,
        .netns = acceptNetns(fd),
    };
    return 0;
}

/// SO_PEERPIDFD (Linux 6.5) cannot name the wrong process; pidfd_open may, when the peer died and
/// its number was given away in between: then the process seems to live until its socket closes.
fn acceptPidfd(fd: i32, pid: i32) i32 {
    var pidfd: i32 = -1;
    if (!status.failed(getOption(i32, fd, so_peerpidfd, &pidfd))) return pidfd;
    if (pid <= 0) return -1;
    return @max(-1, status.of(linux.pidfd_open(pid, 0)));
}

/// The kernel makes the accepted socket in the namespace of the one that connected.
fn acceptNetns(fd: i32) u64 {
    var cookie: u64 = 0;
    if (status.failed(getOption(u64, fd, so_netns_cookie, &cookie))) return 0;
    return cookie;
}

const Control = extern struct {
    header: linux.cmsghdr,
    fds: [types.packet_fds_max]i32,
};

const control_header_bytes = @offsetOf(Control, "fds");

/// Sends one packet with up to `packet_fds_max` descriptors: all of it or nothing.
pub fn send(fd: i32, bytes: []const u8, fds: []const i32) Status {
    if (fds.len > types.packet_fds_max) return status.failure(.INVAL);
    var control: Control = undefined;
    const control_bytes = control_header_bytes + fds.len * @sizeOf(i32);
    control.header = .{
        .len = control_bytes,
        .level = linux.SOL.SOCKET,
        .type = linux.SCM.RIGHTS,
    };
    @memcpy(control.fds[0..fds.len], fds);
    const part = [1]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
    const message: linux.msghdr_const = .{
        .name = null,
        .namelen = 0,
        .iov = &part,
        .iovlen = 1,
        .control = if (fds.len == 0) null else &control,
        .controllen = if (fds.len == 0) 0 else std.mem.alignForward(usize, control_bytes, 8),
        .flags = 0,
    };
    return status.of(linux.sendmsg(fd, &message, linux.MSG.DONTWAIT | linux.MSG.NOSIGNAL));
}

/// Receives one packet. Returns its length (0: the peer is gone, or sent an empty packet).
/// Descriptors that came along are the caller's, close-on-exec.
pub fn receive(fd: i32, buffer: []u8, packet: *types.Packet) Status {
    var control: Control = undefined;
    var part = [1]std.posix.iovec{.{ .base = buffer.ptr, .len = buffer.len }};
    var message: linux.msghdr = .{
        .name = null,
        .namelen = 0,
        .iov = &part,
        .iovlen = 1,
        .control = &control,
        .controllen = @sizeOf(Control),
        .flags = 0,
    };
    packet.* = .{ .bytes = 0, .fd_count = 0, .truncated = 0, .fds = @splat(-1) };
    const flags = linux.MSG.DONTWAIT | linux.MSG.CMSG_CLOEXEC;
    const received = status.of(linux.recvmsg(fd, &message, flags));
    if (status.failed(received)) return received;
    packet.bytes = @intCast(received);
    if (message.flags & linux.MSG.TRUNC != 0) packet.truncated |= types.packet_truncated_bytes;
    if (message.flags & linux.MSG.CTRUNC != 0) packet.truncated |= types.packet_truncated_fds;
    receiveFds(&control, message.controllen, packet);
    return received;
}

fn receiveFds(control: *const Control, control_bytes: usize, packet: *types.Packet) void {
    if (control_bytes < control_header_bytes) return;
    const header = control.header;
    if (header.level != linux.SOL.SOCKET or header.type != linux.SCM.RIGHTS) return;
    const payload = @min(header.len, control_bytes) - control_header_bytes;
    packet.fd_count = @intCast(@min(payload / @sizeOf(i32), types.packet_fds_max));
    @memcpy(packet.fds[0..packet.fd_count], control.fds[0..packet.fd_count]);
}

/// A connected pair: the channel between the two processes of a link.
pub fn pair(fds: *[2]i32) Status {
    return status.of(linux.socketpair(linux.AF.UNIX, seqpacket, 0, fds));
}

/// Reads a socket-level option of exactly `T`'s size.
pub fn getOption(comptime T: type, fd: i32, option: u32, value: *T) Status {
    var size: linux.socklen_t = @sizeOf(T);
    const rc = linux.getsockopt(fd, linux.SOL.SOCKET, option, @ptrCast(value), &size);
    const outcome = status.of(rc);
    if (status.failed(outcome)) return outcome;
    return if (size == @sizeOf(T)) 0 else status.failure(.INVAL);
}

fn addressOf(path: []const u8) ?linux.sockaddr.un {
    var address: linux.sockaddr.un = .{ .path = @splat(0) };
    if (path.len == 0 or path.len >= address.path.len) return null;
    if (std.mem.indexOfScalar(u8, path, 0) != null) return null;
    @memcpy(address.path[0..path.len], path);
    return address;
}

const testing = std.testing;

test "a packet arrives whole, with its descriptors" {
    var ends: [2]i32 = undefined;
    try testing.expectEqual(0, pair(&ends));
    defer for (ends) |fd| {
        _ = linux.close(fd);
    };
    try testing.expectEqual(5, send(ends[0], "hello", &.{ ends[0], ends[1] }));
    var buffer: [16]u8 = undefined;
    var packet: types.Packet = undefined;
    try testing.expectEqual(5, receive(ends[1], &buffer, &packet));
    try testing.expectEqualStrings("hello", buffer[0..packet.bytes]);
    try testing.expectEqual(2, packet.fd_count);
    for (packet.fds[0..2]) |fd| try testing.expectEqual(0, linux.close(fd));
}

test "datagrams arrive at the path that was bound" {
    const path = "/tmp/sd-datagrams-test.sock";
    _ = linux.unlink(path);
    defer _ = linux.unlink(path);
    const bound = bindDatagrams(path, 0o600);
    try testing.expect(!status.failed(bound));
    defer _ = linux.close(bound);
    try testing.expectEqual(status.failure(.ADDRINUSE), bindDatagrams(path, 0o600));
    const sender = status.of(linux.socket(linux.AF.UNIX, linux.SOCK.DGRAM, 0));
    defer _ = linux.close(sender);
    const address = addressOf(path).?;
    try testing.expectEqual(0, status.of(linux.connect(sender, &address, @sizeOf(linux.sockaddr.un))));
    try testing.expectEqual(5, send(sender, "hello", &.{}));
    var buffer: [16]u8 = undefined;
    var packet: types.Packet = undefined;
    try testing.expectEqual(5, receive(bound, &buffer, &packet));
    try testing.expectEqual(status.failure(.AGAIN), receive(bound, &buffer, &packet));
}

test "a packet longer than the buffer is marked truncated" {
    var ends: [2]i32 = undefined;
    try testing.expectEqual(0, pair(&ends));
    defer for (ends) |fd| {
        _ = linux.close(fd);
    };
    _ = send(ends[0], "longer than four", &.{});
    var buffer: [4]u8 = undefined;
    var packet: types.Packet = undefined;
    _ = receive(ends[1], &buffer, &packet);
    try testing.expectEqual(types.packet_truncated_bytes, packet.truncated);
}

test "an empty socket says try again, a closed one says zero" {
    var ends: [2]i32 = undefined;
    try testing.expectEqual(0, pair(&ends));
    var buffer: [4]u8 = undefined;
    var packet: types.Packet = undefined;
    try testing.expectEqual(status.failure(.AGAIN), receive(ends[1], &buffer, &packet));
    _ = linux.close(ends[0]);
    try testing.expectEqual(0, receive(ends[1], &buffer, &packet));
    _ = linux.close(ends[1]);
}

test "a path that does not fit a socket address is refused" {
    const long: [200]u8 = @splat('x');
    try testing.expectEqual(status.failure(.NAMETOOLONG), connect(&long));
    try testing.expectEqual(status.failure(.NAMETOOLONG), connect(""));
}
