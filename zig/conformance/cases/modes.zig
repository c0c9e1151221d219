//! What the descriptor itself is set to, and what it tells: modes that several processes share,
//! options from before there was a connection, the kernel's counters.

const std = @import("std");
const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

const F_GETFL = 3;
const F_SETFL = 4;
const F_SETOWN = 8;
const O_NONBLOCK = 0o4000;
const SIOCOUTQ = 0x5411;
const O_ASYNC = 0o20000;
const SIGIO = 29;
const SO_TIMESTAMPNS = 35;

pub const counted_by_tcp_info = struct {
    pub const summary = "TCP_INFO counts the bytes that were sent, acknowledged and received";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const before = Counters.atRest(t, conn);
        const bytes = t.pattern(100_000, 1);
        defer t.free(bytes);
        t.sendAll(conn, bytes);
        t.recvAll(conn, 1000);
        t.sync("all read");
        before.note(t, conn);
        t.sync("noted");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const before = Counters.atRest(t, conn);
        t.recvAll(conn, 100_000);
        const bytes = t.pattern(1000, 2);
        defer t.free(bytes);
        t.sendAll(conn, bytes);
        t.sync("all read");
        before.note(t, conn);
        t.sync("noted");
        _ = t.close(conn);
    }
};

const Counters = struct {
    acknowledged: u64,
    received: u64,
    sent: u64,

    fn of(fd: c_int) Counters {
        var info: [256]u8 align(8) = @splat(0);
        var length: u32 = info.len;
        _ = libc.getsockopt(fd, libc.IPPROTO_TCP, libc.TCP_INFO, &info, &length);
        return .{ .acknowledged = word(&info, 120), .received = word(&info, 128), .sent = word(&info, 200) };
    }

    /// When all that was sent has arrived, and the other side sends nothing yet.
    fn atRest(t: *Side, fd: c_int) Counters {
        untilArrived(t, fd);
        t.sync("all arrived");
        const counters = of(fd);
        t.sync("counted");
        return counters;
    }

    fn untilArrived(t: *Side, fd: c_int) void {
        var queued: c_int = 1;
        while (queued != 0) : (t.pause()) _ = libc.ioctl(fd, SIOCOUTQ, &queued);
    }

    fn word(info: *const [256]u8, at: usize) u64 {
        return std.mem.readInt(u64, info[at..][0..8], .little);
    }

    fn note(before: Counters, t: *Side, fd: c_int) void {
        untilArrived(t, fd);
        const now = of(fd);
        t.note("since then: sent {d}, acknowledged {d}, received {d}", .{
            now.sent - before.sent, now.acknowledged - before.acknowledged, now.received - before.received,
        });
    }
};

pub const non_blocking_by_a_child = struct {
    pub const summary = "O_NONBLOCK that a forked child sets holds in the parent, and the other way round";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("done");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        if (t.fork("child")) |forked| {
            var child = forked;
            child.setNonBlocking(conn, true);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        _ = t.recv(conn, 10, 0);
        t.setNonBlocking(conn, false);
        _ = t.setTimeout(conn, .RCVTIMEO, 50);
        _ = t.recv(conn, 10, 0);
        if (t.fork("second child")) |forked| {
            var child = forked;
            _ = child.recv(conn, 10, 0);
            child.setNonBlocking(conn, true);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        _ = t.recv(conn, 10, 0);
        t.sync("done");
        _ = t.close(conn);
    }
};

pub const time_stamps_from_before = struct {
    pub const summary = "time stamps that were asked for before connect and listen come with the bytes";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{"socket_option"};

    /// The kernel begins to stamp some time after somebody has asked: so again and again, until both
    /// sides have seen a stamp.
    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .prepare = &ask });
        t.begin("-- until both have time stamps", .{});
        while (true) {
            const got = receive(conn);
            if (got.byte != '?') break;
            _ = libc.send(conn, if (got.stamped) "s" else "n", 1, 0);
        }
        t.end("", .{});
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .prepare = &ask });
        t.begin("-- until both have time stamps", .{});
        while (true) : (t.pause()) {
            _ = libc.send(conn, "?", 1, 0);
            const got = receive(conn);
            if (got.stamped and got.byte == 's') break;
        }
        t.end("", .{});
        _ = t.send(conn, ".", 0);
        _ = t.close(conn);
    }

    fn receive(conn: c_int) struct { byte: u8, stamped: bool } {
        var byte: [1]u8 = @splat(0);
        var vector = [_]libc.iovec{.{ .base = &byte, .length = 1 }};
        var control: [128]u8 align(8) = undefined;
        var header: libc.msghdr = .{ .vectors = &vector, .count = 1, .control = &control, .control_length = control.len };
        _ = libc.recvmsg(conn, &header, 0);
        return .{ .byte = byte[0], .stamped = header.control_length > 0 };
    }

    fn ask(t: *Side, fd: c_int) void {
        const on: c_int = 1;
        t.begin("setsockopt(SO_TIMESTAMPNS)", .{});
        _ = t.result(libc.setsockopt(fd, libc.SOL_SOCKET, SO_TIMESTAMPNS, &on, @sizeOf(c_int)));
    }
};

pub const signal_driven_from_before = struct {
    pub const summary = "O_ASYNC from before connect raises SIGIO for bytes that come later";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{ "socket_option", "not_adopted" };

    var raised: u32 = 0;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("ready");
        _ = t.send(conn, "wake up", 0);
        t.sync("done");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const action: libc.sigaction_t = .{ .handler = @ptrCast(&handler), .flags = libc.SA_RESTART };
        _ = libc.sigaction(SIGIO, &action, null);
        const conn = t.connected(.{ .prepare = &ask });
        @atomicStore(u32, &raised, 0, .release);
        t.sync("ready");
        t.begin("-- until SIGIO", .{});
        while (@atomicLoad(u32, &raised, .acquire) == 0) t.pause();
        t.end("", .{});
        t.recvAll(conn, 7);
        t.sync("done");
        _ = t.close(conn);
    }

    fn ask(_: *Side, fd: c_int) void {
        _ = libc.fcntl(fd, @as(c_int, F_SETOWN), libc.getpid());
        _ = libc.fcntl(fd, @as(c_int, F_SETFL), libc.fcntl(fd, @as(c_int, F_GETFL)) | O_ASYNC);
    }

    fn handler(_: c_int) callconv(.c) void {
        _ = @atomicRmw(u32, &raised, .Add, 1, .acq_rel);
    }
};
