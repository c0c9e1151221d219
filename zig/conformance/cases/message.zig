//! Flags and shapes of single calls: MSG_*, vectors, message headers, several messages at once.

const libc = @import("../libc.zig");
const message = @import("../calls_message.zig");
const Option = @import("../calls_option.zig").Option;
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

pub const peek = struct {
    pub const summary = "MSG_PEEK shows bytes without taking them, in every kind of call";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "peekaboo", 0);
        t.sync("peeked");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.untilQueued(conn, 8);
        _ = t.recv(conn, 4, libc.MSG_PEEK);
        _ = t.recv(conn, 20, libc.MSG_PEEK);
        _ = t.recvfrom(conn, 20, libc.MSG_PEEK);
        _ = t.recvmsg(conn, &.{ 3, 20 }, libc.MSG_PEEK);
        _ = t.recvmmsg(conn, 1, 20, libc.MSG_PEEK, null);
        t.queued(conn);
        _ = t.read(conn, 4);
        _ = t.recv(conn, 20, libc.MSG_PEEK);
        _ = t.recv(conn, 20, 0);
        _ = t.recv(conn, 20, libc.MSG_PEEK | libc.MSG_DONTWAIT);
        t.sync("peeked");
        _ = t.close(conn);
    }
};

pub const room_for_nothing = struct {
    pub const summary = "recv with no room waits for bytes or the end like any other; read does not";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        noRoomNow(t, conn);
        t.sync("empty");
        _ = t.recv(conn, 0, 0);
        t.untilQueued(conn, 4);
        noRoomNow(t, conn);
        _ = t.recv(conn, 0, libc.MSG_WAITALL);
        _ = t.recv(conn, 8, 0);
        t.sync("again");
        _ = t.recvmsg(conn, &.{ 0, 0 }, 0);
        t.recvToEnd(conn, 8);
        _ = t.recv(conn, 8, libc.MSG_DONTWAIT);
        noRoomNow(t, conn);
        _ = t.recv(conn, 0, 0);
        _ = t.close(conn);
    }

    fn noRoomNow(t: *Side, conn: c_int) void {
        _ = t.recv(conn, 0, libc.MSG_DONTWAIT);
        _ = t.recv(conn, 0, libc.MSG_DONTWAIT | libc.MSG_PEEK);
        _ = t.recvfrom(conn, 0, libc.MSG_DONTWAIT);
        _ = t.recvmsg(conn, &.{ 0, 0 }, libc.MSG_DONTWAIT);
        _ = t.read(conn, 0);
        _ = message.readv(t, conn, &.{ 0, 0 });
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for ([_][]const u8{ "empty", "again" }) |name| {
            t.sync(name);
            for (0..20) |_| t.pause();
            _ = t.send(conn, "abcd", 0);
        }
        _ = t.close(conn);
    }
};

pub const bytes_left = struct {
    pub const summary = "TCP_INQ: recvmsg tells how many bytes are left, and that the stream has ended";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "abcdefgh", 0);
        t.sync("eight");
        t.sync("read");
        _ = t.send(conn, "ijkl", 0);
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("eight");
        t.untilQueued(conn, 8);
        _ = message.recvLeft(t, conn, 1, 64, 0);
        _ = t.setOption(conn, Option.INQ, 2);
        _ = t.setOption(conn, Option.INQ, 1);
        _ = message.recvLeft(t, conn, 1, 64, 0);
        _ = message.recvLeft(t, conn, 2, 64, libc.MSG_PEEK);
        _ = message.recvLeft(t, conn, 1, 16, 0);
        _ = message.recvLeft(t, conn, 1, 20, 0);
        _ = message.recvLeft(t, conn, 1, 8, 0);
        _ = message.recvLeft(t, conn, 1, 0, 0);
        _ = t.setOption(conn, Option.INQ, 0);
        _ = message.recvLeft(t, conn, 1, 64, 0);
        _ = t.setOption(conn, Option.INQ, 1);
        _ = message.recvLeft(t, conn, 10, 64, 0);
        _ = message.recvLeft(t, conn, 10, 64, libc.MSG_DONTWAIT);
        t.sync("read");
        t.sync("closed");
        t.untilQueued(conn, 4);
        t.untilEvents(conn, libc.POLLRDHUP);
        _ = message.recvLeft(t, conn, 3, 64, 0);
        _ = message.recvLeft(t, conn, 3, 64, 0);
        _ = message.recvLeft(t, conn, 3, 64, 0);
    }
};

pub const peek_across_writes = struct {
    pub const summary = "MSG_PEEK sees bytes of several writes, and the end of the stream";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "ab", 0);
        _ = t.send(conn, "cd", 0);
        t.sync("two");
        t.sync("peeked");
        _ = t.send(conn, "ef", 0);
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("two");
        t.untilQueued(conn, 4);
        _ = t.recv(conn, 10, libc.MSG_PEEK);
        t.sync("peeked");
        t.sync("closed");
        t.untilEvents(conn, libc.POLLRDHUP);
        _ = t.recv(conn, 10, libc.MSG_PEEK);
        _ = t.recv(conn, 10, libc.MSG_PEEK | libc.MSG_WAITALL);
        _ = t.recv(conn, 10, libc.MSG_WAITALL);
        _ = t.recv(conn, 10, libc.MSG_PEEK);
    }
};

pub const peek_waitall = struct {
    pub const summary = "MSG_PEEK with MSG_WAITALL waits until so much is there";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "12345", 0);
        t.sync("first");
        for (0..20) |_| t.pause();
        _ = t.send(conn, "67890", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("first");
        _ = t.recv(conn, 10, libc.MSG_PEEK | libc.MSG_WAITALL);
        _ = t.recv(conn, 10, libc.MSG_WAITALL);
        _ = t.close(conn);
    }
};

pub const waitall = struct {
    pub const summary = "MSG_WAITALL waits for everything, over several writes";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for ([_][]const u8{ "one ", "two ", "three ", "four" }) |part| {
            _ = t.send(conn, part, 0);
            for (0..5) |_| t.pause();
        }
        t.sync("sent");
        _ = t.send(conn, "short", 0);
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.recv(conn, 18, libc.MSG_WAITALL);
        t.sync("sent");
        _ = t.recv(conn, 18, libc.MSG_WAITALL);
        _ = t.recv(conn, 18, libc.MSG_WAITALL);
    }
};

pub const waitall_dontwait = struct {
    pub const summary = "MSG_DONTWAIT wins over MSG_WAITALL";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "abc", 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 3);
        _ = t.recv(conn, 10, libc.MSG_WAITALL | libc.MSG_DONTWAIT);
        _ = t.recv(conn, 10, libc.MSG_WAITALL | libc.MSG_DONTWAIT);
        _ = t.close(conn);
    }
};

pub const dontwait = struct {
    pub const summary = "MSG_DONTWAIT and O_NONBLOCK: EAGAIN when nothing is there";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("empty");
        _ = t.send(conn, "now", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.recv(conn, 10, libc.MSG_DONTWAIT);
        _ = t.recvfrom(conn, 10, libc.MSG_DONTWAIT);
        _ = t.recvmsg(conn, &.{10}, libc.MSG_DONTWAIT);
        _ = t.recvmmsg(conn, 2, 10, libc.MSG_DONTWAIT, null);
        t.setNonBlocking(conn, true);
        _ = t.read(conn, 10);
        _ = t.readv(conn, &.{ 2, 3 });
        _ = t.recv(conn, 10, libc.MSG_PEEK);
        t.sync("empty");
        t.untilEvents(conn, libc.POLLIN);
        _ = t.read(conn, 10);
        _ = t.read(conn, 10);
        t.setNonBlocking(conn, false);
        _ = t.close(conn);
    }
};

pub const truncate = struct {
    pub const summary = "MSG_TRUNC on a stream throws bytes away and writes none";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "0123456789", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.untilQueued(conn, 10);
        _ = t.recv(conn, 4, libc.MSG_TRUNC);
        t.queued(conn);
        _ = t.recv(conn, 3, libc.MSG_TRUNC | libc.MSG_PEEK);
        t.queued(conn);
        _ = t.recv(conn, 10, 0);
        _ = t.recv(conn, 4, libc.MSG_TRUNC | libc.MSG_DONTWAIT);
        _ = t.close(conn);
    }
};

pub const truncate_null = struct {
    pub const summary = "MSG_TRUNC with a null buffer throws bytes away";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "0123456789", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.untilQueued(conn, 10);
        t.begin("recv(conn, null, 6, TRUNC)", .{});
        _ = t.result(libc.recvAddress(conn, 0, 6, libc.MSG_TRUNC));
        t.queued(conn);
        _ = t.recv(conn, 10, 0);
        _ = t.close(conn);
    }
};

pub const more = struct {
    pub const summary = "MSG_MORE holds bytes back only for a moment: all arrive";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "head ", libc.MSG_MORE);
        _ = t.send(conn, "body ", libc.MSG_MORE);
        _ = t.send(conn, "tail", 0);
        t.recvAll(conn, 2);
        _ = t.send(conn, "held", libc.MSG_MORE);
        t.recvToEnd(conn, 10);
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.recvAll(conn, 14);
        _ = t.send(conn, "ok", 0);
        t.recvAll(conn, 4);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.recvToEnd(conn, 10);
    }
};

pub const odd_flags = struct {
    pub const summary = "flags that TCP ignores or refuses: EOR, CONFIRM, ERRQUEUE, unknown bits";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "eor", libc.MSG_EOR);
        _ = t.send(conn, "confirm", 0x800);
        _ = t.send(conn, "dontroute", 0x4);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 19);
        _ = t.recvmsg(conn, &.{3}, 0);
        _ = t.recvmsg(conn, &.{7}, libc.MSG_NOSIGNAL);
        _ = t.recvmsg(conn, &.{10}, libc.MSG_ERRQUEUE);
        _ = t.recv(conn, 10, libc.MSG_ERRQUEUE);
        _ = t.recvmsg(conn, &.{9}, libc.MSG_CMSG_CLOEXEC);
        _ = t.close(conn);
    }
};

pub const vectors = struct {
    pub const summary = "readv and writev gather and scatter, empty entries included";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.writev(conn, &.{ "a", "", "bcd", "", "efghij" });
        _ = t.writev(conn, &.{"k"});
        _ = t.pwritev2(conn, &.{ "lm", "no" }, 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 15);
        _ = t.readv(conn, &.{ 2, 0, 1, 3 });
        _ = t.readv(conn, &.{1});
        _ = t.preadv2(conn, &.{ 2, 2 }, 0);
        _ = t.readv(conn, &.{ 10, 10 });
        _ = t.close(conn);
    }
};

pub const vectors_many = struct {
    pub const summary = "vectors of IOV_MAX entries, and one more: EINVAL, nothing moved";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.writevMany(conn, 1024, "xy");
        _ = t.writevMany(conn, 1025, "xy");
        _ = t.writevMany(conn, 0, "xy");
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 2048);
        _ = t.readvMany(conn, 1025, 1);
        _ = t.readvMany(conn, 0, 1);
        _ = t.readvMany(conn, 1024, 1);
        t.queued(conn);
        _ = t.readvMany(conn, 600, 3);
        _ = t.close(conn);
    }
};

pub const vectors_wrong = struct {
    pub const summary = "negative counts, lengths that overflow, descriptors that are none";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        var byte: [1]u8 = .{'x'};
        var huge = [_]libc.iovec{
            .{ .base = &byte, .length = 1 },
            .{ .base = &byte, .length = ~@as(usize, 0) },
        };
        t.begin("writev(conn, length of -1)", .{});
        _ = t.result(libc.writev(conn, &huge, 2));
        t.begin("readv(conn, length of -1)", .{});
        _ = t.result(libc.readv(conn, &huge, 2));
        t.begin("writev(conn, count of -1)", .{});
        _ = t.result(libc.writev(conn, &huge, -1));
        t.begin("readv(conn, count of -1)", .{});
        _ = t.result(libc.readv(conn, &huge, -1));
        const header: libc.msghdr = .{ .vectors = &huge, .count = 1025 };
        t.begin("sendmsg(conn, 1025 entries)", .{});
        _ = t.result(libc.sendmsg(conn, &header, 0));
        var into = header;
        t.begin("recvmsg(conn, 1025 entries)", .{});
        _ = t.result(libc.recvmsg(conn, &into, libc.MSG_DONTWAIT));
        _ = t.writev(-1, &.{"x"});
        _ = t.readv(-1, &.{1});
        _ = t.sendmsg(-1, &.{"x"}, 0);
        _ = t.recvmsg(-1, &.{1}, 0);
        _ = t.close(conn);
    }
};

pub const message_headers = struct {
    pub const summary = "sendmsg and recvmsg: gathered bytes, no name, no control data, flags 0";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.sendmsg(conn, &.{ "mes", "", "sage" }, 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 7);
        _ = t.recvmsg(conn, &.{}, 0);
        _ = t.recvmsg(conn, &.{ 1, 2 }, 0);
        _ = t.recvmsg(conn, &.{ 10, 10 }, libc.MSG_TRUNC | libc.MSG_PEEK);
        _ = t.recvmsg(conn, &.{ 10, 10 }, libc.MSG_WAITALL | libc.MSG_DONTWAIT);
        _ = t.recvmsg(conn, &.{10}, libc.MSG_DONTWAIT);
        _ = t.close(conn);
    }
};

pub const addresses_ignored = struct {
    pub const summary = "sendto's address means nothing on TCP; recvfrom gives none";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.sendto(conn, "to nowhere", 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
        _ = t.recvfrom(conn, 10, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 10);
        _ = t.recvfrom(conn, 4, 0);
        _ = t.recvfrom(conn, 10, 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
        _ = t.sendto(conn, "x", libc.MSG_NOSIGNAL);
    }
};

pub const many_messages = struct {
    pub const summary = "sendmmsg and recvmmsg: a message each, as many as are there";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.sendmmsg(conn, &.{ "one", "two", "three" }, 0);
        _ = t.sendmmsg(conn, &.{}, 0);
        t.sync("sent");
        t.recvToEnd(conn, 10);
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 11);
        _ = t.recvmmsg(conn, 2, 4, libc.MSG_DONTWAIT, null);
        _ = t.recvmmsg(conn, 4, 2, libc.MSG_DONTWAIT, null);
        _ = t.recvmmsg(conn, 2, 4, libc.MSG_DONTWAIT, null);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.untilEvents(conn, libc.POLLHUP);
        _ = t.recvmmsg(conn, 2, 4, 0, null);
    }
};

pub const many_messages_wait = struct {
    pub const summary = "recvmmsg with MSG_WAITFORONE, and with a timeout that has passed";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for (0..10) |_| t.pause();
        _ = t.send(conn, "ab", 0);
        t.sync("first");
        _ = t.send(conn, "cd", 0);
        t.sync("second");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.recvmmsg(conn, 3, 2, libc.MSG_WAITFORONE, null);
        t.sync("first");
        t.sync("second");
        t.untilQueued(conn, 2);
        _ = t.recvmmsg(conn, 3, 2, 0, 0);
        _ = t.recvmmsg(conn, 3, 2, 0, 1_000_000);
        _ = t.close(conn);
    }
};

pub const mixture = struct {
    pub const summary = "read, readv, recv, recvfrom, recvmsg, preadv2 take turns on one stream";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for (0..3) |_| {
            _ = t.write(conn, "write ");
            _ = t.send(conn, "send ", 0);
            _ = t.sendto(conn, "sendto ", 0);
            _ = t.writev(conn, &.{ "wri", "tev " });
            _ = t.sendmsg(conn, &.{ "send", "msg " }, 0);
            _ = t.pwritev2(conn, &.{"pwritev2 "}, 0);
            _ = t.sendmmsg(conn, &.{ "send", "mmsg " }, 0);
        }
        t.sync("sent");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 3 * 51);
        for (0..3) |_| {
            _ = t.read(conn, 6);
            _ = t.recv(conn, 5, 0);
            _ = t.recvfrom(conn, 7, 0);
            _ = t.readv(conn, &.{ 3, 4 });
            _ = t.recvmsg(conn, &.{ 4, 4 }, 0);
            _ = t.preadv2(conn, &.{ 5, 4 }, 0);
            _ = t.recvmmsg(conn, 3, 3, 0, null);
        }
        _ = t.close(conn);
    }
};
