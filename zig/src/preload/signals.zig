//! Signal handlers of the application: none runs while its thread is inside the library
//! (section.zig says why and how it is put off). A call that waits must end with EINTR when a handler
//! ran in its thread meanwhile (poll and epoll always; recv and send unless the handler was installed
//! with SA_RESTART and the call has no timeout: signal(7)). We wait in two ways of which only one is
//! a system call: a signal may come while we spin, or just before the poll we sleep in.
//!
//! So handlers are installed behind a wrapper. Outside the library it calls the handler. Inside, it
//! puts the signal off and rings the bell that this thread sleeps on: the poll then returns even if
//! the signal came a moment before it, the call gives back what it holds, and the handler runs when
//! it is left. Then the call is over, or begins again.
//!
//! The kernel is told SA_SIGINFO (siginfo and context are needed), and not SA_RESETHAND: a signal that
//! is put off must find its handler when it comes again. The application sees what it has installed.

const std = @import("std");
const cancel = @import("cancel.zig");
const fds_module = @import("fds.zig");
const real = @import("real.zig");
const section = @import("section.zig");
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

const Sigaction = fn (c_int, ?*const Action, ?*Action) callconv(.c) c_int;

/// What the application has installed behind the wrapper.
const Installed = struct {
    handler: usize = 0,
    flags: c_int = 0,
    /// SA_RESETHAND.
    once: Once = .no,

    const Once = enum(u8) { no, armed, fired };
    /// Flags that the kernel is told otherwise.
    const hidden = SA_SIGINFO | SA_RESETHAND;
};

var table: [signals_max]Installed = @splat(.{});

// -- installing --------------------------------------------------------------------------------------

fn isKnown(number: c_int) bool {
    return number > 0 and number < signals_max;
}

/// sigaction(2) as the application sees it.
pub fn change(number: c_int, action: ?*const Action, old: ?*Action) c_int {
    const before = installed(number);
    var changed: Action = undefined;
    const told = if (action) |a| told: {
        changed = toldKernel(number, a.*);
        break :told &changed;
    } else null;
    const result = real.get("sigaction", Sigaction)(number, told, old);
    if (result == 0) if (old) |o| {
        o.* = seen(o.*, before);
    };
    return result;
}

pub fn installed(number: c_int) Installed {
    return if (isKnown(number)) table[@intCast(number)] else .{};
}

/// What to install in place of what the application wants.
fn toldKernel(number: c_int, action: Action) Action {
    if (!isKnown(number) or action.handler <= SIG_IGN) return action;
    remember(number, action.handler, action.flags);
    var told = action;
    told.handler = @intFromPtr(&wrapper);
    told.flags = (action.flags | SA_SIGINFO) & ~SA_RESETHAND;
    return told;
}

/// Handlers installed by somebody else's hand (faults.zig) are delivered by it, too.
pub fn remember(number: c_int, handler: usize, flags: c_int) void {
    const place = &table[@intCast(number)];
    // It may be given back as libc's own insides saw it: then nothing has changed.
    if (handler != @intFromPtr(&wrapper)) @atomicStore(usize, &place.handler, handler, .release);
    @atomicStore(c_int, &place.flags, flags, .monotonic);
    const once: Installed.Once = if (flags & SA_RESETHAND != 0) .armed else .no;
    @atomicStore(Installed.Once, &place.once, once, .monotonic);
}

/// What the application may see of what the kernel has; `before` was `installed` before the call that
/// changed it.
pub fn seen(action: Action, before: Installed) Action {
    if (action.handler != @intFromPtr(&wrapper)) return action;
    var shown = action;
    shown.handler = before.handler;
    shown.flags = (action.flags & ~Installed.hidden) | (before.flags & Installed.hidden);
    return shown;
}

pub fn seenHandler(handler: usize, before: Installed) usize {
    return if (handler == @intFromPtr(&wrapper)) before.handler else handler;
}

// -- delivering --------------------------------------------------------------------------------------

const Siginfo = section.Siginfo;
const Handler = *const fn (c_int, *Siginfo, *anyopaque) callconv(.c) void;

fn wrapper(number: c_int, info: *Siginfo, context: *anyopaque) callconv(.c) void {
    if (section.isInside() and !section.isFault(number, info)) return postpone(number, info, context);
    const place = &table[@intCast(number)];
    if (@atomicLoad(Installed.Once, &place.once, .monotonic) != .no and !isFirst(number, place)) {
        // What another thread's handler was run for is default by now, also for this one.
        _ = sys.call(.rt_tgsigqueueinfo, .{ sys.call(.getpid, .{}), sys.call(.gettid, .{}), number, info });
        return;
    }
    run(number, info, context, @atomicLoad(usize, &place.handler, .acquire));
}

/// Takes the handler away, as the kernel does before it runs one with SA_RESETHAND.
fn isFirst(number: c_int, place: *Installed) bool {
    if (@cmpxchgStrong(Installed.Once, &place.once, .armed, .fired, .monotonic, .monotonic) != null) return false;
    const sigaction = real.get("sigaction", Sigaction);
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    var action: Action = undefined;
    if (sigaction(number, null, &action) != 0) return true;
    action = seen(action, place.*);
    action.handler = SIG_DFL;
    _ = sigaction(number, &action, null);
    return true;
}

/// The application's handler, outside the library. (Or inside it, for a fault there that is not one
/// of our copies': then it finds what is locked to be locked.)
pub fn run(number: c_int, info: *Siginfo, context: *anyopaque, handler: usize) void {
    const mine = thread.mine();
    const depth = mine.depth;
    mine.depth = 0;
    section.inOrder(number, info);
    if (table[@intCast(number)].flags & SA_RESTART == 0) mine.handlers_interrupting +%= 1;
    const own: Handler = @ptrFromInt(handler);
    own(number, info, context);
    thread.mine().depth = depth;
}

/// The handler runs when the section is left; whoever sleeps in it wakes up. (In this order: see
/// section.zig, invariant 3.)
pub fn postpone(number: c_int, info: *Siginfo, context: *anyopaque) void {
    section.postpone(number, info, context);
    const bell = @atomicLoad(i32, &thread.mine().sleeping_on, .monotonic);
    if (bell < 0 or fds_module.kindOf(bell) != .own) return;
    const one: u64 = 1;
    _ = sys.call(.write, .{ bell, &one, 8 });
}

// -- sleeping ----------------------------------------------------------------------------------------

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

/// ppoll for recv and send: -EINTR only if a handler is put off. `bell`: our local one, among `fds`;
/// or -1.
/// A cancellation point; `sleepOn(-1)` is for the caller's cleanup routine.
/// The first of `fds` is the application's, the others are ours; 1 if one of these is not any more.
pub fn poll(fds: []sys.PollFd, timeout_ns: ?u64, bell: i32) isize {
    const deadline = if (timeout_ns) |ns| sys.nowNs() +| ns else 0;
    var left = timeout_ns;
    sleepOn(bell);
    defer sleepOn(-1);
    while (true) {
        if (section.isPending()) return sys.neg(.INTR);
        for (fds[1..]) |p| if (fds_module.kindOf(p.fd) != .own) return 1;
        const n = cancel.poll(fds, left, null);
        if (section.isPending()) return sys.neg(.INTR);
        if (n != sys.neg(.INTR)) return n;
        if (timeout_ns != null) {
            const now = sys.nowNs();
            if (now >= deadline) return 0;
            left = deadline - now;
        }
    }
}

var test_runs: u32 = 0;

fn testHandler(number: c_int, info: *Siginfo, context: *anyopaque) callconv(.c) void {
    _ = .{ number, info, context };
    test_runs += @intFromBool(!section.isInside());
}

fn testRaise(number: c_int) void {
    _ = sys.call(.tgkill, .{ sys.call(.getpid, .{}), sys.call(.gettid, .{}), number });
}

fn testInstall(number: c_int, flags: c_int) !void {
    var action = std.mem.zeroes(Action);
    action.handler = @intFromPtr(&testHandler);
    action.flags = flags;
    try std.testing.expectEqual(0, change(number, &action, null));
    test_runs = 0;
}

test "the application sees the handlers that it has installed" {
    for ([_]c_int{ 0, SA_SIGINFO, SA_RESETHAND, SA_RESTART | SA_NODEFER }) |flags| {
        try testInstall(10, flags);
        var shown: Action = undefined;
        try std.testing.expectEqual(0, change(10, null, &shown));
        try std.testing.expectEqual(@intFromPtr(&testHandler), shown.handler);
        const restorer = 0x04000000; // libc's own
        try std.testing.expectEqual(flags, shown.flags & ~@as(c_int, restorer));
    }
}

test "only a handler without SA_RESTART ends calls" {
    for ([_]c_int{ SA_RESTART, 0 }) |flags| {
        try testInstall(12, flags);
        section.enter();
        testRaise(12);
        try std.testing.expectEqual(0, test_runs);
        try std.testing.expect(section.isPending());
        section.leave();
        try std.testing.expectEqual(1, test_runs);
        try std.testing.expectEqual(flags == 0, section.wasInterrupted());
    }
}

test "a handler that comes inside a section runs once it is left, with SA_NODEFER too" {
    for ([_]c_int{ 0, SA_NODEFER, SA_SIGINFO | SA_NODEFER }) |flags| {
        try testInstall(12, flags);
        var before: u64 = 0;
        var after: u64 = 0;
        _ = sys.call(.rt_sigprocmask, .{ 0, null, &before, 8 });
        section.enter();
        section.enter();
        testRaise(12);
        section.leave();
        try std.testing.expectEqual(0, test_runs);
        section.leave();
        try std.testing.expectEqual(1, test_runs);
        _ = sys.call(.rt_sigprocmask, .{ 0, null, &after, 8 });
        try std.testing.expectEqual(before, after);
        testRaise(12);
        try std.testing.expectEqual(2, test_runs);
    }
}

test "a signal for a fault that somebody sends waits for the section's end, too" {
    try testInstall(8, 0);
    section.enter();
    testRaise(8);
    try std.testing.expectEqual(0, test_runs);
    section.leave();
    try std.testing.expectEqual(1, test_runs);
}

var test_value: u8 = 0;

fn testValue(number: c_int, info: *Siginfo, context: *anyopaque) callconv(.c) void {
    _ = .{ number, context };
    test_value = @as(*[128]u8, @ptrCast(info))[24];
}

test "a real-time signal that the kernel has no room for keeps what is known of it" {
    var action = std.mem.zeroes(Action);
    action.handler = @intFromPtr(&testValue);
    action.flags = SA_SIGINFO;
    try std.testing.expectEqual(0, change(41, &action, null));
    const RLIMIT_SIGPENDING = 11;
    var before: [2]u64 = undefined;
    _ = sys.call(.prlimit64, .{ 0, RLIMIT_SIGPENDING, 0, &before });
    const none: [2]u64 = .{ 0, before[1] };
    _ = sys.call(.prlimit64, .{ 0, RLIMIT_SIGPENDING, &none, 0 });
    defer _ = sys.call(.prlimit64, .{ 0, RLIMIT_SIGPENDING, &before, 0 });
    var info: [128]u8 align(8) = @splat(0);
    info[24] = 77;
    @as(*Siginfo, @ptrCast(&info)).* = .{ .number = 41, .errno = 0, .code = -1 };
    var context: [1024]u8 align(16) = @splat(0);
    section.enter();
    wrapper(41, @ptrCast(&info), @ptrCast(&context));
    try std.testing.expectEqual(0, test_value);
    section.leave();
    try std.testing.expectEqual(77, test_value);
}

test "SA_RESETHAND runs a handler once, and put off counts as not run" {
    try testInstall(17, SA_RESETHAND); // SIGCHLD: by default nothing happens
    section.enter();
    testRaise(17);
    section.leave();
    try std.testing.expectEqual(1, test_runs);
    testRaise(17);
    try std.testing.expectEqual(1, test_runs);
    var shown: Action = undefined;
    try std.testing.expectEqual(0, change(17, null, &shown));
    try std.testing.expectEqual(SIG_DFL, shown.handler);
    try std.testing.expect(shown.flags & SA_RESETHAND != 0);
}
