//! Addresses and sockets: listen, accept, connect, and the options that every benchmark sets.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");

pub const Address = struct {
    storage: extern union { v4: libc.sockaddr_in, v6: libc.sockaddr_in6, unix: libc.sockaddr_un },
    length: u32,

    /// "127.0.0.1", "::1", "::ffff:127.0.0.1", or "@name" of an abstract Unix socket.
    pub fn parse(text: []const u8, port: u16) Address {
        if (text.len > 1 and text[0] == '@') return unixAddress(text[1..]);
        const port_be = std.mem.nativeToBig(u16, port);
        if (parseV4(text)) |v4| return .{
            .storage = .{ .v4 = .{ .port_be = port_be, .address = v4 } },
            .length = @sizeOf(libc.sockaddr_in),
        };
        if (parseV6(text)) |v6| return .{
            .storage = .{ .v6 = .{ .port_be = port_be, .address = v6 } },
            .length = @sizeOf(libc.sockaddr_in6),
        };
        system.usage("--address \"{s}\": not an IPv4 or IPv6 address", .{text});
    }

    fn unixAddress(name: []const u8) Address {
        var unix: libc.sockaddr_un = .{};
        // A zero byte in front makes the name abstract: no file is left behind.
        if (name.len + 1 > unix.path.len) system.usage("--address \"@{s}\": too long", .{name});
        @memcpy(unix.path[1..][0..name.len], name);
        const length = @offsetOf(libc.sockaddr_un, "path") + 1 + name.len;
        return .{ .storage = .{ .unix = unix }, .length = @intCast(length) };
    }

    fn family(address: *const Address) c_int {
        return address.storage.v4.family;
    }

    /// 0 for a Unix socket.
    fn portNumber(address: *const Address) u16 {
        if (address.family() == libc.AF_UNIX) return 0;
        return std.mem.bigToNative(u16, address.storage.v4.port_be);
    }
};

fn parseV4(text: []const u8) ?[4]u8 {
    var out: [4]u8 = undefined;
    var parts = std.mem.splitScalar(u8, text, '.');
    for (&out) |*byte| {
        const part = parts.next() orelse return null;
        byte.* = std.fmt.parseInt(u8, part, 10) catch return null;
    }
    return if (parts.next() == null) out else null;
}

fn parseV6(text: []const u8) ?[16]u8 {
    if (std.mem.startsWith(u8, text, "::ffff:")) {
        const v4 = parseV4(text[7..]) orelse return null;
        return @as([10]u8, @splat(0)) ++ [2]u8{ 0xff, 0xff } ++ v4;
    }
    if (std.mem.eql(u8, text, "::")) return @splat(0);
    if (std.mem.eql(u8, text, "::1")) return @as([15]u8, @splat(0)) ++ [1]u8{1};
    return null;
}

pub fn listenOn(address: *const Address) c_int {
    const fd = libc.socket(address.family(), libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0);
    if (fd < 0) system.fail("socket for listening: {s}", .{libc.errorText()});
    setOption(fd, libc.SOL_SOCKET, libc.SO_REUSEADDR);
    if (libc.bind(fd, &address.storage, address.length) != 0) {
        system.fail("bind to port {d}: {s}", .{ address.portNumber(), libc.errorText() });
    }
    if (libc.listen(fd, 4096) != 0) {
        system.fail("listen on port {d}: {s}", .{ address.portNumber(), libc.errorText() });
    }
    return fd;
}

pub fn portOf(fd: c_int) u16 {
    var address: Address = .{ .storage = undefined, .length = @sizeOf(libc.sockaddr_un) };
    if (libc.getsockname(fd, &address.storage, &address.length) != 0) {
        system.fail("getsockname of the listener: {s}", .{libc.errorText()});
    }
    return address.portNumber();
}

/// A new connection, or null where there is none now (non-blocking listener) or it died already.
pub fn acceptOn(listener: c_int) ?c_int {
    while (true) {
        const fd = libc.accept(listener, null, null);
        if (fd >= 0) {
            sendAtOnce(fd);
            return fd;
        }
        switch (libc.errno()) {
            libc.EINTR => {},
            libc.EAGAIN => return null,
            else => system.fail("accept: {s}", .{libc.errorText()}),
        }
    }
}

/// Makes a connection with a blocking connect.
pub fn connectTo(address: *const Address) c_int {
    const fd = openSocket(address);
    if (libc.connect(fd, &address.storage, address.length) != 0) {
        failConnect(address);
    }
    return fd;
}

/// Begins a non-blocking connect; true if it is complete at once. A Unix socket's says EAGAIN when
/// the listener's queue is full, and begins nothing: it is asked again until there is room.
pub fn startConnect(fd: c_int, address: *const Address) bool {
    while (libc.connect(fd, &address.storage, address.length) != 0) {
        switch (libc.errno()) {
            libc.EINPROGRESS => return false,
            libc.EAGAIN => system.sleepNs(100_000),
            else => failConnect(address),
        }
    }
    return true;
}

fn failConnect(address: *const Address) noreturn {
    system.fail(
        "connect to port {d}: {s}; is the server there?",
        .{ address.portNumber(), libc.errorText() },
    );
}

pub fn openSocket(address: *const Address) c_int {
    const fd = libc.socket(address.family(), libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0);
    if (fd < 0) system.fail("socket: {s}", .{libc.errorText()});
    sendAtOnce(fd);
    return fd;
}

pub fn setNonBlocking(fd: c_int) void {
    const flags = libc.fcntl(fd, libc.F_GETFL, @as(c_int, 0));
    if (flags < 0 or libc.fcntl(fd, libc.F_SETFL, flags | libc.O_NONBLOCK) != 0) {
        system.fail("make descriptor {d} non-blocking: {s}", .{ fd, libc.errorText() });
    }
}

/// No waiting for more to send; Unix sockets never do and do not know the option.
fn sendAtOnce(fd: c_int) void {
    const on: c_int = 1;
    const result = libc.setsockopt(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY, &on, @sizeOf(c_int));
    if (result != 0 and libc.errno() != libc.EOPNOTSUPP) {
        system.fail("set TCP_NODELAY: {s}", .{libc.errorText()});
    }
}

fn setOption(fd: c_int, level: c_int, name: c_int) void {
    const on: c_int = 1;
    if (libc.setsockopt(fd, level, name, &on, @sizeOf(c_int)) != 0) {
        system.fail("set option {d}.{d}: {s}", .{ level, name, libc.errorText() });
    }
}

test "an abstract Unix name starts with a zero byte and has its own length" {
    const address = Address.parse("@ab", 0);
    try std.testing.expectEqual(libc.AF_UNIX, address.family());
    try std.testing.expectEqualStrings("\x00ab\x00", address.storage.unix.path[0..4]);
    try std.testing.expectEqual(5, address.length);
}

test "addresses are read, wrong ones are not" {
    try std.testing.expectEqual([4]u8{ 127, 0, 0, 1 }, parseV4("127.0.0.1").?);
    try std.testing.expectEqual(null, parseV4("127.0.0"));
    try std.testing.expectEqual(null, parseV4("127.0.0.1.1"));
    try std.testing.expectEqual(null, parseV4("127.0.0.256"));
    try std.testing.expectEqual(1, parseV6("::1").?[15]);
    try std.testing.expectEqual(0xff, parseV6("::ffff:10.0.0.1").?[11]);
    try std.testing.expectEqual(null, parseV6("::x"));
}
