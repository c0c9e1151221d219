//! Signal handlers that use the connection which the main code is in the middle of using, jump out
//! of its calls, or close it under them. A timer of 100 us hits every place of a library within a
//! second.

const std = @import("std");
const libc = @import("../libc.zig");
const records = @import("../records.zig");
const signals = @import("../signals.zig");
const text = @import("../text.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

const SIGALRM = signals.SIGALRM;
const Record = records.Record;
const main_code = records.main_code;
const handler_code = records.handler_code;
const last_code = records.last_code;
const answered_every = records.answered_every;
const put = records.put;
const stream = records.stream;
const streamUntil = records.streamUntil;
const takeStream = records.takeStream;
const endStream = records.endStream;
const awaitAnswer = records.awaitAnswer;
const atOnce = records.atOnce;
const ticks_wanted = records.ticks_wanted;
const tick = records.tick;
const ticksNow = records.ticksNow;
const tick_us = records.tick_us;
const EBADF = 9;
const Reasons = []const []const u8;

/// The connection that handlers use.
var shared: c_int = -1;
var failures: u32 = 0;

pub const handler_sends = struct {
    pub const summary = "a handler sends on the connection that the main code streams on";
    pub const carrier: Carrier = .ring;

    var sent: u64 = 0;

    fn handler(number: c_int) callconv(.c) void {
        if (put(shared, handler_code, sent) == @sizeOf(Record)) sent += 1 else failures += 1;
        tick(number);
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        signals.handle(t, SIGALRM, &handler, libc.SA_RESTART);
        signals.tickEvery(tick_us);
        const count = streamUntil(t, shared, ticks_wanted);
        endStream(t, shared);
        t.tell("main's", count);
        t.tell("handler's", sent);
        t.note("handler failed {d} times", .{failures});
        t.sync("done");
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const took = takeStream(t, conn);
        t.note("main's all: {}", .{took[0] == t.hear("main's")});
        t.note("handler's all: {}", .{took[1] == t.hear("handler's")});
        t.sync("done");
    }
};

pub const handler_writes_threads = struct {
    pub const summary = "the same by write, in a process with two threads";
    pub const carrier: Carrier = .ring;

    var sent: u64 = 0;
    var over: bool = false;

    fn handler(number: c_int) callconv(.c) void {
        const record: Record = .{ .from = handler_code, .number = @atomicRmw(u64, &sent, .Add, 1, .seq_cst) };
        if (libc.write(shared, std.mem.asBytes(&record), @sizeOf(Record)) != @sizeOf(Record)) failures += 1;
        tick(number);
    }

    /// Blocks the signal: handlers' records are sent by one thread, in order.
    fn idle(t: *Side) void {
        const mask: signals.Mask = .of(&.{SIGALRM});
        _ = signals.pthread_sigmask(signals.SIG_BLOCK, &mask, null);
        t.note("the other thread is there", .{});
        while (!@atomicLoad(bool, &over, .monotonic)) t.pause();
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "idle", &idle);
        signals.handle(t, SIGALRM, &handler, libc.SA_RESTART);
        const mask: signals.Mask = .of(&.{SIGALRM});
        _ = signals.pthread_sigmask(signals.SIG_BLOCK, &mask, null);
        t.pause();
        signals.tickEvery(tick_us);
        _ = signals.pthread_sigmask(signals.SIG_UNBLOCK, &mask, null);
        const count = streamUntil(t, shared, ticks_wanted);
        _ = signals.pthread_sigmask(signals.SIG_BLOCK, &mask, null);
        endStream(t, shared);
        @atomicStore(bool, &over, true, .monotonic);
        t.join(&thread);
        t.tell("main's", count);
        t.tell("handler's", sent);
        t.note("handler failed {d} times", .{failures});
        t.sync("done");
    }

    pub fn server(t: *Side) void {
        handler_sends.server(t);
    }
};

pub const handler_receives = struct {
    pub const summary = "a handler receives from the connection that the main code receives from";
    pub const carrier: Carrier = .ring;

    const count_max = 8 << 20;
    var seen: [count_max]u8 = @splat(0);
    var count: u64 = 0;
    var over: bool = false;

    fn take(record: *const Record) void {
        if (record.from == last_code) {
            @atomicStore(bool, &over, true, .monotonic);
            count = record.number;
        } else if (record.from != main_code or record.number >= count_max) {
            failures += 1;
        } else {
            seen[record.number] += 1;
            if (record.number % answered_every != answered_every - 1) return;
            const enough = ticksNow() >= ticks_wanted or record.number > count_max - 100;
            _ = libc.send(shared, if (enough) "e" else "a", 1, libc.MSG_NOSIGNAL);
        }
    }

    fn handler(number: c_int) callconv(.c) void {
        const errno = libc.errno();
        defer libc.setErrno(errno);
        defer tick(number);
        var record: Record = undefined;
        const n = libc.recv(shared, std.mem.asBytes(&record), @sizeOf(Record), libc.MSG_DONTWAIT);
        if (n == @sizeOf(Record)) return take(&record);
        if (n >= 0 or libc.errno() != libc.EAGAIN) failures += 1;
    }

    pub fn server(t: *Side) void {
        shared = t.accepted(.{});
        signals.handle(t, SIGALRM, &handler, 0);
        signals.tickEvery(tick_us);
        while (!@atomicLoad(bool, &over, .monotonic)) {
            var record: Record = undefined;
            const n = libc.recv(shared, std.mem.asBytes(&record), @sizeOf(Record), 0);
            if (n < 0 and libc.errno() == libc.EINTR) continue;
            if (n != @sizeOf(Record)) t.fail("recv = {d} {f}", .{ n, text.errno(libc.errno()) });
            take(&record);
        }
        signals.tickEvery(0);
        t.note("each came once: {}", .{std.mem.allEqual(u8, seen[0..count], 1)});
        t.note("handler failed {d} times", .{failures});
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        atOnce(conn);
        var n: u64 = 0;
        var answer: [1]u8 = .{'a'};
        while (answer[0] != 'e') : (n += 1) {
            if (put(conn, main_code, n) != @sizeOf(Record)) t.fail("send {d}: {f}", .{ n, text.errno(libc.errno()) });
            if (n % answered_every != answered_every - 1) continue;
            if (libc.recv(conn, &answer, 1, 0) != 1) t.fail("recv: {f}", .{text.errno(libc.errno())});
        }
        _ = put(conn, last_code, n);
        t.sync("done");
    }
};

// -- closing under a call ----------------------------------------------------------------------------

var other: c_int = -1;

fn closeShared(number: c_int) callconv(.c) void {
    _ = number;
    if (libc.close(shared) != 0) failures += 1;
}

fn replaceShared(number: c_int) callconv(.c) void {
    _ = number;
    if (libc.dup2(other, shared) != shared) failures += 1;
}

pub const handler_closes_recv = struct {
    pub const summary = "a handler closes the connection that recv waits on: EINTR, then EBADF";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        shared = t.accepted(.{});
        signals.handle(t, SIGALRM, &closeShared, 0);
        signals.tickEvery(30_000);
        _ = t.recv(shared, 1, 0);
        signals.tickEvery(0);
        _ = t.recv(shared, 1, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        t.recvToEnd(t.connected(.{}), 10);
        t.sync("done");
    }
};

pub const handler_closes_restarted = struct {
    pub const summary = "the same with SA_RESTART: the call begins again, and finds it closed";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        shared = t.accepted(.{});
        signals.handle(t, SIGALRM, &closeShared, libc.SA_RESTART);
        signals.tickEvery(30_000);
        _ = t.recv(shared, 1, 0);
        signals.tickEvery(0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        t.recvToEnd(t.connected(.{}), 10);
        t.sync("done");
    }
};

pub const handler_replaces = struct {
    pub const summary = "a handler puts another connection on the number: recv begins again there";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        shared = t.acceptFrom(listener, .{ .label = "first" });
        other = t.acceptFrom(listener, .{ .label = "second" });
        signals.handle(t, SIGALRM, &replaceShared, libc.SA_RESTART);
        t.sync("both are there");
        signals.tickEvery(30_000);
        _ = t.recv(shared, 5, 0);
        signals.tickEvery(0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        const second = t.connectTo(port, .{ .label = "second" });
        t.sync("both are there");
        t.recvToEnd(first, 10);
        _ = t.send(second, "other", 0);
        t.sync("done");
    }
};

pub const handler_closes_send = struct {
    pub const summary = "a handler closes the connection that the main code streams on, a hundred times";
    pub const carrier: Carrier = .either;

    const rounds = 100;

    /// Closes it in the third tick.
    fn handler(number: c_int) callconv(.c) void {
        if (ticksNow() == 2 and libc.close(shared) != 0) failures += 1;
        tick(number);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        signals.handle(t, SIGALRM, &handler, libc.SA_RESTART);
        for (0..rounds) |_| {
            shared = t.connectTo(port, .{ .warm = false });
            t.warmUp(shared);
            records.forget();
            signals.tickEvery(tick_us * 4);
            var sent: u64 = 0;
            while (true) {
                const n = libc.send(shared, "0123456789abcdef0123456789abcdef", 32, libc.MSG_NOSIGNAL);
                if (n < 0) break;
                sent += @intCast(n);
            }
            const errno = libc.errno();
            signals.tickEvery(0);
            if (errno != EBADF) t.fail("send: {f}", .{text.errno(errno)});
            t.tell("sent", sent);
        }
        t.note("failed {d} times", .{failures});
        t.sync("done");
    }

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        for (0..rounds) |_| {
            const conn = t.acceptFrom(listener, .{ .warm = false });
            t.warmUp(conn);
            var buffer: [64 << 10]u8 = undefined;
            var got: u64 = 0;
            while (true) {
                const n = libc.recv(conn, &buffer, buffer.len, 0);
                if (n <= 0) break;
                got += @intCast(n);
            }
            const sent = t.hear("sent");
            if (got != sent) t.fail("{d} bytes of {d}", .{ got, sent });
            if (libc.close(conn) != 0) t.fail("close", .{});
        }
        t.note("all bytes of all came", .{});
        t.sync("done");
    }
};

// -- jumping out -------------------------------------------------------------------------------------

fn jump(number: c_int) callconv(.c) void {
    _ = number;
    signals.again();
    signals.Attempt.jumpOut();
}

var attempt: signals.Attempt = .{ .body = undefined };
var instance: c_int = -1;

fn jumpOutOf(t: *Side, comptime called: []const u8, times: usize, body: *const fn () void) void {
    attempt.body = body;
    var jumped: usize = 0;
    signals.tickEvery(200);
    while (jumped < times) {
        if (attempt.run()) t.fail(called ++ " returned", .{}) else jumped += 1;
    }
    signals.tickEvery(0);
    t.note("jumped out of " ++ called ++ " {d} times", .{times});
}

fn receiveOne() void {
    var byte: [1]u8 = undefined;
    _ = libc.recv(shared, &byte, 1, 0);
}

fn pollOne() void {
    var polled = [_]libc.pollfd{.{ .fd = shared, .events = libc.POLLIN }};
    _ = libc.poll(&polled, 1, -1);
}

fn epollOne() void {
    _ = wait.epollTake(instance, -1);
}

fn selectMany() void {
    var sets: [64]u64 = @splat(0);
    sets[0] = @as(u64, 1) << @intCast(shared);
    _ = wait.selectRead(4096, @ptrCast(&sets));
}

pub const jump_out_of_waits = struct {
    pub const summary = "a thousand jumps out of recv, poll, select and epoll_wait leave nothing behind";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        jumpAround(t, 500);
    }

    fn jumpAround(t: *Side, times: usize) void {
        shared = t.accepted(.{});
        instance = wait.epollCreate(t, "epoll");
        var event: wait.Event = .{ .events = 1, .data = 7 };
        _ = wait.epollChange(instance, .ADD, shared, &event);
        signals.handle(t, SIGALRM, &jump, libc.SA_RESTART);
        // The first sleeps make what stays.
        jumpOutOf(t, "recv", 5, &receiveOne);
        jumpOutOf(t, "poll", 5, &pollOne);
        jumpOutOf(t, "epoll_wait", 5, &epollOne);
        const before = signals.openDescriptors();
        jumpOutOf(t, "recv", times, &receiveOne);
        jumpOutOf(t, "poll", times, &pollOne);
        jumpOutOf(t, "select", times, &selectMany);
        jumpOutOf(t, "epoll_wait", times, &epollOne);
        t.note("as many descriptors as before: {}", .{signals.openDescriptors() == before});
        t.sync("jumped");
        stream(t, shared, 10_000);
        endStream(t, shared);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("jumped");
        t.note("{d} records", .{takeStream(t, conn)[0]});
        t.sync("done");
    }
};

pub const jump_out_of_threads = struct {
    pub const summary = "the same in a process with two threads, and close ends the connection";
    pub const carrier: Carrier = .ring;

    var blocks: bool = false;
    var over: bool = false;

    fn idle(t: *Side) void {
        const mask: signals.Mask = .of(&.{SIGALRM});
        _ = signals.pthread_sigmask(signals.SIG_BLOCK, &mask, null);
        @atomicStore(bool, &blocks, true, .release);
        t.note("the other thread is there", .{});
        while (!@atomicLoad(bool, &over, .monotonic)) t.pause();
    }

    pub fn server(t: *Side) void {
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "idle", &idle);
        while (!@atomicLoad(bool, &blocks, .acquire)) t.pause(); // else it may get the signals
        jump_out_of_waits.jumpAround(t, 50);
        _ = t.close(shared);
        @atomicStore(bool, &over, true, .monotonic);
        t.join(&thread);
        t.sync("closed");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("jumped");
        t.note("{d} records", .{takeStream(t, conn)[0]});
        t.sync("done");
        t.recvToEnd(conn, 10);
        t.sync("closed");
    }
};

pub const jump_out_of_send = struct {
    pub const summary = "jumps out of a send that waits for room";
    pub const carrier: Carrier = .ring;
    pub const reasons: Reasons = &.{"ring_full"};

    const times = 200;
    var counted: u64 = 0;

    fn sendOne() void {
        const bytes: [1000]u8 = @splat('x');
        while (true) {
            const n = libc.send(shared, &bytes, bytes.len, 0);
            if (n > 0) counted += @intCast(n) else failures += 1;
        }
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        signals.handle(t, SIGALRM, &jump, libc.SA_RESTART);
        jumpOutOf(t, "send", times, &sendOne);
        t.note("failed {d} times", .{failures});
        t.tell("counted", counted);
        t.sync("read");
        _ = t.close(shared);
        t.sync("done");
    }

    /// A send that ends just when a handler jumps out is not counted.
    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const counted_there = t.hear("counted");
        t.sync("read");
        var got: u64 = 0;
        while (true) {
            var buffer: [64 << 10]u8 = undefined;
            const n = libc.recv(conn, &buffer, buffer.len, 0);
            if (n < 0) t.fail("recv: {f}", .{text.errno(libc.errno())});
            if (n == 0) break;
            if (!std.mem.allEqual(u8, buffer[0..@intCast(n)], 'x')) t.fail("other bytes", .{});
            got += @intCast(n);
        }
        t.note("all counted bytes came: {}", .{got >= counted_there and got <= counted_there + times * 1000});
        t.sync("done");
    }
};

// -- fork --------------------------------------------------------------------------------------------

pub const fork_while_sending = struct {
    pub const summary = "one thread forks while another streams and a timer ticks; children send, too";
    pub const carrier: Carrier = .ring;
    pub const reasons: Reasons = &.{"shared_by_fork"};

    const children = 20;
    var over: bool = false;

    fn forks(t: *Side) void {
        for (0..children) |n| {
            const pid = libc.fork();
            if (pid == 0) {
                const sent = put(shared, handler_code, n);
                libc._exit(if (sent == @sizeOf(Record)) 0 else 1);
            }
            var status: c_int = -1;
            while (libc.waitpid(pid, &status, 0) < 0) {}
            if (status != 0) t.fail("child {d}: {x}", .{ n, status });
        }
        t.note("all children have sent", .{});
        @atomicStore(bool, &over, true, .monotonic);
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        atOnce(shared);
        signals.handle(t, SIGALRM, &tick, libc.SA_RESTART);
        signals.tickEvery(tick_us * 4);
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "forks", &forks);
        var n: u64 = 0;
        while (!@atomicLoad(bool, &over, .monotonic) or n % answered_every != 0) : (n += 1) {
            if (put(shared, main_code, n) != @sizeOf(Record)) t.fail("send: {f}", .{text.errno(libc.errno())});
            if (n % answered_every == answered_every - 1) awaitAnswer(t, shared);
        }
        t.join(&thread);
        endStream(t, shared);
        t.tell("main's", n);
        t.sync("done");
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const took = takeStream(t, conn);
        t.note("main's all: {}, children {d}", .{ took[0] == t.hear("main's"), took[1] });
        t.sync("done");
    }
};
