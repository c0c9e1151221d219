//! This process's end table: a sealed memfd with a block for every tracked connection, which forked
//! children inherit by mapping (locks and carrier state stay common) and the monitor reads.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;

pub var table: ?*layout.EndTable = null;
pub var memfd: i32 = -1;

var mutex: Mutex = .{};
var free_count: u32 = 0;
var free_indices: [constants.end_capacity]u32 = undefined;
var orphan_count: u32 = 0;
var orphan_indices: [constants.end_capacity]u32 = undefined;

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
    table = null;
    free_count = 0;
    orphan_count = 0;
    mutex = .{};
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
    if (free_count == 0) reclaimOrphans(t);
    if (free_count > 0) {
        free_count -= 1;
        const end = &t.ends[free_indices[free_count]];
        end.* = std.mem.zeroes(layout.End);
        return end;
    }
    const index = t.header.used;
    if (index >= constants.end_capacity) return null;
    const end = &t.ends[index];
    if (@intFromPtr(end) % constants.page_bytes == 0) {
        if (!populate(@ptrCast(end), @sizeOf(layout.End))) return null;
    }
    @atomicStore(u32, &t.header.used, index + 1, .release);
    return end;
}

/// Takes a block back when its last holder closed: sums its counters, clears it. Blocks of a
/// parent's table are only cleared (the parent may reuse them).
pub fn give(end: *layout.End) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    const t = table orelse return;
    const offset = @intFromPtr(end) -% @intFromPtr(&t.ends[0]);
    const index = offset / @sizeOf(layout.End);
    const ours = offset < constants.end_capacity * @sizeOf(layout.End);
    if (ours) {
        sumClosed(&t.header, end);
        free_indices[free_count] = @intCast(index);
        free_count += 1;
    } else sumClosed(&t.header, end);
}

/// This process closed its copy while a forked child still holds the connection: the child will
/// free the block, and we find that out when we need one.
pub fn orphan(end: *layout.End) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    const t = table orelse return;
    const offset = @intFromPtr(end) -% @intFromPtr(&t.ends[0]);
    if (offset >= constants.end_capacity * @sizeOf(layout.End)) return;
    orphan_indices[orphan_count] = @intCast(offset / @sizeOf(layout.End));
    orphan_count += 1;
}

fn reclaimOrphans(t: *layout.EndTable) void {
    var kept: u32 = 0;
    for (orphan_indices[0..orphan_count]) |index| {
        const end = &t.ends[index];
        const state = @atomicLoad(u32, &end.state, .acquire);
        const dead = end.pid != t.header.pid and
            sys.call(.kill, .{ end.pid, 0 }) == sys.neg(.SRCH);
        if (state != @intFromEnum(layout.EndState.free) and dead) sumClosed(&t.header, end);
        if (state == @intFromEnum(layout.EndState.free) or dead) {
            free_indices[free_count] = index;
            free_count += 1;
        } else {
            orphan_indices[kept] = index;
            kept += 1;
        }
    }
    orphan_count = kept;
}

fn sumClosed(header: *layout.EndTableHeader, end: *layout.End) void {
    add(&header.closed_tx, &end.tx.counters);
    add(&header.closed_rx, &end.rx.counters);
    header.closed_count += 1;
    header.closed_by_reason[@min(end.reason, 63)] += 1;
    // Release: whoever reuses the block (perhaps the parent that made it) sees us done with it.
    @atomicStore(u32, &end.state, @intFromEnum(layout.EndState.free), .release);
}

fn add(sum: *layout.Counters, counters: *layout.Counters) void {
    sum.ring_bytes += counters.ring_bytes;
    sum.ring_messages += counters.ring_messages;
    sum.tcp_bytes += counters.tcp_bytes;
    sum.tcp_messages += counters.tcp_messages;
    counters.* = .{};
}

/// Adds to one of the header's totals.
pub fn count(comptime field: []const u8) void {
    if (table) |t| _ = @atomicRmw(u64, &@field(t.header, field), .Add, 1, .monotonic);
}
