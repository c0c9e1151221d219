//! Listeners and connections of a case, and the warm-up that brings a connection to the carrier on
//! which the case is about to look at it.
//!
//! The server binds port 0 and tells the port through the side channel: no port is chosen before it
//! is taken. The warm-up is ping-pong of single bytes. Alone, or with one plain end, it is a fixed
//! number of them; with both ends preloaded it goes on until the kernel has carried none of the
//! last few, which the client asks the kernel itself (by a system call of its own, past every
//! library: the one thing here that an ordinary program would not do).

const std = @import("std");
const libc = @import("libc.zig");
const text = @import("text.zig");
const Side = @import("side.zig").Side;

/// Which loopback address is bound or connected to; `any` is 0.0.0.0 or ::, `other` 127.0.0.5.
pub const Family = enum { v4, v4_any, v4_other, v6, v6_any, v6_mapped };

pub const Setup = struct {
    family: Family = .v4,
    warm: bool = true,
    backlog: c_int = 16,
    /// Of the listener; 0: any that is free.
    port: u16 = 0,
    /// Called with the socket before listen or connect.
    prepare: ?*const fn (*Side, c_int) void = null,
    label: []const u8 = "conn",
};

const exchanges_alone = 16;
const exchanges_quiet = 4;
const ring_wait_s = 8;

/// A listener on loopback; the other side learns its port.
pub fn listening(t: *Side, setup: Setup) c_int {
    const fd = open(t, setup);
    t.label(fd, "listener");
    var address = Address.loopback(setup.family, setup.port);
    if (libc.bind(fd, &address.storage, address.length) != 0 or libc.listen(fd, setup.backlog) != 0) {
        t.fail("bind or listen: {f}", .{text.errno(libc.errno())});
    }
    t.tell("port", portOf(t, fd));
    return fd;
}

/// The server's connection: listens, accepts one, warms it up. The listener stays open.
pub fn accepted(t: *Side, setup: Setup) c_int {
    return acceptFrom(t, listening(t, setup), setup);
}

pub fn acceptFrom(t: *Side, listener: c_int, setup: Setup) c_int {
    t.begin("-- accept of {s}", .{setup.label});
    const fd = libc.accept4(listener, null, null, 0);
    if (fd < 0) t.fail("accept: {f}", .{text.errno(libc.errno())});
    t.label(fd, setup.label);
    t.end("", .{});
    if (setup.warm) warmUp(t, fd);
    return fd;
}

/// The server's second connection: not warmed up, but with all that the first one has made ready, so
/// that a ring can take over at once. The first one stays open.
pub fn acceptedSecond(t: *Side) c_int {
    const listener = listening(t, .{});
    _ = acceptFrom(t, listener, .{ .label = "first" });
    return acceptFrom(t, listener, .{ .warm = false });
}

/// The client's, to `acceptedSecond` of the other side.
pub fn connectedSecond(t: *Side) c_int {
    const port: u16 = @intCast(t.hear("port"));
    _ = connectTo(t, port, .{ .label = "first" });
    return connectTo(t, port, .{ .warm = false });
}

/// The client's connection to `listening` or `accepted` of the other side.
pub fn connected(t: *Side, setup: Setup) c_int {
    return connectTo(t, @intCast(t.hear("port")), setup);
}

pub fn connectTo(t: *Side, port: u16, setup: Setup) c_int {
    const fd = open(t, setup);
    t.label(fd, setup.label);
    var address = Address.loopback(setup.family, port);
    t.begin("-- connect of {s}", .{setup.label});
    if (libc.connect(fd, &address.storage, address.length) != 0) {
        t.fail("connect: {f}", .{text.errno(libc.errno())});
    }
    t.end("", .{});
    if (setup.warm) warmUp(t, fd);
    return fd;
}

fn open(t: *Side, setup: Setup) c_int {
    const family: c_int = switch (setup.family) {
        .v4, .v4_any, .v4_other => libc.AF_INET,
        .v6, .v6_any, .v6_mapped => libc.AF_INET6,
    };
    const fd = libc.socket(family, libc.SOCK_STREAM, 0);
    if (fd < 0) t.fail("socket: {f}", .{text.errno(libc.errno())});
    if (setup.prepare) |prepare| {
        t.label(fd, setup.label);
        prepare(t, fd);
    }
    return fd;
}

pub fn portOf(t: *Side, fd: c_int) u16 {
    var address: Address = .{};
    if (libc.getsockname(fd, &address.storage, &address.length) != 0) {
        t.fail("getsockname: {f}", .{text.errno(libc.errno())});
    }
    return address.port();
}

/// A socket address of any family.
pub const Address = struct {
    storage: [128]u8 align(8) = @splat(0),
    length: u32 = 128,

    pub fn loopback(family: Family, port_number: u16) Address {
        var address: Address = .{};
        switch (family) {
            .v4, .v4_any, .v4_other => {
                const in: *libc.sockaddr_in = @ptrCast(&address.storage);
                in.* = .{ .port_be = @byteSwap(port_number), .address = switch (family) {
                    .v4_any => @splat(0),
                    .v4_other => .{ 127, 0, 0, 5 },
                    else => .{ 127, 0, 0, 1 },
                } };
                address.length = @sizeOf(libc.sockaddr_in);
            },
            .v6, .v6_any, .v6_mapped => {
                const in: *libc.sockaddr_in6 = @ptrCast(&address.storage);
                in.* = .{ .port_be = @byteSwap(port_number) };
                if (family == .v6) in.address[15] = 1;
                if (family == .v6_mapped) in.address[10..16].* = .{ 0xff, 0xff, 127, 0, 0, 1 };
                address.length = @sizeOf(libc.sockaddr_in6);
            },
        }
        return address;
    }

    pub fn port(address: *const Address) u16 {
        return std.mem.readInt(u16, address.storage[2..4], .big);
    }
};

// -- warm-up ------------------------------------------------------------------------------------

const ping = 'w';
const last_ping = 'W';

/// Both sides call it: the client speaks first.
pub fn warmUp(t: *Side, fd: c_int) void {
    t.begin("-- warm-up of {s}", .{t.name(fd)});
    switch (t.role) {
        .server => while (receiveByte(t, fd)) |byte| {
            sendByte(t, fd, byte);
            if (byte == last_ping) break;
        } else t.fail("the warm-up ended early", .{}),
        .client => {
            pingUntilQuiet(t, fd);
            exchange(t, fd, last_ping);
        },
    }
    t.end("", .{});
}

fn pingUntilQuiet(t: *Side, fd: c_int) void {
    for (0..exchanges_alone) |_| exchange(t, fd, ping);
    if (!t.expect_ring) return;
    const limit = monotonicSeconds() + ring_wait_s;
    var quiet: usize = 0;
    while (quiet < exchanges_quiet and monotonicSeconds() < limit) {
        const before = kernelDataSegments(fd);
        exchange(t, fd, ping);
        quiet = if (kernelDataSegments(fd) == before) quiet + 1 else 0;
    }
}

fn exchange(t: *Side, fd: c_int, byte: u8) void {
    sendByte(t, fd, byte);
    if (receiveByte(t, fd) == null) t.fail("the warm-up ended early", .{});
}

fn sendByte(t: *Side, fd: c_int, byte: u8) void {
    if (libc.send(fd, &[_]u8{byte}, 1, libc.MSG_NOSIGNAL) != 1) {
        t.fail("warm-up send: {f}", .{text.errno(libc.errno())});
    }
}

/// Null at the end of the stream. A non-blocking socket is waited for.
fn receiveByte(t: *Side, fd: c_int) ?u8 {
    var byte: [1]u8 = undefined;
    while (true) {
        const n = libc.recv(fd, &byte, 1, 0);
        if (n == 1) return byte[0];
        if (n == 0) return null;
        if (libc.errno() != libc.EAGAIN) t.fail("warm-up recv: {f}", .{text.errno(libc.errno())});
        var polled = [_]libc.pollfd{.{ .fd = fd, .events = libc.POLLIN }};
        _ = libc.poll(&polled, 1, -1);
    }
}

/// Segments with data that the kernel has carried for this socket, in both directions.
fn kernelDataSegments(fd: c_int) u64 {
    var info: [256]u8 align(8) = @splat(0);
    var length: u32 = info.len;
    _ = std.os.linux.getsockopt(fd, libc.IPPROTO_TCP, libc.TCP_INFO, &info, &length);
    const data_segments_at = 152; // tcpi_data_segs_in, tcpi_data_segs_out
    return std.mem.readInt(u64, info[data_segments_at..][0..8], .native);
}

fn monotonicSeconds() c_long {
    var time: libc.timespec = undefined;
    _ = libc.clock_gettime(libc.CLOCK_MONOTONIC, &time);
    return time.sec;
}
