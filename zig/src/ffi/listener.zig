//! Is this descriptor what its sender says, a listening TCP socket? The kernel is asked for
//! everything; the sender's word counts for nothing. The caller closes the descriptor at once, or
//! the port would stay bound when the program has gone.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const socket = @import("socket.zig");
const status = @import("status.zig");
const types = @import("types.zig");
const Status = status.Status;

const so_netns_cookie = 71;

/// 0, or why not: ENOTSOCK, EAFNOSUPPORT (no IP), EPROTONOSUPPORT (no TCP; MPTCP is none),
/// EINVAL (does not listen).
pub fn check(fd: i32, facts: *types.ListenerFacts) Status {
    facts.* = std.mem.zeroes(types.ListenerFacts);
    const kind = checkKind(fd);
    if (status.failed(kind)) return kind;
    const named = checkName(fd, &facts.endpoint);
    if (status.failed(named)) return named;
    const spaced = socket.getOption(u64, fd, so_netns_cookie, &facts.netns);
    if (status.failed(spaced)) return spaced;
    return checkOwner(fd, &facts.uid);
}

fn checkKind(fd: i32) Status {
    const Wanted = struct { option: u32, values: []const i32, otherwise: linux.E };
    const wanted = [_]Wanted{
        .{
            .option = linux.SO.DOMAIN,
            .values = &.{ linux.AF.INET, linux.AF.INET6 },
            .otherwise = .AFNOSUPPORT,
        },
        .{
            .option = linux.SO.PROTOCOL,
            .values = &.{linux.IPPROTO.TCP},
            .otherwise = .PROTONOSUPPORT,
        },
        .{ .option = linux.SO.ACCEPTCONN, .values = &.{1}, .otherwise = .INVAL },
    };
    for (wanted) |want| {
        var value: i32 = 0;
        const known = socket.getOption(i32, fd, want.option, &value);
        if (status.failed(known)) return known;
        if (std.mem.indexOfScalar(i32, want.values, value) == null) {
            return status.failure(want.otherwise);
        }
    }
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
    try testing.expect(facts.endpoint.port != 0);
    try testing.expectEqual(4, facts.endpoint.family);
    try testing.expectEqual(mapped(.{ 127, 0, 0, 1 }), facts.endpoint.address);
    try testing.expect(facts.netns != 0);
    try testing.expectEqual(linux.geteuid(), facts.uid);
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
