//! shutdown in every direction, by either side and both.

const libc = @import("../libc.zig");
const rights = @import("../rights.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

const in_out_rdhup = libc.POLLIN | libc.POLLOUT | libc.POLLRDHUP;

pub const half_close_by_client = struct {
    pub const summary = "after the client's SHUT_WR the server still answers";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 100);
        t.pollNow(conn, in_out_rdhup);
        _ = t.recv(conn, 10, 0);
        t.sendAll(conn, "the answer");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "the question", 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
        _ = t.send(conn, "more", libc.MSG_NOSIGNAL);
        t.recvToEnd(conn, 100);
        t.untilEvents(conn, libc.POLLHUP);
        t.pollNow(conn, in_out_rdhup);
    }
};

pub const half_close_by_server = struct {
    pub const summary = "after the server's SHUT_WR the client still speaks";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "bye", 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("half closed");
        t.recvToEnd(conn, 100);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("half closed");
        t.recvToEnd(conn, 100);
        t.pollNow(conn, in_out_rdhup);
        _ = t.send(conn, "still ", 0);
        _ = t.send(conn, "here", 0);
        _ = t.close(conn);
    }
};

pub const half_close_by_both = struct {
    pub const summary = "both shut down writing, then both read the rest and the end";
    pub const carrier: Carrier = .ring;

    fn both(t: *Side, conn: c_int, bytes: []const u8) void {
        _ = t.send(conn, bytes, 0);
        t.sync("sent");
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("half closed");
        t.untilEvents(conn, libc.POLLHUP);
        t.pollNow(conn, in_out_rdhup);
        t.recvToEnd(conn, 100);
        _ = t.send(conn, "too late", libc.MSG_NOSIGNAL);
        t.pollNow(conn, in_out_rdhup);
        _ = t.shutdown(conn, libc.SHUT_RDWR);
        _ = t.close(conn);
    }

    pub fn server(t: *Side) void {
        both(t, t.accepted(.{}), "from the server");
    }

    pub fn client(t: *Side) void {
        both(t, t.connected(.{}), "from the client");
    }
};

pub const read_end = struct {
    pub const summary = "SHUT_RD: what has come is read, then the end; later bytes still come";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "before", 0);
        t.sync("sent");
        t.sync("shut");
        _ = t.send(conn, "after", libc.MSG_NOSIGNAL);
        t.sync("sent after");
        t.recvAll(conn, 4);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 6);
        _ = t.shutdown(conn, libc.SHUT_RD);
        t.pollNow(conn, in_out_rdhup);
        _ = t.recv(conn, 3, 0);
        _ = t.recv(conn, 10, 0);
        _ = t.recv(conn, 10, 0);
        t.sync("shut");
        t.sync("sent after");
        t.untilQueued(conn, 5);
        _ = t.recv(conn, 10, 0);
        _ = t.recv(conn, 10, libc.MSG_DONTWAIT);
        _ = t.send(conn, "mine", 0);
    }
};

pub const read_end_wakes_reader = struct {
    pub const summary = "SHUT_RD by another thread ends a blocked recv with 0";
    pub const carrier: Carrier = .ring;

    var shared: c_int = -1;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        var reader: Side.Thread = undefined;
        t.spawn(&reader, "reader", &read);
        for (0..20) |_| t.pause();
        _ = t.shutdown(shared, libc.SHUT_RD);
        t.join(&reader);
        _ = t.close(shared);
    }

    fn read(t: *Side) void {
        _ = t.recv(shared, 10, 0);
    }
};

pub const both_ends = struct {
    pub const summary = "SHUT_RDWR ends both directions for both sides";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("shut");
        t.recvToEnd(conn, 100);
        t.pollNow(conn, in_out_rdhup);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "last", 0);
        _ = t.shutdown(conn, libc.SHUT_RDWR);
        t.pollNow(conn, in_out_rdhup);
        t.sync("shut");
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        _ = t.shutdown(conn, 7);
    }
};

pub const errors = struct {
    pub const summary = "shutdown of what is not connected, of a wrong direction, of no socket";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.shutdown(conn, 3);
        _ = t.shutdown(conn, -1);
        const fresh = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        t.label(fresh, "fresh");
        _ = t.shutdown(fresh, libc.SHUT_WR);
        _ = t.send(fresh, "x", libc.MSG_NOSIGNAL);
        _ = t.recv(fresh, 1, 0);
        const pipes = t.pipe();
        _ = t.shutdown(pipes[0], libc.SHUT_RD);
        _ = t.shutdown(999, libc.SHUT_RD);
        _ = t.close(conn);
        _ = t.shutdown(conn, libc.SHUT_RD);
    }
};

pub const passed_on = struct {
    pub const summary = "a connection that was shut for reading and passed on receives what its peer goes on sending";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"fd_passed"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.shutdown(conn, libc.SHUT_RD);
        const copy = rights.passToSelf(conn);
        t.label(copy, "copy");
        _ = t.recv(conn, 1, 0);
        t.sync("passed");
        t.sync("sent");
        t.untilQueued(copy, 4);
        t.recvAll(copy, 4);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("passed");
        _ = t.send(conn, "abcd", 0);
        t.sync("sent");
    }
};
