//! Urgent data: MSG_OOB, SIOCATMARK, SO_OOBINLINE, POLLPRI.

const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

pub const beside_the_stream = struct {
    pub const summary = "an urgent byte is read beside the stream, which stops at its mark";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{"urgent_data"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "before", 0);
        _ = t.send(conn, "!", libc.MSG_OOB);
        _ = t.send(conn, "after", 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilEvents(conn, libc.POLLPRI);
        t.pollNow(conn, libc.POLLIN | libc.POLLPRI);
        t.ioctlInt(conn, .SIOCATMARK, -1);
        _ = t.recv(conn, 10, libc.MSG_OOB);
        _ = t.recv(conn, 10, libc.MSG_OOB);
        _ = t.recv(conn, 20, 0);
        t.ioctlInt(conn, .SIOCATMARK, -1);
        _ = t.recv(conn, 20, 0);
        t.pollNow(conn, libc.POLLIN | libc.POLLPRI);
        _ = t.close(conn);
    }
};

pub const in_line = struct {
    pub const summary = "SO_OOBINLINE: the urgent byte is in the stream, at the mark";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{"urgent_data"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "before!", libc.MSG_OOB);
        _ = t.send(conn, "after", 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setOption(conn, .OOBINLINE, 1);
        t.sync("sent");
        t.untilQueued(conn, 12);
        _ = t.recv(conn, 10, libc.MSG_OOB);
        _ = t.recv(conn, 20, 0);
        t.ioctlInt(conn, .SIOCATMARK, -1);
        _ = t.recv(conn, 20, 0);
        t.ioctlInt(conn, .SIOCATMARK, -1);
        _ = t.close(conn);
    }
};

pub const none_there = struct {
    pub const summary = "MSG_OOB when there is none: EINVAL; no mark; with SO_OOBINLINE too";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "plain", 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        _ = t.recv(conn, 1, libc.MSG_OOB);
        _ = t.recvmsg(conn, &.{1}, libc.MSG_OOB | libc.MSG_DONTWAIT);
        t.ioctlInt(conn, .SIOCATMARK, -1);
        _ = t.setOption(conn, .OOBINLINE, 1);
        _ = t.recv(conn, 1, libc.MSG_OOB);
        t.untilQueued(conn, 5);
        _ = t.recv(conn, 10, 0);
        _ = t.close(conn);
    }
};

pub const two_of_them = struct {
    pub const summary = "two urgent bytes one after the other, each read when it comes";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{"urgent_data"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for ([_][]const u8{ "a", "c" }) |urgent| {
            _ = t.send(conn, urgent, libc.MSG_OOB);
            _ = t.send(conn, "-", 0);
            t.sync("sent");
            t.sync("read");
        }
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for (0..2) |_| {
            t.sync("sent");
            t.untilEvents(conn, libc.POLLPRI);
            _ = t.recv(conn, 1, libc.MSG_OOB);
            _ = t.recv(conn, 10, 0);
            t.sync("read");
        }
        _ = t.close(conn);
    }
};

pub const stream_goes_on = struct {
    pub const summary = "after urgent data the stream carries a megabyte each way";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "urgent_data", "ring_full" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "!", libc.MSG_OOB);
        t.sync("sent");
        t.sync("read");
        t.sendAll(conn, t.pattern(1 << 20, 1));
        t.recvToEnd(conn, 2 << 20);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilEvents(conn, libc.POLLPRI);
        _ = t.recv(conn, 1, libc.MSG_OOB);
        t.sync("read");
        t.recvAll(conn, 1 << 20);
        t.sendAll(conn, t.pattern(1 << 20, 2));
        _ = t.close(conn);
    }
};
