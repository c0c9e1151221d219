//! How signal handlers are installed, what they are told, under which mask they run, and how the
//! calls end that they interrupt; while the main code streams.

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
const last_code = records.last_code;
const answered_every = records.answered_every;
const put = records.put;
const streamUntil = records.streamUntil;
const takeStream = records.takeStream;
const endStream = records.endStream;
const tick = records.tick;
const ticksNow = records.ticksNow;
const tick_us = records.tick_us;

var failures: u32 = 0;
var instance: c_int = -1;

fn takenByOther(t: *Side) void {
    const conn = t.accepted(.{});
    const took = takeStream(t, conn);
    t.note("records came: {}", .{took[0] > 0});
    t.sync("done");
}

pub const reset_handler = struct {
    pub const summary = "SA_RESETHAND: the handler runs once each time that it is installed";
    pub const carrier: Carrier = .ring;

    const rounds = 300;

    pub fn client(t: *Side) void {
        const child = pester(t, signals.SIGURG, tick_us, null);
        const conn = t.connected(.{});
        for (1..rounds + 1) |round| {
            signals.handle(t, signals.SIGURG, &tick, signals.SA_RESETHAND | libc.SA_RESTART);
            _ = streamUntil(t, conn, @intCast(round));
            for (0..64) |n| if (put(conn, main_code, n) < 0) t.fail("send", .{});
            var action: libc.sigaction_t = undefined;
            _ = libc.sigaction(signals.SIGURG, null, &action);
            if (action.handler != null or action.flags & signals.SA_RESETHAND == 0) t.fail("not reset", .{});
        }
        endPester(t, child);
        t.note("ran {d} times", .{ticksNow()});
        endStream(t, conn);
        t.sync("done");
    }

    /// The numbers begin again: only the last record counts.
    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        var since: u64 = 0;
        while (true) {
            var record: Record = undefined;
            if (libc.recv(conn, std.mem.asBytes(&record), @sizeOf(Record), libc.MSG_WAITALL) != @sizeOf(Record)) t.fail("recv", .{});
            if (record.from == last_code) break;
            since = record.number;
            if (since % answered_every == answered_every - 1) _ = libc.send(conn, "a", 1, libc.MSG_NOSIGNAL);
        }
        t.sync("done");
    }
};

/// A child that sends this process signals, with values that count, made before there is a connection.
fn pester(t: *Side, number: c_int, us: c_long, values: ?usize) c_int {
    if (t.fork("pester")) |child| {
        var c = child;
        const parent = libc.getppid();
        var n: usize = 0;
        while (values == null or n < values.?) {
            const sent = if (values == null) libc.kill(parent, number) else signals.sigqueue(parent, number, n);
            if (sent == 0) n += 1 else if (libc.errno() != libc.EAGAIN) break;
            _ = libc.nanosleep(&.{ .sec = 0, .nsec = us * 1000 }, null);
        }
        while (values != null) c.pause(); // killed
        c.exitChild(0);
    }
    return t.child_pid;
}

fn endPester(t: *Side, child: c_int) void {
    _ = libc.kill(child, libc.SIGKILL);
    t.waitChild(child);
}

/// What an SA_SIGINFO handler has been told.
var pester_pid: c_int = 0;
var next_value: usize = 0;

fn inOrder(number: c_int, info: *const signals.Info, context: *anyopaque) callconv(.c) void {
    _ = context;
    if (info.code != signals.SI_QUEUE or info.pid != pester_pid or info.value != next_value) failures += 1;
    next_value = info.value + 1;
    tick(number);
}

pub const queued_values = struct {
    pub const summary = "2,000 real-time signals with values come once, in order, with their sender";
    pub const carrier: Carrier = .ring;

    const count = 2000;

    pub fn client(t: *Side) void {
        const number = signals.__libc_current_sigrtmin() + 2;
        const mask: signals.Mask = .of(&.{number});
        _ = signals.pthread_sigmask(signals.SIG_BLOCK, &mask, null);
        pester_pid = pester(t, number, 1, count);
        const conn = t.connected(.{});
        signals.handle(t, number, &inOrder, signals.SA_SIGINFO | libc.SA_RESTART);
        _ = signals.pthread_sigmask(signals.SIG_UNBLOCK, &mask, null);
        _ = streamUntil(t, conn, count);
        t.note("{d} came, {d} of them wrong", .{ ticksNow(), failures });
        endPester(t, pester_pid);
        endStream(t, conn);
        t.sync("done");
    }

    pub const server = takenByOther;
};

pub const queued_to_thread = struct {
    pub const summary = "the same when another thread sends them to the one that streams";
    pub const carrier: Carrier = .ring;

    const count = 2000;
    var target: usize = 0;

    fn sender(t: *Side) void {
        const number = signals.__libc_current_sigrtmin() + 2;
        var n: usize = 0;
        while (n < count) {
            if (signals.pthread_sigqueue(target, number, n) == 0) n += 1;
            if (n % 4 == 0) t.pause();
        }
        t.note("sent", .{});
    }

    pub fn client(t: *Side) void {
        const number = signals.__libc_current_sigrtmin() + 2;
        pester_pid = libc.getpid();
        const conn = t.connected(.{});
        target = signals.pthread_self();
        signals.handle(t, number, &inOrder, signals.SA_SIGINFO | libc.SA_RESTART);
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "sender", &sender);
        _ = streamUntil(t, conn, count);
        t.note("{d} came, {d} of them wrong", .{ ticksNow(), failures });
        t.join(&thread);
        endStream(t, conn);
        t.sync("done");
    }

    pub const server = takenByOther;
};

pub const masks = struct {
    pub const summary = "handlers run under their mask, on their stack, and the mask is back afterwards";
    pub const carrier: Carrier = .ring;

    var stack: [64 << 10]u8 align(16) = undefined;

    fn handler(number: c_int) callconv(.c) void {
        const mask: signals.Mask = .now();
        const right = mask.has(number) and mask.has(signals.SIGUSR2) and mask.has(signals.SIGURG) and
            !mask.has(signals.SIGUSR1);
        const here = @intFromPtr(&mask);
        const on_stack = here >= @intFromPtr(&stack) and here < @intFromPtr(&stack) + stack.len;
        if (!right or !on_stack) failures += 1;
        tick(number);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const blocked: signals.Mask = .of(&.{signals.SIGURG});
        _ = signals.pthread_sigmask(signals.SIG_BLOCK, &blocked, null);
        _ = signals.sigaltstack(&.{ .base = &stack, .size = stack.len }, null);
        const action: libc.sigaction_t = .{
            .handler = &handler,
            .flags = signals.SA_ONSTACK | libc.SA_RESTART,
            .mask = signals.Mask.of(&.{signals.SIGUSR2}).words,
        };
        _ = libc.sigaction(SIGALRM, &action, null);
        const before: signals.Mask = .now();
        signals.tickEvery(tick_us);
        _ = streamUntil(t, conn, 2000);
        signals.tickEvery(0);
        const after: signals.Mask = .now();
        t.note("mask as before: {}, wrong in {d} handlers", .{ std.meta.eql(before, after), failures });
        endStream(t, conn);
        t.sync("done");
    }

    pub const server = takenByOther;
};

pub const shown = struct {
    pub const summary = "sigaction, signal, sysv_signal and sigset show what was installed";
    pub const carrier: Carrier = .either;

    fn show(t: *Side, comptime called: []const u8) void {
        var action: libc.sigaction_t = undefined;
        _ = libc.sigaction(signals.SIGUSR1, null, &action);
        t.note(called ++ ": handler {s}, flags 0x{x}, mask 0x{x}", .{
            if (action.handler == @as(?*const anyopaque, &tick)) "ours" else if (action.handler == null) "default" else "another",
            @as(u32, @bitCast(action.flags)),
            action.mask[0],
        });
    }

    pub fn client(t: *Side) void {
        const number = signals.SIGUSR1;
        for ([_]c_int{
            0,                    signals.SA_SIGINFO, libc.SA_RESTART,
            signals.SA_RESETHAND, signals.SA_NODEFER, signals.SA_ONSTACK | signals.SA_RESETHAND | signals.SA_SIGINFO,
        }) |flags| {
            signals.handle(t, number, &tick, flags);
            show(t, "sigaction");
        }
        t.note("signal gives the old one: {}", .{signals.signal(number, &tick) == @as(?*const anyopaque, &tick)});
        show(t, "signal");
        t.note("sysv_signal gives the old one: {}", .{signals.sysv_signal(number, &tick) == @as(?*const anyopaque, &tick)});
        show(t, "sysv_signal");
        t.note("sigset gives the old one: {}", .{signals.sigset(number, &tick) == @as(?*const anyopaque, &tick)});
        show(t, "sigset");
        t.note("signal gives the old one: {}", .{libc.signal(number, null) == @as(?*anyopaque, @constCast(&tick))});
        show(t, "signal of none");
        t.sync("done");
    }

    pub fn server(t: *Side) void {
        t.sync("done");
    }
};

// -- how calls end -----------------------------------------------------------------------------------

pub const restarts = struct {
    pub const summary = "recv under a storm of signals: with SA_RESTART it goes on, without it does not";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        signals.handle(t, SIGALRM, &tick, libc.SA_RESTART);
        signals.tickEvery(1000);
        _ = t.recv(conn, 3, 0);
        t.note("handler ran often: {}", .{ticksNow() > 3});
        signals.handle(t, SIGALRM, &tick, 0);
        _ = t.recv(conn, 3, 0);
        signals.handle(t, SIGALRM, &tick, libc.SA_RESTART);
        _ = t.setTimeout(conn, Side.Option.RCVTIMEO, 5000);
        _ = t.recv(conn, 3, 0);
        wait.pollMany(t, &.{.{ .fd = conn, .events = libc.POLLIN }}, 5000);
        signals.tickEvery(0);
        t.sync("interrupted");
        _ = t.recv(conn, 3, 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = libc.nanosleep(&.{ .sec = 0, .nsec = 100_000_000 }, null);
        _ = t.send(conn, "abc", 0);
        t.sync("interrupted");
        _ = t.send(conn, "def", 0);
        t.sync("done");
    }
};

pub const masked_waits = struct {
    pub const summary = "a blocked signal comes in ppoll and epoll_pwait only, once each, and stays blocked";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const number = signals.SIGUSR1;
        const blocked: signals.Mask = .of(&.{number});
        const none: wait.Mask = .{};
        _ = signals.pthread_sigmask(signals.SIG_BLOCK, &blocked, null);
        signals.handle(t, number, &tick, libc.SA_RESTART);
        instance = wait.epollCreate(t, "epoll");
        var event: wait.Event = .{ .events = 1, .data = 7 };
        _ = wait.epollChange(instance, .ADD, conn, &event);
        for (0..3) |n| {
            _ = libc.kill(libc.getpid(), number);
            t.note("before: {d}", .{ticksNow()});
            if (n == 1) {
                wait.epollPwait(t, instance, 5000, &none);
            } else wait.ppollMany(t, &.{.{ .fd = conn, .events = libc.POLLIN }}, .{ .sec = 5, .nsec = 0 }, &none);
            const after: signals.Mask = .now();
            t.note("after: {d}, blocked: {}", .{ ticksNow(), after.has(number) });
        }
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        _ = t.connected(.{});
        t.sync("done");
    }
};
