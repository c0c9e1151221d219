//! What is under way: FIONREAD, SIOCOUTQ and their like.

const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

pub const readable_bytes = struct {
    pub const summary = "FIONREAD counts what can be read, piece by piece, up to the end";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "0123456789", 0);
        _ = t.send(conn, "abc", 0);
        t.sync("sent");
        t.sync("counted");
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 13);
        t.queued(conn);
        _ = t.recv(conn, 4, 0);
        t.queued(conn);
        _ = t.recv(conn, 4, libc.MSG_PEEK);
        t.queued(conn);
        t.sync("counted");
        t.sync("closed");
        t.untilEvents(conn, libc.POLLRDHUP);
        t.queued(conn);
        _ = t.recv(conn, 20, 0);
        t.queued(conn);
    }
};

pub const large_count = struct {
    pub const summary = "FIONREAD of 30,000 bytes";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sendAll(conn, t.pattern(30_000, 1));
        t.sync("counted");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.untilQueued(conn, 30_000);
        t.recvAll(conn, 20_000);
        t.queued(conn);
        t.recvAll(conn, 10_000);
        t.queued(conn);
        t.sync("counted");
        _ = t.close(conn);
    }
};

fn untilSent(t: *Side, conn: c_int) void {
    t.begin("-- until SIOCOUTQ is 0", .{});
    var count: c_int = -1;
    while (libc.ioctl(conn, 0x5411, @intFromPtr(&count)) == 0 and count != 0) t.pause();
    t.end("", .{});
}

pub const unsent_bytes = struct {
    pub const summary = "SIOCOUTQ comes down to 0 when the peer has everything, read or not";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("all sent");
        t.recvToEnd(conn, 100_000);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        untilSent(t, conn);
        t.ioctlInt(conn, .SIOCOUTQNSD, -1);
        t.sendAll(conn, t.pattern(20_000, 1));
        untilSent(t, conn);
        t.sync("all sent");
        t.ioctlInt(conn, .SIOCOUTQNSD, -1);
        _ = t.close(conn);
    }
};

pub const ioctl_errors = struct {
    pub const summary = "ioctls on what they are not for: listeners, pipes, closed numbers, unknown ones";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const conn = t.acceptFrom(listener, .{});
        t.queued(listener);
        t.ioctlInt(listener, .SIOCOUTQ, -1);
        t.ioctlInt(listener, .SIOCATMARK, -1);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const fresh = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        t.label(fresh, "fresh");
        t.queued(fresh);
        t.ioctlInt(fresh, .SIOCOUTQ, -1);
        const pipes = t.pipe();
        t.ioctlInt(pipes[0], .SIOCOUTQ, -1);
        t.queued(pipes[0]);
        t.queued(999);
        t.ioctlInt(conn, .unknown, 0);
        _ = t.close(conn);
        t.queued(conn);
    }
};
