//! Socket addresses in the one form that shared memory knows: `layout.Endpoint`.

const std = @import("std");
const layout = @import("../layout.zig");
const sys = @import("sys.zig");

/// Null for anything but IPv4 and IPv6.
pub fn fromSockaddr(bytes: [*]const u8, len: usize) ?layout.Endpoint {
    if (len < 8) return null;
    const family = std.mem.readInt(u16, bytes[0..2], .little);
    var endpoint: layout.Endpoint = .{};
    endpoint.port = std.mem.readInt(u16, bytes[2..4], .big);
    switch (family) {
        sys.AF_INET => {
            endpoint.family = 4;
            endpoint.address[10] = 0xff;
            endpoint.address[11] = 0xff;
            @memcpy(endpoint.address[12..16], bytes[4..8]);
        },
        sys.AF_INET6 => {
            if (len < 24) return null;
            @memcpy(&endpoint.address, bytes[8..24]);
            endpoint.family = if (isMapped(&endpoint)) 4 else 6;
            if (len >= 28) endpoint.scope = std.mem.readInt(u32, bytes[24..28], .little);
        },
        else => return null,
    }
    return endpoint;
}

pub fn isMapped(endpoint: *const layout.Endpoint) bool {
    const prefix = [_]u8{ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    return std.mem.eql(u8, endpoint.address[0..12], &prefix);
}

pub fn isLoopback(endpoint: *const layout.Endpoint) bool {
    if (isMapped(endpoint)) return endpoint.address[12] == 127;
    const one = [_]u8{ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
    return std.mem.eql(u8, &endpoint.address, &one);
}

/// All zero, or the mapped 0.0.0.0.
pub fn isAny(endpoint: *const layout.Endpoint) bool {
    for (endpoint.address[0..10]) |byte| if (byte != 0) return false;
    if (isMapped(endpoint)) return std.mem.eql(u8, endpoint.address[12..16], &.{ 0, 0, 0, 0 });
    for (endpoint.address[10..16]) |byte| if (byte != 0) return false;
    return true;
}

pub fn local(fd: i32) ?layout.Endpoint {
    var storage: sys.SockaddrStorage = .{};
    var len: u32 = @sizeOf(sys.SockaddrStorage);
    if (sys.call(.getsockname, .{ fd, &storage, &len }) < 0) return null;
    return fromSockaddr(@ptrCast(&storage), len);
}

pub fn peer(fd: i32) ?layout.Endpoint {
    var storage: sys.SockaddrStorage = .{};
    var len: u32 = @sizeOf(sys.SockaddrStorage);
    if (sys.call(.getpeername, .{ fd, &storage, &len }) < 0) return null;
    return fromSockaddr(@ptrCast(&storage), len);
}

test "an IPv4 address and its mapped form are the same endpoint" {
    const v4 = [_]u8{ 2, 0, 0x1f, 0x90, 127, 0, 0, 1 } ++ [_]u8{ 0, 0, 0, 0, 0, 0, 0, 0 };
    var v6: [28]u8 = @splat(0);
    v6[0] = 10;
    v6[2] = 0x1f;
    v6[3] = 0x90;
    v6[18] = 0xff;
    v6[19] = 0xff;
    v6[20] = 127;
    v6[23] = 1;
    const a = fromSockaddr(&v4, 16).?;
    const b = fromSockaddr(&v6, 28).?;
    try std.testing.expect(a.eql(&b));
    try std.testing.expectEqual(8080, a.port);
    try std.testing.expect(isLoopback(&b));
}
