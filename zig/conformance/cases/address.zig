//! Names of both ends: IPv4, IPv6, one as the other, any address, scopes, interfaces, names.

const std = @import("std");
const libc = @import("../libc.zig");
const text = @import("../text.zig");
const connection = @import("../connection.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

fn talk(t: *Side, conn: c_int) void {
    t.sockName(conn);
    t.peerName(conn);
    switch (t.role) {
        .server => {
            t.recvAll(conn, 5);
            _ = t.send(conn, "world", 0);
            t.recvToEnd(conn, 10);
        },
        .client => {
            _ = t.send(conn, "hello", 0);
            t.recvAll(conn, 5);
        },
    }
    _ = t.close(conn);
    t.sockName(conn);
}

fn Families(comptime listened: connection.Family, comptime connected: connection.Family) type {
    return struct {
        pub fn server(t: *Side) void {
            talk(t, t.accepted(.{ .family = listened }));
        }

        pub fn client(t: *Side) void {
            talk(t, t.connected(.{ .family = connected }));
        }
    };
}

pub const v4 = struct {
    pub const summary = "both names of an IPv4 connection, and of its listener";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        t.sockName(listener);
        t.peerName(listener);
        const conn = t.acceptName(listener, 0, "conn");
        t.warmUp(conn);
        talk(t, conn);
    }

    pub const client = Families(.v4, .v4).client;
};

pub const v6 = struct {
    pub const summary = "a connection over ::1";
    pub const carrier: Carrier = .ring;
    pub const server = Families(.v6, .v6).server;
    pub const client = Families(.v6, .v6).client;
};

pub const v4_as_v6 = struct {
    pub const summary = "an IPv6 socket connects to ::ffff:127.0.0.1, an IPv4 listener";
    pub const carrier: Carrier = .ring;
    pub const server = Families(.v4, .v6_mapped).server;
    pub const client = Families(.v4, .v6_mapped).client;
};

pub const v6_takes_v4 = struct {
    pub const summary = "a listener on :: takes an IPv4 client, whose name is mapped";
    pub const carrier: Carrier = .ring;
    pub const server = Families(.v6_any, .v4).server;
    pub const client = Families(.v6_any, .v4).client;
};

pub const v6_any = struct {
    pub const summary = "a listener on :: takes an IPv6 client";
    pub const carrier: Carrier = .ring;
    pub const server = Families(.v6_any, .v6).server;
    pub const client = Families(.v6_any, .v6).client;
};

pub const v4_any = struct {
    pub const summary = "a listener on 0.0.0.0 is reached at 127.0.0.1";
    pub const carrier: Carrier = .ring;
    pub const server = Families(.v4_any, .v4).server;
    pub const client = Families(.v4_any, .v4).client;
};

pub const other_loopback = struct {
    pub const summary = "a listener on 0.0.0.0 is reached at 127.0.0.5, and says so";
    pub const carrier: Carrier = .ring;
    pub const server = Families(.v4_any, .v4_other).server;
    pub const client = Families(.v4_any, .v4_other).client;
};

pub const any_is_loopback = struct {
    pub const summary = "connect to 0.0.0.0 reaches 127.0.0.1";
    pub const carrier: Carrier = .ring;
    pub const server = Families(.v4, .v4_any).server;
    pub const client = Families(.v4, .v4_any).client;
};

pub const v6_only = struct {
    pub const summary = "IPV6_V6ONLY: IPv4 clients are refused, and the port is free for an IPv4 listener";
    pub const carrier: Carrier = .ring;

    fn only(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .V6ONLY, 1);
    }

    /// Below those that the kernel gives out: no other case may get its number for IPv4 meanwhile.
    fn ownPort() u16 {
        return 10_000 + @as(u16, @intCast(@mod(libc.getpid(), 20_000)));
    }

    pub fn server(t: *Side) void {
        const six = t.listening(.{ .family = .v6_any, .port = ownPort(), .prepare = &only });
        t.getOption(six, .V6ONLY);
        const port = connection.portOf(t, six);
        t.sync("listening on IPv6");
        t.sync("refused");
        const four = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        t.label(four, "four");
        const address = connection.Address.loopback(.v4_any, port);
        t.begin("bind and listen", .{});
        _ = t.result(libc.bind(four, &address.storage, address.length));
        if (libc.listen(four, 5) != 0) t.fail("listen", .{});
        t.sync("listening on IPv4");
        talk(t, t.acceptFrom(four, .{}));
        talk(t, t.acceptFrom(six, .{}));
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        t.sync("listening on IPv6");
        const refused = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        t.label(refused, "refused");
        _ = t.connect(refused, port);
        t.sync("refused");
        t.sync("listening on IPv4");
        talk(t, connection.connectTo(t, port, .{}));
        talk(t, connection.connectTo(t, port, .{ .family = .v6 }));
    }
};

pub const bound_to_device = struct {
    pub const summary = "SO_BINDTODEVICE lo on both ends";
    pub const carrier: Carrier = .ring;

    fn bindToLoopback(t: *Side, fd: c_int) void {
        _ = t.setOptionBytes(fd, .BINDTODEVICE, "lo");
    }

    pub fn server(t: *Side) void {
        talk(t, t.accepted(.{ .prepare = &bindToLoopback }));
    }

    pub fn client(t: *Side) void {
        talk(t, t.connected(.{ .prepare = &bindToLoopback }));
    }
};

pub const scope_of_loopback = struct {
    pub const summary = "a scope id that ::1 does not need is taken and forgotten";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        talk(t, t.accepted(.{ .family = .v6 }));
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const conn = libc.socket(libc.AF_INET6, libc.SOCK_STREAM, 0);
        t.label(conn, "conn");
        var address: libc.sockaddr_in6 = .{ .port_be = @byteSwap(port), .flowinfo = 0, .scope_id = 1 };
        address.address[15] = 1;
        t.begin("connect(conn, ::1%1)", .{});
        _ = t.result(libc.connect(conn, &address, @sizeOf(libc.sockaddr_in6)));
        t.warmUp(conn);
        talk(t, conn);
    }
};

pub const by_name = struct {
    pub const summary = "sockets that getaddrinfo describes, by numeric host and by localhost";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        talk(t, t.acceptFrom(listener, .{}));
        talk(t, t.acceptFrom(listener, .{}));
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        for ([_][*:0]const u8{ "127.0.0.1", "localhost" }) |host| {
            var service: [8]u8 = undefined;
            const number = std.fmt.bufPrintSentinel(&service, "{d}", .{port}, 0) catch unreachable;
            const hints: libc.addrinfo = .{ .family = libc.AF_INET, .kind = libc.SOCK_STREAM };
            var found: ?*libc.addrinfo = null;
            t.begin("getaddrinfo({s})", .{host});
            _ = t.result(libc.getaddrinfo(host, number, &hints, &found));
            const first = found orelse t.fail("no address", .{});
            const conn = libc.socket(first.family, first.kind, first.protocol);
            t.label(conn, "conn");
            t.begin("connect(conn)", .{});
            _ = t.result(libc.connect(conn, first.address.?, first.address_length));
            libc.freeaddrinfo(first);
            t.warmUp(conn);
            talk(t, conn);
        }
    }
};

pub const cut_names = struct {
    pub const summary = "names are cut to the room there is, and their whole length is told";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        var room: [4]u8 = @splat(0xee);
        var length: u32 = room.len;
        t.begin("accept(listener, 4 bytes of room)", .{});
        const conn = libc.accept(listener, &room, &length);
        if (conn < 0) t.fail("accept: {f}", .{text.errno(libc.errno())});
        t.label(conn, "conn");
        t.end(", family {d}, length {d}", .{ room[0], length });
        t.warmUp(conn);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        var room: [128]u8 = @splat(0xee);
        for ([_]u32{ 0, 3, 16, 128 }) |given| {
            var length = given;
            t.begin("getpeername(conn, {d} bytes of room)", .{given});
            const code = libc.getpeername(conn, &room, &length);
            t.end(" = {d}, length {d}", .{ code, length });
        }
        var negative: u32 = ~@as(u32, 0);
        t.begin("getsockname(conn, -1 bytes of room)", .{});
        _ = t.result(libc.getsockname(conn, &room, &negative));
        _ = t.close(conn);
    }
};
