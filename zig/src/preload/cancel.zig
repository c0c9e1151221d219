//! pthread_cancel. Calls that POSIX names as cancellation points are such on rings too, and a
//! cancelled thread leaves nothing behind: no lock, no wait word, no doorbell in use.
//!
//! Where it may happen: at the beginning of a call (`point`), and while it sleeps. Nothing is locked
//! at either place. Sleeping is done by libc's own ppoll or epoll_pwait, which know how their libc
//! cancels, with a cleanup routine pushed that gives back what the sleep holds (`Cleanup`; the
//! thread is unwound through our frames, whose `defer`s do not run). A call of the kernel's that
//! may block on a connection that is plain TCP is libc's own as well, with nothing held (conn.Away).
//!
//! A thread of type PTHREAD_CANCEL_ASYNCHRONOUS may be cancelled at any instruction: once a process
//! has one, threads are made deferred for as long as they use a connection (`hold`, `unhold`).
//!
//! All of this costs one look at a variable until the process calls pthread_cancel or
//! pthread_setcanceltype for the first time.

const std = @import("std");
const lock = @import("lock.zig");
const real = @import("real.zig");
const sys = @import("sys.zig");
const thread = @import("thread.zig");

pub const deferred = 0;
pub const asynchronous = 1;

/// This process has called pthread_cancel.
pub var requested = false;
/// A thread has asked to be cancelled at any instruction.
pub var asynchronous_seen = false;

/// Acts on a request for this thread. Nothing may be held.
pub inline fn point() void {
    if (@atomicLoad(bool, &requested, .acquire)) testcancel();
}

noinline fn testcancel() void {
    const name = "pthread_testcancel";
    if (real.find(name) != null) real.get(name, fn () callconv(.c) void)();
}

// -- sleeping ----------------------------------------------------------------------------------------

/// Something that libc runs if this thread is cancelled between `push` and `pop`. Lies on the stack
/// of the function that pushes.
pub const Cleanup = struct {
    /// glibc's and musl's own record, of which this is the larger.
    record: [4]usize = undefined,
    pushed: bool = false,

    pub fn push(c: *Cleanup, routine: *const fn (?*anyopaque) callconv(.c) void, argument: *anyopaque) void {
        if (!isCancellable()) return;
        const Push = fn (*[4]usize, *const fn (?*anyopaque) callconv(.c) void, *anyopaque) callconv(.c) void;
        if (real.find("_pthread_cleanup_push") == null) return;
        real.get("_pthread_cleanup_push", Push)(&c.record, routine, argument);
        c.pushed = true;
    }

    pub fn pop(c: *Cleanup) void {
        if (!c.pushed) return;
        real.get("_pthread_cleanup_pop", fn (*[4]usize, c_int) callconv(.c) void)(&c.record, 0);
    }
};

/// One thread alone can be cancelled by nobody while it sleeps.
pub fn isCancellable() bool {
    return !lock.isSingleThreaded();
}

pub fn poll(fds: []sys.PollFd, timeout_ns: ?u64, mask: ?*const anyopaque) isize {
    if (!isCancellable()) return sys.poll(fds, timeout_ns, mask);
    var ts: sys.Timespec = undefined;
    const Ppoll = fn ([*]sys.PollFd, c_ulong, ?*const sys.Timespec, ?*const anyopaque) callconv(.c) c_int;
    const saved = sys.errno().*;
    return raw(real.get("ppoll", Ppoll)(fds.ptr, fds.len, timespec(timeout_ns, &ts), mask), saved);
}

pub fn epollWait(fd: i32, into: []sys.EpollEvent, timeout_ns: ?u64, mask: ?*const anyopaque) isize {
    const max: c_int = @intCast(@min(into.len, std.math.maxInt(c_int)));
    const saved = sys.errno().*;
    if (timeout_ns == null) {
        const Pwait = fn (c_int, [*]sys.EpollEvent, c_int, c_int, ?*const anyopaque) callconv(.c) c_int;
        return raw(real.get("epoll_pwait", Pwait)(fd, into.ptr, max, -1, mask), saved);
    }
    var ts: sys.Timespec = undefined;
    const timeout = timespec(timeout_ns, &ts);
    if (real.find("epoll_pwait2") != null) {
        const Pwait2 = fn (c_int, [*]sys.EpollEvent, c_int, ?*const sys.Timespec, ?*const anyopaque) callconv(.c) c_int;
        return raw(real.get("epoll_pwait2", Pwait2)(fd, into.ptr, max, timeout, mask), saved);
    }
    // A libc whose epoll_wait knows milliseconds only: sleep in poll, which knows nanoseconds.
    var instance = [_]sys.PollFd{.{ .fd = fd, .events = sys.POLLIN }};
    const ready = poll(&instance, timeout_ns, mask);
    if (ready <= 0) return ready;
    return sys.call(.epoll_pwait, .{ fd, into.ptr, max, 0, 0, 8 });
}

fn timespec(timeout_ns: ?u64, ts: *sys.Timespec) ?*const sys.Timespec {
    const ns = timeout_ns orelse return null;
    ts.* = .{ .sec = @intCast(ns / 1_000_000_000), .nsec = @intCast(ns % 1_000_000_000) };
    return ts;
}

/// recvmsg or sendmsg that may block in the kernel; nothing is held.
pub fn message(comptime name: [:0]const u8, fd: i32, msg: *sys.Msghdr, flags: u32) isize {
    const saved = sys.errno().*;
    const Message = fn (c_int, *sys.Msghdr, c_int) callconv(.c) isize;
    return raw(real.get(name, Message)(fd, msg, @bitCast(flags)), saved);
}

/// A libc result as the kernel gave it.
fn raw(result: isize, saved_errno: c_int) isize {
    if (result >= 0) return result;
    const code = sys.errno().*;
    sys.errno().* = saved_errno;
    return -@as(isize, code);
}

// -- at any instruction ------------------------------------------------------------------------------

const SetType = fn (c_int, *c_int) callconv(.c) c_int;

pub inline fn hold() void {
    if (@atomicLoad(bool, &asynchronous_seen, .acquire)) holdDeferred();
}

noinline fn holdDeferred() void {
    const mine = thread.mine();
    if (mine.cancel_depth == 0) {
        _ = real.get("pthread_setcanceltype", SetType)(deferred, &mine.cancel_type_before);
    }
    mine.cancel_depth += 1;
}

pub inline fn unhold() void {
    if (@atomicLoad(bool, &asynchronous_seen, .acquire)) unholdDeferred();
}

noinline fn unholdDeferred() void {
    const mine = thread.mine();
    if (mine.cancel_depth == 0) return; // the first request came while this thread was inside
    mine.cancel_depth -= 1;
    var ignored: c_int = undefined;
    if (mine.cancel_depth == 0 and mine.cancel_type_before == asynchronous) {
        _ = real.get("pthread_setcanceltype", SetType)(asynchronous, &ignored);
    }
}
