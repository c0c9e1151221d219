//! Which processes hold a block of the end table. `End.holders` counts them and is too high after a
//! SIGKILL; the list here names them, so that the table's owner can take a block back when the last
//! forked child that held it has closed it or is dead.
//!
//! A place of the list is 0, a process id, or a reservation: before fork the parent puts its thread's
//! number there for the child that does not exist yet, which replaces it by its own. A process that
//! executes another program marks its place: the new program does not use the block, but whether
//! there will be one is known only to the kernel. `leave` is the
//! last thing that a process does to a block: who is not on the list does not touch it.

const std = @import("std");
const layout = @import("../layout.zig");
const sys = @import("sys.zig");

const End = layout.End;

const reserved_bit: u32 = 1 << 31;
/// The process executes another program.
const leaving_bit: u32 = 1 << 30;

/// A fresh block's first holder.
pub fn begin(end: *End, pid: u32) void {
    @atomicStore(u32, &end.holder_pids[0], pid, .release);
}

/// Before fork, in thread `tid` of the parent.
pub fn reserve(end: *End, tid: u32) void {
    if (replace(end, 0, reserved_bit | tid)) return;
    for (&end.holder_pids) |*place| if (isDead(@atomicLoad(u32, place, .acquire))) {
        return @atomicStore(u32, place, reserved_bit | tid, .release);
    };
    setCrowded(end);
}

/// After fork, in the child, and in the parent when it is told the child's number.
pub fn claim(end: *End, tid: u32, pid: u32) void {
    _ = replace(end, reserved_bit | tid, pid);
}

/// There is no child: fork failed. True: it was reserved.
pub fn cancel(end: *End, tid: u32) bool {
    return replace(end, reserved_bit | tid, 0);
}

pub fn contains(end: *End, pid: u32) bool {
    for (&end.holder_pids) |*place| if (@atomicLoad(u32, place, .acquire) == pid) return true;
    return false;
}

/// Before exec.
pub fn setLeaving(end: *End, pid: u32) void {
    _ = replace(end, pid, leaving_bit | pid);
}

/// exec has failed.
pub fn stay(end: *End, pid: u32) void {
    _ = replace(end, leaving_bit | pid, pid);
}

/// A process that is not on the list, or cannot be found by its number, holds the block.
pub fn setCrowded(end: *End) void {
    @atomicStore(u32, &end.holders_crowded, 1, .release);
}

/// Another process than this one may use the block.
pub fn othersLive(end: *End, self: u32) bool {
    if (@atomicLoad(u32, &end.holders_crowded, .acquire) != 0) return true;
    for (&end.holder_pids) |*place| {
        const holder = @atomicLoad(u32, place, .acquire);
        if (holder == 0 or holder == self) continue;
        if (holder & reserved_bit == 0 and holder & leaving_bit != 0) continue;
        if (!isDead(holder)) return true;
    }
    return false;
}

/// Release: who finds the list empty and reuses the block sees us done with it.
pub fn leave(end: *End, pid: u32) void {
    _ = replace(end, pid, 0);
}

/// Nobody holds the block any more. With `look`, the dead are found out.
pub fn gone(end: *End, look: enum { list_only, processes_too }) bool {
    for (&end.holder_pids) |*place| {
        const holder = @atomicLoad(u32, place, .acquire);
        if (holder == 0) continue;
        if (look == .list_only or !isDead(holder)) return false;
    }
    const crowded = @atomicLoad(u32, &end.holders_crowded, .acquire) != 0;
    return !crowded or @atomicLoad(u32, &end.holders, .acquire) == 0;
}

/// A process that has ended and been reaped. A reservation is for one that may be about to start.
fn isDead(holder: u32) bool {
    if (holder == 0 or holder & reserved_bit != 0) return false;
    return sys.call(.kill, .{ holder & ~leaving_bit, 0 }) == sys.neg(.SRCH);
}

fn replace(end: *End, from: u32, to: u32) bool {
    for (&end.holder_pids) |*place| {
        if (@cmpxchgStrong(u32, place, from, to, .acq_rel, .monotonic) == null) return true;
    }
    return false;
}

const nobody: u32 = 0x7ffffff0; // above the kernel's highest process id

test "a block is gone when its parent and its child have left" {
    var end = std.mem.zeroes(End);
    begin(&end, 100);
    reserve(&end, 100);
    leave(&end, 100);
    try std.testing.expect(!gone(&end, .processes_too)); // the child is about to start
    claim(&end, 100, 101);
    claim(&end, 100, 101); // parent and child both say so
    try std.testing.expect(contains(&end, 101));
    leave(&end, 101);
    try std.testing.expect(gone(&end, .list_only));
}

test "a dead holder does not keep a block, a living one does" {
    var end = std.mem.zeroes(End);
    begin(&end, nobody);
    try std.testing.expect(!gone(&end, .list_only));
    try std.testing.expect(gone(&end, .processes_too));
    reserve(&end, 5);
    claim(&end, 5, @intCast(sys.call(.getpid, .{})));
    try std.testing.expect(!gone(&end, .processes_too));
}

test "a process that executes another program is no user any more, unless that fails" {
    var end = std.mem.zeroes(End);
    const living: u32 = @intCast(sys.call(.getpid, .{}));
    begin(&end, 100);
    reserve(&end, 100);
    try std.testing.expect(othersLive(&end, 100)); // the child is about to start
    claim(&end, 100, living);
    try std.testing.expect(othersLive(&end, 100));
    setLeaving(&end, living);
    try std.testing.expect(!othersLive(&end, 100));
    leave(&end, 100);
    try std.testing.expect(!gone(&end, .processes_too)); // it may come back
    stay(&end, living);
    try std.testing.expect(othersLive(&end, 100));
}

test "a fork that failed leaves no holder" {
    var end = std.mem.zeroes(End);
    reserve(&end, 7);
    try std.testing.expect(cancel(&end, 7));
    try std.testing.expect(!cancel(&end, 7));
    try std.testing.expect(gone(&end, .list_only));
}

test "holders that do not fit keep the block until the count says that they left" {
    var end = std.mem.zeroes(End);
    end.holders = 1;
    const living: u32 = @intCast(sys.call(.getpid, .{}));
    for (0..end.holder_pids.len) |_| {
        reserve(&end, 9);
        claim(&end, 9, living);
    }
    reserve(&end, 9);
    for (0..end.holder_pids.len) |_| leave(&end, living);
    try std.testing.expect(!gone(&end, .processes_too));
    end.holders = 0;
    try std.testing.expect(gone(&end, .processes_too));
}
