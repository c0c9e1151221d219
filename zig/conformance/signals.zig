//! Signals that a case catches, and how it sends itself many.

const std = @import("std");
const libc = @import("libc.zig");
const Side = @import("side.zig").Side;

pub const SIGUSR1 = 10;
pub const SIGUSR2 = 12;
pub const SIGALRM = 14;
pub const SIGCHLD = 17;
pub const SIGURG = 23;
pub const SA_SIGINFO = 4;
pub const SA_ONSTACK = 0x08000000;
pub const SA_NODEFER = 0x40000000;
pub const SA_RESETHAND: c_int = @bitCast(@as(u32, 0x80000000));
pub const SIG_BLOCK = 0;
pub const SIG_UNBLOCK = 1;
pub const SIG_SETMASK = 2;
pub const SI_QUEUE = -1;

/// siginfo_t, as far as signals sent by processes fill it.
pub const Info = extern struct {
    number: c_int,
    errno: c_int,
    code: c_int,
    pad: c_int,
    pid: c_int,
    uid: c_uint,
    value: usize,
};

pub const Mask = extern struct {
    words: [16]c_ulong = @splat(0),

    pub fn of(numbers: []const c_int) Mask {
        var mask: Mask = .{};
        for (numbers) |number| mask.words[0] |= @as(c_ulong, 1) << @intCast(number - 1);
        return mask;
    }

    pub fn has(mask: *const Mask, number: c_int) bool {
        return mask.words[0] >> @intCast(number - 1) & 1 != 0;
    }

    pub fn now() Mask {
        var mask: Mask = .{};
        _ = pthread_sigmask(SIG_BLOCK, null, &mask);
        return mask;
    }
};

pub const Stack = extern struct { base: [*]u8, flags: c_int = 0, size: usize };
pub const Interval = extern struct { every: libc.timeval, first: libc.timeval };

pub extern "c" fn pthread_sigmask(how: c_int, set: ?*const Mask, old: ?*Mask) c_int;
pub extern "c" fn pthread_sigqueue(thread: usize, number: c_int, value: usize) c_int;
pub extern "c" fn pthread_self() usize;
pub extern "c" fn sigqueue(pid: c_int, number: c_int, value: usize) c_int;
pub extern "c" fn sigaltstack(stack: ?*const Stack, old: ?*Stack) c_int;
pub extern "c" fn setitimer(which: c_int, new: *const Interval, old: ?*Interval) c_int;
pub extern "c" fn signal(number: c_int, handler: *const anyopaque) ?*const anyopaque;
pub extern "c" fn sysv_signal(number: c_int, handler: *const anyopaque) ?*const anyopaque;
pub extern "c" fn sigset(number: c_int, handler: *const anyopaque) ?*const anyopaque;
pub extern "c" fn __libc_current_sigrtmin() c_int;

var counts: [65]u32 = @splat(0);

fn count(number: c_int) callconv(.c) void {
    _ = @atomicRmw(u32, &counts[@intCast(number)], .Add, 1, .monotonic);
}

/// From now on the signal is counted. With `restart` interrupted calls go on (SA_RESTART).
pub fn catchSignal(t: *Side, number: c_int, restart: bool) void {
    handle(t, number, &count, if (restart) libc.SA_RESTART else 0);
}

/// Records how often it has come.
pub fn caught(t: *Side, number: c_int) void {
    t.note("signal {d} has come {d} times", .{ number, @atomicLoad(u32, &counts[@intCast(number)], .monotonic) });
}

pub fn handle(t: *Side, number: c_int, handler: *const anyopaque, flags: c_int) void {
    const action: libc.sigaction_t = .{ .handler = handler, .flags = flags };
    if (libc.sigaction(number, &action, null) != 0) t.fail("sigaction of {d}", .{number});
}

var tick_us: c_long = 0;

/// SIGALRM so often, if its handler calls `again`; 0: no more.
pub fn tickEvery(us: c_long) void {
    @as(*volatile c_long, &tick_us).* = us;
    again();
}

/// The next one, so long after the end of this handler: the interrupted code gets on in any case,
/// however slow the machine is.
pub fn again() void {
    const us = @as(*volatile c_long, &tick_us).*;
    const never: libc.timeval = .{ .sec = 0, .usec = 0 };
    _ = setitimer(0, &.{ .every = never, .first = .{ .sec = 0, .usec = us } }, null);
}

// -- jumping out -------------------------------------------------------------------------------------

/// ucontext_t: what is set here, and more than enough for the rest of it on any machine.
const Context = extern struct {
    flags: usize align(16) = 0,
    link: ?*Context = null,
    stack: Stack = undefined,
    rest: [8 << 10]u8 = undefined,
};

extern "c" fn getcontext(context: *Context) c_int;
extern "c" fn makecontext(context: *Context, body: *const fn () callconv(.c) void, arguments: c_int, ...) void;
extern "c" fn swapcontext(from: *Context, to: *const Context) c_int;
extern "c" fn setcontext(to: *const Context) c_int;

/// Runs a call on a stack of its own, until it returns or a handler jumps out of it: what siglongjmp
/// does, in a language that has no setjmp.
pub const Attempt = struct {
    stack: [256 << 10]u8 align(16) = undefined,
    outside: Context = .{},
    inside: Context = .{},
    body: *const fn () void,
    /// The call is about to be made; it may be jumped out of.
    open: bool = false,
    returned: bool = false,

    var current: *Attempt = undefined;

    /// True: it returned. False: jumped out of.
    pub fn run(attempt: *Attempt) bool {
        current = attempt;
        attempt.returned = false;
        _ = getcontext(&attempt.inside);
        attempt.inside.link = &attempt.outside;
        attempt.inside.stack = .{ .base = &attempt.stack, .size = attempt.stack.len };
        makecontext(&attempt.inside, &enter, 0);
        _ = swapcontext(&attempt.outside, &attempt.inside);
        return attempt.returned;
    }

    fn enter() callconv(.c) void {
        const attempt = current;
        @atomicStore(bool, &attempt.open, true, .seq_cst);
        attempt.body();
        @atomicStore(bool, &attempt.open, false, .seq_cst);
        attempt.returned = true;
    }

    /// For a handler.
    pub fn jumpOut() void {
        if (!@atomicRmw(bool, &current.open, .Xchg, false, .seq_cst)) return;
        _ = setcontext(&current.outside);
    }
};

/// Descriptors that the process has, the library's too.
pub fn openDescriptors() usize {
    var found: usize = 0;
    for (0..4096) |fd| {
        if (libc.fcntl(@intCast(fd), libc.F_GETFD) >= 0) found += 1;
    }
    return found;
}
