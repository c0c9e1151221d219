//! Listeners and accept: flags, order, queues, several listeners of one port, ports used again.

const libc = @import("../libc.zig");
const text = @import("../text.zig");
const connection = @import("../connection.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

fn connectOnce(t: *Side) void {
    connectOnceTo(t, @intCast(t.hear("port")));
}

fn connectOnceTo(t: *Side, port: u16) void {
    const conn = connection.connectTo(t, port, .{});
    _ = t.send(conn, "hello", 0);
    _ = t.close(conn);
}

pub const flags = struct {
    pub const summary = "accept4's SOCK_NONBLOCK and SOCK_CLOEXEC; the listener's flags are not inherited";
    pub const carrier: Carrier = .ring;

    fn look(t: *Side, fd: c_int) void {
        t.isNonBlocking(fd);
        t.begin("fcntl({s}, F_GETFD)", .{t.name(fd)});
        _ = t.result(libc.fcntl(fd, libc.F_GETFD, @as(c_int, 0)));
    }

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        t.sync("all connected");
        t.setNonBlocking(listener, true);
        const cloexec_nonblock = libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK;
        for ([_]c_int{ 0, libc.SOCK_NONBLOCK, libc.SOCK_CLOEXEC, cloexec_nonblock }) |flag| {
            const conn = t.accept(listener, flag, "conn");
            look(t, conn);
            t.warmUp(conn);
            _ = t.recv(conn, 1, libc.MSG_DONTWAIT);
            t.sync("warm");
        }
        _ = t.accept(listener, 0x1, "none");
        _ = t.accept(listener, 0, "none");
        t.sync("accepted");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        var fds: [4]c_int = undefined;
        for (&fds) |*fd| fd.* = connection.connectTo(t, port, .{ .warm = false });
        t.sync("all connected");
        for (fds) |fd| {
            t.warmUp(fd);
            t.sync("warm");
        }
        t.sync("accepted");
    }
};

pub const non_blocking = struct {
    pub const summary = "a non-blocking accept: EAGAIN, POLLIN, the connection, EAGAIN";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        t.setNonBlocking(listener, true);
        t.pollNow(listener, libc.POLLIN | libc.POLLOUT);
        _ = t.accept(listener, 0, "none");
        t.sync("nobody there");
        t.untilEvents(listener, libc.POLLIN);
        t.pollNow(listener, libc.POLLIN | libc.POLLOUT);
        const conn = t.accept(listener, 0, "conn");
        _ = t.accept(listener, 0, "none");
        t.warmUp(conn);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        t.sync("nobody there");
        connectOnceTo(t, port);
    }
};

pub const wrong = struct {
    pub const summary = "accept and listen on what does not listen, on wrong flags and descriptors";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const conn = t.acceptFrom(listener, .{});
        _ = t.accept(conn, 0, "none");
        _ = t.accept(listener, 0x12345, "none");
        _ = t.accept(999, 0, "none");
        const pipes = t.pipe();
        _ = t.accept(pipes[0], 0, "none");
        t.begin("listen(conn)", .{});
        _ = t.result(libc.listen(conn, 5));
        t.begin("listen(pipe)", .{});
        _ = t.result(libc.listen(pipes[0], 5));
        t.begin("listen(listener), again", .{});
        _ = t.result(libc.listen(listener, 1));
        const bound: connection.Address = .loopback(.v4, 0);
        t.begin("bind(listener), again", .{});
        _ = t.result(libc.bind(listener, &bound.storage, bound.length));
        _ = t.send(listener, "x", libc.MSG_NOSIGNAL);
        _ = t.recv(listener, 1, 0);
        t.recvToEnd(conn, 10);
    }

    pub const client = connectOnce;
};

pub const in_order = struct {
    pub const summary = "connections are accepted in the order in which they were made";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        t.sync("all connected");
        for (0..4) |_| {
            const conn = t.accept(listener, 0, "conn");
            t.recvToEnd(conn, 10);
            _ = t.close(conn);
        }
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        for ([_][]const u8{ "one", "two", "three", "four" }) |name| {
            const conn = connection.connectTo(t, port, .{ .warm = false });
            _ = t.send(conn, name, 0);
            _ = t.close(conn);
        }
        t.sync("all connected");
    }
};

pub const by_threads = struct {
    pub const summary = "three threads accept on one listener and serve a connection each";
    pub const carrier: Carrier = .ring;

    var listener: c_int = -1;

    fn serve(t: *Side) void {
        const conn = t.acceptFrom(listener, .{});
        t.recvAll(conn, 4);
        _ = t.send(conn, "pong", 0);
        t.recvToEnd(conn, 10);
        _ = t.close(conn);
    }

    pub fn server(t: *Side) void {
        listener = t.listening(.{});
        var threads: [3]Side.Thread = undefined;
        for (&threads, [_][]const u8{ "one", "two", "three" }) |*thread, name| {
            t.spawn(thread, name, &serve);
        }
        for (&threads) |*thread| t.join(thread);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        var fds: [3]c_int = undefined;
        for (&fds) |*fd| fd.* = connection.connectTo(t, port, .{});
        for (fds) |fd| _ = t.send(fd, "ping", 0);
        for (fds) |fd| t.recvAll(fd, 4);
        for (fds) |fd| _ = t.close(fd);
    }
};

pub const closed_with_queue = struct {
    pub const summary = "a listener closed with connections in its queue resets them";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        t.sync("connected");
        _ = t.close(listener);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const conn = connection.connectTo(t, port, .{ .warm = false });
        _ = t.send(conn, "hello?", 0);
        t.sync("connected");
        t.sync("closed");
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.recv(conn, 10, 0);
        const late = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        t.label(late, "late");
        _ = t.connect(late, port);
    }
};

pub const shut_down = struct {
    pub const summary = "shutdown of a listener ends a blocked accept with EINVAL";
    pub const carrier: Carrier = .either;

    var listener: c_int = -1;

    fn accept(t: *Side) void {
        _ = t.accept(listener, 0, "none");
    }

    pub fn server(t: *Side) void {
        listener = t.listening(.{});
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "accepting", &accept);
        for (0..30) |_| t.pause();
        _ = t.shutdown(listener, libc.SHUT_RD);
        t.join(&thread);
        t.begin("listen again", .{});
        _ = t.result(libc.listen(listener, 5));
        t.tell("another port", connection.portOf(t, listener));
        const conn = t.accept(listener, 0, "conn");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        _ = t.hear("port");
        const port: u16 = @intCast(t.hear("another port"));
        const conn = connection.connectTo(t, port, .{ .warm = false });
        _ = t.send(conn, "hello", 0);
        _ = t.close(conn);
    }
};

pub const accept_timeout = struct {
    pub const summary = "SO_RCVTIMEO on a listener: accept gives up with EAGAIN";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        _ = t.setTimeout(listener, .RCVTIMEO, 50);
        _ = t.accept(listener, 0, "none");
        _ = t.setTimeout(listener, .RCVTIMEO, 0);
        t.sync("timed out");
        const conn = t.acceptFrom(listener, .{});
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        t.sync("timed out");
        connectOnceTo(t, port);
    }
};

pub const deferred = struct {
    pub const summary = "TCP_DEFER_ACCEPT: no connection to accept before its first byte";
    pub const carrier: Carrier = .ring;

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .DEFER_ACCEPT, 30);
    }

    pub fn server(t: *Side) void {
        const listener = t.listening(.{ .prepare = &prepare });
        t.getOption(listener, .DEFER_ACCEPT);
        t.setNonBlocking(listener, true);
        t.sync("connected");
        _ = t.accept(listener, 0, "none");
        t.pollNow(listener, libc.POLLIN);
        t.sync("nobody yet");
        t.untilEvents(listener, libc.POLLIN);
        const conn = t.accept(listener, 0, "conn");
        t.recvAll(conn, 5);
        t.warmUp(conn);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .warm = false });
        t.sync("connected");
        t.sync("nobody yet");
        _ = t.send(conn, "first", 0);
        t.warmUp(conn);
        _ = t.close(conn);
    }
};

pub const fast_open = struct {
    pub const summary = "TCP_FASTOPEN: sendto with MSG_FASTOPEN connects and carries its bytes";
    pub const carrier: Carrier = .ring;

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .FASTOPEN, 5);
    }

    pub fn server(t: *Side) void {
        const listener = t.listening(.{ .prepare = &prepare });
        for (0..2) |_| {
            const conn = t.acceptFrom(listener, .{ .warm = false });
            t.recvAll(conn, 6);
            t.warmUp(conn);
            _ = t.send(conn, "answer", 0);
            t.recvToEnd(conn, 10);
            _ = t.close(conn);
        }
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const address = connection.Address.loopback(.v4, port);
        for (0..2) |_| {
            const conn = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
            t.label(conn, "conn");
            t.begin("sendto(conn, \"eager!\", FASTOPEN)", .{});
            const n = libc.sendto(conn, "eager!", 6, libc.MSG_FASTOPEN, &address.storage, address.length);
            _ = t.result(n);
            t.warmUp(conn);
            t.recvAll(conn, 6);
            _ = t.close(conn);
        }
    }
};

pub const fast_open_connect = struct {
    pub const summary = "TCP_FASTOPEN_CONNECT: connect returns at once, the first write connects";
    pub const carrier: Carrier = .ring;

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .FASTOPEN_CONNECT, 1);
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .warm = false });
        t.recvAll(conn, 5);
        t.warmUp(conn);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .prepare = &prepare, .warm = false });
        t.peerName(conn);
        _ = t.write(conn, "first");
        t.warmUp(conn);
        _ = t.send(conn, "bye", 0);
        _ = t.close(conn);
    }
};

pub const one_port_two_listeners = struct {
    pub const summary = "SO_REUSEPORT: two listeners of one port share the connections";
    pub const carrier: Carrier = .ring;

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .REUSEPORT, 1);
    }

    pub fn server(t: *Side) void {
        const first = t.listening(.{ .prepare = &prepare });
        const second = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        prepare(t, second);
        const address = connection.Address.loopback(.v4, connection.portOf(t, first));
        t.begin("bind and listen", .{});
        _ = t.result(libc.bind(second, &address.storage, address.length));
        if (libc.listen(second, 16) != 0) t.fail("listen", .{});
        t.sync("both listen");
        var polled = [_]libc.pollfd{
            .{ .fd = first, .events = libc.POLLIN },
            .{ .fd = second, .events = libc.POLLIN },
        };
        for (0..12) |_| {
            _ = libc.poll(&polled, 2, -1);
            const ready = if (polled[0].revents != 0) first else second;
            const conn = t.acceptFrom(ready, .{});
            t.recvToEnd(conn, 10);
            _ = t.close(conn);
        }
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        t.sync("both listen");
        for (0..12) |_| {
            const conn = connection.connectTo(t, port, .{});
            _ = t.send(conn, "shared", 0);
            _ = t.close(conn);
        }
    }
};

pub const port_in_use = struct {
    pub const summary = "a port that is listened on cannot be bound or listened on twice";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const address = connection.Address.loopback(.v4, connection.portOf(t, listener));
        for ([_]Side.Option{ .KEEPALIVE, .REUSEADDR, .REUSEPORT }) |option| {
            const other = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
            t.label(other, "other");
            _ = t.setOption(other, option, 1);
            t.begin("bind(other)", .{});
            _ = t.result(libc.bind(other, &address.storage, address.length));
            _ = libc.close(other);
        }
        const conn = t.acceptFrom(listener, .{});
        t.recvToEnd(conn, 10);
    }

    pub const client = connectOnce;
};

pub const port_used_again = struct {
    pub const summary = "a listener closed and made anew on its port, with old connections alive";
    pub const carrier: Carrier = .ring;

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .REUSEADDR, 1);
    }

    pub fn server(t: *Side) void {
        var listener = t.listening(.{ .prepare = &prepare });
        const port = connection.portOf(t, listener);
        var olds: [3]c_int = undefined;
        for (&olds) |*old| {
            old.* = t.acceptFrom(listener, .{});
            _ = t.close(listener);
            listener = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
            t.label(listener, "listener");
            _ = t.setOption(listener, .REUSEADDR, 1);
            const address = connection.Address.loopback(.v4, port);
            t.begin("bind and listen", .{});
            _ = t.result(libc.bind(listener, &address.storage, address.length));
            if (libc.listen(listener, 16) != 0) t.fail("listen: {f}", .{text.errno(libc.errno())});
            t.sync("listening");
        }
        for (olds) |old| t.recvAll(old, 3);
        for (olds) |old| t.recvToEnd(old, 10);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        var fds: [3]c_int = undefined;
        for (&fds) |*fd| {
            fd.* = connection.connectTo(t, port, .{});
            t.sync("listening");
        }
        for (fds) |fd| _ = t.send(fd, "old", 0);
        for (fds) |fd| _ = t.close(fd);
    }
};

pub const listener_closed_before_traffic = struct {
    pub const summary = "a connection whose listener is closed before its first byte works";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const conn = t.acceptFrom(listener, .{ .warm = false });
        _ = t.close(listener);
        t.sync("closed");
        t.warmUp(conn);
        t.recvAll(conn, 5);
        _ = t.send(conn, "world", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .warm = false });
        t.sync("closed");
        t.warmUp(conn);
        _ = t.send(conn, "hello", 0);
        t.recvAll(conn, 5);
        _ = t.close(conn);
    }
};

pub const accept_by_poll = struct {
    pub const summary = "one poll over the listener and its connections serves them all";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        var polled: [4]libc.pollfd = undefined;
        polled[0] = .{ .fd = listener, .events = libc.POLLIN };
        var count: usize = 1;
        var served: usize = 0;
        while (served < 3) {
            if (libc.poll(&polled, count, -1) <= 0) t.fail("poll", .{});
            if (polled[0].revents != 0) {
                const conn = t.acceptFrom(listener, .{});
                polled[count] = .{ .fd = conn, .events = libc.POLLIN };
                count += 1;
                continue;
            }
            for (polled[1..count]) |*p| {
                if (p.revents == 0) continue;
                t.recvAll(p.fd, 4);
                _ = t.send(p.fd, "pong", 0);
                p.fd = -1;
                served += 1;
            }
        }
        t.sync("served");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        var fds: [3]c_int = undefined;
        for (&fds) |*fd| fd.* = connection.connectTo(t, port, .{});
        for (fds) |fd| {
            _ = t.send(fd, "ping", 0);
            t.recvAll(fd, 4);
        }
        t.sync("served");
    }
};
