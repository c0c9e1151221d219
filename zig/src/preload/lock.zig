//! Locks that may lie in memory shared with forked siblings: one word, owner and a waiters bit.
//!
//! Fast path: while the process has one thread and nobody shares the word, taking it is a plain
//! store. (Signal handlers of the application do not run while a lock is held: section.zig.)
//! Else a compare-and-swap. The owner's name is process id and thread id, so that a survivor can
//! find out that the owner died and take over: nothing needs rolling back, all state is re-read
//! (PROTOCOL M5).

const std = @import("std");
const builtin = @import("builtin");
const process = @import("process.zig");
const section = @import("section.zig");
const sys = @import("sys.zig");
const thread = @import("thread.zig");

const waiters_bit: u64 = 1 << 63;
const spin_turns = 200;
const recheck_owner_ns = 20_000_000;

/// glibc's own flag: true means that there is certainly one thread. Null: never certain.
pub var single_threaded: ?*const u8 = null;

/// Name used by the plain-store path (the only thread's).
var single_name: u64 = 0;

pub fn forgetNames() void {
    thread.mine().name = 0;
    single_name = 0;
}

pub inline fn isSingleThreaded() bool {
    return if (single_threaded) |flag| @atomicLoad(u8, flag, .monotonic) != 0 else false;
}

fn threadName() u64 {
    const mine = thread.mine();
    if (mine.name != 0) return mine.name;
    const pid: u64 = process.id();
    const tid: u64 = @intCast(sys.call(.gettid, .{}));
    const name = pid << 32 | tid;
    // A child of vfork runs on its parent's thread-local variables.
    if (!process.inVforkChild()) mine.name = name;
    return name;
}

pub const Held = enum {
    /// Plain store: release is a plain store.
    single,
    /// Compare-and-swap: release looks for waiters.
    shared,
    /// As `shared`, and the last holder died with it: state has to be made to agree first.
    inherited,
};

/// Takes the lock, inside a section. Null: this very thread holds it (its own fault: the library
/// called itself, or a handler for a fault inside it did).
pub inline fn acquire(word: *u64, shared: bool) ?Held {
    if (std.debug.runtime_safety) std.debug.assert(section.isInside());
    if (!shared and isSingleThreaded()) {
        if (@atomicLoad(u64, word, .monotonic) != 0) return acquireSlow(word);
        if (single_name == 0) {
            @branchHint(.unlikely);
            single_name = threadName();
        }
        @atomicStore(u64, word, single_name, .monotonic);
        asm volatile ("" ::: .{ .memory = true });
        return .single;
    }
    if (@cmpxchgStrong(u64, word, 0, threadName(), .acquire, .monotonic) == null) return .shared;
    return acquireSlow(word);
}

pub inline fn release(word: *u64, held: Held) void {
    switch (held) {
        .single => @atomicStore(u64, word, 0, .release),
        .shared, .inherited => {
            const was = @atomicRmw(u64, word, .Xchg, 0, .acq_rel);
            if (was & waiters_bit != 0) {
                @branchHint(.unlikely);
                sys.futexWake(lowHalf(word), std.math.maxInt(i32));
            }
        },
    }
}

pub fn tryAcquire(word: *u64) ?Held {
    if (std.debug.runtime_safety) std.debug.assert(section.isInside());
    if (@cmpxchgStrong(u64, word, 0, threadName(), .acquire, .monotonic) == null) return .shared;
    return null;
}

noinline fn acquireSlow(word: *u64) ?Held {
    const mine = threadName();
    var turn: u32 = 0;
    while (true) : (turn += 1) {
        const now = @atomicLoad(u64, word, .monotonic);
        if (now == 0) {
            // Somebody may still wait on the futex: keep the bit, at the price of a spare wake.
            const taken = if (turn > spin_turns) mine | waiters_bit else mine;
            if (@cmpxchgStrong(u64, word, 0, taken, .acquire, .monotonic) == null) return .shared;
            continue;
        }
        if (now & ~waiters_bit == mine) return null;
        if (turn < spin_turns) {
            std.atomic.spinLoopHint();
            continue;
        }
        if (now & waiters_bit == 0) {
            if (@cmpxchgStrong(u64, word, now, now | waiters_bit, .monotonic, .monotonic) != null) continue;
        }
        sys.futexWait(lowHalf(word), @truncate(now), recheck_owner_ns);
        if (@atomicLoad(u64, word, .monotonic) == now | waiters_bit and ownerIsDead(now)) {
            const taken = mine | waiters_bit;
            if (@cmpxchgStrong(u64, word, now | waiters_bit, taken, .acquire, .monotonic) == null) return .inherited;
        }
    }
}

/// The thread named in the lock word does not exist any more.
fn ownerIsDead(word: u64) bool {
    const owner = word & ~waiters_bit;
    const result = sys.call(.tgkill, .{ owner >> 32, owner & 0xffff_ffff, 0 });
    return result == sys.neg(.SRCH);
}

/// The futex waits on the half that differs between owners (the thread id).
fn lowHalf(word: *const u64) *const u32 {
    comptime std.debug.assert(builtin.cpu.arch.endian() == .little);
    return @ptrCast(word);
}

/// A lock of this process alone, for slow paths. In a forked child every one is free: a holder that
/// names another process is a thread of the parent, which does not exist here.
pub const Mutex = struct {
    word: u64 = 0,

    /// A section of its own, until `unlock`.
    pub fn lock(mutex: *Mutex) Guard {
        section.enter();
        mutex.forgetParent();
        if (acquire(&mutex.word, true) != null) return .{ .mutex = mutex };
        section.leave();
        return .{ .mutex = null };
    }

    fn forgetParent(mutex: *Mutex) void {
        const now = @atomicLoad(u64, &mutex.word, .monotonic);
        if (now == 0 or (now & ~waiters_bit) >> 32 == threadName() >> 32) return;
        // Relaxed: that thread's writes came to us by fork.
        _ = @cmpxchgStrong(u64, &mutex.word, now, 0, .monotonic, .monotonic);
    }

    /// Null mutex: the thread already holds it further down its stack; `ok` is false and nothing may
    /// be touched.
    pub const Guard = struct {
        mutex: ?*Mutex,

        pub fn ok(guard: Guard) bool {
            return guard.mutex != null;
        }
        pub fn unlock(guard: Guard) void {
            const mutex = guard.mutex orelse return;
            release(&mutex.word, .shared);
            section.leave();
        }
    };
};

test "a lock is taken once and its own thread notices" {
    section.enter();
    defer section.leave();
    var word: u64 = 0;
    const held = acquire(&word, true).?;
    try std.testing.expectEqual(null, acquire(&word, true));
    release(&word, held);
    try std.testing.expectEqual(0, word);
    try std.testing.expect(acquire(&word, true) != null);
}

test "a dead owner's lock is taken over" {
    section.enter();
    defer section.leave();
    var word: u64 = (@as(u64, 0x7ffffff0) << 32) | 0x7ffffff0;
    try std.testing.expect(acquire(&word, true) != null);
}

test "a mutex that a thread of the parent held at fork is free in the child" {
    const parent: u64 = @intCast(sys.call(.getppid, .{})); // alive: nobody can think that it died
    var mutex: Mutex = .{ .word = parent << 32 | parent };
    const guard = mutex.lock();
    try std.testing.expect(guard.ok());
    guard.unlock();
    try std.testing.expectEqual(0, mutex.word);
}

test "a mutex is not given to its own thread twice" {
    var mutex: Mutex = .{};
    const guard = mutex.lock();
    defer guard.unlock();
    try std.testing.expect(!mutex.lock().ok());
}
