//! How connections end in a reset: peers that are killed, errors that the next call gets.

const libc = @import("../libc.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

extern "c" fn system(command: [*:0]const u8) c_int;
extern "c" fn popen(command: [*:0]const u8, mode: [*:0]const u8) ?*libc.FILE;
extern "c" fn pclose(stream: *libc.FILE) c_int;

const all_events = libc.POLLIN | libc.POLLOUT | libc.POLLRDHUP;
const SIGUSR1 = 10;

/// A child has the connection alone, and is killed by the peer when it has received `count` bytes.
fn killed(t: *Side, comptime count: usize) void {
    const conn = t.accepted(.{});
    if (t.fork("child")) |c| {
        var child = c;
        _ = child.send(conn, "last", 0);
        if (count > 0) child.recvAll(conn, count) else child.untilQueued(conn, 6);
        child.sync("in place");
        child.tell("pid", @intCast(libc.getpid()));
        while (true) child.pause();
    }
    _ = t.close(conn);
    t.waitChild(t.child_pid);
    t.sync("killed");
}

fn kills(t: *Side, conn: c_int) void {
    _ = t.send(conn, "unread", 0);
    t.sync("in place");
    t.untilQueued(conn, 4);
    _ = libc.kill(@intCast(t.hear("pid")), libc.SIGKILL);
    t.sync("killed");
}

pub const killed_with_unread = struct {
    pub const summary = "the peer is killed with bytes unread: poll says ERR, recv what came, then the error";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        killed(t, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        kills(t, conn);
        t.untilEvents(conn, libc.POLLHUP | libc.POLLRDHUP);
        t.pollNow(conn, all_events);
        _ = t.recv(conn, 16, 0);
        _ = t.recv(conn, 16, 0);
        _ = t.recv(conn, 16, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
    }
};

pub const killed_with_nothing_unread = struct {
    pub const summary = "the peer is killed having read everything: that is an end, not a reset";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        killed(t, 6);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        kills(t, conn);
        t.untilEvents(conn, libc.POLLRDHUP);
        t.pollNow(conn, all_events);
        _ = t.recv(conn, 16, 0);
        _ = t.recv(conn, 16, 0);
    }
};

pub const half_closed_with_unread = struct {
    pub const summary = "a peer that has bytes unread shuts down and lives: that is an end, not a reset";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.untilQueued(conn, 6);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("looked");
        t.recvAll(conn, 6);
        t.recvAll(conn, 4);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "unread", 0);
        _ = t.recv(conn, 16, 0);
        t.pollNow(conn, all_events);
        t.sync("looked");
        _ = t.send(conn, "more", 0);
    }
};

/// The peer sends "last" and resets.
fn sendsAndResets(t: *Side) void {
    const conn = t.accepted(.{});
    _ = t.send(conn, "last", 0);
    t.sync("received");
    _ = t.setLinger(conn, 1, 0);
    _ = t.close(conn);
    t.sync("reset");
}

pub const error_waits_for_next_call = struct {
    pub const summary = "MSG_WAITALL returns what came before a reset; the next call, a send, gets the error";
    pub const carrier: Carrier = .ring;
    pub const server = sendsAndResets;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.untilQueued(conn, 4);
        t.sync("received");
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.recv(conn, 16, libc.MSG_WAITALL);
        t.pollNow(conn, all_events);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.pollNow(conn, all_events);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
    }
};

pub const shutdown_after_reset = struct {
    pub const summary = "shutdown after a reset is refused, and recv still gets the error";
    pub const carrier: Carrier = .ring;
    pub const server = sendsAndResets;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.recvAll(conn, 4);
        t.sync("received");
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.shutdown(conn, libc.SHUT_RDWR);
        _ = t.recv(conn, 16, 0);
        _ = t.recv(conn, 16, 0);
    }
};

pub const send_to_shut_peer = struct {
    pub const summary = "bytes for a peer that has shut down both ways are answered with a reset";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.shutdown(conn, libc.SHUT_RDWR);
        t.sync("shut");
        t.sync("sent");
        t.untilEvents(conn, libc.POLLERR);
        _ = t.recv(conn, 16, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("shut");
        t.untilEvents(conn, libc.POLLRDHUP);
        _ = t.send(conn, "one", libc.MSG_NOSIGNAL);
        t.untilEvents(conn, libc.POLLERR);
        _ = t.send(conn, "two", libc.MSG_NOSIGNAL);
        t.sync("sent");
    }
};

var handler_conn: c_int = -1;

fn sendMany(_: c_int) callconv(.c) void {
    const errno = libc.errno();
    for (0..50) |_| {
        _ = libc.send(handler_conn, "h", 1, libc.MSG_NOSIGNAL);
        _ = libc.nanosleep(&.{ .sec = 0, .nsec = 2_000_000 }, null);
    }
    libc.setErrno(errno);
}

pub const handler_sends_meanwhile = struct {
    pub const summary = "a handler that sends while its thread sleeps in the connection's first recv";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .warm = false });
        t.recvAll(conn, 50);
        for (0..8) |_| _ = libc.send(conn, "s", 1, libc.MSG_NOSIGNAL);
        t.sync("answered");
    }

    pub fn client(t: *Side) void {
        handler_conn = t.connected(.{ .warm = false });
        const action: libc.sigaction_t = .{ .handler = &sendMany, .flags = libc.SA_RESTART };
        _ = libc.sigaction(SIGUSR1, &action, null);
        const self = libc.getpid();
        if (t.fork("signaller")) |c| {
            var child = c;
            _ = libc.nanosleep(&.{ .sec = 0, .nsec = 50_000_000 }, null);
            _ = libc.close(handler_conn);
            _ = libc.kill(self, SIGUSR1);
            child.exitChild(0);
        }
        t.recvAll(handler_conn, 8);
        t.sync("answered");
        t.waitChild(t.child_pid);
    }
};

/// A second connection, on which both send, and neither receives: what they send last lies in rings
/// that the other end has not entered.
const Unread = struct {
    const exchanges = 10;

    /// The server's end, which it closes.
    fn closes(t: *Side) void {
        const conn = t.acceptedSecond();
        exchange(t, conn);
        _ = t.close(conn);
        t.sync("reset");
    }

    fn client(t: *Side) c_int {
        const conn = t.connectedSecond();
        exchange(t, conn);
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        return conn;
    }

    fn exchange(t: *Side, conn: c_int) void {
        for (0..exchanges) |i| {
            _ = t.send(conn, "x", 0);
            t.sync("sent");
            t.untilQueued(conn, @intCast(i + 1));
            t.sync("counted");
        }
    }
};

pub const program_after_reset = struct {
    pub const summary = "system() after a reset takes neither the error nor unread bytes away";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"exec"};
    pub const server = Unread.closes;

    pub fn client(t: *Side) void {
        const conn = Unread.client(t);
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 7);
        t.note("system: {d}", .{system("exit 3") >> 8});
        wait.epollWait(t, ep, 8, 0);
        t.pollNow(conn, all_events);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.pollNow(conn, all_events);
        t.recvAll(conn, Unread.exchanges);
        _ = t.recv(conn, 16, 0);
    }
};

pub const exec_after_reset = struct {
    pub const summary = "a child that executes a program leaves a connection that was reset as it is";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"exec"};
    pub const server = Unread.closes;

    pub fn client(t: *Side) void {
        const conn = Unread.client(t);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.pollNow(conn, all_events);
        if (t.fork("child")) |_| {
            _ = libc.execv("/bin/true", &[_:null]?[*:0]const u8{"true"});
            libc._exit(9);
        }
        t.waitChild(t.child_pid);
        t.pollNow(conn, all_events);
        t.recvAll(conn, Unread.exchanges);
        _ = t.recv(conn, 16, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
    }
};

pub const peek_after_reset = struct {
    pub const summary = "MSG_PEEK after a reset sees all that came before, also where the carrier changed";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "stdio", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.untilQueued(conn, 10);
        t.sync("ten");
        t.untilQueued(conn, 20);
        t.sync("twenty");
        t.sync("closed");
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.recv(conn, 100, libc.MSG_PEEK);
        t.recvAll(conn, 20);
        _ = t.recv(conn, 100, libc.MSG_PEEK);
        _ = t.recv(conn, 100, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "by ring...", 0);
        t.sync("ten");
        t.begin("dprintf", .{});
        _ = t.result(libc.dprintf(conn, "by TCP...."));
        t.sync("twenty");
        _ = t.close(conn);
        t.sync("closed");
    }
};

pub const programs_on_both_sides = struct {
    pub const summary = "both ends have started programs: a reset's error comes once, at once";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "exec", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("client's program");
        const program = popen("cat", "w") orelse t.fail("popen", .{}); // until pclose
        t.sync("both programs");
        t.recvAll(conn, 3);
        t.sync("read");
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        t.setNonBlocking(conn, true);
        _ = t.recv(conn, 16, 0);
        _ = t.recv(conn, 16, 0);
        t.note("pclose: {d}", .{pclose(program)});
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.note("system: {d}", .{system("exit 3") >> 8});
        t.sync("client's program");
        t.sync("both programs");
        _ = t.send(conn, "abc", 0);
        t.sync("read");
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("reset");
    }
};

pub const sendfile_after_reset = struct {
    pub const summary = "the error that a MSG_WAITALL left behind is sendfile's";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "stdio", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("moved");
        _ = t.send(conn, "last", 0);
        t.sync("received");
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("reset");
    }

    pub fn client(t: *Side) void {
        t.catchSignal(libc.SIGPIPE, true);
        const conn = t.connected(.{});
        const file = t.file("to be sent");
        t.begin("dprintf", .{});
        _ = t.result(libc.dprintf(conn, "by TCP from here on"));
        t.sync("moved");
        t.untilQueued(conn, 4);
        t.sync("received");
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.recv(conn, 16, libc.MSG_WAITALL);
        _ = t.sendfile(conn, file, 0, 10);
        t.caught(libc.SIGPIPE);
        _ = t.sendfile(conn, file, 0, 10);
        t.caught(libc.SIGPIPE);
    }
};

pub const undecided_and_shared = struct {
    pub const summary = "an error that MSG_WAITALL met stands in poll and epoll, for a connection just begun, too";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .warm = false });
        _ = t.send(conn, "last", 0);
        t.sync("received");
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("reset");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .warm = false });
        if (t.fork("child")) |_| while (true) t.pause();
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 7);
        t.untilQueued(conn, 4);
        t.sync("received");
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.recv(conn, 16, libc.MSG_WAITALL);
        t.pollNow(conn, all_events);
        wait.epollWait(t, ep, 8, 0);
        _ = libc.kill(t.child_pid, libc.SIGKILL);
        t.waitChild(t.child_pid);
        _ = t.recv(conn, 16, 0);
    }
};

pub const peek_ahead_after_reset = struct {
    pub const summary = "MSG_PEEK after a reset sees what lies in a ring behind unread bytes of the kernel";
    pub const carrier: Carrier = .ring;
    pub const server = Unread.closes;

    pub fn client(t: *Side) void {
        const conn = Unread.client(t);
        _ = t.recv(conn, 100, libc.MSG_PEEK);
        t.recvAll(conn, 1);
        _ = t.recv(conn, 100, libc.MSG_PEEK);
        t.recvAll(conn, Unread.exchanges - 1);
        _ = t.recv(conn, 100, libc.MSG_PEEK);
    }
};

pub const shut_before_the_ring = struct {
    pub const summary = "unread bytes of both carriers stay when their reader shuts down and the peer sends on";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        Unread.exchange(t, conn);
        _ = t.shutdown(conn, libc.SHUT_RDWR);
        t.sync("shut down");
        t.sync("sent after it");
        t.untilEvents(conn, libc.POLLERR);
        _ = t.recv(conn, 100, libc.MSG_PEEK);
        _ = t.recv(conn, 100, 0);
        _ = t.recv(conn, 100, 0);
        _ = t.recv(conn, 100, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        Unread.exchange(t, conn);
        t.sync("shut down");
        t.untilEvents(conn, libc.POLLRDHUP);
        _ = t.send(conn, "into the void", libc.MSG_NOSIGNAL);
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.send(conn, "again", libc.MSG_NOSIGNAL);
        t.pollNow(conn, all_events);
        t.sync("sent after it");
    }
};

pub const shut_before_the_ring_and_program = struct {
    pub const summary = "unread bytes of both carriers stay when their reader shuts down and the peer starts a program";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"exec"};

    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        Unread.exchange(t, conn);
        _ = t.shutdown(conn, libc.SHUT_RDWR);
        t.sync("shut down");
        t.sync("program has run");
        t.pollNow(conn, all_events);
        t.untilQueued(conn, Unread.exchanges);
        t.recvAll(conn, Unread.exchanges);
        t.sync("read");
        t.sync("sent after it");
        _ = t.recv(conn, 100, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        Unread.exchange(t, conn);
        t.sync("shut down");
        t.untilEvents(conn, libc.POLLRDHUP);
        t.note("system: {d}", .{system("exit 3") >> 8});
        t.pollNow(conn, all_events);
        t.sync("program has run");
        t.sync("read");
        _ = t.send(conn, "into the void", libc.MSG_NOSIGNAL);
        t.untilEvents(conn, libc.POLLHUP);
        t.sync("sent after it");
    }
};

pub const shut_down_and_program = struct {
    pub const summary = "a program started behind a half close, with bytes unread on both carriers, resets nothing";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"exec"};

    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        Unread.exchange(t, conn);
        t.sync("program has run");
        t.pollNow(conn, all_events);
        t.recvToEnd(conn, 2 * Unread.exchanges);
        _ = t.send(conn, "still here", libc.MSG_NOSIGNAL);
    }

    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        Unread.exchange(t, conn);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.note("system: {d}", .{system("exit 3") >> 8});
        t.pollNow(conn, all_events);
        t.sync("program has run");
        t.recvAll(conn, Unread.exchanges);
        _ = t.recv(conn, 100, 0);
    }
};

pub const one_shot_in_a_child = struct {
    pub const summary = "a ONESHOT registration of a child tells of a reset that its parent has seen first";
    pub const carrier: Carrier = .ring;
    pub const server = sendsAndResets;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const go = t.pipe();
        if (t.fork("child")) |c| {
            var child = c;
            _ = child.read(go[0], 1);
            const ep = wait.epollCreate(&child, "ep");
            wait.epollAdd(&child, ep, conn, wait.OUT | wait.ONESHOT, 7);
            wait.epollWait(&child, ep, 8, 0);
            wait.epollWait(&child, ep, 8, 0);
            child.exitChild(0);
        }
        t.recvAll(conn, 4);
        t.sync("received");
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.recv(conn, 16, 0);
        _ = t.write(go[1], "x");
        t.waitChild(t.child_pid);
    }
};

pub const shut_before_it = struct {
    pub const summary = "after a shutdown of reading, a recv that has received something leaves the reset to the next";
    pub const carrier: Carrier = .ring;
    pub const server = sendsAndResets;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.shutdown(conn, libc.SHUT_RD);
        t.untilQueued(conn, 4);
        t.sync("received");
        t.sync("reset");
        t.untilEvents(conn, libc.POLLHUP);
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.OUT, 7);
        _ = t.recv(conn, 16, libc.MSG_WAITALL);
        wait.epollWait(t, ep, 8, 0);
        _ = t.recv(conn, 16, 0);
        wait.epollWait(t, ep, 8, 0);
    }
};
