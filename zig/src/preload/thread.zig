//! The library's few words about each thread.
//!
//! On x86-64 a plain `threadlocal` of a shared library is reached by a call of `__tls_get_addr`,
//! which belongs to glibc's loader: a library that needs `ld-linux-x86-64.so.2` does not load into a
//! program of musl. So the variable is reached as the loaders of both offer it to libraries that are
//! there from the start (initial-exec): its distance from the thread pointer lies in our GOT, filled
//! in by the loader. On arm64 the compiler's own way, TLS descriptors, is known to both.

const std = @import("std");
const builtin = @import("builtin");
const crowding = @import("crowding.zig");

pub const Thread = extern struct {
    /// How many sections of the library this thread is in (section.zig), and the signals that came
    /// meanwhile, bit n - 1 for signal n.
    depth: u32 = 0,
    /// Handlers without SA_RESTART that have run in this thread.
    handlers_interrupting: u32 = 0,
    deferred: u64 = 0,
    /// One of the handlers that ran when the last section was left interrupts calls.
    interrupted: bool = false,
    /// The local bell (eventfd) that this thread is asleep on, or about to be; -1: none.
    sleeping_on: i32 = -1,
    /// In which phase it fell asleep (signals.zig).
    sleeping_phase: u32 = 0,
    /// Connections and instances that this thread uses just now, and the type of cancellation to go
    /// back to (cancel.zig).
    cancel_depth: u32 = 0,
    cancel_type_before: c_int = 0,
    /// pid << 32 | tid, 0 before first use and after fork (lock.zig).
    name: u64 = 0,
    /// How long it had to wait for a cpu (crowding.zig).
    scheduled: crowding.Scheduled = .{},
    /// Signals that could not be left to the kernel, or not with all that is known of them
    /// (section.zig).
    kept: [kept_max]Kept = @splat(.{}),
};

pub const kept_max = 4;

pub const Kept = extern struct {
    /// 0: a free place.
    number: i32 = 0,
    /// siginfo: what its handler is to be given, and what has been queued in the kernel for it.
    info: [128]u8 align(8) = undefined,
    queued: [128]u8 = undefined,
};

/// Exported for the assembly below only; preload.map hides it.
export threadlocal var sd_thread: Thread = .{};

pub inline fn mine() *Thread {
    if (builtin.cpu.arch != .x86_64) return &sd_thread;
    return asm (
        \\ movq %%fs:0, %[out]
        \\ addq sd_thread@GOTTPOFF(%%rip), %[out]
        : [out] "=&r" (-> *Thread),
        :
        : .{ .cc = true });
}

test "a thread has its own words" {
    mine().sleeping_on = 7;
    defer mine().sleeping_on = -1;
    try std.testing.expectEqual(&sd_thread, mine());
    var other: ?*Thread = null;
    var thread: std.c.pthread_t = undefined;
    try std.testing.expectEqual(.SUCCESS, std.c.pthread_create(&thread, null, testOther, @ptrCast(&other)));
    try std.testing.expectEqual(.SUCCESS, std.c.pthread_join(thread, null));
    try std.testing.expect(other != mine());
    try std.testing.expectEqual(7, mine().sleeping_on);
}

fn testOther(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
    const out: *?*Thread = @ptrCast(@alignCast(argument.?));
    out.* = mine();
    if (mine().sleeping_on != -1) out.* = null;
    return null;
}
