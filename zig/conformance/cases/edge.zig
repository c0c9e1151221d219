//! Edge-triggered epoll: what makes an edge, and what an edge tells.

const libc = @import("../libc.zig");
const rights = @import("../rights.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

/// Sends so many bytes at each step.
fn sendAtSteps(t: *Side, comptime steps: []const []const u8) void {
    const conn = t.connected(.{});
    inline for (steps, 0..) |bytes, i| {
        t.sync("step" ++ .{'0' + i});
        _ = t.send(conn, bytes, 0);
        t.sync("sent" ++ .{'0' + i});
    }
    t.sync("done");
}

fn arrive(t: *Side, conn: c_int, comptime step: u8, queued: c_int) void {
    t.sync("step" ++ .{step});
    t.sync("sent" ++ .{step});
    t.untilQueued(conn, queued);
}

pub const low_water = struct {
    pub const summary = "with SO_RCVLOWAT an edge comes when so many bytes are there, or are asked for";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        _ = t.setOption(conn, .RCVLOWAT, 10);
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 7);
        arrive(t, conn, '0', 3);
        wait.epollWait(t, ep, 8, 0);
        arrive(t, conn, '1', 12);
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
        _ = t.setOption(conn, .RCVLOWAT, 1);
        wait.epollWait(t, ep, 8, 0);
        _ = t.setOption(conn, .RCVLOWAT, 100);
        wait.epollWait(t, ep, 8, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtSteps(t, &.{ "abc", "defghijkl" });
    }
};

pub const already_read = struct {
    pub const summary = "an arrival that has been read is an edge still: it tells OUT, or nothing";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.OUT | wait.ET, 7);
        wait.epollWait(t, ep, 8, 0);
        arrive(t, conn, '0', 3);
        t.recvAll(conn, 3);
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtSteps(t, &.{"abc"});
    }
};

pub const shut = struct {
    pub const summary = "a shutdown of one's own is an edge of everything that is true";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.OUT | wait.ET, 7);
        wait.epollWait(t, ep, 8, 0);
        arrive(t, conn, '0', 3);
        wait.epollWait(t, ep, 8, 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtSteps(t, &.{"abc"});
    }
};

pub const behind_unread = struct {
    pub const summary = "an arrival behind unread bytes is an edge, also when a ring takes over in between";
    pub const carrier: Carrier = .ring;
    const exchanges = 10;

    pub fn server(t: *Side) void {
        exchange(t, t.acceptedSecond());
    }

    pub fn client(t: *Side) void {
        exchange(t, t.connectedSecond());
    }

    /// Both send, and neither receives.
    fn exchange(t: *Side, conn: c_int) void {
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 7);
        for (0..exchanges) |i| {
            _ = t.send(conn, "x", 0);
            t.sync("sent");
            t.untilQueued(conn, @intCast(i + 1));
            wait.epollWait(t, ep, 8, 0);
            wait.epollWait(t, ep, 8, 0);
            t.sync("told");
        }
        t.recvAll(conn, exchanges);
        wait.epollWait(t, ep, 8, 0);
    }
};

pub const low_water_behind_ring = struct {
    pub const summary = "SO_RCVLOWAT is reached by few bytes of the kernel's behind unread ones of a ring: an edge";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.RDHUP | wait.ET, 7);
        arrive(t, conn, '0', 12);
        wait.epollWait(t, ep, 8, 0);
        _ = t.setOption(conn, .RCVLOWAT, 10);
        _ = t.shutdown(conn, libc.SHUT_WR);
        wait.epollWait(t, ep, 8, 0);
        inline for (.{ '1', '2', '3' }, .{ 15, 18, 24 }) |step, queued| {
            arrive(t, conn, step, queued);
            wait.epollWait(t, ep, 8, 0);
            wait.epollWait(t, ep, 8, 0);
        }
        t.recvAll(conn, 12);
        wait.epollWait(t, ep, 8, 0);
        t.recvAll(conn, 6);
        wait.epollWait(t, ep, 8, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        inline for (.{ "abcdefghijkl", "mno", "pqr", "stuvwx" }, 0..) |bytes, i| {
            const step = .{'0' + i};
            t.sync("step" ++ step);
            t.pause();
            if (i == 1) t.pollNow(conn, libc.POLLIN); // sees the half close, and leaves the ring
            _ = t.send(conn, bytes, 0);
            t.sync("sent" ++ step);
        }
        t.sync("done");
    }
};

pub const once_after_passing = struct {
    pub const summary = "a ONESHOT edge of bytes read by ring tells of the reset that came after the ring was left";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"fd_passed"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET | wait.ONESHOT, 7);
        arrive(t, conn, '0', 5);
        t.recvAll(conn, 5);
        t.note("passed: {}", .{rights.passToSelf(conn) >= 0});
        t.sync("passed");
        t.sync("reset");
        t.pause(); // nobody looks before epoll does
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("step0");
        _ = t.send(conn, "abcde", 0);
        t.sync("sent0");
        t.sync("passed");
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("reset");
    }
};

pub const low_water_behind_unread = struct {
    pub const summary = "SO_RCVLOWAT counts unread bytes of both carriers, for poll and for epoll";
    pub const carrier: Carrier = .ring;
    const exchanges = 10;

    pub fn server(t: *Side) void {
        exchange(t, t.acceptedSecond());
    }

    pub fn client(t: *Side) void {
        exchange(t, t.connectedSecond());
    }

    fn exchange(t: *Side, conn: c_int) void {
        _ = t.setOption(conn, .RCVLOWAT, exchanges);
        const level = wait.epollCreate(t, "level");
        wait.epollAdd(t, level, conn, wait.IN, 7);
        const edge = wait.epollCreate(t, "edge");
        wait.epollAdd(t, edge, conn, wait.IN | wait.ET, 7);
        for (0..exchanges) |i| {
            _ = t.send(conn, "x", 0);
            t.sync("sent");
            t.untilQueued(conn, @intCast(i + 1));
            t.pollNow(conn, libc.POLLIN);
            wait.epollWait(t, level, 8, 0);
            wait.epollWait(t, edge, 8, 0);
            wait.epollWait(t, edge, 8, 0);
            t.sync("told");
        }
    }
};

pub const read_and_moved = struct {
    pub const summary = "an arrival that has been read is an edge still after the connection has moved to TCP";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "stdio", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        _ = t.shutdown(conn, libc.SHUT_RD);
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 7);
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
        arrive(t, conn, '0', 3);
        t.recvAll(conn, 3);
        t.begin("dprintf", .{});
        _ = t.result(libc.dprintf(conn, "x"));
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtSteps(t, &.{"abc"});
    }
};

pub const read_where_entered = struct {
    pub const summary = "an arrival that has been read is an edge still where a ring has just taken over";
    pub const carrier: Carrier = .ring;
    const exchanges = 10;

    /// After a shutdown there is always something to receive, if only the end.
    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        const ep = wait.epollCreate(t, "ep");
        _ = t.shutdown(conn, libc.SHUT_RD);
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 7);
        wait.epollWait(t, ep, 8, 0);
        for (0..exchanges) |_| {
            t.sync("told");
            t.sync("sent");
            t.untilQueued(conn, 1);
            t.recvAll(conn, 1);
            wait.epollWait(t, ep, 8, 0);
            wait.epollWait(t, ep, 8, 0);
        }
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        for (0..exchanges) |_| {
            t.sync("told");
            _ = t.send(conn, "x", 0);
            t.sync("sent");
        }
        t.sync("done");
    }
};

pub const low_water_read_in_part = struct {
    pub const summary = "what has been read is an edge still if there was as much as SO_RCVLOWAT, and only then";
    pub const carrier: Carrier = .ring;

    /// After a shutdown there is always something to receive, if only the end.
    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        _ = t.setOption(conn, .RCVLOWAT, 10);
        _ = t.shutdown(conn, libc.SHUT_RD);
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 7);
        wait.epollWait(t, ep, 8, 0);
        arrive(t, conn, '0', 12);
        t.recvAll(conn, 8);
        wait.epollWait(t, ep, 8, 0);
        t.recvAll(conn, 4);
        arrive(t, conn, '1', 3);
        _ = t.recv(conn, 3, libc.MSG_DONTWAIT);
        wait.epollWait(t, ep, 8, 0);
        arrive(t, conn, '2', 11);
        t.recvAll(conn, 11);
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtSteps(t, &.{ "abcdefghijkl", "abc", "abcdefghijk" });
    }
};

pub const counted_behind_gap = struct {
    pub const summary = "who reads as many bytes as FIONREAD counted is told of all that come later, by whichever way";
    pub const carrier: Carrier = .ring;
    const by_tcp = 160_000;
    const piece = 10_000;
    const pieces = 10;
    const total = by_tcp + pieces * piece;

    /// More than the other side's window takes: the rest waits in this side's queue, and a ring takes
    /// over behind it.
    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        _ = t.setOption(conn, .SNDBUF, 400_000);
        const bytes: [by_tcp]u8 = @splat('x');
        t.sendAll(conn, &bytes);
        t.sync("window full");
        t.sync("offered");
        for (0..pieces) |_| t.sendAll(conn, bytes[0..piece]);
        t.sync("sent");
        t.recvAll(conn, 1);
    }

    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        t.sync("window full");
        for (0..4) |_| _ = t.recv(conn, 1, 0);
        t.sync("offered");
        t.sync("sent");
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 7);
        t.begin("-- receive at edges", .{});
        var got: usize = 4;
        while (got < total and wait.epollTake(ep, told_within_ms) != null) got += receiveCounted(conn);
        t.end(": {d} bytes", .{got});
        _ = t.send(conn, "x", 0);
    }

    const told_within_ms = 3000;

    /// As nginx does it after an edge: asks once how much there is, and reads so much or, by the way,
    /// a little more.
    fn receiveCounted(conn: c_int) usize {
        var buffer: [4096]u8 = undefined;
        var got: usize = 0;
        var counted: ?usize = null;
        while (counted == null or got < counted.?) {
            const n = libc.recv(conn, &buffer, buffer.len, libc.MSG_DONTWAIT);
            if (n <= 0) break;
            got += @intCast(n);
            if (n < buffer.len) break;
            if (counted != null) continue;
            var left: c_int = 0;
            if (libc.ioctl(conn, libc.FIONREAD, &left) != 0) break;
            counted = got + @as(usize, @intCast(left));
        }
        return got;
    }
};
