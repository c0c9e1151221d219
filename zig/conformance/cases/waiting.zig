//! poll and select, with their variants, over connections and the kernel's own descriptors.

const libc = @import("../libc.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

const long = 10_000;
const SIGUSR1 = 10;

fn sendAtOnce(t: *Side) void {
    const conn = t.connected(.{});
    t.sync("send");
    _ = t.send(conn, "abc", 0);
    t.sync("sent");
    t.sync("done");
}

fn sent(t: *Side, conn: c_int) void {
    t.sync("send");
    t.sync("sent");
    t.untilQueued(conn, 3);
}

pub const poll_events = struct {
    pub const summary = "poll tells IN, OUT, both, and nothing that was not asked for";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        wait.pollMany(t, &.{.{ .fd = conn, .events = libc.POLLIN }}, 0);
        wait.pollMany(t, &.{.{ .fd = conn, .events = libc.POLLOUT }}, -1);
        sent(t, conn);
        wait.pollMany(t, &.{.{ .fd = conn, .events = libc.POLLIN | libc.POLLOUT | libc.POLLPRI }}, -1);
        wait.pollMany(t, &.{.{ .fd = conn, .events = 0x40 | 0x100 }}, -1);
        wait.pollMany(t, &.{.{ .fd = conn, .events = libc.POLLPRI }}, 20);
        wait.pollMany(t, &.{.{ .fd = conn, .events = 0 }}, 20);
        _ = t.recv(conn, 3, 0);
        wait.pollMany(t, &.{.{ .fd = conn, .events = libc.POLLIN }}, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtOnce(t);
    }
};

pub const poll_odd_entries = struct {
    pub const summary = "poll with one descriptor twice, negative ones, a closed one and none";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        sent(t, conn);
        const pipe = t.pipe();
        _ = t.close(pipe[1]);
        _ = t.close(pipe[0]);
        wait.pollMany(t, &.{
            .{ .fd = conn, .events = libc.POLLIN },
            .{ .fd = -1, .events = libc.POLLIN },
            .{ .fd = conn, .events = libc.POLLOUT },
            .{ .fd = pipe[0], .events = libc.POLLIN },
            .{ .fd = -conn, .events = libc.POLLIN },
        }, -1);
        wait.pollMany(t, &.{}, 10);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtOnce(t);
    }
};

pub const poll_many = struct {
    pub const summary = "poll over a hundred entries finds the one that is ready";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipe = t.pipe();
        var entries: [100]wait.Entry = @splat(.{ .fd = pipe[0], .events = libc.POLLIN });
        entries[97].fd = conn;
        wait.pollMany(t, &entries, 10);
        t.sync("send");
        wait.pollMany(t, &entries, -1);
        t.sync("sent");
        _ = t.write(pipe[1], "p");
        entries = @splat(.{ .fd = conn, .events = libc.POLLIN });
        entries[3].fd = pipe[0];
        wait.pollMany(t, entries[0..10], -1);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtOnce(t);
    }
};

pub const poll_ends = struct {
    pub const summary = "poll tells of a half close, of both, and of a reset";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        const second = t.acceptFrom(listener, .{ .label = "second" });
        t.sync("ends");
        t.untilEvents(first, libc.POLLRDHUP);
        t.untilEvents(second, libc.POLLERR);
        const all = libc.POLLIN | libc.POLLOUT | libc.POLLRDHUP;
        for (0..2) |_| {
            wait.pollMany(t, &.{ .{ .fd = first, .events = all }, .{ .fd = second, .events = all } }, -1);
            wait.pollMany(t, &.{ .{ .fd = first, .events = 0 }, .{ .fd = second, .events = 0 } }, 20);
            _ = t.shutdown(first, libc.SHUT_WR);
            t.untilEvents(first, libc.POLLHUP);
        }
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        const second = t.connectTo(port, .{ .label = "second" });
        _ = t.shutdown(first, libc.SHUT_WR);
        _ = t.setLinger(second, 1, 0);
        _ = t.close(second);
        t.sync("ends");
        t.sync("done");
    }
};

pub const poll_signals = struct {
    pub const summary = "ppoll opens its mask for the wait, poll ends with EINTR whatever the handler's flags";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const entries = [_]wait.Entry{.{ .fd = conn, .events = libc.POLLIN }};
        const open: wait.Mask = .{};
        for ([_]bool{ false, true }) |restart| {
            t.catchSignal(SIGUSR1, restart);
            wait.blockSignal(t, SIGUSR1);
            wait.raise(t, SIGUSR1);
            wait.pollMany(t, &entries, 20);
            t.caught(SIGUSR1);
            wait.ppollMany(t, &entries, null, &open);
            t.caught(SIGUSR1);
            wait.unblockSignal(t, SIGUSR1);
        }
        wait.ppollMany(t, &entries, .{ .sec = 0, .nsec = 400_000 }, null);
        wait.ppollMany(t, &entries, .{ .sec = 0, .nsec = -1 }, null);
        sent(t, conn);
        wait.raise(t, SIGUSR1);
        wait.ppollMany(t, &entries, null, &open);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtOnce(t);
    }
};

pub const poll_asleep = struct {
    pub const summary = "a poll without end sleeps until bytes come on a connection or beside it";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const event = wait.eventFd(t, 0);
        const entries = [_]wait.Entry{
            .{ .fd = event, .events = libc.POLLIN }, .{ .fd = conn, .events = libc.POLLIN },
        };
        for (0..3) |_| {
            wait.pollMany(t, &entries, -1);
            t.recvAll(conn, 1);
            _ = t.send(conn, "y", 0);
        }
        wait.signalEvent(t, event);
        wait.pollMany(t, &entries, -1);
        const timer = wait.timer(t, 10_000_000);
        wait.pollMany(t, &.{ entries[1], .{ .fd = timer, .events = libc.POLLIN } }, -1);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for (0..3) |_| {
            for (0..50) |_| t.pause();
            _ = t.send(conn, "x", 0);
            t.recvAll(conn, 1);
        }
        t.sync("done");
    }
};

pub const select_sets = struct {
    pub const summary = "select tells what is readable and writable, and clears the rest";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipe = t.pipe();
        const both = [_]c_int{ conn, pipe[0] };
        wait.selectFor(t, .{ .read = &both, .timeout_ms = 10 });
        t.pause(); // beside rings the kernel is asked every 20 us
        wait.selectFor(t, .{ .read = &both, .write = &.{ conn, pipe[1] }, .timeout_ms = long });
        sent(t, conn);
        wait.selectFor(t, .{ .read = &both, .write = &.{conn}, .except = &both, .timeout_ms = long });
        _ = t.write(pipe[1], "p");
        t.pause();
        wait.selectFor(t, .{ .read = &both, .timeout_ms = long });
        wait.selectFor(t, .{ .read = &both, .timeout_ms = 10, .count = 3 });
        _ = t.recv(conn, 3, 0);
        wait.selectFor(t, .{ .read = &.{conn}, .timeout_ms = 10 });
        wait.selectFor(t, .{ .read = &.{conn}, .timeout_ms = 10, .count = -1 });
        _ = t.close(pipe[0]);
        wait.selectFor(t, .{ .read = &both, .timeout_ms = 10 });
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtOnce(t);
    }
};

pub const select_ends = struct {
    pub const summary = "select: an end is readable, a reset readable and writable";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        const second = t.acceptFrom(listener, .{ .label = "second" });
        t.sync("ends");
        t.untilEvents(first, libc.POLLRDHUP);
        t.untilEvents(second, libc.POLLERR);
        const both = [_]c_int{ first, second };
        wait.selectFor(t, .{ .read = &both, .except = &both, .timeout_ms = long });
        wait.selectFor(t, .{ .write = &.{second}, .timeout_ms = long });
        wait.pselectFor(t, .{ .read = &both, .write = &both, .timeout_ms = long });
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        const second = t.connectTo(port, .{ .label = "second" });
        _ = t.shutdown(first, libc.SHUT_WR);
        _ = t.setLinger(second, 1, 0);
        _ = t.close(second);
        t.sync("ends");
        t.sync("done");
    }
};

pub const select_signals = struct {
    pub const summary = "pselect opens its mask for the wait, select ends with EINTR";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const open: wait.Mask = .{};
        t.catchSignal(SIGUSR1, true);
        wait.blockSignal(t, SIGUSR1);
        wait.raise(t, SIGUSR1);
        wait.selectFor(t, .{ .read = &.{conn}, .timeout_ms = 10 });
        t.caught(SIGUSR1);
        wait.pselectFor(t, .{ .read = &.{conn}, .timeout_ms = long, .mask = &open });
        t.caught(SIGUSR1);
        sent(t, conn);
        wait.pselectFor(t, .{ .read = &.{conn}, .timeout_ms = long, .mask = &open });
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtOnce(t);
    }
};

pub const select_enlarged = struct {
    pub const summary = "select with a set larger than FD_SETSIZE sees descriptors above it";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        wait.allowDescriptors(t, 2000);
        const high = t.dup2(conn, 1500, "high");
        wait.selectFor(t, .{ .read = &.{high}, .timeout_ms = 10 });
        t.sync("send");
        wait.selectFor(t, .{ .read = &.{high}, .timeout_ms = long });
        t.sync("sent");
        wait.selectFor(t, .{ .read = &.{ conn, high }, .write = &.{high}, .timeout_ms = long });
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAtOnce(t);
    }
};
