//! Other descriptors beside an accelerated connection: UDP, Unix sockets, pipes, files, eventfds.
//! The library must not touch them.

const libc = @import("../libc.zig");
const text = @import("../text.zig");
const connection = @import("../connection.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

fn sink(t: *Side) void {
    const conn = t.accepted(.{});
    t.recvToEnd(conn, 1000);
}

pub const datagrams = struct {
    pub const summary = "UDP: borders, truncation, addresses, refusal, connected and not";
    pub const carrier: Carrier = .ring;

    fn open(t: *Side) c_int {
        const fd = libc.socket(libc.AF_INET, libc.SOCK_DGRAM, 0);
        t.label(fd, "udp");
        const address = connection.Address.loopback(.v4, 0);
        if (libc.bind(fd, &address.storage, address.length) != 0) t.fail("bind", .{});
        return fd;
    }

    fn connectUdp(t: *Side, fd: c_int, port: u16) void {
        const address = connection.Address.loopback(.v4, port);
        t.begin("connect(udp)", .{});
        _ = t.result(libc.connect(fd, &address.storage, address.length));
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const udp = open(t);
        t.tell("udp port", connection.portOf(t, udp));
        connectUdp(t, udp, @intCast(t.hear("other udp port")));
        _ = t.send(udp, "one", 0);
        _ = t.send(udp, "", 0);
        _ = t.sendmmsg(udp, &.{ "two", "three" }, 0);
        t.recvToEnd(conn, 10);
        _ = t.close(udp);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const udp = open(t);
        t.tell("other udp port", connection.portOf(t, udp));
        connectUdp(t, udp, @intCast(t.hear("udp port")));
        _ = t.recv(udp, 2, libc.MSG_TRUNC);
        _ = t.recv(udp, 10, 0);
        _ = t.recvmsg(udp, &.{1}, 0);
        _ = t.recvmsg(udp, &.{10}, 0);
        _ = t.recv(udp, 10, libc.MSG_DONTWAIT);
        _ = t.send(conn, "bye", 0);
        _ = t.close(conn);
        t.sync("closed");
        _ = t.send(udp, "x", 0);
        t.untilEvents(udp, libc.POLLERR);
        _ = t.recv(udp, 10, 0);
    }
};

pub const unix_pairs = struct {
    pub const summary = "Unix socket pairs: streams, packets, the end, EPIPE";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        t.catchSignal(libc.SIGPIPE, true);
        const conn = t.connected(.{});
        for ([_]c_int{ libc.SOCK_STREAM, libc.SOCK_DGRAM, libc.SOCK_SEQPACKET }) |kind| {
            var pair: [2]c_int = undefined;
            if (libc.socketpair(libc.AF_UNIX, kind, 0, &pair) != 0) t.fail("socketpair", .{});
            t.label(pair[0], "one");
            t.label(pair[1], "other");
            _ = t.send(pair[0], "first", 0);
            _ = t.write(pair[0], "second");
            _ = t.recv(pair[1], 3, 0);
            _ = t.recv(pair[1], 20, 0);
            _ = t.recv(pair[1], 20, libc.MSG_DONTWAIT);
            t.queued(pair[1]);
            t.peerName(pair[1]);
            t.getOption(pair[1], .DOMAIN);
            _ = t.close(pair[0]);
            _ = t.send(pair[1], "x", 0);
            t.caught(libc.SIGPIPE);
            _ = t.close(pair[1]);
        }
        _ = t.send(conn, "fine", 0);
        _ = t.close(conn);
    }
};

pub const pipes = struct {
    pub const summary = "pipes: order, the end, EPIPE, EAGAIN, between writes to the connection";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        t.catchSignal(libc.SIGPIPE, true);
        const conn = t.connected(.{});
        const ends = t.pipe();
        for ([_][]const u8{ "one ", "two ", "three " }) |word| {
            _ = t.write(ends[1], word);
            _ = t.write(conn, word);
        }
        _ = t.read(ends[0], 20);
        t.setNonBlocking(ends[0], true);
        _ = t.read(ends[0], 20);
        t.pollNow(ends[0], libc.POLLIN);
        _ = t.close(ends[1]);
        t.pollNow(ends[0], libc.POLLIN);
        _ = t.read(ends[0], 20);
        const other = t.pipe();
        _ = t.close(other[0]);
        _ = t.write(other[1], "x");
        t.caught(libc.SIGPIPE);
        _ = t.close(conn);
    }
};

pub const files = struct {
    pub const summary = "files: read, pread, writev, seek, truncate, between reads of the connection";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for (0..3) |_| _ = t.write(conn, "abcd");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const file = t.file("0123456789");
        t.untilQueued(conn, 12);
        for (0..3) |_| {
            _ = t.read(file, 3);
            _ = t.read(conn, 4);
        }
        _ = t.pread(file, 4, 2);
        _ = t.pwrite(file, "XY", 1);
        _ = t.lseek(file, 0, 0);
        _ = t.writev(file, &.{ "a", "", "bc" });
        _ = t.lseek(file, -4, 2);
        _ = t.readv(file, &.{ 2, 5 });
        _ = t.pread(file, 10, 0);
        _ = t.fsync(file);
        _ = t.close(conn);
        _ = t.close(file);
    }
};

pub const polled_together = struct {
    pub const summary = "one poll over connection, UDP, pipe, eventfd and file: each says its own";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("quiet");
        _ = t.send(conn, "!", 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const five = [8]u8{ 5, 0, 0, 0, 0, 0, 0, 0 };
        const ends = t.pipe();
        const event = libc.eventfd(0, 0);
        t.label(event, "eventfd");
        const file = t.file("text");
        const udp = libc.socket(libc.AF_INET, libc.SOCK_DGRAM, 0);
        t.label(udp, "udp");
        var polled = [_]libc.pollfd{
            .{ .fd = conn, .events = libc.POLLIN },
            .{ .fd = ends[0], .events = libc.POLLIN },
            .{ .fd = event, .events = libc.POLLIN | libc.POLLOUT },
            .{ .fd = udp, .events = libc.POLLIN | libc.POLLOUT },
            .{ .fd = -1, .events = libc.POLLIN },
            .{ .fd = 999, .events = libc.POLLIN },
            .{ .fd = file, .events = libc.POLLIN },
        };
        look(t, &polled);
        t.sync("quiet");
        t.sync("sent");
        t.untilEvents(conn, libc.POLLIN);
        _ = t.write(ends[1], "x");
        _ = t.write(event, &five);
        look(t, &polled);
        _ = t.recv(conn, 1, 0);
        _ = t.read(ends[0], 1);
        _ = t.read(event, 8);
        look(t, &polled);
        _ = t.close(conn);
    }

    fn look(t: *Side, polled: []libc.pollfd) void {
        t.pause(); // rings may answer alone for some microseconds after a look at the kernel
        t.begin("poll of {d}", .{polled.len});
        const n = libc.poll(polled.ptr, polled.len, 0);
        t.end(" = {d}: {f}, {f}, {f}, {f}, {f}, {f}, {f}", .{
            n,
            text.events(polled[0].revents),
            text.events(polled[1].revents),
            text.events(polled[2].revents),
            text.events(polled[3].revents),
            text.events(polled[4].revents),
            text.events(polled[5].revents),
            text.events(polled[6].revents),
        });
    }
};

pub const plain_tcp_options = struct {
    pub const summary = "a socket that is never connected: its options, its errors, its close";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        t.catchSignal(libc.SIGPIPE, true);
        const conn = t.connected(.{});
        const fresh = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        t.label(fresh, "fresh");
        _ = t.setOption(fresh, .NODELAY, 1);
        t.getOption(fresh, .NODELAY);
        _ = t.read(fresh, 1);
        _ = t.write(fresh, "x");
        t.caught(libc.SIGPIPE);
        t.sockName(fresh);
        t.peerName(fresh);
        t.pollNow(fresh, libc.POLLIN | libc.POLLOUT);
        _ = t.close(fresh);
        _ = t.send(conn, "fine", 0);
        _ = t.close(conn);
    }
};
