//! Is this descriptor what its sender says, a TCP socket that listens or that was accepted from one
//! that does? The kernel is asked for everything; the sender's word counts for nothing. Whether a
//! connection was accepted or made, the kernel does not tell: its own port does, to whoever knows
//! the listeners (monitor/core/listeners.ts). The caller closes the descriptor at once, or the port
//! would stay bound, and the connection open, when the program has gone.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const socket = @import("socket.zig");
const status = @import("status.zig");
const types = @import("types.zig");
const Status = status.Status;

const so_netns_cookie = 71;
const tcp_info = 11;

/// The first byte of `struct tcp_info`.
const TcpState = enum(u8) { established = 1, close_wait = 8, listen = 10, _ };

/// 0, or why not: ENOTSOCK, EAFNOSUPPORT (no IP), EPROTONOSUPPORT (no TCP; MPTCP is none),
/// EINVAL (neither listens nor can send).
pub fn check(fd: i32, facts: *types.ListenerFacts) Status {
    facts.* = std.mem.zeroes(types.ListenerFacts);
    const kind = checkKind(fd, &facts.family);
    if (status.failed(kind)) return kind;
    const stated = checkState(fd, &facts.listening);
    if (status.failed(stated)) return stated;
    const named = checkName(fd, &facts.endpoint);
    if (status.failed(named)) return named;
    const spaced = socket.getOption(u64, fd, so_netns_cookie, &facts.netns);
    if (status.failed(spaced)) return spaced;
    return checkOwner(fd, &facts.uid);
}

fn checkKind(fd: i32, family: *u32) Status {
    var domain: i32 = 0;
    const of_domain = socket.getOption(i32, fd, linux.SO.DOMAIN, &domain);
    if (status.failed(of_domain)) return of_domain;
    family.* = switch (domain) {
        linux.AF.INET => 4,
        linux.AF.INET6 => 6,
        else => return status.failure(.AFNOSUPPORT),
    };
    var protocol: i32 = 0;
    const of_protocol = socket.getOption(i32, fd, linux.SO.PROTOCOL, &protocol);
    if (status.failed(of_protocol)) return of_protocol;
    return if (protocol == linux.IPPROTO.TCP) 0 else status.failure(.PROTONOSUPPORT);
}

/// One that has sent its FIN serves nobody any more; a peer that has sent its own still waits for
/// an answer.
fn checkState(fd: i32, listening: *u32) Status {
    var info: [8]u8 = @splat(0);
    var size: linux.socklen_t = info.len;
    const known = status.of(linux.getsockopt(fd, linux.IPPROTO.TCP, tcp_info, &info, &size));
    if (status.failed(known)) return known;
    listening.* = switch (@as(TcpState, @fromBackingInt(info[0]))) {
        .listen => 1,
        .established, .close_wait => 0,
        _ => return status.failure(.INVAL),
    };
    return 0;
}

fn checkName(fd: i32, endpoint: *layout.Endpoint) Status {
    var name: linux.sockaddr.storage = undefined;
    var size: linux.socklen_t = @sizeOf(linux.sockaddr.storage);
    const known = status.of(linux.getsockname(fd, @ptrCast(&name), &size));
    if (status.failed(known)) return known;
    endpoint.* = endpointOf(&name) orelse return status.failure(.AFNOSUPPORT);
    return 0;
}

/// An address as `layout.Endpoint` writes it. The any-addresses of both families become all zero;
/// `family` still tells them apart.
pub fn endpointOf(name: *const linux.sockaddr.storage) ?layout.Endpoint {
    var endpoint: layout.Endpoint = .{};
    switch (name.family) {
        linux.AF.INET => {
            const in: *const linux.sockaddr.in = @ptrCast(name);
            endpoint.family = 4;
            endpoint.port = std.mem.bigToNative(u16, in.port);
            if (in.addr != 0) endpoint.address = mapped(@bitCast(in.addr));
        },
        linux.AF.INET6 => {
            const in6: *const linux.sockaddr.in6 = @ptrCast(name);
            endpoint.address = in6.addr;
            endpoint.family = if (isMapped(&in6.addr)) 4 else 6;
            endpoint.port = std.mem.bigToNative(u16, in6.port);
            endpoint.scope = in6.scope_id;
            if (std.mem.eql(u8, &in6.addr, &mapped(@splat(0)))) endpoint.address = @splat(0);
        },
        else => return null,
    }
    return endpoint;
}

fn mapped(address: [4]u8) [16]u8 {
    var out: [16]u8 = @splat(0);
    out[10] = 0xff;
    out[11] = 0xff;
    out[12..16].* = address;
    return out;
}

fn isMapped(address: *const [16]u8) bool {
    return std.mem.eql(u8, address[0..12], mapped(@splat(0))[0..12]);
}

/// A socket belongs to who made it, also when another process holds it now (a pre-forked worker
/// that gave up root): so all of them are one group, and it is the uid that the kernel reports for
/// connections of this listener.
fn checkOwner(fd: i32, uid: *u32) Status {
    var facts: linux.Statx = undefined;
    const mask: linux.STATX = .{ .UID = true };
    const known = status.of(linux.statx(fd, "", linux.AT.EMPTY_PATH, mask, &facts));
    if (status.failed(known)) return known;
    uid.* = facts.uid;
    return 0;
}

const testing = std.testing;

fn testListener(address: u32, kind: u32, protocol: u32) i32 {
    const fd = status.of(linux.socket(linux.AF.INET, kind | linux.SOCK.CLOEXEC, protocol));
    const name: linux.sockaddr.in = .{ .port = 0, .addr = address };
    _ = linux.bind(fd, @ptrCast(&name), @sizeOf(linux.sockaddr.in));
    return fd;
}

test "a listening TCP socket is described by the kernel" {
    const fd = testListener(@bitCast([4]u8{ 127, 0, 0, 1 }), linux.SOCK.STREAM, 0);
    defer _ = linux.close(fd);
    var facts: types.ListenerFacts = undefined;
    try testing.expectEqual(status.failure(.INVAL), check(fd, &facts));
    _ = linux.listen(fd, 1);
    try testing.expectEqual(0, check(fd, &facts));
    try testing.expectEqual(1, facts.listening);
    try testing.expect(facts.endpoint.port != 0);
    try testing.expectEqual(4, facts.endpoint.family);
    try testing.expectEqual(mapped(.{ 127, 0, 0, 1 }), facts.endpoint.address);
    try testing.expect(facts.netns != 0);
    try testing.expectEqual(linux.geteuid(), facts.uid);
}

/// A listener of this name, a connection to it, and what it accepted, in that order.
fn testConnection(comptime Name: type, name: Name, target: [4]u8) [3]i32 {
    const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC;
    const listener = status.of(linux.socket(name.family, kind, 0));
    _ = linux.bind(listener, @ptrCast(&name), @sizeOf(Name));
    _ = linux.listen(listener, 1);
    var facts: types.ListenerFacts = undefined;
    _ = check(listener, &facts);
    const port = std.mem.nativeToBig(u16, facts.endpoint.port);
    const client = status.of(linux.socket(linux.AF.INET, kind, 0));
    const to: linux.sockaddr.in = .{ .port = port, .addr = @bitCast(target) };
    _ = linux.connect(client, &to, @sizeOf(linux.sockaddr.in));
    const accepted = status.of(linux.accept4(listener, null, null, linux.SOCK.CLOEXEC));
    return .{ listener, client, accepted };
}

fn testWait(fd: i32, events: i16) !void {
    var polled = [1]linux.pollfd{.{ .fd = fd, .events = events, .revents = 0 }};
    try testing.expectEqual(1, status.of(linux.poll(&polled, 1, 5_000)));
}

test "an accepted socket is told from its listener, and has the listener's port" {
    const loopback = [4]u8{ 127, 0, 0, 1 };
    const name: linux.sockaddr.in = .{ .port = 0, .addr = 0 };
    const fds = testConnection(linux.sockaddr.in, name, loopback);
    defer for (fds) |fd| {
        _ = linux.close(fd);
    };
    var listener: types.ListenerFacts = undefined;
    try testing.expectEqual(0, check(fds[0], &listener));
    var accepted: types.ListenerFacts = undefined;
    try testing.expectEqual(0, check(fds[2], &accepted));
    try testing.expectEqual(0, accepted.listening);
    try testing.expectEqual(listener.endpoint.port, accepted.endpoint.port);
    try testing.expectEqual(mapped(loopback), accepted.endpoint.address);
    try testing.expectEqual(4, accepted.family);
    try testing.expectEqual(listener.netns, accepted.netns);
    try testing.expectEqual(listener.uid, accepted.uid);
}

test "an accepted socket serves until it has sent its FIN" {
    const name: linux.sockaddr.in = .{ .port = 0, .addr = 0 };
    const fds = testConnection(linux.sockaddr.in, name, .{ 127, 0, 0, 1 });
    defer for (fds) |fd| {
        _ = linux.close(fd);
    };
    var facts: types.ListenerFacts = undefined;
    _ = linux.shutdown(fds[1], linux.SHUT.WR);
    try testWait(fds[2], linux.POLL.IN);
    try testing.expectEqual(0, check(fds[2], &facts));
    _ = linux.shutdown(fds[2], linux.SHUT.WR);
    try testing.expectEqual(status.failure(.INVAL), check(fds[2], &facts));
}

test "an IPv4 connection to a dual-stack listener is of a socket of family 6" {
    const name: linux.sockaddr.in6 = .{
        .port = 0,
        .flowinfo = 0,
        .addr = @splat(0),
        .scope_id = 0,
    };
    const fds = testConnection(linux.sockaddr.in6, name, .{ 127, 0, 0, 1 });
    if (fds[2] < 0) return error.SkipZigTest; // no IPv6 here, or only for itself
    defer for (fds) |fd| {
        _ = linux.close(fd);
    };
    var facts: types.ListenerFacts = undefined;
    try testing.expectEqual(0, check(fds[2], &facts));
    try testing.expectEqual(6, facts.family);
    try testing.expectEqual(4, facts.endpoint.family);
}

test "a socket of another kind is refused with the reason" {
    var facts: types.ListenerFacts = undefined;
    const udp = testListener(0, linux.SOCK.DGRAM, 0);
    defer _ = linux.close(udp);
    try testing.expectEqual(status.failure(.PROTONOSUPPORT), check(udp, &facts));
    var ends: [2]i32 = undefined;
    try testing.expectEqual(0, socket.pair(&ends));
    defer for (ends) |fd| {
        _ = linux.close(fd);
    };
    try testing.expectEqual(status.failure(.AFNOSUPPORT), check(ends[0], &facts));
    const waker = status.of(linux.eventfd(0, 0));
    defer _ = linux.close(waker);
    try testing.expectEqual(status.failure(.NOTSOCK), check(waker, &facts));
}

test "an MPTCP listener is no TCP listener" {
    const mptcp = 262;
    const fd = testListener(0, linux.SOCK.STREAM, mptcp);
    if (fd < 0) return error.SkipZigTest; // this kernel has no MPTCP
    defer _ = linux.close(fd);
    _ = linux.listen(fd, 1);
    var facts: types.ListenerFacts = undefined;
    try testing.expectEqual(status.failure(.PROTONOSUPPORT), check(fd, &facts));
}

test "the any-address of either family is all zero" {
    var storage: linux.sockaddr.storage = undefined;
    const in: *linux.sockaddr.in = @ptrCast(&storage);
    in.* = .{ .port = std.mem.nativeToBig(u16, 80), .addr = 0 };
    const any4 = endpointOf(&storage).?;
    try testing.expectEqual(@as([16]u8, @splat(0)), any4.address);
    try testing.expectEqual(4, any4.family);
    const in6: *linux.sockaddr.in6 = @ptrCast(&storage);
    in6.* = .{ .port = 0, .flowinfo = 0, .addr = @splat(0), .scope_id = 0 };
    try testing.expectEqual(6, endpointOf(&storage).?.family);
}
