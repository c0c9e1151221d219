//! This process's end table: a sealed memfd with a block for every tracked connection, which forked
//! children inherit by mapping (locks and carrier state stay common) and the monitor reads.
//!
//! A block that forked children still hold when its owner closes the connection is an orphan: the
//! owner looks at a few orphans at each new connection and takes back those that nobody holds.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const holders = @import("holders.zig");
const process = @import("process.zig");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;

pub var table: ?*layout.EndTable = null;
pub var memfd: i32 = -1;

var mutex: Mutex = .{};
var free_count: u32 = 0;
var free_indices: [capacity]u32 = undefined;
/// A queue in a ring.
var orphan_first: u32 = 0;
var orphan_count: u32 = 0;
var orphan_indices: [capacity]u32 = undefined;
/// Tables of this process's ancestors, whose blocks it may still hold; older ones are overwritten.
var inherited: [8]?*layout.EndTable = @splat(null);
var inherited_next: usize = 0;

const capacity = constants.end_capacity;
/// Orphans looked at for a new connection: more than one, so that they become fewer.
const looks = 4;
const looks_when_full = 1024;

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const MADV_POPULATE_WRITE = 23;

/// Makes the table if there is none. False: no memory or descriptors.
pub fn init() bool {
    if (table != null) return true;
    const guard = mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    if (table != null) return true;
    const fd = sys.ownFd(sys.call(.memfd_create, .{ "socksdirect-ends", MFD_CLOEXEC | MFD_ALLOW_SEALING })) orelse
        return false;
    const bytes = @sizeOf(layout.EndTable);
    const memory = if (sys.call(.ftruncate, .{ fd, bytes }) == 0) sys.mapShared(fd, bytes, true) else null;
    if (memory == null) {
        sys.close(fd);
        return false;
    }
    _ = sys.call(.fcntl, .{ fd, sys.F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW });
    const fresh: *layout.EndTable = @ptrCast(@alignCast(memory.?));
    if (!populate(@ptrCast(fresh), constants.page_bytes)) {
        sys.unmap(memory.?, bytes);
        sys.close(fd);
        return false;
    }
    fresh.header.abi_version = constants.abi_version;
    fresh.header.capacity = constants.end_capacity;
    fresh.header.pid = @intCast(sys.call(.getpid, .{}));
    fresh.header.start_ns = sys.nowNs();
    fresh.header.magic = layout.end_table_magic;
    free_count = 0;
    memfd = fd;
    @atomicStore(?*layout.EndTable, &table, fresh, .release);
    return true;
}

/// After fork: the parent's table stays mapped for inherited connections; new ones get a new table.
pub fn afterForkChild() void {
    if (memfd >= 0) sys.close(memfd);
    memfd = -1;
    if (table) |t| {
        inherited[inherited_next % inherited.len] = t;
        inherited_next += 1;
    }
    table = null;
    free_count = 0;
    orphan_first = 0;
    orphan_count = 0;
}

pub fn ownFdMoved(old: i32, new: i32) void {
    if (memfd == old) memfd = new;
}

/// Touches shared memory for writing, so that a lack of memory is a false here and not a SIGBUS.
pub fn populate(address: [*]u8, bytes: usize) bool {
    const start = std.mem.alignBackward(usize, @intFromPtr(address), constants.page_bytes);
    const end = std.mem.alignForward(usize, @intFromPtr(address) + bytes, constants.page_bytes);
    const result = sys.call(.madvise, .{ start, end - start, MADV_POPULATE_WRITE });
    // Kernels before 5.14 do not know the advice: then there is nothing to ask.
    return result == 0 or result == sys.neg(.INVAL);
}

/// A zeroed block, or null when the table is full.
pub fn take() ?*layout.End {
    if (!init()) return null;
    const guard = mutex.lock();
    if (!guard.ok()) return null;
    defer guard.unlock();
    const t = table.?;
    reclaimOrphans(t, if (free_count == 0 and t.header.used == capacity) looks_when_full else looks);
    const end = if (free_count > 0) takeFreed(t) else takeFresh(t) orelse return null;
    holders.begin(end, t.header.pid);
    return end;
}

fn takeFreed(t: *layout.EndTable) *layout.End {
    free_count -= 1;
    const end = &t.ends[free_indices[free_count]];
    end.* = std.mem.zeroes(layout.End);
    return end;
}

fn takeFresh(t: *layout.EndTable) ?*layout.End {
    const index = t.header.used;
    if (index >= capacity) return null;
    const end = &t.ends[index];
    if (@intFromPtr(end) % constants.page_bytes == 0) {
        if (!populate(@ptrCast(end), @sizeOf(layout.End))) return null;
    }
    @atomicStore(u32, &t.header.used, index + 1, .release);
    return end;
}

/// The connection has been closed by its last holder, this process.
pub fn give(end: *layout.End) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    const pid = process.id();
    if (holders.contains(end, pid)) close(end);
    leave(end, pid);
}

/// This process closed its copy while another holds the connection (or was killed with it).
pub fn orphan(end: *layout.End) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    leave(end, process.id());
}

/// Only a table's owner uses a block again: at once if nobody is left, else when it finds that out.
fn leave(end: *layout.End, pid: u32) void {
    holders.leave(end, pid);
    const t = table orelse return;
    const index = indexIn(t, end) orelse return;
    if (holders.gone(end, .list_only)) return takeBack(t, index);
    orphan_indices[(orphan_first + orphan_count) % capacity] = index;
    orphan_count += 1;
}

fn takeBack(t: *layout.EndTable, index: u32) void {
    close(&t.ends[index]);
    free_indices[free_count] = index;
    free_count += 1;
}

/// A few at a time, the oldest first, so that it costs the same however many there are.
fn reclaimOrphans(t: *layout.EndTable, looks_max: u32) void {
    for (0..@min(looks_max, orphan_count)) |_| {
        const index = orphan_indices[orphan_first];
        orphan_first = (orphan_first + 1) % capacity;
        if (holders.gone(&t.ends[index], .processes_too)) {
            orphan_count -= 1;
            takeBack(t, index);
        } else {
            orphan_indices[(orphan_first + orphan_count - 1) % capacity] = index;
        }
    }
}

fn indexIn(t: *layout.EndTable, end: *const layout.End) ?u32 {
    const offset = @intFromPtr(end) -% @intFromPtr(&t.ends[0]);
    if (offset >= capacity * @sizeOf(layout.End)) return null;
    return @intCast(offset / @sizeOf(layout.End));
}

/// Sums the block's counters, once, and takes it off the monitor's list. Two processes that close at
/// the same moment may both come here: hence the exchanges.
fn close(end: *layout.End) void {
    const header = headerFor(end) orelse return;
    add(&header.closed_tx, &end.tx);
    add(&header.closed_rx, &end.rx);
    const free = @intFromEnum(layout.EndState.free);
    if (@atomicRmw(u32, &end.state, .Xchg, free, .acq_rel) == free) return;
    _ = @atomicRmw(u64, &header.closed_count, .Add, 1, .monotonic);
    _ = @atomicRmw(u64, &header.closed_by_reason[@min(end.reason, 63)], .Add, 1, .monotonic);
}

/// Whose totals a block's counters go to: ours, or, in a child without a table, its owner's.
fn headerFor(end: *const layout.End) ?*layout.EndTableHeader {
    if (table) |t| return &t.header;
    for (inherited) |maybe| {
        const t = maybe orelse continue;
        if (indexIn(t, end) != null) return &t.header;
    }
    return null;
}

fn add(sum: *layout.Counters, end: anytype) void {
    inline for (@typeInfo(layout.Counters).@"struct".field_names) |name| {
        const value = @atomicRmw(u64, &@field(end, name), .Xchg, 0, .acq_rel);
        _ = @atomicRmw(u64, &@field(sum, name), .Add, value, .monotonic);
    }
}

/// Adds to one of the header's totals.
pub fn count(comptime field: []const u8) void {
    if (table) |t| _ = @atomicRmw(u64, &@field(t.header, field), .Add, 1, .monotonic);
}

test "a server that forks for every connection never runs out of blocks" {
    try std.testing.expect(init());
    const tid = 1;
    const dead_child = 0x7ffffff0;
    for (0..capacity + 10_000) |n| {
        const end = take() orelse return error.TableFull;
        end.state = @intFromEnum(layout.EndState.plain);
        end.holders = 2;
        holders.reserve(end, tid);
        // The parent closes its copy before the child has run, or after; then the child is killed,
        // or closes by itself.
        if (n % 2 == 0) orphan(end);
        holders.claim(end, tid, dead_child);
        if (n % 3 == 0) holders.leave(end, dead_child);
        if (n % 2 != 0) orphan(end);
    }
    try std.testing.expect(table.?.header.used < 100);
}

test "a block that a living child holds is not given to another connection" {
    try std.testing.expect(init());
    const held = take().?;
    holders.reserve(held, 1);
    holders.claim(held, 1, @intCast(sys.call(.getppid, .{})));
    orphan(held);
    var taken: [50]*layout.End = undefined;
    for (&taken) |*end| {
        end.* = take().?;
        try std.testing.expect(end.* != held);
    }
    for (taken) |end| give(end);
    holders.leave(held, @intCast(sys.call(.getppid, .{})));
    const first = take().?;
    try std.testing.expectEqual(held, first);
    give(first);
}

test "a closed block's counters are summed once" {
    const end = take().?;
    end.state = @intFromEnum(layout.EndState.plain);
    end.tx.tcp_bytes = 5;
    const before = table.?.header.closed_tx.tcp_bytes;
    give(end);
    close(end);
    try std.testing.expectEqual(before + 5, table.?.header.closed_tx.tcp_bytes);
}
