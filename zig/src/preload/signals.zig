//! Signals and sleeping. A call that waits must end with EINTR when a handler ran in its thread while
//! it waited (poll and epoll always; recv and send unless the handler was installed with
//! SA_RESTART). We wait in two ways of which only one is a system call: a handler may run while we
//! spin, or just before the poll we sleep in.
//!
//! So handlers are wrapped: the wrapper counts in its own thread, rings the bell that this thread
//! sleeps on (the poll then returns even if the signal came a moment before it), and calls the
//! handler. A wait that finds the count changed ends with EINTR. The application sees its own
//! handlers when it asks.

const std = @import("std");
const cancel = @import("cancel.zig");
const fds_module = @import("fds.zig");
const sys = @import("sys.zig");
const thread = @import("thread.zig");
const Mutex = @import("lock.zig").Mutex;

pub const SIG_DFL = 0;
pub const SIG_IGN = 1;
pub const SA_SIGINFO = 4;
pub const SA_RESTART = 0x10000000;
pub const SA_NODEFER = 0x40000000;
pub const SA_RESETHAND: c_int = @bitCast(@as(u32, 0x80000000));
const signals_max = 65;

/// As both glibc and musl lay it out: handler, mask of 128 bytes, flags.
pub const Action = extern struct {
    handler: usize,
    mask: [128]u8,
    flags: c_int,
    restorer: usize,
};

/// The application's handlers behind the wrapper; bit n of `restarting`: signal n has SA_RESTART.
var originals: [signals_max]usize = @splat(0);
var restarting: [signals_max]bool = @splat(false);

/// For poll and epoll: any handler interrupts.
pub fn countAll() u32 {
    return @as(*volatile u32, &thread.mine().handlers).*;
}

/// For recv and send: any handler interrupts a call with a timeout, SA_RESTART or not (signal(7)).
pub fn countFor(has_timeout: bool) u32 {
    return if (has_timeout) countAll() else countInterrupting();
}

/// For calls that Linux restarts.
pub fn countInterrupting() u32 {
    return @as(*volatile u32, &thread.mine().handlers_interrupting).*;
}

/// Around a sleep: what the wrapper has to ring. Look at the count after this, before sleeping.
pub fn sleepOn(bell: i32) void {
    const mine = thread.mine();
    if (mine.sleeping_on < 0 and bell >= 0) {
        mine.sleeping_phase = @atomicLoad(u1, &phase, .monotonic);
        // Before the look at the descriptor table; pairs with `awaitSleepers`, the other way round.
        _ = @atomicRmw(u32, &sleepers[mine.sleeping_phase], .Add, 1, .seq_cst);
    } else if (mine.sleeping_on >= 0 and bell < 0) {
        _ = @atomicRmw(u32, &sleepers[mine.sleeping_phase], .Sub, 1, .release);
    }
    @as(*volatile i32, &mine.sleeping_on).* = bell;
}

/// Threads asleep, by the phase in which they fell asleep.
var sleepers: [2]u32 = @splat(0);
var phase: u1 = 0;
var phase_mutex: Mutex = .{};

/// Until every thread that was asleep has looked again, or some time has passed (it may be in a
/// handler that does not end): the kernel looks a number up again each time that it wakes in a poll.
pub fn awaitSleepers(comptime wake: fn () void) void {
    const guard = phase_mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    const before = @atomicRmw(u1, &phase, .Xor, 1, .seq_cst);
    for (0..await_turns_max) |_| {
        if (@atomicLoad(u32, &sleepers[before], .seq_cst) == 0) return;
        wake();
        _ = sys.poll(&.{}, await_turn_ns, null);
    }
}

const await_turn_ns = 50_000;
const await_turns_max = 1000;

/// In a forked child the parent's other threads do not exist.
pub fn afterForkChild() void {
    sleepers = @splat(0);
}

/// Signals for which siginterrupt asked that calls fail: `signal` obeys it.
var siginterrupted: [signals_max]bool = @splat(false);

pub fn noteInterrupts(number: c_int, interrupts_calls: bool) void {
    if (number > 0 and number < signals_max) siginterrupted[@intCast(number)] = interrupts_calls;
}

pub fn interrupts(number: c_int) bool {
    return number > 0 and number < signals_max and siginterrupted[@intCast(number)];
}

fn wrapper(number: c_int, info: ?*anyopaque, context: ?*anyopaque) callconv(.c) void {
    const original = @atomicLoad(usize, &originals[@intCast(number)], .acquire);
    deliver(number, info, context, original);
}

/// Counts, rings the bell and calls the handler.
pub fn deliver(number: c_int, info: ?*anyopaque, context: ?*anyopaque, original: usize) void {
    const index: usize = @intCast(number);
    const mine = thread.mine();
    mine.handlers +%= 1;
    if (!@atomicLoad(bool, &restarting[index], .monotonic)) mine.handlers_interrupting +%= 1;
    if (mine.sleeping_on >= 0 and fds_module.kindOf(mine.sleeping_on) == .own) {
        const saved = sys.errno().*;
        const one: u64 = 1;
        _ = sys.call(.write, .{ mine.sleeping_on, &one, 8 });
        sys.errno().* = saved;
    }
    if (original <= SIG_IGN) return;
    const handler: *const fn (c_int, ?*anyopaque, ?*anyopaque) callconv(.c) void = @ptrFromInt(original);
    handler(number, info, context);
}

/// What to install in place of `handler`.
pub fn wrapped(number: c_int, handler: usize, flags: u64) usize {
    if (number < 1 or number >= signals_max) return handler;
    const is_handler = handler > SIG_IGN;
    if (!is_handler) return handler;
    const index: usize = @intCast(number);
    @atomicStore(bool, &restarting[index], flags & SA_RESTART != 0, .monotonic);
    if (handler == @intFromPtr(&wrapper)) return handler;
    @atomicStore(usize, &originals[index], handler, .release);
    return @intFromPtr(&wrapper);
}

/// What the application may see of an installed handler; `original_before` was `originalOf` before
/// the call that changed it.
pub fn unwrapped(number: c_int, handler: usize, original_before: usize) usize {
    _ = number;
    return if (handler == @intFromPtr(&wrapper)) original_before else handler;
}

pub fn originalOf(number: c_int) usize {
    if (number < 1 or number >= signals_max) return 0;
    return @atomicLoad(usize, &originals[@intCast(number)], .acquire);
}

/// ppoll for recv and send: -EINTR only if an interrupting handler has run in this thread since
/// `since` (a value of `countFor`). `bell`: our local one, among `fds`; or -1.
/// A cancellation point; `sleepOn(-1)` is for the caller's cleanup routine.
/// The first of `fds` is the application's, the others are ours; 1 if one of these is not any more.
pub fn poll(fds: []sys.PollFd, timeout_ns: ?u64, since: u32, has_timeout: bool, bell: i32) isize {
    const deadline = if (timeout_ns) |ns| sys.nowNs() +| ns else 0;
    var left = timeout_ns;
    sleepOn(bell);
    defer sleepOn(-1);
    while (true) {
        if (countFor(has_timeout) != since) return sys.neg(.INTR);
        for (fds[1..]) |p| if (fds_module.kindOf(p.fd) != .own) return 1;
        const n = cancel.poll(fds, left, null);
        if (countFor(has_timeout) != since) return sys.neg(.INTR);
        if (n != sys.neg(.INTR)) return n;
        if (timeout_ns != null) {
            const now = sys.nowNs();
            if (now >= deadline) return 0;
            left = deadline - now;
        }
    }
}

test "handlers are wrapped, and the application sees its own" {
    const handler: usize = 0x1234560;
    try std.testing.expectEqual(1, wrapped(10, 1, 0));
    const installed = wrapped(10, handler, 0);
    try std.testing.expect(installed != handler);
    try std.testing.expectEqual(handler, unwrapped(10, installed, originalOf(10)));
}

var test_runs: u32 = 0;

fn testHandler() callconv(.c) void {
    test_runs += 1;
}

test "only a handler without SA_RESTART counts as interrupting" {
    const all = countAll();
    const interrupting = countInterrupting();
    _ = wrapped(12, @intFromPtr(&testHandler), SA_RESTART);
    wrapper(12, null, null);
    try std.testing.expectEqual(interrupting, countInterrupting());
    _ = wrapped(12, @intFromPtr(&testHandler), 0);
    wrapper(12, null, null);
    try std.testing.expectEqual(interrupting +% 1, countInterrupting());
    try std.testing.expectEqual(all +% 2, countAll());
    try std.testing.expectEqual(2, test_runs);
}
