//! SIGSEGV and SIGBUS raised by the library's own copies from and to the application's memory: the
//! call fails with EFAULT, as the kernel's would (carrier/copy.zig). Every other such signal is the
//! application's: it goes where it would have gone without the library.
//!
//! The handler is installed for both signals when the first connection is tracked, and stays: what
//! the application installs from then on is kept here, shown to it when it asks, and called by the
//! handler. Mask, SA_ONSTACK and SA_NODEFER are the kernel's to obey, so they are installed with the
//! handler; SA_RESETHAND, SIG_DFL and SIG_IGN are followed here.
//!
//! Not caught: a fault in a thread that blocks the signal, and after the application has installed
//! its own handler past libc. Then a bad pointer ends the program, as it does in any other code.

const std = @import("std");
const builtin = @import("builtin");
const copy = @import("../carrier/copy.zig");
const lock = @import("lock.zig");
const process = @import("process.zig");
const real = @import("real.zig");
const section = @import("section.zig");
const signals = @import("signals.zig");
const sys = @import("sys.zig");

const Action = signals.Action;
const SIGBUS = 7;
const SIGSEGV = 11;
const numbers = [_]c_int{ SIGSEGV, SIGBUS };
const Sigaction = fn (c_int, ?*const Action, ?*Action) callconv(.c) c_int;

/// What the application has installed, as it believes, in the order of `numbers`.
var believed: [numbers.len]Action = undefined;
var installed = false;
var mutex: lock.Mutex = .{};

fn indexOf(number: c_int) ?usize {
    return for (numbers, 0..) |known, i| {
        if (number == known) break i;
    } else null;
}

pub inline fn install() void {
    if (!isInstalled()) installOnce();
}

noinline fn installOnce() void {
    const guard = Quiet.begin();
    defer guard.end();
    if (!guard.ok() or installed) return;
    const sigaction = real.get("sigaction", Sigaction);
    for (numbers, &believed) |number, *action| {
        if (sigaction(number, null, action) != 0) return;
        action.* = signals.seen(action.*, signals.installed(number));
        const ours = guardedAction(action.*);
        _ = sigaction(number, &ours, null);
    }
    @atomicStore(bool, &installed, true, .release);
}

pub inline fn isInstalled() bool {
    return @atomicLoad(bool, &installed, .acquire);
}

/// sigaction for these two signals goes through `change` from now on.
pub fn guards(number: c_int) bool {
    return indexOf(number) != null and isInstalled() and !process.inVforkChild();
}

/// sigaction(2) as the application sees it.
pub fn change(number: c_int, action: ?*const Action, old: ?*Action) c_int {
    const wanted: ?Action = if (action) |a| a.* else null;
    const slot = &believed[indexOf(number).?];
    var before: Action = undefined;
    {
        const guard = Quiet.begin();
        defer guard.end();
        before = slot.*;
        if (wanted) |new| {
            const ours = guardedAction(new);
            const result = real.get("sigaction", Sigaction)(number, &ours, null);
            if (result != 0) return result;
            signals.remember(number, new.handler, new.flags);
            slot.* = new;
        }
    }
    if (old) |o| o.* = before;
    return 0;
}

/// What the kernel is told in place of the application's action.
fn guardedAction(action: Action) Action {
    var ours = action;
    ours.handler = @intFromPtr(&handler);
    ours.flags = (action.flags | signals.SA_SIGINFO) & ~@as(c_int, signals.SA_RESETHAND);
    // An ignored signal interrupts nothing.
    if (action.handler <= signals.SIG_IGN) ours.flags |= signals.SA_RESTART;
    return ours;
}

const Siginfo = section.Siginfo;

fn handler(number: c_int, info: *Siginfo, context: *anyopaque) callconv(.c) void {
    const raised_by_instruction = info.code > 0;
    if (raised_by_instruction and skipCopy(context)) return;
    const slot = &believed[indexOf(number) orelse return];
    const is_handler = @atomicLoad(usize, &slot.handler, .acquire) > signals.SIG_IGN;
    if (is_handler and !raised_by_instruction and section.isInside()) {
        return signals.postpone(number, info, context);
    }
    switch (@atomicLoad(usize, &slot.handler, .acquire)) {
        signals.SIG_DFL => byDefault(number, info, raised_by_instruction),
        // A fault cannot be ignored: the kernel does not let it either.
        signals.SIG_IGN => if (raised_by_instruction) byDefault(number, info, true),
        else => |own| {
            if (slot.flags & signals.SA_RESETHAND != 0) @atomicStore(usize, &slot.handler, signals.SIG_DFL, .release);
            signals.run(number, info, context, own);
        },
    }
}

/// The program ends as it would have: at the instruction, or by the same signal sent once more.
fn byDefault(number: c_int, info: *Siginfo, raised_by_instruction: bool) void {
    const default = std.mem.zeroes(Action);
    _ = real.get("sigaction", Sigaction)(number, &default, null);
    if (raised_by_instruction) return;
    _ = sys.call(.rt_tgsigqueueinfo, .{ sys.call(.getpid, .{}), sys.call(.gettid, .{}), number, info });
}

/// Places of the interrupted registers in what the kernel hands to a handler.
const pc_offset = if (builtin.cpu.arch == .x86_64) 168 else 440;
const failed_offset = if (builtin.cpu.arch == .x86_64) 144 else 184;

fn skipCopy(context: *anyopaque) bool {
    const bytes: [*]u8 = @ptrCast(context);
    const pc: *usize = @ptrCast(@alignCast(bytes + pc_offset));
    const failed: *usize = @ptrCast(@alignCast(bytes + failed_offset));
    pc.* = copy.continuation(pc.*) orelse return false;
    failed.* = 1;
    return true;
}

/// The lock, with no signal in between: threads must not run a handler that is half installed.
const Quiet = struct {
    mask: u64,
    held: lock.Mutex.Guard,

    fn begin() Quiet {
        const all: u64 = std.math.maxInt(u64);
        var quiet: Quiet = .{ .mask = 0, .held = undefined };
        _ = sys.call(.rt_sigprocmask, .{ 2, &all, &quiet.mask, 8 });
        quiet.held = mutex.lock();
        return quiet;
    }

    fn ok(quiet: Quiet) bool {
        return quiet.held.ok();
    }

    fn end(quiet: Quiet) void {
        quiet.held.unlock();
        _ = sys.call(.rt_sigprocmask, .{ 2, &quiet.mask, 0, 8 });
    }
};

test "a copy from memory that is not accessible fails, and others do not" {
    install();
    const page = sys.mapPrivate(2 * 4096).?;
    defer sys.unmap(page, 2 * 4096);
    try std.testing.expect(sys.call(.mprotect, .{ page + 4096, 4096, 0 }) == 0);
    var buffer: [4096]u8 = undefined;
    for ([_]usize{ 1, 3, 7, 15, 31, 63, 64, 65, 200, 4096 }) |len| {
        const edge = page + 4096 - len;
        try std.testing.expect(copy.copy(&buffer, edge, len));
        try std.testing.expect(!copy.copy(&buffer, edge + 1, len));
        try std.testing.expect(copy.copy(edge, &buffer, len));
        try std.testing.expect(!copy.copy(edge + 1, &buffer, len));
    }
    try std.testing.expect(copy.touch(&page[4095]));
    try std.testing.expect(!copy.touch(&page[4096]));
}

test "the application sees what it has installed" {
    install();
    var before: Action = undefined;
    const mine: Action = .{ .handler = 0x123450, .mask = @splat(0), .flags = signals.SA_RESETHAND, .restorer = 0 };
    try std.testing.expectEqual(0, change(SIGBUS, &mine, &before));
    var now: Action = undefined;
    try std.testing.expectEqual(0, change(SIGBUS, &before, &now));
    try std.testing.expectEqual(0x123450, now.handler);
    try std.testing.expectEqual(signals.SA_RESETHAND, now.flags);
}
