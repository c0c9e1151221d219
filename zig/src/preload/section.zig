//! Sections: stretches of library code in which no signal handler of the application runs. To a
//! handler the library is what the kernel is: a signal that comes during a call of ours is acted on
//! when the call has ended, or when it would sleep, and the call then ends as the kernel's would
//! (-EINTR, fewer bytes, or once more from its beginning).
//!
//! Invariants:
//!   1. A lock of ours is held, a wait word armed, a connection pinned or an object half made only
//!      at `depth` > 0. (`lock.acquire` asserts it.)
//!   2. The application's handlers run only at `depth` 0. So they may use any connection, close it,
//!      fork, jump out (siglongjmp) or never return: nothing is left behind.
//!   3. Who waits inside a section looks at `isPending` between announcing on which bell it sleeps
//!      and sleeping; the wrapper sets the bit first and then rings that bell (signals.zig).
//!
//! A handler that would run inside is put off (`postpone`): the wrapper around it sends the very
//! signal, siginfo and all, once more to its own thread, and blocks it in the interrupted code's
//! mask, so that it waits in the kernel. The outermost `leave` finds the bit and takes the signal
//! out of the mask: the kernel runs the handler, with a genuine context, on the right stack. Signals
//! of one number that come meanwhile merge or queue behind it, as they do in the kernel.
//!
//! Everything here is done and seen by one thread: what orders it is the program's order alone, kept
//! by the compiler through `barrier`. Atomics say that a handler may look in between.

const std = @import("std");
const builtin = @import("builtin");
const ends = @import("ends.zig");
const sys = @import("sys.zig");
const thread = @import("thread.zig");

const Kept = thread.Kept;

/// What a call of ours comes back with, inside the library, when it has to end for a signal and has
/// done nothing yet: -EINTR or, if all handlers that ran have SA_RESTART, the call again.
/// (The kernel's own ERESTARTSYS.)
pub const restart: isize = -512;

const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIG_SETMASK = 2;
const signal_rt_min = 32;

inline fn barrier() void {
    asm volatile ("" ::: .{ .memory = true });
}

pub inline fn enter() void {
    if (builtin.cpu.arch == .x86_64) return asm volatile (
        \\ movq sd_thread@GOTTPOFF(%%rip), %%rax
        \\ incl %%fs:(%%rax)
        ::: .{ .rax = true, .memory = true, .cc = true });
    const mine = thread.mine();
    @atomicStore(u32, &mine.depth, mine.depth + 1, .monotonic);
    barrier();
}

pub inline fn leave() void {
    if (decrement() != 0) {
        @branchHint(.unlikely);
        if (thread.mine().depth == 0) deliver(null);
    }
}

/// One level less; not 0: something is put off.
inline fn decrement() u64 {
    if (builtin.cpu.arch == .x86_64) return asm volatile (
        \\ movq sd_thread@GOTTPOFF(%%rip), %[out]
        \\ decl %%fs:(%[out])
        \\ movq %%fs:8(%[out]), %[out]
        : [out] "=r" (-> u64),
        :
        : .{ .memory = true, .cc = true });
    const mine = thread.mine();
    barrier();
    @atomicStore(u32, &mine.depth, mine.depth - 1, .monotonic);
    barrier();
    return @atomicLoad(u64, &mine.deferred, .monotonic);
}

comptime {
    std.debug.assert(@offsetOf(thread.Thread, "depth") == 0);
    std.debug.assert(@offsetOf(thread.Thread, "deferred") == 8);
}

pub inline fn isInside() bool {
    return thread.mine().depth != 0;
}

pub fn depthNow() u32 {
    return thread.mine().depth;
}

/// In a forked child: sections entered since are the parent's, and so are the signals that were put
/// off, though the mask that holds them back has come along.
pub fn afterFork(depth: u32) void {
    const mine = thread.mine();
    mine.kept = @splat(.{});
    @atomicStore(u32, &mine.depth, depth, .monotonic);
    barrier();
}

/// A handler is put off until this thread's section ends.
pub inline fn isPending() bool {
    return @atomicLoad(u64, &thread.mine().deferred, .monotonic) != 0;
}

/// Did a handler run, when the section was left or in the last window, that ends calls? Else the call
/// goes on.
pub fn wasInterrupted() bool {
    return thread.mine().interrupted;
}

/// Around something that may wait in the kernel, with nothing held: handlers run there as they come.
pub const Window = struct {
    depth: u32,
    /// `handlers_interrupting` before.
    interrupting: u32,
    /// Handlers have run at its beginning: what was to be waited for has to be looked at again.
    delivered: bool,

    pub fn open() Window {
        const mine = thread.mine();
        var window: Window = .{
            .depth = mine.depth,
            .interrupting = mine.handlers_interrupting,
            .delivered = false,
        };
        barrier();
        @atomicStore(u32, &mine.depth, 0, .monotonic);
        barrier();
        window.delivered = isPending();
        if (window.delivered) deliver(null);
        return window;
    }

    pub fn close(window: Window) void {
        const mine = thread.mine();
        barrier();
        @atomicStore(u32, &mine.depth, window.depth, .monotonic);
        barrier();
        mine.interrupted = mine.handlers_interrupting != window.interrupting;
    }
};

/// The thread ends inside (pthread_cancel) and its frames are unwound: the section is over.
pub fn abandon() void {
    const mine = thread.mine();
    @atomicStore(u32, &mine.depth, 0, .monotonic);
    barrier();
    if (isPending()) deliver(null);
}

/// A wait with a signal mask of its own (ppoll, epoll_pwait): handlers put off there run under it.
pub const Masked = struct {
    wanted: *const anyopaque,
    before: u64,

    pub fn begin(mask: ?*const anyopaque) ?Masked {
        var masked: Masked = .{ .wanted = mask orelse return null, .before = 0 };
        _ = sys.call(.rt_sigprocmask, .{ SIG_BLOCK, null, &masked.before, 8 });
        return masked;
    }
};

pub fn leaveMasked(masked: ?Masked) void {
    const mine = thread.mine();
    if (masked == null or mine.depth != 1 or !isPending()) return leave();
    @atomicStore(u32, &mine.depth, 0, .monotonic);
    barrier();
    deliver(masked);
}

/// Lets the kernel run what was put off. Nothing of the library's may be used by it afterwards that
/// was looked up before.
noinline fn deliver(masked: ?Masked) void {
    const mine = thread.mine();
    const saved = sys.errno().*;
    const before = mine.handlers_interrupting;
    const set = mine.deferred;
    @atomicStore(u64, &mine.deferred, 0, .monotonic);
    for (&mine.kept) |*kept| if (kept.number != 0 and kept.number < signal_rt_min) {
        const number = kept.number;
        kept.number = 0; // first: its handler may jump out
        _ = sendToSelf(number, &kept.info);
    };
    if (masked) |m| {
        _ = sys.call(.rt_sigprocmask, .{ SIG_SETMASK, &m.before, null, 8 });
        _ = sys.poll(&.{}, 0, m.wanted);
    } else {
        _ = sys.call(.rt_sigprocmask, .{ SIG_UNBLOCK, &set, null, 8 });
        forgetKept(set);
    }
    // Handlers have run. (Or one has jumped out, and this is never reached.)
    mine.interrupted = mine.handlers_interrupting != before;
    sys.errno().* = saved;
}

fn bit(number: c_int) u64 {
    return @as(u64, 1) << @intCast(number - 1);
}

/// The beginning of siginfo_t.
pub const Siginfo = extern struct { number: c_int, errno: c_int, code: c_int };

/// The signal comes from the interrupted instruction itself: not to be put off.
pub fn isFault(number: c_int, info: *const Siginfo) bool {
    return isFaultNumber(number) and info.code > 0;
}

fn isFaultNumber(number: c_int) bool {
    return switch (number) {
        4, 5, 7, 8, 11, 31 => true, // ILL, TRAP, BUS, FPE, SEGV, SYS
        else => false,
    };
}

/// Place of the interrupted code's signal mask in what the kernel hands to a handler.
const mask_offset = if (builtin.cpu.arch == .x86_64) 296 else 40;

/// Called by a handler's wrapper inside a section: the handler runs when it is left.
pub fn postpone(number: c_int, info: *const Siginfo, context: *anyopaque) void {
    const mine = thread.mine();
    ends.count("signals_deferred");
    const own = bit(number);
    @atomicStore(u64, &mine.deferred, mine.deferred | own, .monotonic);
    if (isFaultNumber(number)) {
        // Sent by somebody. Blocked it cannot be: a copy of ours that then faults would end the
        // program.
        return keep(mine, number, info);
    }
    // With SA_NODEFER it would come back at once.
    _ = sys.call(.rt_sigprocmask, .{ SIG_BLOCK, &own, null, 8 });
    if (number >= signal_rt_min) keep(mine, number, info);
    if (sendToSelf(number, info) == sys.neg(.AGAIN)) {
        // No room for siginfo in the kernel (RLIMIT_SIGPENDING); the bare number always has.
        var bare: [128]u8 align(8) = @splat(0);
        @as(*Siginfo, @ptrCast(&bare)).number = number;
        _ = sendToSelf(number, &bare);
    }
    const mask: *align(8) u64 = @ptrCast(@alignCast(@as([*]u8, @ptrCast(context)) + mask_offset));
    mask.* |= own;
}

fn sendToSelf(number: c_int, info: *const anyopaque) isize {
    const pid = sys.call(.getpid, .{});
    return sys.call(.rt_tgsigqueueinfo, .{ pid, sys.call(.gettid, .{}), number, info });
}

/// All of these have been delivered: what is still kept was ignored, or taken by sigwait.
fn forgetKept(set: u64) void {
    const mine = thread.mine();
    for (&mine.kept) |*kept| {
        if (kept.number != 0 and set & bit(kept.number) != 0) kept.number = 0;
    }
}

fn keep(mine: *thread.Thread, number: c_int, info: *const Siginfo) void {
    for (&mine.kept) |*kept| {
        if (kept.number == number and number < signal_rt_min) return; // the first one counts
        if (kept.number != 0) continue;
        const bytes: *const [128]u8 = @ptrCast(info);
        kept.* = .{ .number = number, .info = bytes.*, .queued = bytes.* };
        return;
    }
}

/// Signals of one number from SIGRTMIN on keep their order, and what was put off was queued again,
/// behind those that had come meanwhile. So a handler gets the oldest siginfo that is kept, in the
/// place of the one that the kernel has just delivered, which is kept in its turn until the one that
/// was queued again comes.
pub fn inOrder(number: c_int, info: *Siginfo) void {
    if (number < signal_rt_min) return;
    const mine = thread.mine();
    const delivered: *[128]u8 = @ptrCast(info);
    const is_bare = info.code == 0 and std.mem.allEqual(u8, delivered[@sizeOf(Siginfo)..], 0);
    var given: ?[128]u8 = null;
    var last: ?*Kept = null;
    var came: ?*Kept = null;
    for (&mine.kept) |*kept| {
        if (kept.number != number) continue;
        if (last) |before| before.info = kept.info else given = kept.info;
        if (came == null and (is_bare or std.mem.eql(u8, delivered, &kept.queued))) came = kept;
        last = kept;
    }
    const end = last orelse return;
    end.info = delivered.*;
    delivered.* = given.?;
    const first = came orelse return;
    // Each of those behind it has one signal less before it.
    var to = first;
    for (mine.kept[indexOf(mine, first) + 1 ..]) |*kept| if (kept.number == number) {
        to.queued = kept.queued;
        to = kept;
    };
    const at = indexOf(mine, end);
    for (mine.kept[at .. mine.kept.len - 1], mine.kept[at + 1 ..]) |*place, next| place.* = next;
    mine.kept[mine.kept.len - 1].number = 0;
}

fn indexOf(mine: *const thread.Thread, kept: *const Kept) usize {
    return (@intFromPtr(kept) - @intFromPtr(&mine.kept)) / @sizeOf(Kept);
}

test "a section is left as often as it is entered" {
    try std.testing.expect(!isInside());
    enter();
    enter();
    leave();
    try std.testing.expect(isInside());
    const window = Window.open();
    try std.testing.expect(!isInside());
    window.close();
    try std.testing.expect(isInside());
    leave();
    try std.testing.expect(!isInside());
}

test "siginfo of a real-time signal comes in the order of sending, whatever the kernel delivers" {
    const mine = thread.mine();
    var infos: [3][128]u8 align(8) = @splat(@splat(0));
    for (&infos, 1..) |*info, n| {
        const head: *Siginfo = @ptrCast(info);
        head.* = .{ .number = 40, .errno = 0, .code = -1 };
        info[24] = @intCast(n);
    }
    // The first was put off and queued behind the others.
    keep(mine, 40, @ptrCast(&infos[0]));
    const delivered = [_]usize{ 1, 2, 0 };
    for (delivered, 1..) |index, n| {
        var info: [128]u8 align(8) = infos[index];
        inOrder(40, @ptrCast(&info));
        try std.testing.expectEqual(n, info[24]);
    }
    for (mine.kept) |kept| try std.testing.expectEqual(0, kept.number);
}
