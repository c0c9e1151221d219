//! pthread_cancel of a thread that uses a connection: when it takes effect, and that the connection
//! is as good as before for everybody else.

const std = @import("std");
const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

extern "c" fn pthread_cancel(thread: usize) c_int;
extern "c" fn pthread_setcancelstate(state: c_int, old: ?*c_int) c_int;
extern "c" fn pthread_setcanceltype(kind: c_int, old: ?*c_int) c_int;
extern "c" fn pthread_testcancel() void;
extern "c" fn _pthread_cleanup_push(record: *[4]usize, routine: *const fn (?*anyopaque) callconv(.c) void, argument: ?*anyopaque) void;
extern "c" fn _pthread_cleanup_pop(record: *[4]usize, run: c_int) void;
extern "c" fn epoll_create1(flags: c_int) c_int;
extern "c" fn epoll_ctl(epfd: c_int, op: c_int, fd: c_int, event: ?*EpollEvent) c_int;
extern "c" fn epoll_wait(epfd: c_int, events: [*]EpollEvent, max: c_int, timeout_ms: c_int) c_int;
extern "c" fn select(n: c_int, read: ?*[16]u64, write: ?*[16]u64, except: ?*[16]u64, timeout: ?*anyopaque) c_int;

const EpollEvent = extern struct { events: u32, data: u64 align(4) };
const PTHREAD_CANCEL_DISABLE = 1;
const PTHREAD_CANCEL_ASYNCHRONOUS = 1;

/// A thread that makes one call, again and again until it is cancelled or the call fails.
const Worker = struct {
    fd: c_int,
    body: *const fn (*Worker) void,
    handle: usize = 0,
    tid: i32 = 0,
    calls: u32 = 0,
    cleaned: u32 = 0,
    /// Set by the main thread: it has been cancelled.
    cancelled: u32 = 0,
    returned: i64 = 0,

    fn start(w: *Worker, t: *Side) void {
        if (libc.pthread_create(&w.handle, null, &run, w) != 0) t.fail("pthread_create failed", .{});
    }

    fn run(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
        const w: *Worker = @ptrCast(@alignCast(argument.?));
        var record: [4]usize = undefined;
        _pthread_cleanup_push(&record, &cleanUp, w);
        @atomicStore(i32, &w.tid, @intCast(std.os.linux.gettid()), .release);
        w.body(w);
        _pthread_cleanup_pop(&record, 0);
        return null;
    }

    fn cleanUp(argument: ?*anyopaque) callconv(.c) void {
        const w: *Worker = @ptrCast(@alignCast(argument.?));
        w.cleaned += 1;
    }

    /// Until the kernel says that it sleeps, several times in a row.
    fn untilAsleep(w: *Worker, t: *Side) void {
        t.begin("-- until the thread sleeps", .{});
        var seen: u32 = 0;
        while (seen < 5) {
            t.pause();
            const tid = @atomicLoad(i32, &w.tid, .acquire);
            seen = if (tid != 0 and isAsleep(tid)) seen + 1 else 0;
        }
        t.end("", .{});
    }

    fn cancel(w: *Worker, t: *Side) void {
        t.begin("pthread_cancel", .{});
        _ = t.result(pthread_cancel(w.handle));
        @atomicStore(u32, &w.cancelled, 1, .release);
    }

    fn join(w: *Worker, t: *Side) void {
        var value: ?*anyopaque = null;
        t.begin("pthread_join", .{});
        _ = libc.pthread_join(w.handle, &value);
        const ended = @intFromPtr(value) == std.math.maxInt(usize);
        t.end(": {s}, cleaned up {d} times", .{ if (ended) "cancelled" else "returned", w.cleaned });
    }

    fn inRecv(w: *Worker) void {
        var buffer: [100]u8 = undefined;
        w.returned = libc.recv(w.fd, &buffer, buffer.len, 0);
    }

    fn inSend(w: *Worker) void {
        const bytes = std.heap.c_allocator.alloc(u8, 32 << 20) catch return;
        @memset(bytes, 'x');
        while (libc.send(w.fd, bytes.ptr, bytes.len, libc.MSG_NOSIGNAL) > 0) {}
    }

    fn inPoll(w: *Worker) void {
        var polled = [_]libc.pollfd{.{ .fd = w.fd, .events = libc.POLLIN, .revents = 0 }};
        w.returned = libc.poll(&polled, 1, -1);
    }

    fn inLargePoll(w: *Worker) void {
        var polled: [200]libc.pollfd = @splat(.{ .fd = -1, .events = 0, .revents = 0 });
        polled[150] = .{ .fd = w.fd, .events = libc.POLLIN, .revents = 0 };
        w.returned = libc.poll(&polled, polled.len, -1);
    }

    fn inSelect(w: *Worker) void {
        var set: [16]u64 = @splat(0);
        set[@intCast(@divTrunc(w.fd, 64))] |= @as(u64, 1) << @intCast(@mod(w.fd, 64));
        w.returned = select(w.fd + 1, &set, null, null, null);
    }

    fn inEpoll(w: *Worker) void {
        const instance = epoll_create1(0);
        var event: EpollEvent = .{ .events = libc.POLLIN, .data = 1 };
        _ = epoll_ctl(instance, 1, w.fd, &event);
        w.returned = epoll_wait(instance, @ptrCast(&event), 1, -1);
    }

    /// Cancelled while it may not be: only the next call may end it, although that would not block.
    fn atNextCall(w: *Worker) void {
        var buffer: [1]u8 = undefined;
        _ = pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, null);
        while (@atomicLoad(u32, &w.cancelled, .acquire) == 0) {}
        w.calls = 1;
        w.returned = libc.recv(w.fd, &buffer, 1, 0);
        w.calls = 2;
        _ = pthread_setcancelstate(0, null);
        w.calls = 3;
        w.returned = libc.recv(w.fd, &buffer, 1, 0);
        w.calls = 4;
    }

    fn disabledInRecv(w: *Worker) void {
        _ = pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, null);
        inRecv(w);
        w.calls = 1;
        _ = pthread_setcancelstate(0, null);
        pthread_testcancel();
        w.calls = 2;
    }

    fn atAnyInstruction(w: *Worker) void {
        _ = pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, null);
        while (true) {
            const byte = "x";
            if (libc.send(w.fd, byte, 1, libc.MSG_DONTWAIT | libc.MSG_NOSIGNAL) > 0) _ = @atomicRmw(u32, &w.calls, .Add, 1, .monotonic);
        }
    }
};

fn isAsleep(tid: i32) bool {
    var path: [64]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&path, "/proc/self/task/{d}/stat", .{tid}, 0) catch return false;
    const fd = libc.open(name, 0);
    if (fd < 0) return false;
    defer _ = libc.close(fd);
    var text: [512]u8 = undefined;
    const n = libc.read(fd, &text, text.len);
    if (n <= 0) return false;
    const line = text[0..@intCast(n)];
    const end = std.mem.findScalarLast(u8, line, ')') orelse return false;
    return end + 2 < line.len and line[end + 2] == 'S';
}

/// The other side of every case that only needs a connection that goes on afterwards.
fn echoAfterwards(t: *Side) void {
    const conn = t.accepted(.{});
    t.sync("cancelled");
    t.recvAll(conn, 5);
    _ = t.send(conn, "world", 0);
    t.sync("done");
    _ = t.close(conn);
}

fn talkAfterwards(t: *Side, conn: c_int) void {
    t.sync("cancelled");
    _ = t.send(conn, "hello", 0);
    t.recvAll(conn, 5);
    t.sync("done");
    _ = t.close(conn);
}

fn cancelAsleep(t: *Side, comptime body: fn (*Worker) void) void {
    const conn = t.connected(.{});
    var worker: Worker = .{ .fd = conn, .body = &body };
    worker.start(t);
    worker.untilAsleep(t);
    worker.cancel(t);
    worker.join(t);
    talkAfterwards(t, conn);
}

pub const in_recv = struct {
    pub const summary = "a thread that is blocked in recv is cancelled, and the connection goes on";
    pub const carrier: Carrier = .ring;
    pub const server = echoAfterwards;

    pub fn client(t: *Side) void {
        cancelAsleep(t, Worker.inRecv);
    }
};

pub const in_poll = struct {
    pub const summary = "a thread that is blocked in poll is cancelled";
    pub const carrier: Carrier = .ring;
    pub const server = echoAfterwards;

    pub fn client(t: *Side) void {
        cancelAsleep(t, Worker.inPoll);
    }
};

pub const in_large_poll = struct {
    pub const summary = "a thread that is blocked in poll of many descriptors is cancelled";
    pub const carrier: Carrier = .ring;
    pub const server = echoAfterwards;

    pub fn client(t: *Side) void {
        cancelAsleep(t, Worker.inLargePoll);
    }
};

pub const in_select = struct {
    pub const summary = "a thread that is blocked in select is cancelled";
    pub const carrier: Carrier = .ring;
    pub const server = echoAfterwards;

    pub fn client(t: *Side) void {
        cancelAsleep(t, Worker.inSelect);
    }
};

pub const in_epoll = struct {
    pub const summary = "a thread that is blocked in epoll_wait is cancelled";
    pub const carrier: Carrier = .ring;
    pub const server = echoAfterwards;

    pub fn client(t: *Side) void {
        cancelAsleep(t, Worker.inEpoll);
    }
};

pub const in_first_recv = struct {
    pub const summary = "a thread is cancelled in recv on a connection that has carried nothing yet";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .warm = false });
        t.sync("cancelled");
        t.recvAll(conn, 5);
        _ = t.send(conn, "world", 0);
        t.sync("done");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{ .warm = false });
        var worker: Worker = .{ .fd = conn, .body = Worker.inRecv };
        worker.start(t);
        worker.untilAsleep(t);
        worker.cancel(t);
        worker.join(t);
        talkAfterwards(t, conn);
    }
};

pub const in_send = struct {
    pub const summary = "a thread that is blocked in send is cancelled";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("cancelled");
        _ = t.close(conn);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        var worker: Worker = .{ .fd = conn, .body = Worker.inSend };
        worker.start(t);
        worker.untilAsleep(t);
        worker.cancel(t);
        worker.join(t);
        t.sync("cancelled");
        t.sync("closed");
        _ = t.close(conn);
    }
};

pub const again_and_again = struct {
    pub const summary = "threads that are cancelled in recv leave no descriptor and no lock behind";
    pub const carrier: Carrier = .ring;
    pub const server = echoAfterwards;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        var first: usize = 0;
        for (0..60) |turn| {
            var worker: Worker = .{ .fd = conn, .body = Worker.inRecv };
            worker.start(t);
            while (@atomicLoad(i32, &worker.tid, .acquire) == 0 or !isAsleep(worker.tid)) t.pause();
            _ = pthread_cancel(worker.handle);
            _ = libc.pthread_join(worker.handle, null);
            if (turn == 10) first = descriptors();
        }
        t.note("descriptors more: {d}", .{descriptors() - first});
        talkAfterwards(t, conn);
    }
};

fn descriptors() usize {
    var count: usize = 0;
    for (0..2048) |fd| {
        if (libc.fcntl(@intCast(fd), 1) >= 0) count += 1; // F_GETFD
    }
    return count;
}

pub const at_the_next_call = struct {
    pub const summary = "a request that came before is acted on by a recv that would not block";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "ab", 0);
        t.sync("sent");
        t.sync("done");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("sent");
        t.untilQueued(conn, 2);
        var worker: Worker = .{ .fd = conn, .body = Worker.atNextCall };
        worker.start(t);
        worker.cancel(t);
        worker.join(t);
        t.note("came to {d}", .{worker.calls});
        _ = t.recv(conn, 10, 0);
        t.sync("done");
        _ = t.close(conn);
    }
};

pub const disabled = struct {
    pub const summary = "a thread that may not be cancelled goes on waiting, and gets its bytes";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("cancelled");
        _ = t.send(conn, "bytes", 0);
        t.sync("done");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        var worker: Worker = .{ .fd = conn, .body = Worker.disabledInRecv };
        worker.start(t);
        worker.untilAsleep(t);
        worker.cancel(t);
        worker.untilAsleep(t);
        t.sync("cancelled");
        worker.join(t);
        t.note("received {d}, came to {d}", .{ worker.returned, worker.calls });
        t.sync("done");
        _ = t.close(conn);
    }
};

pub const at_any_instruction = struct {
    pub const summary = "a sending thread of asynchronous type is cancelled, and others can send on";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.begin("-- bytes to the end", .{});
        var last: [9]u8 = @splat('x');
        var wrong: u32 = 0;
        var byte: [1]u8 = undefined;
        while (libc.recv(conn, &byte, 1, 0) == 1) {
            if (last[0] != 'x') wrong += 1;
            std.mem.copyForwards(u8, last[0..8], last[1..9]);
            last[8] = byte[0];
        }
        t.end(": {d} wrong, then '{s}'", .{ wrong, &last });
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        var sent: u32 = 0;
        for (0..20) |_| {
            var worker: Worker = .{ .fd = conn, .body = Worker.atAnyInstruction };
            worker.start(t);
            while (@atomicLoad(u32, &worker.calls, .acquire) < 50) t.pause();
            _ = pthread_cancel(worker.handle);
            _ = libc.pthread_join(worker.handle, null);
            sent += worker.calls;
        }
        _ = t.send(conn, "and so on", 0);
        _ = t.close(conn);
    }
};
