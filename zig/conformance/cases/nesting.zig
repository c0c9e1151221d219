//! An epoll instance that is itself waited for: by another instance, by poll, by select. (The plain
//! case is epoll/nested.) What makes it readable has to be the application's, and told as often as
//! the kernel tells it.

const libc = @import("../libc.zig");
const wait = @import("../calls_wait.zig");
const files = @import("../calls_file.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;
const sendAt = @import("../steps.zig").sendAt;
const sent = @import("../steps.zig").sent;

const long = 10_000; // what must come comes long before
const short = 20; // nothing is to come

const Two = struct { conn: c_int, inner: c_int, outer: c_int };

/// A connection in `inner`, and that in `outer`.
fn twoDeep(t: *Side, inner_events: u32, outer_events: u32) Two {
    const conn = t.accepted(.{});
    const two: Two = .{
        .conn = conn,
        .inner = wait.epollCreate(t, "inner"),
        .outer = wait.epollCreate(t, "outer"),
    };
    wait.epollAdd(t, two.inner, conn, inner_events, 1);
    wait.epollAdd(t, two.outer, two.inner, outer_events, 2);
    return two;
}

pub const deep = struct {
    pub const summary = "three instances deep, seen by epoll, poll and select";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.IN, wait.IN);
        const outermost = wait.epollCreate(t, "outermost");
        wait.epollAdd(t, outermost, two.outer, wait.IN, 3);
        const all = [_]c_int{ two.inner, two.outer, outermost };
        silent(t, &all);
        inline for (.{ "a", "b" }) |step| {
            sent(t, two.conn, step, 1);
            wait.epollWait(t, outermost, 8, long);
            for (all) |each| t.pollNow(each, libc.POLLIN);
            wait.selectFor(t, .{ .read = &all, .timeout_ms = long });
            wait.epollWait(t, two.outer, 8, long);
            _ = t.recv(two.conn, 1, 0);
            silent(t, &all);
        }
        t.sync("done");
    }

    fn silent(t: *Side, all: []const c_int) void {
        wait.epollWait(t, all[2], 8, short);
        for (all) |each| t.pollNow(each, libc.POLLIN);
        wait.selectFor(t, .{ .read = all, .timeout_ms = short });
        wait.pollMany(t, &.{
            .{ .fd = all[0], .events = libc.POLLIN },
            .{ .fd = all[1], .events = libc.POLLIN },
        }, short);
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "a", "b" });
    }
};

pub const unread = struct {
    pub const summary = "the outer instance is waited on alone, the connection read without asking the inner one";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.IN, wait.IN);
        inline for (.{ "a", "b", "c" }) |step| {
            sent(t, two.conn, step, 1);
            wait.epollWait(t, two.outer, 8, long);
            wait.epollWait(t, two.outer, 8, long);
            _ = t.recv(two.conn, 1, 0);
            wait.epollWait(t, two.outer, 8, short);
        }
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "a", "b", "c" });
    }
};

pub const one_shot = struct {
    pub const summary = "a one-shot registration of an instance tells once, and not in vain";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.IN, wait.IN | wait.ONESHOT);
        wait.epollWait(t, two.outer, 8, short);
        sent(t, two.conn, "a", 1);
        wait.epollWait(t, two.outer, 8, long);
        wait.epollWait(t, two.outer, 8, short);
        wait.epollCtl(t, two.outer, .MOD, two.inner, wait.IN | wait.ONESHOT, 3);
        wait.epollWait(t, two.outer, 8, long);
        _ = t.recv(two.conn, 1, 0);
        wait.epollCtl(t, two.outer, .MOD, two.inner, wait.IN | wait.ONESHOT, 4);
        wait.epollWait(t, two.outer, 8, short);
        sent(t, two.conn, "b", 1);
        wait.epollWait(t, two.outer, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "a", "b" });
    }
};

pub const edge = struct {
    pub const summary = "an edge-triggered registration of an instance tells of each arrival in it";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.IN, wait.IN | wait.ET);
        wait.epollWait(t, two.outer, 8, short);
        sent(t, two.conn, "a", 1);
        wait.epollWait(t, two.outer, 8, long);
        wait.epollWait(t, two.outer, 8, short);
        sent(t, two.conn, "b", 2); // nobody has looked into the inner one meanwhile
        wait.epollWait(t, two.outer, 8, long);
        wait.epollWait(t, two.inner, 8, long);
        wait.epollWait(t, two.outer, 8, short);
        wait.epollWait(t, two.inner, 8, 0);
        wait.epollWait(t, two.outer, 8, short);
        _ = t.recv(two.conn, 2, 0);
        wait.epollWait(t, two.inner, 8, short);
        wait.epollWait(t, two.outer, 8, short);
        sent(t, two.conn, "c", 1);
        wait.epollWait(t, two.outer, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "a", "b", "c" });
    }
};

pub const edge_within = struct {
    pub const summary = "an instance whose registration is edge-triggered is readable until it has told";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.IN | wait.ET, wait.IN);
        wait.epollWait(t, two.outer, 8, short);
        inline for (.{ "a", "b" }, 1..) |step, queued| {
            sent(t, two.conn, step, queued);
            for (0..2) |_| wait.epollWait(t, two.outer, 8, long);
            wait.epollWait(t, two.inner, 8, long);
            wait.epollWait(t, two.outer, 8, short);
            t.pollNow(two.inner, libc.POLLIN);
        }
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{ "a", "b" });
    }
};

pub const writable = struct {
    pub const summary = "an instance whose connection is writable is readable; after MOD to IN it is not";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.OUT, wait.IN);
        wait.epollWait(t, two.outer, 8, long);
        wait.epollCtl(t, two.inner, .MOD, two.conn, wait.IN, 5);
        wait.epollWait(t, two.outer, 8, short);
        t.pollNow(two.inner, libc.POLLIN);
        wait.epollCtl(t, two.inner, .MOD, two.conn, wait.IN | wait.OUT, 6);
        wait.epollWait(t, two.outer, 8, long);
        wait.epollWait(t, two.inner, 8, long);
        wait.epollCtl(t, two.inner, .DEL, two.conn, 0, 0);
        wait.epollWait(t, two.outer, 8, short);
        wait.selectFor(t, .{ .read = &.{ two.inner, two.outer }, .timeout_ms = short });
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{});
    }
};

pub const mixed = struct {
    pub const summary = "an instance with a pipe and a connection in it, beside a pipe in the outer one";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.IN, wait.IN);
        const within = t.pipe();
        const beside = t.pipe();
        wait.epollAdd(t, two.inner, within[0], wait.IN, 10);
        wait.epollAdd(t, two.outer, beside[0], wait.IN, 2); // the same data as the inner instance's
        wait.epollWait(t, two.outer, 8, short);
        _ = t.write(within[1], "p");
        wait.epollWait(t, two.outer, 8, long);
        _ = t.write(beside[1], "q");
        wait.epollWait(t, two.outer, 8, long);
        sent(t, two.conn, "a", 1);
        wait.epollWait(t, two.outer, 8, long);
        wait.epollWait(t, two.inner, 8, long);
        _ = t.read(within[0], 1);
        _ = t.recv(two.conn, 1, 0);
        wait.epollWait(t, two.outer, 8, long); // the pipe alone
        _ = t.read(beside[0], 1);
        wait.epollWait(t, two.outer, 8, short);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const later = struct {
    pub const summary = "the connection joins an instance that is nested already, asleep in the outer one";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const inner = wait.epollCreate(t, "inner");
        const outer = wait.epollCreate(t, "outer");
        wait.epollAdd(t, outer, inner, wait.IN, 2);
        wait.epollWait(t, outer, 8, short);
        wait.epollAdd(t, inner, conn, wait.IN, 1);
        wait.epollWait(t, outer, 8, short);
        t.sync("send a");
        wait.epollWait(t, outer, 8, long);
        t.sync("sent a");
        wait.epollWait(t, inner, 8, long);
        wait.epollCtl(t, outer, .DEL, inner, 0, 0);
        wait.epollWait(t, outer, 8, short);
        wait.epollAdd(t, outer, inner, wait.IN, 3);
        wait.epollWait(t, outer, 8, long);
        _ = t.close(inner);
        wait.epollWait(t, outer, 8, short);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};

pub const duplicate = struct {
    pub const summary = "an instance goes on under the number of its duplicate";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const two = twoDeep(t, wait.IN, wait.IN);
        sent(t, two.conn, "a", 1);
        wait.epollWait(t, two.inner, 8, long);
        const copy = files.dup(t, two.inner, "copy");
        _ = t.close(two.inner);
        const other = t.pipe(); // takes the number
        wait.epollWait(t, copy, 8, long);
        wait.epollWait(t, two.outer, 8, long);
        _ = t.recv(two.conn, 1, 0);
        wait.epollWait(t, copy, 8, short);
        wait.epollWait(t, two.outer, 8, short);
        wait.epollCtl(t, copy, .MOD, two.conn, wait.IN | wait.OUT, 9);
        wait.epollWait(t, copy, 8, long);
        t.pollNow(other[0], libc.POLLIN);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        sendAt(t, &.{"a"});
    }
};
