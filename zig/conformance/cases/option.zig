//! Options: what they say, what they do, set before the connection exists and late.

const libc = @import("../libc.zig");
const text = @import("../text.zig");
const option_calls = @import("../calls_option.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

fn idle(t: *Side) void {
    const conn = t.accepted(.{});
    t.recvToEnd(conn, 100);
}

pub const receive_timeout = struct {
    pub const summary = "SO_RCVTIMEO set late: recv gives up with EAGAIN, then works again";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("timed out");
        _ = t.send(conn, "late", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setTimeout(conn, .RCVTIMEO, 60);
        t.getTimeout(conn, .RCVTIMEO);
        _ = t.recv(conn, 10, 0);
        _ = t.read(conn, 10);
        _ = t.recvmsg(conn, &.{10}, 0);
        t.sync("timed out");
        _ = t.recv(conn, 4, libc.MSG_WAITALL);
        _ = t.recv(conn, 4, libc.MSG_WAITALL);
        _ = t.setTimeout(conn, .RCVTIMEO, 0);
        t.getTimeout(conn, .RCVTIMEO);
        _ = t.close(conn);
    }
};

pub const receive_timeout_before = struct {
    pub const summary = "SO_RCVTIMEO set before connect, and on the listener, holds";
    pub const carrier: Carrier = .ring;

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setTimeout(fd, .RCVTIMEO, 500);
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .prepare = &prepare });
        t.getTimeout(conn, .RCVTIMEO);
        t.sync("ready");
        _ = t.recv(conn, 10, 0);
        t.sync("timed out");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .prepare = &prepare });
        t.getTimeout(conn, .RCVTIMEO);
        t.sync("ready");
        _ = t.recv(conn, 10, 0);
        t.sync("timed out");
    }
};

pub const receive_timeout_partial = struct {
    pub const summary = "SO_RCVTIMEO with MSG_WAITALL gives what has come by then";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "half", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setTimeout(conn, .RCVTIMEO, 80);
        t.untilQueued(conn, 4);
        _ = t.recv(conn, 8, libc.MSG_WAITALL);
        _ = t.recv(conn, 8, libc.MSG_WAITALL);
        _ = t.close(conn);
    }
};

pub const send_timeout = struct {
    pub const summary = "SO_SNDTIMEO: a send into a full stream gives up, partly done, then EAGAIN";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("given up");
        t.recvToEnd(conn, 100 << 20);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setTimeout(conn, .SNDTIMEO, 150);
        const bytes = t.pattern(32 << 20, 3);
        var rest: []const u8 = bytes;
        t.begin("send 32 MiB", .{});
        while (rest.len > 0) {
            const n = libc.send(conn, rest.ptr, rest.len, 0);
            if (n < 0) break;
            rest = rest[@intCast(n)..];
        }
        const part = if (rest.len > 0 and rest.len < bytes.len) "a part" else "not a part";
        t.end(": {s}, then {f}", .{ part, text.errno(libc.errno()) });
        t.sync("given up");
        _ = t.setTimeout(conn, .SNDTIMEO, 0);
        while (rest.len > 0) {
            const n = libc.send(conn, rest.ptr, rest.len, 0);
            if (n < 0) t.fail("send of the rest", .{});
            rest = rest[@intCast(n)..];
        }
        _ = t.close(conn);
    }
};

pub const timeouts_wrong = struct {
    pub const summary = "timeouts that are negative, too short or not valid";
    pub const carrier: Carrier = .ring;
    pub const server = idle;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for ([_]libc.timeval{
            .{ .sec = 0, .usec = 1_000_000 },
            .{ .sec = 0, .usec = -1 },
            .{ .sec = -1, .usec = 0 },
        }) |value| {
            t.begin("setsockopt(conn, SO_RCVTIMEO, {d} {d})", .{ value.sec, value.usec });
            _ = t.result(libc.setsockopt(conn, libc.SOL_SOCKET, 20, &value, @sizeOf(libc.timeval)));
            t.getTimeout(conn, .RCVTIMEO);
        }
        _ = t.setOption(conn, .RCVTIMEO, 5);
        _ = t.recv(conn, 1, libc.MSG_DONTWAIT);
        _ = t.close(conn);
    }
};

pub const low_water = struct {
    pub const summary = "SO_RCVLOWAT set late: poll and recv wait for so many bytes";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "123", 0);
        t.sync("three");
        t.sync("looked");
        _ = t.send(conn, "45", 0);
        t.sync("five");
        t.sync("read");
        for (0..20) |_| t.pause();
        _ = t.send(conn, "6789abc", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setOption(conn, .RCVLOWAT, 5);
        t.getOption(conn, .RCVLOWAT);
        t.sync("three");
        t.untilQueued(conn, 3);
        t.pollNow(conn, libc.POLLIN);
        _ = t.recv(conn, 10, libc.MSG_DONTWAIT | libc.MSG_PEEK);
        t.sync("looked");
        t.sync("five");
        t.untilEvents(conn, libc.POLLIN);
        _ = t.recv(conn, 10, 0);
        t.sync("read");
        _ = t.recv(conn, 10, 0);
        _ = t.close(conn);
    }
};

pub const low_water_lowered = struct {
    pub const summary = "SO_RCVLOWAT is lowered to what is there already: epoll tells of it, level-triggered too";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        _ = t.setOption(conn, .RCVLOWAT, 10);
        wait.epollAdd(t, ep, conn, wait.IN, 7);
        wait.epollWait(t, ep, 8, 20);
        t.sync("asleep once");
        t.sync("three");
        t.untilQueued(conn, 3);
        wait.epollWait(t, ep, 8, 20);
        _ = t.setOption(conn, .RCVLOWAT, 3);
        wait.epollWait(t, ep, 8, 1000);
        _ = t.recv(conn, 10, 0);
        wait.epollWait(t, ep, 8, 0);
        t.sync("read");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("asleep once");
        _ = t.send(conn, "123", 0);
        t.sync("three");
        t.sync("read");
    }
};

pub const low_water_small_read = struct {
    pub const summary = "SO_RCVLOWAT above what is asked for waits only for what is asked for";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "abcdef", 0);
        t.sync("sent");
        t.sync("read");
        _ = t.send(conn, "gh", 0);
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setOption(conn, .RCVLOWAT, 100);
        t.getOption(conn, .RCVLOWAT);
        t.sync("sent");
        t.untilQueued(conn, 6);
        _ = t.recv(conn, 4, 0);
        _ = t.recv(conn, 2, 0);
        t.sync("read");
        t.sync("closed");
        t.untilEvents(conn, libc.POLLRDHUP);
        t.pollNow(conn, libc.POLLIN);
        _ = t.recv(conn, 50, 0);
        _ = t.recv(conn, 50, 0);
    }
};

pub const low_water_blocks = struct {
    pub const summary = "with SO_RCVLOWAT a blocked recv does not return with less, until its timeout";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "12", 0);
        t.sync("two");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setOption(conn, .RCVLOWAT, 5);
        _ = t.setTimeout(conn, .RCVTIMEO, 100);
        t.sync("two");
        t.untilQueued(conn, 2);
        t.begin("recv waits", .{});
        var buffer: [10]u8 = undefined;
        var before: libc.timespec = undefined;
        var after: libc.timespec = undefined;
        _ = libc.clock_gettime(libc.CLOCK_MONOTONIC, &before);
        const n = libc.recv(conn, &buffer, 10, 0);
        _ = libc.clock_gettime(libc.CLOCK_MONOTONIC, &after);
        const ns = (after.sec - before.sec) * 1_000_000_000 + after.nsec - before.nsec;
        t.end(" = {d}, {s}", .{ n, if (ns >= 90_000_000) "after its timeout" else "too early" });
        _ = t.close(conn);
    }
};

pub const buffer_sizes = struct {
    pub const summary = "SO_SNDBUF and SO_RCVBUF before connect and late: values and traffic";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .SNDBUF, 8192);
        _ = t.setOption(fd, .RCVBUF, 8192);
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .prepare = &prepare });
        t.getOption(conn, .SNDBUF);
        t.getOption(conn, .RCVBUF);
        t.recvToEnd(conn, 2 << 20);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .prepare = &prepare });
        _ = t.setOption(conn, .SNDBUF, 100_000);
        t.getOption(conn, .SNDBUF);
        _ = t.setOption(conn, .RCVBUF, 1);
        t.getOption(conn, .RCVBUF);
        t.sendAll(conn, t.pattern(1 << 20, 6));
        _ = t.close(conn);
    }
};

pub const no_delay_and_cork = struct {
    pub const summary = "TCP_NODELAY, TCP_CORK, TCP_QUICKACK: values, and bytes arrive";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvAll(conn, 9);
        _ = t.send(conn, "ok", 0);
        t.recvToEnd(conn, 100);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.getOption(conn, .NODELAY);
        _ = t.setOption(conn, .NODELAY, 1);
        t.getOption(conn, .NODELAY);
        _ = t.setOption(conn, .QUICKACK, 0);
        _ = t.setOption(conn, .CORK, 1);
        t.getOption(conn, .CORK);
        _ = t.send(conn, "abc", 0);
        _ = t.send(conn, "def", 0);
        _ = t.send(conn, "ghi", 0);
        _ = t.setOption(conn, .CORK, 0);
        t.recvAll(conn, 2);
        _ = t.setOption(conn, .CORK, 1);
        _ = t.send(conn, "corked until close", 0);
        _ = t.close(conn);
    }
};

pub const cork_goes_along = struct {
    pub const summary = "TCP_CORK is the socket's: bytes that leave the ring find it, and so does a forked child";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"urgent_data"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for (0..2) |_| {
            t.recvAll(conn, 6);
            _ = t.send(conn, "ok", 0);
        }
        t.recvToEnd(conn, 100);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        answer(t, conn, 1);
        answer(t, conn, 0);
        _ = t.setOptionBytes(conn, .CORK, "abc");
        _ = t.setOption(conn, .CORK, 7);
        t.getOption(conn, .CORK);
        _ = t.setOption(conn, .CORK, 0);
        _ = t.setOption(conn, .CORK, 1);
        if (t.fork("child")) |c| {
            var child = c;
            option_calls.getOptionOfKernel(&child, conn, .CORK);
            _ = child.setOption(conn, .CORK, 0);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        option_calls.getOptionOfKernel(t, conn, .CORK);
        _ = t.setOption(conn, .CORK, 1);
        // Urgent data leaves the ring.
        _ = t.send(conn, "abc", 0);
        _ = t.send(conn, "!", libc.MSG_OOB);
        option_calls.getOptionOfKernel(t, conn, .CORK);
        _ = t.setOption(conn, .CORK, 0);
        _ = t.close(conn);
    }

    fn answer(t: *Side, conn: c_int, comptime nth: u1) void {
        _ = t.setOption(conn, .CORK, 1);
        _ = t.send(conn, "abc", 0);
        if (nth == 0) t.getOption(conn, .CORK);
        _ = t.send(conn, "def", 0);
        _ = t.setOption(conn, .CORK, 0);
        t.recvAll(conn, 2);
    }
};

pub const keepalive = struct {
    pub const summary = "keepalive and TCP_USER_TIMEOUT: values, limits, and the stream goes on";
    pub const carrier: Carrier = .ring;
    pub const server = idle;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setOption(conn, .KEEPALIVE, 1);
        t.getOption(conn, .KEEPALIVE);
        _ = t.setOption(conn, .KEEPIDLE, 33);
        _ = t.setOption(conn, .KEEPINTVL, 44);
        _ = t.setOption(conn, .KEEPCNT, 5);
        _ = t.setOption(conn, .KEEPCNT, 500);
        t.getOption(conn, .KEEPIDLE);
        t.getOption(conn, .KEEPINTVL);
        t.getOption(conn, .KEEPCNT);
        _ = t.setOption(conn, .USER_TIMEOUT, 5000);
        _ = t.setOption(conn, .USER_TIMEOUT, -5);
        t.getOption(conn, .USER_TIMEOUT);
        _ = t.send(conn, "alive", 0);
        _ = t.close(conn);
    }
};

pub const defaults = struct {
    pub const summary = "what a connection's options are when nobody has set any";
    pub const carrier: Carrier = .ring;

    fn look(t: *Side, conn: c_int) void {
        for ([_]Side.Option{
            .TYPE,         .PROTOCOL,      .DOMAIN,    .ACCEPTCONN, .ERROR,    .REUSEADDR,
            .REUSEPORT,    .KEEPALIVE,     .OOBINLINE, .RCVLOWAT,   .SNDLOWAT, .PRIORITY,
            .BROADCAST,    .DONTROUTE,     .NODELAY,   .CORK,       .KEEPIDLE, .KEEPINTVL,
            .KEEPCNT,      .SYNCNT,        .LINGER2,   .TOS,        .ZEROCOPY, .USER_TIMEOUT,
            .DEFER_ACCEPT, .NOTSENT_LOWAT,
        }) |option| t.getOption(conn, option);
        t.getTimeout(conn, .RCVTIMEO);
        t.getTimeout(conn, .SNDTIMEO);
        t.isNonBlocking(conn);
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        look(t, conn);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        look(t, conn);
        _ = t.close(conn);
    }
};

pub const inherited = struct {
    pub const summary = "an accepted connection has its listener's options";
    pub const carrier: Carrier = .ring;

    fn prepare(t: *Side, fd: c_int) void {
        _ = t.setOption(fd, .KEEPALIVE, 1);
        _ = t.setOption(fd, .NODELAY, 1);
        _ = t.setOption(fd, .OOBINLINE, 1);
        _ = t.setOption(fd, .RCVLOWAT, 2);
        _ = t.setOption(fd, .KEEPIDLE, 77);
        _ = t.setLinger(fd, 1, 3);
        t.setNonBlocking(fd, false);
    }

    pub fn server(t: *Side) void {
        const listener = t.listening(.{ .prepare = &prepare });
        const conn = t.acceptFrom(listener, .{ .warm = false });
        t.getOption(conn, .KEEPALIVE);
        t.getOption(conn, .NODELAY);
        t.getOption(conn, .OOBINLINE);
        t.getOption(conn, .RCVLOWAT);
        t.getOption(conn, .KEEPIDLE);
        t.getOption(conn, .LINGER);
        t.getOption(conn, .ACCEPTCONN);
        t.getOption(listener, .ACCEPTCONN);
        _ = t.setOption(conn, .RCVLOWAT, 1);
        t.warmUp(conn);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "bye", 0);
        _ = t.close(conn);
    }
};

pub const odd_options = struct {
    pub const summary = "rarer options: set, and read back";
    pub const carrier: Carrier = .ring;
    pub const server = idle;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for ([_]struct { Side.Option, c_int }{
            .{ .PRIORITY, 3 },      .{ .BUSY_POLL, 50 },   .{ .INCOMING_CPU, 0 },
            .{ .SYNCNT, 4 },        .{ .LINGER2, 9 },      .{ .WINDOW_CLAMP, 30_000 },
            .{ .NOTSENT_LOWAT, 1 }, .{ .TOS, 0x10 },       .{ .DONTROUTE, 1 },
            .{ .SNDLOWAT, 5 },      .{ .BROADCAST, 1 },    .{ .REUSEPORT, 1 },
            .{ .ZEROCOPY, 1 },      .{ .DEFER_ACCEPT, 3 }, .{ .PEEK_OFF, -1 },
        }) |pair| {
            _ = t.setOption(conn, pair[0], pair[1]);
            t.getOption(conn, pair[0]);
        }
        _ = t.send(conn, "still here", 0);
        _ = t.close(conn);
    }
};

pub const wrong_options = struct {
    pub const summary = "unknown options and levels, wrong lengths, wrong descriptors";
    pub const carrier: Carrier = .ring;
    pub const server = idle;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const pipes = t.pipe();
        const unknown: Side.Option = .{ .level = libc.SOL_SOCKET, .number = 9999, .name = "unknown" };
        const no_level: Side.Option = .{ .level = 12345, .number = 1, .name = "no level" };
        const read_only: Side.Option = .TYPE;
        inline for (.{ unknown, no_level, read_only }) |option| {
            _ = t.setOption(conn, option, 1);
            t.getOption(conn, option);
        }
        _ = t.setOptionBytes(conn, .RCVLOWAT, "ab");
        _ = t.setOptionBytes(conn, .NODELAY, "");
        _ = t.setOptionBytes(conn, .LINGER, "abcd");
        _ = t.setOption(conn, .RCVLOWAT, -1);
        t.getOption(conn, .RCVLOWAT);
        _ = t.setOption(pipes[0], .KEEPALIVE, 1);
        t.getOption(pipes[0], .KEEPALIVE);
        _ = t.setOption(-1, .KEEPALIVE, 1);
        t.getOption(999, .KEEPALIVE);
        _ = t.close(conn);
    }
};

pub const linger_in_time = struct {
    pub const summary = "SO_LINGER with time: close returns when everything is acknowledged";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 200_000);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setLinger(conn, 1, 10);
        t.getOption(conn, .LINGER);
        t.sendAll(conn, t.pattern(100_000, 2));
        _ = t.close(conn);
    }
};

pub const linger_off_again = struct {
    pub const summary = "SO_LINGER with 0 s taken back: close is orderly again";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 100);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setLinger(conn, 1, 0);
        _ = t.setLinger(conn, 0, 0);
        _ = t.send(conn, "orderly", 0);
        _ = t.close(conn);
    }
};

pub const states = struct {
    pub const summary = "TCP_INFO's state through a connection's life";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.tcpState(conn);
        t.sync("open");
        t.sync("half closed");
        t.untilEvents(conn, libc.POLLRDHUP);
        t.tcpState(conn);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.tcpState(conn);
        t.sync("open");
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("half closed");
        t.sync("closed");
        t.untilEvents(conn, libc.POLLHUP);
        t.tcpState(conn);
        const fresh = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        t.label(fresh, "fresh");
        t.tcpState(fresh);
    }
};

pub const error_once = struct {
    pub const summary = "SO_ERROR gives a reset once, and what follows sees the end";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("reset");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        t.getOption(conn, .ERROR);
        t.getOption(conn, .ERROR);
        t.pollNow(conn, libc.POLLIN | libc.POLLOUT);
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.peerName(conn);
    }
};
