//! A stream and its ends: end of data, reset, broken pipe; much and little at a time.

const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

const in_out_rdhup = libc.POLLIN | libc.POLLOUT | libc.POLLRDHUP;

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
        t.pollNow(conn, in_out_rdhup);
        _ = t.recv(conn, 50, 0);
        _ = t.recv(conn, 50, 0);
        _ = t.read(conn, 50);
        t.queued(conn);
    }
};

pub const close_with_unread = struct {
    pub const summary = "a close with unread bytes resets: the peer's read fails once, then ends";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.untilQueued(conn, 6);
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, "unread", 0);
        t.sync("closed");
        t.untilEvents(conn, libc.POLLHUP);
        t.pollNow(conn, in_out_rdhup);
        t.getOption(conn, .ERROR);
        t.getOption(conn, .ERROR);
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
    }
};

pub const reset_by_linger = struct {
    pub const summary = "SO_LINGER with 0 s: close resets, what was not read is lost";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.setLinger(conn, 1, 0);
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("closed");
        t.untilEvents(conn, libc.POLLERR);
        t.pollNow(conn, in_out_rdhup);
        _ = t.recv(conn, 10, 0);
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        t.getOption(conn, .ERROR);
        t.pollNow(conn, in_out_rdhup);
    }
};

pub const reset_wakes_reader = struct {
    pub const summary = "a blocked recv ends with ECONNRESET when the peer resets";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.setLinger(conn, 1, 0);
        t.sync("about to read");
        t.pause();
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("about to read");
        _ = t.recv(conn, 10, 0);
        _ = t.recv(conn, 10, 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
    }
};

pub const end_wakes_reader = struct {
    pub const summary = "a blocked recv ends with 0 when the peer closes";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("about to read");
        t.pause();
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("about to read");
        _ = t.recv(conn, 10, 0);
        _ = t.recv(conn, 10, 0);
        _ = t.close(conn);
    }
};

pub const send_after_peer_closed = struct {
    pub const summary = "the first send after the peer's close succeeds, then ECONNRESET or EPIPE";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        t.catchSignal(libc.SIGPIPE, true);
        const conn = t.connected(.{});
        t.sync("closed");
        t.untilEvents(conn, libc.POLLRDHUP);
        _ = t.send(conn, "accepted by the kernel", 0);
        t.untilEvents(conn, libc.POLLHUP);
        t.caught(libc.SIGPIPE);
        _ = t.send(conn, "refused", 0);
        t.caught(libc.SIGPIPE);
        _ = t.write(conn, "refused");
        t.caught(libc.SIGPIPE);
        _ = t.send(conn, "refused", libc.MSG_NOSIGNAL);
        t.caught(libc.SIGPIPE);
        _ = t.recv(conn, 10, 0);
    }
};

pub const broken_pipe_signal = struct {
    pub const summary = "SIGPIPE for each write after SHUT_WR, none with MSG_NOSIGNAL";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        t.catchSignal(libc.SIGPIPE, true);
        const conn = t.connected(.{});
        _ = t.shutdown(conn, libc.SHUT_WR);
        _ = t.write(conn, "one");
        _ = t.send(conn, "two", 0);
        _ = t.writev(conn, &.{ "th", "ree" });
        _ = t.sendmsg(conn, &.{"four"}, 0);
        t.caught(libc.SIGPIPE);
        _ = t.send(conn, "five", libc.MSG_NOSIGNAL);
        _ = t.sendmsg(conn, &.{"six"}, libc.MSG_NOSIGNAL);
        t.caught(libc.SIGPIPE);
        _ = t.write(conn, "");
        _ = t.send(conn, "", 0);
        t.caught(libc.SIGPIPE);
    }
};

pub const killed_by_broken_pipe = struct {
    pub const summary = "a process that does not catch SIGPIPE dies of it";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"shared_by_fork"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("about to fork");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("about to fork");
        if (t.fork("child")) |made| {
            var child = made;
            _ = child.shutdown(conn, libc.SHUT_WR);
            _ = child.write(conn, "last words");
            child.exitChild(3);
        }
        t.waitChild(t.child_pid);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
    }
};

pub const zero_lengths = struct {
    pub const summary = "reads and writes of no bytes return at once and change nothing";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.write(conn, "");
        _ = t.send(conn, "", 0);
        _ = t.writev(conn, &.{});
        _ = t.writev(conn, &.{ "", "", "" });
        _ = t.sendmsg(conn, &.{}, 0);
        t.sync("nothing sent");
        _ = t.send(conn, "abc", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("nothing sent");
        _ = t.recv(conn, 0, 0);
        _ = t.read(conn, 0);
        _ = t.recv(conn, 0, libc.MSG_DONTWAIT);
        t.untilQueued(conn, 3);
        _ = t.read(conn, 0);
        _ = t.recv(conn, 0, libc.MSG_PEEK);
        _ = t.readv(conn, &.{ 0, 2, 0, 5 });
        _ = t.recv(conn, 10, libc.MSG_DONTWAIT);
        _ = t.close(conn);
    }
};

pub const dribble = struct {
    pub const summary = "a thousand writes of one byte arrive as one stream";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const bytes = t.pattern(1000, 7);
        for (bytes) |*byte| _ = libc.write(conn, @ptrCast(byte), 1);
        t.note("dribbled", .{});
        t.recvToEnd(conn, 2000);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.recvAll(conn, 1000);
        const bytes = t.pattern(500, 8);
        for (bytes) |*byte| _ = libc.send(conn, @ptrCast(byte), 1, 0);
        _ = t.close(conn);
    }
};

pub const read_by_bytes = struct {
    pub const summary = "one large write is read byte by byte";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sendAll(conn, t.pattern(3000, 9));
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const buffer = t.memory(3000);
        for (buffer) |*byte| {
            if (libc.read(conn, @ptrCast(byte), 1) != 1) t.fail("short read", .{});
        }
        t.note("read {d}: {d} {d} {d}", .{ buffer.len, buffer[0], buffer[1500], buffer[2999] });
        _ = t.close(conn);
    }
};

pub const large_one_way = struct {
    pub const summary = "16 MiB in one send call arrive whole";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 17 << 20);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, t.pattern(16 << 20, 1), 0);
        _ = t.close(conn);
    }
};

pub const large_both_ways = struct {
    pub const summary = "64 MiB both ways at once, a thread for each direction";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    const count = 64 << 20;
    var shared: c_int = -1;

    fn sender(t: *Side) void {
        t.sendAll(shared, t.pattern(count, if (t.role == .server) 2 else 3));
        _ = t.shutdown(shared, libc.SHUT_WR);
    }

    fn both(t: *Side, conn: c_int) void {
        shared = conn;
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "sender", &sender);
        t.recvToEnd(conn, count + 1);
        t.join(&thread);
    }

    pub fn server(t: *Side) void {
        both(t, t.accepted(.{}));
    }

    pub fn client(t: *Side) void {
        both(t, t.connected(.{}));
    }
};

pub const blocked_writer_and_close = struct {
    pub const summary = "a writer that waits for space is ended by the peer's reset";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("about to fill");
        t.recvAll(conn, 100_000);
        for (0..100) |_| t.pause();
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("about to fill");
        const bytes = t.pattern(64 << 20, 4);
        var done: usize = 0;
        t.begin("send until it fails", .{});
        while (done < 1 << 30) {
            const n = libc.send(conn, bytes.ptr, bytes.len, libc.MSG_NOSIGNAL);
            if (n < 0) break;
            done += @intCast(n);
        }
        t.end(" {s}", .{if (done >= 100_000) "after some" else "at once"});
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
    }
};

pub const quick_exit = struct {
    pub const summary = "bytes of a process that ends without close arrive, then the end";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 200_000);
        t.sync("the end of the case");
        libc._exit(0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sendAll(conn, t.pattern(100_000, 5));
        if (t.fork("child")) |made| {
            var child = made;
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        _ = t.shutdown(conn, libc.SHUT_WR);
    }
};
