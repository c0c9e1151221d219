//! membarrier(2): a barrier on the cpus of other processes, for the light barriers of publishers
//! (carrier/barrier.zig). x86-64 only: there a publisher's barrier is what streams wait for, and a
//! compiler's barrier is all that is left of it.

const builtin = @import("builtin");
const std = @import("std");
const sys = @import("sys.zig");

const cmd_query = 0;
const cmd_global_expedited = 1 << 1;
const cmd_register_global_expedited = 1 << 2;
const PR_GET_SECCOMP = 21;

/// Others' `everywhere` is a barrier here, too.
pub var registered: bool = false;

var usable: enum(u8) { unknown, no, yes } = .unknown;

/// While the process has one thread, and in a forked child: with several it takes milliseconds.
pub fn register() void {
    registered = builtin.cpu.arch == .x86_64 and !isFiltered() and membarrier(cmd_register_global_expedited) == 0;
}

/// May this process make its peers' barriers light? It has to call `everywhere` then.
pub fn isUsable() bool {
    const known = @atomicLoad(@TypeOf(usable), &usable, .monotonic);
    if (known != .unknown) return known == .yes;
    const wanted = cmd_global_expedited | cmd_register_global_expedited;
    const can = builtin.cpu.arch == .x86_64 and !isFiltered() and
        membarrier(cmd_query) & wanted == wanted and membarrier(cmd_global_expedited) == 0;
    @atomicStore(@TypeOf(usable), &usable, if (can) .yes else .no, .monotonic);
    return can;
}

/// A full barrier here, and on every cpu that runs a registered process.
pub fn everywhere() void {
    if (!isFiltered() and membarrier(cmd_global_expedited) == 0) return;
    // Filters came after `isUsable`. What a cpu has stored reaches memory within microseconds.
    @atomicStore(@TypeOf(usable), &usable, .no, .monotonic);
    sys.pause(1_000_000);
}

/// A seccomp filter may kill for a system call that it does not know.
fn isFiltered() bool {
    return sys.call(.prctl, .{ PR_GET_SECCOMP, 0, 0, 0, 0 }) != 0;
}

fn membarrier(command: isize) isize {
    return sys.call(.membarrier, .{ command, 0, 0 });
}

test "a barrier everywhere can be had here, or is done without" {
    register();
    if (isUsable()) try std.testing.expect(registered);
    everywhere();
}
