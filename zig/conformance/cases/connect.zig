//! connect in all its ways: non-blocking, refused, twice, to nobody, undone.

const libc = @import("../libc.zig");
const text = @import("../text.zig");
const connection = @import("../connection.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

fn serveOne(t: *Side) void {
    const conn = t.accepted(.{});
    t.recvToEnd(conn, 100);
}

fn newSocket(t: *Side, flags: c_int, label: []const u8) c_int {
    const fd = libc.socket(libc.AF_INET, libc.SOCK_STREAM | flags, 0);
    if (fd < 0) t.fail("socket: {f}", .{text.errno(libc.errno())});
    t.label(fd, label);
    return fd;
}

/// A port on which nobody listens: bound, and not listening.
fn deadPort(t: *Side) u16 {
    const fd = newSocket(t, 0, "bound only");
    var address = connection.Address.loopback(.v4, 0);
    if (libc.bind(fd, &address.storage, address.length) != 0) t.fail("bind", .{});
    return connection.portOf(t, fd);
}

pub const non_blocking = struct {
    pub const summary = "non-blocking connect: EINPROGRESS, POLLOUT, SO_ERROR 0, then traffic";
    pub const carrier: Carrier = .ring;
    pub const server = serveOne;

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const conn = newSocket(t, libc.SOCK_NONBLOCK, "conn");
        t.pollNow(conn, libc.POLLIN | libc.POLLOUT);
        _ = t.connect(conn, port);
        t.untilEvents(conn, libc.POLLOUT);
        t.getOption(conn, .ERROR);
        t.peerName(conn);
        t.warmUp(conn);
        _ = t.recv(conn, 1, 0);
        _ = t.connect(conn, port);
        _ = t.connect(conn, port);
        _ = t.send(conn, "hello", 0);
        _ = t.close(conn);
    }
};

pub const non_blocking_then_blocking = struct {
    pub const summary = "a socket made blocking after its non-blocking connect blocks";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("about to block");
        for (0..20) |_| t.pause();
        _ = t.send(conn, "woken", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const conn = newSocket(t, libc.SOCK_NONBLOCK, "conn");
        _ = t.connect(conn, port);
        t.untilEvents(conn, libc.POLLOUT);
        t.setNonBlocking(conn, false);
        t.warmUp(conn);
        t.sync("about to block");
        _ = t.recv(conn, 10, 0);
        _ = t.close(conn);
    }
};

pub const refused = struct {
    pub const summary = "a refused connect, and the same socket connected to somebody after it";
    pub const carrier: Carrier = .ring;
    pub const server = serveOne;

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const dead = deadPort(t);
        const conn = newSocket(t, 0, "conn");
        _ = t.connect(conn, dead);
        t.getOption(conn, .ERROR);
        t.pollNow(conn, libc.POLLIN | libc.POLLOUT);
        _ = t.connect(conn, port);
        t.warmUp(conn);
        _ = t.send(conn, "second try", 0);
        _ = t.close(conn);
    }
};

pub const refused_non_blocking = struct {
    pub const summary = "a refused non-blocking connect: POLLERR, SO_ERROR once, then reads and writes";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = newSocket(t, libc.SOCK_NONBLOCK, "conn");
        _ = t.connect(conn, deadPort(t));
        t.untilEvents(conn, libc.POLLERR);
        t.pollNow(conn, libc.POLLIN | libc.POLLOUT);
        t.getOption(conn, .ERROR);
        t.getOption(conn, .ERROR);
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.peerName(conn);
        t.sync("done");
    }
};

pub const twice = struct {
    pub const summary = "a connected socket cannot be connected again";
    pub const carrier: Carrier = .ring;
    pub const server = serveOne;

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const conn = connection.connectTo(t, port, .{});
        _ = t.connect(conn, port);
        _ = t.connect(conn, 9);
        _ = t.send(conn, "still connected", 0);
        _ = t.close(conn);
    }
};

pub const undone = struct {
    pub const summary = "connect to AF_UNSPEC ends the connection; the socket connects again";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        t.sync("undone");
        t.untilEvents(first, libc.POLLHUP);
        _ = t.recv(first, 10, 0);
        _ = t.close(first);
        const second = t.acceptFrom(listener, .{ .label = "second" });
        t.recvToEnd(second, 100);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const conn = connection.connectTo(t, port, .{});
        const nobody: libc.sockaddr_in = .{ .family = libc.AF_UNSPEC, .port_be = 0, .address = @splat(0) };
        t.begin("connect(conn, AF_UNSPEC)", .{});
        _ = t.result(libc.connect(conn, &nobody, @sizeOf(libc.sockaddr_in)));
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.peerName(conn);
        t.sync("undone");
        _ = t.connect(conn, port);
        t.warmUp(conn);
        _ = t.send(conn, "again", 0);
        _ = t.close(conn);
    }
};

pub const full_backlog = struct {
    pub const summary = "a connect to a full backlog stays in progress until there is room";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{ .backlog = 1 });
        t.sync("full");
        for ([_][]const u8{ "first", "second", "third" }) |label| {
            const conn = t.accept(listener, 0, label);
            t.recvAll(conn, 1);
            _ = t.send(conn, "!", 0);
        }
        t.sync("served");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        var fds: [3]c_int = undefined;
        for (&fds, [_][]const u8{ "first", "second", "third" }) |*fd, label| {
            fd.* = newSocket(t, libc.SOCK_NONBLOCK, label);
            _ = t.connect(fd.*, port);
        }
        t.untilEvents(fds[1], libc.POLLOUT);
        t.pollNow(fds[2], libc.POLLOUT);
        _ = t.connect(fds[2], port);
        _ = t.send(fds[2], "x", libc.MSG_NOSIGNAL);
        t.sync("full");
        for (fds) |fd| {
            t.untilEvents(fd, libc.POLLOUT);
            t.getOption(fd, .ERROR);
            _ = t.send(fd, "?", 0);
            t.untilEvents(fd, libc.POLLIN);
            _ = t.recv(fd, 5, 0);
        }
        t.sync("served");
    }
};

pub const in_time = struct {
    pub const summary = "a blocking connect gives up after SO_SNDTIMEO with EINPROGRESS";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        _ = t.listening(.{ .backlog = 0 });
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = newSocket(t, 0, "first");
        _ = t.connect(first, port);
        const second = newSocket(t, 0, "second");
        _ = t.setTimeout(second, .SNDTIMEO, 100);
        _ = t.connect(second, port);
        _ = t.connect(second, port);
        t.sync("done");
    }
};

pub const wrong = struct {
    pub const summary = "connect with wrong addresses, lengths, families and descriptors";
    pub const carrier: Carrier = .ring;
    pub const server = serveOne;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const fresh = newSocket(t, 0, "fresh");
        const pipes = t.pipe();
        const v6 = connection.Address.loopback(.v6, 9);
        const v4 = connection.Address.loopback(.v4, 9);
        t.begin("connect(fresh, IPv6)", .{});
        _ = t.result(libc.connect(fresh, &v6.storage, v6.length));
        t.begin("connect(fresh, 3 bytes)", .{});
        _ = t.result(libc.connect(fresh, &v4.storage, 3));
        t.begin("connect(fresh, 1000 bytes)", .{});
        _ = t.result(libc.connect(fresh, &v4.storage, 1000));
        t.begin("connect(fresh, null)", .{});
        const raw: *const fn (c_int, usize, u32) callconv(.c) c_int = @ptrCast(&libc.connect);
        _ = t.result(raw(fresh, 0, 16));
        _ = t.connect(pipes[0], 9);
        _ = t.connect(999, 9);
        _ = t.send(conn, "unharmed", 0);
        _ = t.close(conn);
        _ = t.connect(conn, 9);
    }
};

pub const from_a_port = struct {
    pub const summary = "connect from a bound port, closed, and from the same port again";
    pub const carrier: Carrier = .ring;

    var port: u16 = 0;

    fn bindPort(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .REUSEADDR, 1);
        var address = connection.Address.loopback(.v4, port);
        t.begin("bind({s})", .{t.name(fd)});
        _ = t.result(libc.bind(fd, &address.storage, address.length));
        port = connection.portOf(t, fd);
    }

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        for (0..3) |_| {
            const conn = t.acceptFrom(listener, .{});
            t.peerName(conn);
            _ = t.send(conn, "bye", 0);
            _ = t.close(conn); // TIME_WAIT is here: the client's port is free at once
        }
    }

    pub fn client(t: *Side) void {
        const to: u16 = @intCast(t.hear("port"));
        for (0..3) |_| {
            const conn = connection.connectTo(t, to, .{ .prepare = &bindPort });
            t.recvToEnd(conn, 10);
            _ = t.close(conn);
        }
    }
};

pub const many_at_once = struct {
    pub const summary = "twenty connections of two processes, used in turns";
    pub const carrier: Carrier = .ring;

    const count = 20;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{ .backlog = 64 });
        var fds: [count]c_int = undefined;
        for (&fds) |*fd| fd.* = t.acceptFrom(listener, .{});
        for (0..3) |_| {
            for (fds) |fd| {
                t.recvAll(fd, 7);
                _ = t.send(fd, "answer", 0);
            }
        }
        for (fds) |fd| t.recvToEnd(fd, 10);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        var fds: [count]c_int = undefined;
        for (&fds) |*fd| fd.* = connection.connectTo(t, port, .{});
        for (0..3) |_| {
            for (fds) |fd| {
                _ = t.send(fd, "request", 0);
                t.recvAll(fd, 6);
            }
        }
        for (fds) |fd| _ = t.close(fd);
    }
};

pub const one_after_the_other = struct {
    pub const summary = "thirty short connections, each closed before the next";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &short_lived;

    /// What a connection says that ends while its offer is under way.
    const short_lived = [_][]const u8{ "undecided", "arena_pending", "offered", "not_adopted" };

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        for (0..30) |i| {
            const conn = t.acceptFrom(listener, .{ .warm = i % 3 == 0 });
            t.recvToEnd(conn, 10);
            _ = t.send(conn, "served", 0);
            _ = t.close(conn);
        }
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        for (0..30) |i| {
            const conn = connection.connectTo(t, port, .{ .warm = i % 3 == 0 });
            _ = t.send(conn, "serve me", 0);
            _ = t.shutdown(conn, libc.SHUT_WR);
            t.recvToEnd(conn, 10);
            _ = t.close(conn);
        }
    }
};

pub const before_accept = struct {
    pub const summary = "bytes sent before accept, and a close before accept, are not lost";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        t.sync("closed");
        const conn = t.accept(listener, 0, "conn");
        t.recvToEnd(conn, 100);
        _ = t.send(conn, "anybody?", libc.MSG_NOSIGNAL);
        _ = t.close(conn);
        _ = t.close(listener);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .warm = false });
        _ = t.send(conn, "early ", 0);
        _ = t.send(conn, "bird", 0);
        _ = t.close(conn);
        t.sync("closed");
    }
};

pub const reset_before_accept = struct {
    pub const summary = "a connection that was reset before accept";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        t.sync("reset");
        t.untilEvents(listener, libc.POLLIN);
        const conn = t.accept(listener, 0, "conn");
        _ = t.recv(conn, 10, 0);
        _ = t.recv(conn, 10, 0);
        t.peerName(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .warm = false });
        _ = t.send(conn, "gone", 0);
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("reset");
    }
};

pub const quick_request = struct {
    pub const summary = "one request, one answer, over before anything can be negotiated";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        for (0..10) |_| {
            const conn = t.acceptFrom(listener, .{ .warm = false });
            t.recvAll(conn, 3);
            _ = t.send(conn, "yes", 0);
            t.recvToEnd(conn, 1);
            _ = t.close(conn);
        }
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        for (0..10) |_| {
            const conn = connection.connectTo(t, port, .{ .warm = false });
            _ = t.send(conn, "hm?", 0);
            t.recvAll(conn, 3);
            _ = t.close(conn);
        }
    }
};
