//! A stream and its ends: half close, end of data, reset, broken pipe.

const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

pub const echo = struct {
    pub const summary = "bytes go there and back";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvAll(conn, 5);
        _ = t.send(conn, "world", 0);
        t.recvToEnd(conn, 100);
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "hello", 0);
        t.recvAll(conn, 5);
        _ = t.close(conn);
    }
};

pub const half_close_by_client = struct {
    pub const summary = "after the client's SHUT_WR the server still answers";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 100);
        t.pollNow(conn, libc.POLLIN | libc.POLLOUT | libc.POLLRDHUP);
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
        t.pollNow(conn, libc.POLLIN | libc.POLLOUT | libc.POLLRDHUP);
        _ = t.send(conn, "still ", 0);
        _ = t.send(conn, "here", 0);
        _ = t.close(conn);
    }
};

pub const data_then_end = struct {
    pub const summary = "what was sent before close arrives, then the end, again and again";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "first", 0);
        _ = t.send(conn, "second", 0);
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("closed");
        t.untilEvents(conn, libc.POLLRDHUP);
        t.queued(conn);
        _ = t.recv(conn, 5, 0);
        _ = t.recv(conn, 50, 0);
        _ = t.recv(conn, 50, 0);
        _ = t.read(conn, 50);
        t.queued(conn);
    }
};
