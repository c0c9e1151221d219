//! epoll instances that several processes use: inherited by fork, passed by SCM_RIGHTS.

const libc = @import("../libc.zig");
const rights = @import("../rights.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;
const sends = @import("../steps.zig").sends;
const sent = @import("../steps.zig").sent;

const long = 10_000; // what must come comes long before

/// One end's instance moves the connection to TCP, and asks the other end to do so.
const shared_reasons: []const []const u8 = &.{ "epoll_shared", "fd_passed" };

/// A connection on a ring, and an instance that has waited for it.
fn registered(t: *Side, events: u32) struct { conn: c_int, ep: c_int } {
    const conn = t.accepted(.{});
    const ep = wait.epollCreate(t, "ep");
    wait.epollAdd(t, ep, conn, events, 1);
    wait.epollWait(t, ep, 8, 0);
    return .{ .conn = conn, .ep = ep };
}

pub const level = struct {
    pub const summary = "a child waits level-triggered on an instance of its parent's, then the parent";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, 0);
            sent(&child, at.conn, "a", 1);
            for (0..2) |_| wait.epollWait(&child, at.ep, 8, long);
            child.recvAll(at.conn, 1);
            wait.epollWait(&child, at.ep, 8, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        sent(t, at.conn, "b", 1);
        for (0..2) |_| wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        wait.epollWait(t, at.ep, 8, 20);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b" });
};

pub const edge = struct {
    pub const summary = "a child waits edge-triggered on an instance of its parent's, then the parent";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN | wait.ET);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, 20);
            sent(&child, at.conn, "a", 1);
            wait.epollWait(&child, at.ep, 8, long);
            wait.epollWait(&child, at.ep, 8, 20);
            sent(&child, at.conn, "b", 2);
            wait.epollWait(&child, at.ep, 8, long);
            wait.epollWait(&child, at.ep, 8, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        sent(t, at.conn, "c", 3);
        wait.epollWait(t, at.ep, 8, long);
        wait.epollWait(t, at.ep, 8, 20);
        t.recvAll(at.conn, 3);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b", "c" });
};

pub const one_shot = struct {
    pub const summary = "a ONESHOT registration fires once for parent and child together";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN | wait.ONESHOT);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, 20);
            sent(&child, at.conn, "a", 1);
            wait.epollWait(&child, at.ep, 8, long);
            wait.epollWait(&child, at.ep, 8, 20);
            wait.epollCtl(&child, at.ep, .MOD, at.conn, wait.IN | wait.ONESHOT, 2);
            wait.epollWait(&child, at.ep, 8, long);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        wait.epollWait(t, at.ep, 8, 20);
        wait.epollCtl(t, at.ep, .MOD, at.conn, wait.IN | wait.ONESHOT, 3);
        wait.epollWait(t, at.ep, 8, long);
        wait.epollWait(t, at.ep, 8, 20);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const one_shot_fired = struct {
    pub const summary = "a ONESHOT registration that has fired in the parent is silent in its child until MOD";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN | wait.ONESHOT);
        sent(t, at.conn, "a", 1);
        wait.epollWait(t, at.ep, 8, long);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, 20);
            wait.epollCtl(&child, at.ep, .ADD, at.conn, wait.IN, 2);
            wait.epollCtl(&child, at.ep, .MOD, at.conn, wait.IN | wait.ONESHOT, 2);
            wait.epollWait(&child, at.ep, 8, long);
            wait.epollWait(&child, at.ep, 8, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        wait.epollWait(t, at.ep, 8, 20);
        wait.epollCtl(t, at.ep, .MOD, at.conn, wait.IN, 3);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        wait.epollWait(t, at.ep, 8, 20);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const writable = struct {
    pub const summary = "a child is told of space by an instance of its parent's";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN | wait.OUT);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, long);
            sent(&child, at.conn, "a", 1);
            wait.epollWait(&child, at.ep, 8, long);
            wait.epollCtl(&child, at.ep, .MOD, at.conn, wait.OUT, 2);
            wait.epollWait(&child, at.ep, 8, long);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        wait.epollWait(t, at.ep, 8, long);
        wait.epollCtl(t, at.ep, .MOD, at.conn, wait.IN, 3);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        wait.epollWait(t, at.ep, 8, 20);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const unread = struct {
    pub const summary = "bytes that came before fork are told to the child, and can be read there";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        sent(t, at.conn, "abcdef", 6);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, long);
            child.recvAll(at.conn, 4);
            wait.epollWait(&child, at.ep, 8, long);
            child.recvAll(at.conn, 2);
            wait.epollWait(&child, at.ep, 8, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        sent(t, at.conn, "g", 1);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{ "abcdef", "g" });
};

pub const unread_and_gone = struct {
    pub const summary = "bytes and the end of a peer that is gone are told to the child";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        sent(t, at.conn, "abcdef", 6);
        t.sync("close");
        t.sync("closed");
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, long);
            child.recvAll(at.conn, 6);
            wait.epollWait(&child, at.ep, 8, long);
            child.recvToEnd(at.conn, 1);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        wait.epollWait(t, at.ep, 8, long);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("send abcdef");
        _ = t.send(conn, "abcdef", 0);
        t.sync("sent abcdef");
        t.sync("close");
        _ = t.close(conn);
        t.sync("closed");
        t.sync("done");
    }
};

pub const peer_away = struct {
    pub const summary = "a child is told of bytes whose sender is in no call at all";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        t.sync("send");
        t.untilQueued(at.conn, 3);
        if (t.fork("child")) |c| {
            var child = c;
            for (0..3) |_| {
                wait.epollWait(&child, at.ep, 8, long);
                child.recvAll(at.conn, 1);
            }
            wait.epollWait(&child, at.ep, 8, 20);
            child.sync("read");
            wait.epollWait(&child, at.ep, 8, long);
            child.recvAll(at.conn, 1);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        t.sync("done");
    }

    /// `sync` is a read of a pair of Unix sockets: no call of the connection's.
    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("send");
        _ = t.send(conn, "abc", 0);
        t.sync("read");
        _ = t.send(conn, "d", 0);
        t.sync("done");
    }
};

pub const both_wait = struct {
    pub const summary = "a child waits while its parent is asleep in the same instance";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        if (t.fork("child")) |c| {
            var child = c;
            for (0..100) |_| child.pause(); // the parent falls asleep, most likely
            wait.epollWait(&child, at.ep, 8, 20);
            child.sync("send a");
            child.sync("sent a");
            child.exitChild(0);
        }
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        wait.epollWait(t, at.ep, 8, 20);
        t.waitChild(t.child_pid);
        sent(t, at.conn, "b", 1);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b" });
};

pub const thread_waits = struct {
    pub const summary = "a child waits on an instance in which a thread of its parent slept when it was forked";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    var ep: c_int = -1;
    var conn: c_int = -1;

    fn sleeper(t: *Side) void {
        wait.epollWait(t, ep, 8, long);
        t.recvAll(conn, 1);
    }

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN | wait.ONESHOT);
        ep = at.ep;
        conn = at.conn;
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "thread", &sleeper);
        for (0..100) |_| t.pause(); // it falls asleep, most likely
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollWait(&child, at.ep, 8, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        t.sync("send a");
        t.sync("sent a");
        t.join(&thread);
        wait.epollWait(t, at.ep, 8, 20);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const child_takes = struct {
    pub const summary = "a child is told what happens to a connection that its parent added after fork";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipe = t.pipe();
        const back = t.pipe();
        const ep = wait.epollCreate(t, "ep");
        if (t.fork("child")) |c| {
            var child = c;
            _ = child.close(conn);
            _ = child.read(pipe[0], 1);
            for (0..100) |_| child.pause(); // the parent falls asleep, most likely
            wait.epollWait(&child, ep, 8, 0);
            child.sync("send a");
            child.sync("sent a");
            wait.epollWait(&child, ep, 8, long);
            _ = child.write(back[1], "x");
            child.exitChild(0);
        }
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        wait.epollWait(t, ep, 8, 0);
        _ = t.write(pipe[1], "x");
        wait.epollWait(t, ep, 8, long);
        _ = t.read(back[0], 1);
        t.recvAll(conn, 1);
        t.waitChild(t.child_pid);
        wait.epollWait(t, ep, 8, 20);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const parent_adds = struct {
    pub const summary = "a parent adds a connection to an instance that its child waits on";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipe = t.pipe();
        const ep = wait.epollCreate(t, "ep");
        if (t.fork("child")) |c| {
            var child = c;
            _ = child.close(conn);
            wait.epollAdd(&child, ep, pipe[0], wait.IN, 2);
            wait.epollWait(&child, ep, 8, 20);
            wait.epollCtl(&child, ep, .DEL, pipe[0], 0, 0);
            child.sync("send a");
            child.sync("sent a");
            wait.epollWait(&child, ep, 8, long);
            child.exitChild(0);
        }
        for (0..20) |_| t.pause();
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        t.waitChild(t.child_pid);
        wait.epollWait(t, ep, 8, long);
        t.recvAll(conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const child_deletes = struct {
    pub const summary = "what a child takes out of the instance the parent is not told of any more";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollCtl(&child, at.ep, .DEL, at.conn, 0, 0);
            wait.epollCtl(&child, at.ep, .DEL, at.conn, 0, 0);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        sent(t, at.conn, "a", 1);
        wait.epollWait(t, at.ep, 8, 20);
        wait.epollCtl(t, at.ep, .MOD, at.conn, wait.IN, 2);
        wait.epollAdd(t, at.ep, at.conn, wait.IN, 3);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const child_modifies = struct {
    pub const summary = "what a child registers otherwise is told to the parent so";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN | wait.OUT);
        if (t.fork("child")) |c| {
            var child = c;
            wait.epollCtl(&child, at.ep, .MOD, at.conn, wait.IN, 2);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        wait.epollWait(t, at.ep, 8, 20);
        sent(t, at.conn, "a", 1);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{"a"});
};

pub const polled = struct {
    pub const summary = "a child polls an instance of its parent's";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        if (t.fork("child")) |c| {
            var child = c;
            wait.pollMany(&child, &.{.{ .fd = at.ep, .events = libc.POLLIN }}, 20);
            sent(&child, at.conn, "a", 1);
            wait.pollMany(&child, &.{.{ .fd = at.ep, .events = libc.POLLIN }}, long);
            child.recvAll(at.conn, 1);
            wait.pollMany(&child, &.{.{ .fd = at.ep, .events = libc.POLLIN }}, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        sent(t, at.conn, "b", 1);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b" });
};

pub const nested = struct {
    pub const summary = "a child waits on an instance of its own with one of its parent's in it";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        if (t.fork("child")) |c| {
            var child = c;
            const outer = wait.epollCreate(&child, "outer");
            wait.epollAdd(&child, outer, at.ep, wait.IN, 9);
            wait.epollWait(&child, outer, 8, 20);
            sent(&child, at.conn, "a", 1);
            wait.epollWait(&child, outer, 8, long);
            wait.epollWait(&child, at.ep, 8, long);
            child.recvAll(at.conn, 1);
            wait.epollWait(&child, outer, 8, 20);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        sent(t, at.conn, "b", 1);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b" });
};

pub const untouched = struct {
    pub const summary = "a child that does not touch its parent's instance changes nothing";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        if (t.fork("child")) |c| {
            var child = c;
            _ = child.close(at.ep);
            _ = child.close(at.conn);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        sent(t, at.conn, "a", 1);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        wait.epollWait(t, at.ep, 8, 20);
        sent(t, at.conn, "b", 1);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b" });
};

pub const into_the_background = struct {
    pub const summary = "a child alone uses an instance that its parent has made for it";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const ep = wait.epollCreate(t, "ep");
        const pipe = t.pipe();
        wait.epollAdd(t, ep, pipe[0], wait.IN, 7);
        if (t.fork("child")) |c| {
            var child = c;
            const conn = child.accepted(.{});
            wait.epollAdd(&child, ep, conn, wait.IN, 1);
            wait.epollWait(&child, ep, 8, 20);
            sent(&child, conn, "a", 1);
            wait.epollWait(&child, ep, 8, long);
            child.recvAll(conn, 1);
            wait.epollWait(&child, ep, 8, 20);
            child.sync("done");
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
    }

    pub const client = sends(&.{"a"});
};

pub const passed = struct {
    pub const summary = "an instance is passed by SCM_RIGHTS and waited on by either descriptor";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const at = registered(t, wait.IN);
        const copy = rights.passToSelf(at.ep);
        t.label(copy, "copy");
        wait.epollWait(t, copy, 8, 20);
        sent(t, at.conn, "a", 1);
        wait.epollWait(t, copy, 8, long);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        wait.epollWait(t, copy, 8, 20);
        sent(t, at.conn, "b", 1);
        wait.epollWait(t, copy, 8, long);
        wait.epollWait(t, at.ep, 8, long);
        t.recvAll(at.conn, 1);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b" });
};

pub const passed_empty = struct {
    pub const summary = "a connection is registered in an instance that came by SCM_RIGHTS";
    pub const carrier: Carrier = .ring;
    pub const reasons = shared_reasons;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const ep = wait.epollCreate(t, "ep");
        const copy = rights.passToSelf(ep);
        t.label(copy, "copy");
        wait.epollAdd(t, copy, conn, wait.IN | wait.ET, 1);
        wait.epollWait(t, copy, 8, 20);
        sent(t, conn, "a", 1);
        wait.epollWait(t, copy, 8, long);
        wait.epollWait(t, copy, 8, 20);
        sent(t, conn, "b", 2);
        wait.epollWait(t, ep, 8, long);
        t.recvAll(conn, 2);
        t.sync("done");
    }

    pub const client = sends(&.{ "a", "b" });
};
