//! epoll: level, edge, one shot; ends and errors; several instances, several descriptors.

const libc = @import("../libc.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;
const sendAt = @import("../steps.zig").sendAt;
const sent = @import("../steps.zig").sent;

const long = 10_000; // what must come comes long before

pub const level = struct {
    pub const summary = "a level-triggered registration tells of bytes until they are read";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 7);
        wait.epollWait(t, ep, 8, 0);
        sent(t, conn, "abc", 3);
        for (0..3) |_| wait.epollWait(t, ep, 8, long);
        _ = t.recv(conn, 2, 0);
        wait.epollWait(t, ep, 8, long);
        _ = t.recv(conn, 2, 0);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"abc"});
    }
};

pub const edge = struct {
    pub const summary = "an edge-triggered registration tells of each arrival once";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 7);
        wait.epollWait(t, ep, 8, 0);
        sent(t, conn, "abc", 3);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        _ = t.recv(conn, 1, 0);
        wait.epollWait(t, ep, 8, 20);
        sent(t, conn, "d", 3);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        _ = t.recv(conn, 10, 0);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "abc", "d" });
    }
};

pub const edge_modified = struct {
    pub const summary = "MOD of an edge-triggered registration tells of what is there again";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.ET, 1);
        sent(t, conn, "abc", 3);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.ET, 2);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"abc"});
    }
};

pub const one_shot = struct {
    pub const summary = "ONESHOT tells once, until MOD";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.ONESHOT, 1);
        sent(t, conn, "a", 1);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        sent(t, conn, "b", 2);
        wait.epollWait(t, ep, 8, 20);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.ONESHOT, 2);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN, 3);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "a", "b" });
    }
};

pub const one_shot_edge = struct {
    pub const summary = "ONESHOT with ET tells once, and again after MOD though nothing came";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.OUT | wait.ET | wait.ONESHOT, 1);
        wait.epollWait(t, ep, 8, long);
        sent(t, conn, "a", 1);
        wait.epollWait(t, ep, 8, 20);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.ET | wait.ONESHOT, 2);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const writable = struct {
    pub const summary = "OUT is told at once, with IN when both are there, and once when edge-triggered";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.OUT, 1);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, long);
        sent(t, conn, "a", 1);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.OUT | wait.ET, 2);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        _ = t.send(conn, "x", 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const writable_where_entered = struct {
    pub const summary = "OUT is told again after a send that has entered a ring";
    pub const carrier: Carrier = .ring;
    const exchanges = 10;

    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        const ep = register(t, conn);
        for (0..exchanges) |_| {
            sendBetweenWaits(t, ep, conn);
            t.sync("the server has sent");
            t.sync("the client has sent");
            t.recvAll(conn, 1);
        }
    }

    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        const ep = register(t, conn);
        for (0..exchanges) |_| {
            t.sync("the server has sent");
            t.recvAll(conn, 1);
            sendBetweenWaits(t, ep, conn);
            t.sync("the client has sent");
        }
    }

    fn register(t: *Side, conn: c_int) c_int {
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        return ep;
    }

    /// The first wait sleeps, so that the registration is not looked at any more; nothing comes, so
    /// that only the send itself can change that.
    fn sendBetweenWaits(t: *Side, ep: c_int, conn: c_int) void {
        wait.epollCtl(t, ep, .MOD, conn, wait.IN, 1);
        wait.epollWait(t, ep, 8, 2);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.OUT, 2);
        wait.epollWait(t, ep, 8, 0);
        _ = t.send(conn, "x", 0);
        for (0..2) |_| wait.epollWait(t, ep, 8, 0);
    }
};

pub const drains = struct {
    pub const summary = "OUT comes back when the other side has read a full connection empty";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.setNonBlocking(conn, true);
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.OUT, 1);
        const piece: [4096]u8 = @splat('p');
        var total: u64 = 0;
        t.begin("-- send until EAGAIN", .{});
        while (true) {
            const n = libc.send(conn, &piece, piece.len, libc.MSG_NOSIGNAL);
            if (n < 0) break;
            total += @intCast(n);
        }
        t.end("", .{});
        wait.epollWait(t, ep, 8, 20);
        t.tell("total", total);
        wait.epollWait(t, ep, 8, long);
        t.sync("all read");
        wait.epollWait(t, ep, 8, long);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const total = t.hear("total");
        var left = total;
        var buffer: [65536]u8 = undefined;
        t.begin("-- read all", .{});
        while (left > 0) {
            const n = libc.recv(conn, &buffer, @min(left, buffer.len), 0);
            if (n <= 0) break;
            left -= @intCast(n);
        }
        t.end(": {d} left", .{left});
        t.sync("all read");
    }
};

pub const half_closed = struct {
    pub const summary = "the peer's half close is IN and RDHUP; RDHUP alone can be asked for";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.RDHUP, 1);
        wait.epollWait(t, ep, 8, 0);
        t.sync("not yet");
        t.sync("shut");
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.RDHUP, 2);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN, 3);
        wait.epollWait(t, ep, 8, long);
        _ = t.recv(conn, 5, 0);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("not yet");
        _ = t.send(conn, "last", 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("shut");
        t.sync("done");
    }
};

pub const half_closed_edge = struct {
    pub const summary = "an edge-triggered registration tells of bytes, then of the end";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.RDHUP | wait.ET, 1);
        sent(t, conn, "a", 1);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        t.sync("end");
        t.sync("ended"); // a FIN wakes twice
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        t.recvToEnd(conn, 10);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("send a");
        _ = t.send(conn, "a", 0);
        t.sync("sent a");
        t.sync("end");
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("ended");
        t.sync("done");
    }
};

pub const hung_up = struct {
    pub const summary = "both directions closed: HUP, asked for or not";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, 0, 1);
        t.sync("shut");
        wait.epollWait(t, ep, 8, 20);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.untilEvents(conn, libc.POLLHUP);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.OUT | wait.RDHUP, 2);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.sync("shut");
        t.sync("done");
    }
};

pub const reset = struct {
    pub const summary = "a reset is ERR and HUP, asked for or not";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.RDHUP, 1);
        t.sync("reset");
        t.untilEvents(conn, libc.POLLERR);
        wait.epollWait(t, ep, 8, long);
        _ = t.recv(conn, 5, 0);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("reset");
        t.sync("done");
    }
};

pub const silenced = struct {
    pub const summary = "MOD to no events is silent, MOD back tells again";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        sent(t, conn, "a", 1);
        wait.epollCtl(t, ep, .MOD, conn, 0, 1);
        wait.epollWait(t, ep, 8, 20);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN, 2);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .DEL, conn, 0, 0);
        wait.epollWait(t, ep, 8, 20);
        wait.epollAdd(t, ep, conn, wait.IN, 3);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const refusals = struct {
    pub const summary = "epoll_ctl and epoll_wait refuse what they must";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollCtl(t, ep, .MOD, conn, wait.IN, 1);
        wait.epollCtl(t, ep, .DEL, conn, 0, 1);
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        wait.epollCtl(t, ep, .NONE, conn, wait.IN, 1);
        wait.epollAdd(t, ep, ep, wait.IN, 1);
        wait.epollAdd(t, conn, ep, wait.IN, 1);
        wait.epollAdd(t, ep, -1, wait.IN, 1);
        wait.epollAdd(t, ep, t.file("file"), wait.IN, 1);
        wait.epollWait(t, ep, 0, 0);
        wait.epollWait(t, ep, -1, 0);
        wait.epollWait(t, conn, 1, 0);
        wait.epollWait(t, -1, 1, 0);
        wait.epollWaitNowhere(t, ep, 1);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN | wait.EXCLUSIVE, 1);
        wait.epollCtl(t, ep, .DEL, conn, 0, 1);
        wait.epollCtl(t, ep, .DEL, conn, 0, 1);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        _ = t.connected(.{});
        t.sync("done");
    }
};

pub const closed = struct {
    pub const summary = "closing a descriptor takes its registration away";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, first, wait.IN, 1);
        t.sync("first sent");
        t.untilQueued(first, 1);
        _ = t.recv(first, 1, 0);
        _ = t.close(first);
        wait.epollWait(t, ep, 8, 20);
        const second = t.acceptFrom(listener, .{ .label = "second" });
        wait.epollWait(t, ep, 8, 20);
        wait.epollAdd(t, ep, second, wait.IN, 2);
        t.sync("second sent");
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        _ = t.send(first, "1", 0);
        t.sync("first sent");
        const second = t.connectTo(port, .{ .label = "second" });
        _ = t.send(second, "2", 0);
        t.sync("second sent");
        t.sync("done");
    }
};

pub const closed_copy = struct {
    pub const summary = "a registration outlives its descriptor while a copy is open";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        const copy = t.dup(conn, "copy");
        _ = t.close(conn);
        sent(t, copy, "a", 1);
        wait.epollWait(t, ep, 8, long);
        _ = t.close(copy);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const copies = struct {
    pub const summary = "several descriptors of one connection are several registrations";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const copy = t.dup(conn, "copy");
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        wait.epollAdd(t, ep, copy, wait.IN | wait.OUT, 2);
        sent(t, conn, "a", 1);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .DEL, conn, 0, 0);
        wait.epollWait(t, ep, 8, long);
        _ = t.close(conn);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const instances = struct {
    pub const summary = "one connection in several instances, each with its own ways";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const first = wait.epollCreate(t, "level");
        const second = wait.epollCreate(t, "edge");
        const third = wait.epollCreate(t, "one shot");
        wait.epollAdd(t, first, conn, wait.IN, 1);
        wait.epollAdd(t, second, conn, wait.IN | wait.ET, 2);
        wait.epollAdd(t, third, conn, wait.IN | wait.ONESHOT, 3);
        sent(t, conn, "a", 1);
        for (0..2) |_| {
            wait.epollWait(t, first, 8, long);
            wait.epollWait(t, second, 8, 20);
            wait.epollWait(t, third, 8, 20);
        }
        _ = t.close(second);
        _ = t.recv(conn, 1, 0);
        wait.epollWait(t, first, 8, 20);
        sent(t, conn, "b", 1);
        wait.epollWait(t, first, 8, long);
        wait.epollWait(t, third, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "a", "b" });
    }
};

pub const nested = struct {
    pub const summary = "an instance in an instance in a poll is readable while it has events";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const inner = wait.epollCreate(t, "inner");
        const outer = wait.epollCreate(t, "outer");
        wait.epollAdd(t, inner, conn, wait.IN, 1);
        wait.epollAdd(t, outer, inner, wait.IN, 2);
        wait.epollWait(t, outer, 8, 20);
        sent(t, conn, "a", 1);
        wait.epollWait(t, outer, 8, long);
        t.untilEvents(outer, libc.POLLIN);
        wait.epollWait(t, inner, 8, long);
        _ = t.recv(conn, 1, 0);
        wait.epollWait(t, inner, 8, 20);
        wait.epollWait(t, outer, 8, 20);
        t.pollNow(outer, libc.POLLIN);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const data = struct {
    pub const summary = "64 bits of data come back as they were given";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        sent(t, conn, "a", 1);
        wait.epollAdd(t, ep, conn, wait.IN, 0);
        wait.epollWait(t, ep, 8, long);
        const values = [_]u64{
            0xffff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0x1234_5678_9abc_def0, 0xffff_ffff, 1 << 32,
        };
        for (values) |value| {
            wait.epollCtl(t, ep, .MOD, conn, wait.IN, value);
            wait.epollWait(t, ep, 8, long);
        }
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const same_data = struct {
    pub const summary = "two registrations with the same data are two events";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        const pipe = t.pipe();
        wait.epollAdd(t, ep, conn, wait.IN, 5);
        wait.epollAdd(t, ep, pipe[0], wait.IN, 5);
        sent(t, conn, "a", 1);
        _ = t.write(pipe[1], "p");
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, long);
        _ = t.recv(conn, 1, 0);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const same_data_one_shot = struct {
    pub const summary = "ONESHOT registrations with the same data fire each for itself";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        const second = t.acceptFrom(listener, .{ .label = "second" });
        const ep = wait.epollCreate(t, "ep");
        for ([_]c_int{ first, second }) |conn| wait.epollAdd(t, ep, conn, wait.IN | wait.RDHUP | wait.ONESHOT, 5);
        t.sync("send first");
        t.untilQueued(first, 1);
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        t.sync("end second");
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        const second = t.connectTo(port, .{ .label = "second" });
        t.sync("send first");
        _ = t.send(first, "1", 0);
        t.sync("end second");
        _ = t.shutdown(second, libc.SHUT_WR);
        t.sync("done");
    }
};

pub const few_places = struct {
    pub const summary = "with room for one event, several ready connections and a pipe are all told";
    pub const carrier: Carrier = .ring;
    const count = 3;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const ep = wait.epollCreate(t, "ep");
        for (0..count) |i| {
            const conn = t.acceptFrom(listener, .{});
            wait.epollAdd(t, ep, conn, wait.IN, i);
            t.sync("sent");
            t.untilQueued(conn, 1);
        }
        const pipe = t.pipe();
        _ = t.write(pipe[1], "p");
        wait.epollAdd(t, ep, pipe[0], wait.IN, count);
        for ([_]c_int{ 1, 2, 8 }) |max| wait.epollTellsAll(t, ep, max, &.{ 0, 1, 2, count }, 100_000);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        for (0..count) |_| {
            const conn = t.connectTo(port, .{});
            _ = t.send(conn, "x", 0);
            t.sync("sent");
        }
        t.sync("done");
    }
};

pub const exclusive = struct {
    pub const summary = "EXCLUSIVE registrations tell, and cannot be modified";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.EXCLUSIVE, 1);
        sent(t, conn, "a", 1);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .MOD, conn, wait.IN, 2);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .DEL, conn, 0, 0);
        wait.epollAdd(t, ep, conn, wait.IN | wait.OUT | wait.EXCLUSIVE, 3);
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const urgent = struct {
    pub const summary = "urgent data is PRI";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.PRI, 1);
        t.sync("urgent");
        wait.epollWait(t, ep, 8, long);
        _ = t.recv(conn, 1, libc.MSG_OOB);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "!", libc.MSG_OOB);
        t.sync("urgent");
        t.sync("done");
    }
};

pub const asleep = struct {
    pub const summary = "a wait without end sleeps until bytes come, again and again";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        for (0..5) |_| {
            wait.epollWait(t, ep, 8, -1);
            _ = t.recv(conn, 1, 0);
            _ = t.send(conn, "y", 0);
        }
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for (0..5) |_| {
            for (0..50) |_| t.pause(); // 10 ms: the server sleeps
            _ = t.send(conn, "x", 0);
            t.recvAll(conn, 1);
        }
        t.sync("done");
    }
};

pub const threads = struct {
    pub const summary = "two threads on one instance: each ONESHOT event is one thread's";
    pub const carrier: Carrier = .ring;
    const rounds = 20;
    var ep: c_int = -1;
    var conn: c_int = -1;
    var served: u32 = 0;

    fn serve(t: *Side) void {
        while (@atomicLoad(u32, &served, .acquire) < rounds) {
            _ = wait.epollTake(ep, 50) orelse continue;
            var byte: [1]u8 = undefined;
            if (libc.recv(conn, &byte, 1, libc.MSG_DONTWAIT) != 1) t.fail("an event without a byte", .{});
            const now = @atomicRmw(u32, &served, .Add, 1, .acq_rel) + 1;
            _ = libc.send(conn, &byte, 1, libc.MSG_NOSIGNAL);
            if (now < rounds) rearm();
        }
        t.note("served", .{});
    }

    fn rearm() void {
        var event: wait.Event = .{ .events = wait.IN | wait.ONESHOT, .data = 1 };
        _ = wait.epollChange(ep, .MOD, conn, &event);
    }

    pub fn server(t: *Side) void {
        conn = t.accepted(.{});
        ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.ONESHOT, 1);
        var other: Side.Thread = undefined;
        t.spawn(&other, "thread", &serve);
        serve(t);
        t.join(&other);
        t.note("{d} bytes served", .{served});
    }

    pub fn client(t: *Side) void {
        const mine = t.connected(.{});
        for (0..rounds) |_| {
            _ = libc.send(mine, "x", 1, 0);
            var byte: [1]u8 = undefined;
            if (libc.recv(mine, &byte, 1, 0) != 1) t.fail("no answer", .{});
        }
        t.note("{d} answers", .{rounds});
    }
};

pub const signal_interrupts = struct {
    pub const summary = "a signal that comes while epoll_pwait waits ends it, SA_RESTART or not";
    pub const carrier: Carrier = .ring;
    const SIGUSR1 = 10;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        const open: wait.Mask = .{};
        for ([_]bool{ false, true }) |restart| {
            t.catchSignal(SIGUSR1, restart);
            wait.blockSignal(t, SIGUSR1);
            wait.raise(t, SIGUSR1);
            wait.epollWait(t, ep, 8, 20);
            t.caught(SIGUSR1);
            wait.epollPwait(t, ep, long, &open);
            t.caught(SIGUSR1);
            wait.epollPwait(t, ep, 20, &open);
            wait.unblockSignal(t, SIGUSR1);
        }
        const shut: wait.Mask = .of(SIGUSR1);
        wait.epollPwait(t, ep, 20, &shut);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        _ = t.connected(.{});
        t.sync("done");
    }
};

pub const nanoseconds = struct {
    pub const summary = "epoll_pwait2 takes nanoseconds, refuses nonsense, and waits for ever without a timeout";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        wait.epollPwait2(t, ep, .{ .sec = 0, .nsec = 0 }, null);
        wait.epollPwait2(t, ep, .{ .sec = 0, .nsec = 300_000 }, null);
        wait.epollPwait2(t, ep, .{ .sec = 0, .nsec = 1_000_000_000 }, null);
        wait.epollPwait2(t, ep, .{ .sec = -1, .nsec = 0 }, null);
        t.sync("wait");
        wait.epollPwait2(t, ep, null, null);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("wait");
        _ = t.send(conn, "a", 0);
        t.sync("done");
    }
};

pub const shortest_wait = struct {
    pub const summary = "a wait that is over before it has begun finds what is ready all the same";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        const event = wait.eventFd(t, 0);
        wait.epollAdd(t, ep, event, wait.IN, 2);
        // Whoever waits in vain so often watches the ring no more before it sleeps.
        for (0..12) |_| wait.epollPwait2(t, ep, .{ .sec = 0, .nsec = 5_000_000 }, null);
        wait.signalEvent(t, event);
        for (0..20) |_| wait.epollPwait2(t, ep, .{ .sec = 0, .nsec = 1 }, null);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        _ = t.connected(.{});
        t.sync("done");
    }
};

pub const kernel_descriptors = struct {
    pub const summary = "timers, signals, events, pipes, files watched: told beside a connection";
    pub const carrier: Carrier = .ring;
    const SIGUSR2 = 12;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        const event = wait.eventFd(t, 0);
        wait.epollAdd(t, ep, event, wait.IN, 2);
        wait.epollWait(t, ep, 8, 20);
        wait.signalEvent(t, event);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .DEL, event, 0, 0);
        const timer = wait.timer(t, 20_000_000);
        wait.epollAdd(t, ep, timer, wait.IN, 3);
        wait.epollWait(t, ep, 8, -1);
        wait.epollCtl(t, ep, .DEL, timer, 0, 0);
        const signal = wait.signalFd(t, SIGUSR2);
        wait.epollAdd(t, ep, signal, wait.IN, 4);
        wait.raise(t, SIGUSR2);
        wait.epollWait(t, ep, 8, long);
        wait.epollCtl(t, ep, .DEL, signal, 0, 0);
        const pipe = t.pipe();
        wait.epollAdd(t, ep, pipe[0], wait.IN | wait.ET, 5);
        _ = t.write(pipe[1], "p");
        wait.epollWait(t, ep, 8, long);
        wait.epollWait(t, ep, 8, 20);
        const watch = wait.inotify(t, "/proc/self");
        wait.epollAdd(t, ep, watch, wait.IN, 6);
        t.sync("send");
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("send");
        _ = t.send(conn, "a", 0);
        t.sync("done");
    }
};

pub const not_starved = struct {
    pub const summary = "a timer is told beside a connection that is always ready, both ways round";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN | wait.OUT, 1);
        sent(t, conn, "a", 1);
        wait.epollAdd(t, ep, wait.timer(t, 5_000_000), wait.IN, 2);
        wait.epollTellsAll(t, ep, 1, &.{ 1, 2 }, 1_000_000);
        wait.epollTellsAll(t, ep, 4, &.{ 1, 2 }, 1_000_000);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const listener_and_connection = struct {
    pub const summary = "a listener beside its connections is told of the next one";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, listener, wait.IN, 1);
        wait.epollAdd(t, ep, first, wait.IN, 2);
        wait.epollWait(t, ep, 8, 0);
        t.sync("connect");
        wait.epollWait(t, ep, 8, long);
        const second = t.acceptFrom(listener, .{ .label = "second" });
        wait.epollAdd(t, ep, second, wait.IN, 3);
        t.sync("second sent");
        wait.epollWait(t, ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        _ = t.connectTo(port, .{ .label = "first" });
        t.sync("connect");
        const second = t.connectTo(port, .{ .label = "second" });
        _ = t.send(second, "2", 0);
        t.sync("second sent");
        t.sync("done");
    }
};

pub const registered_first = struct {
    pub const summary = "a socket is registered before it is connected and goes on being told of";
    pub const carrier: Carrier = .ring;
    var ep: c_int = -1;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("send");
        _ = t.send(conn, "a", 0);
        t.sync("done");
    }

    fn register(t: *Side, fd: c_int) void {
        ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, fd, wait.IN | wait.RDHUP, 1);
        wait.epollWait(t, ep, 8, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .prepare = &register });
        wait.epollWait(t, ep, 8, 20);
        t.sync("send");
        wait.epollWait(t, ep, 8, long);
        t.recvAll(conn, 1);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }
};

pub const inherited = struct {
    pub const summary = "a forked child waits on an instance that it inherited";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "epoll_shared", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        wait.epollWait(t, ep, 8, 0);
        if (t.fork("child")) |c| {
            var child = c;
            child.note("started", .{});
            for (0..3) |_| {
                wait.epollWait(&child, ep, 8, -1);
                child.recvAll(conn, 1);
                _ = child.send(conn, "y", 0);
            }
            wait.epollWait(&child, ep, 8, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        t.sync("parent");
        wait.epollWait(t, ep, 8, long);
        t.recvAll(conn, 1);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for (0..3) |_| {
            for (0..25) |_| t.pause();
            _ = t.send(conn, "x", 0);
            t.recvAll(conn, 1);
        }
        t.sync("parent");
        _ = t.send(conn, "z", 0);
        t.sync("done");
    }
};
