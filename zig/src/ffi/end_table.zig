//! Reading another process's end table: counters and connections, for metrics and listings.
//!
//! What is in it is hostile input: its owner can write anything at any time. So it is copied with
//! pread and never mapped (a hole costs no page, and nothing that its owner does to the file can
//! fault us), every number that steers a loop is clamped, and every state and reason goes on as a
//! number that the reader must be ready not to know.

const std = @import("std");
const linux = std.os.linux;
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const memory = @import("memory.zig");
const status = @import("status.zig");
const types = @import("types.zig");
const Status = status.Status;

/// Ends copied by one pread.
const chunk_ends = 64;

/// 0 when `fd` is a memfd that holds a whole end table of our version and can not shrink.
pub fn check(fd: i32, bytes: u64) Status {
    const size = memory.sealedBytes(fd);
    if (size < 0) return @intCast(@max(size, std.math.minInt(i32)));
    if (bytes != @sizeOf(layout.EndTable)) return status.failure(.INVAL);
    if (size < @sizeOf(layout.EndTable)) return status.failure(.INVAL);
    return 0;
}

/// Sums of everything the process ever did, connections that are alive included.
pub fn totals(fd: i32, out: *types.TableTotals) Status {
    var header: layout.EndTableHeader = undefined;
    const used = readHeader(fd, &header);
    if (status.failed(used)) return used;
    out.* = totalsOfClosed(&header);
    var walk: Walk = .{ .fd = fd, .used = @intCast(used) };
    while (walk.next()) |end| {
        add(&out.tx, &end.tx.counters());
        add(&out.rx, &end.rx.counters());
        out.live_count += 1;
    }
    return walk.outcome;
}

/// Copies connections that are alive; returns how many there are, which may be more than fit.
pub fn read(fd: i32, out: []types.EndRecord) Status {
    var header: layout.EndTableHeader = undefined;
    const used = readHeader(fd, &header);
    if (status.failed(used)) return used;
    var walk: Walk = .{ .fd = fd, .used = @intCast(used) };
    var count: usize = 0;
    while (walk.next()) |end| : (count += 1) {
        if (count < out.len) out[count] = record(end);
    }
    return if (status.failed(walk.outcome)) walk.outcome else @intCast(count);
}

/// Live ends of a table, in order.
const Walk = struct {
    fd: i32,
    used: u32,
    index: u32 = 0,
    outcome: Status = 0,
    chunk: [chunk_ends]layout.End = undefined,

    fn next(walk: *Walk) ?*const layout.End {
        while (walk.index < walk.used) {
            const place = walk.index % chunk_ends;
            if (place == 0) walk.outcome = walk.load();
            if (status.failed(walk.outcome)) return null;
            walk.index += 1;
            const end = &walk.chunk[place];
            if (end.state != @backingInt(layout.EndState.free)) return end;
        }
        return null;
    }

    fn load(walk: *Walk) Status {
        const offset = @offsetOf(layout.EndTable, "ends") + @as(usize, walk.index) * @sizeOf(layout.End);
        return readExact(walk.fd, std.mem.asBytes(&walk.chunk), offset);
    }
};

/// Returns the number of places in use, clamped to what a table has.
fn readHeader(fd: i32, header: *layout.EndTableHeader) Status {
    const outcome = readExact(fd, std.mem.asBytes(header), 0);
    if (status.failed(outcome)) return outcome;
    // A process that has just started may not have written its header yet: nothing to count.
    if (header.magic != layout.end_table_magic) {
        header.* = std.mem.zeroes(layout.EndTableHeader);
    }
    return @intCast(@min(header.used, constants.end_capacity));
}

fn readExact(fd: i32, buffer: []u8, offset: usize) Status {
    const count = status.of(linux.pread(fd, buffer.ptr, buffer.len, @intCast(offset)));
    if (status.failed(count)) return count;
    return if (count == buffer.len) 0 else status.failure(.IO);
}

fn totalsOfClosed(header: *const layout.EndTableHeader) types.TableTotals {
    return .{
        .tx = header.closed_tx,
        .rx = header.closed_rx,
        .live_count = 0,
        .closed_count = header.closed_count,
        .accelerated_count = header.accelerated_count,
        .offers_made = header.offers_made,
        .offers_adopted = header.offers_adopted,
        .moves_to_ring = header.moves_to_ring,
        .moves_to_tcp = header.moves_to_tcp,
        .sleeps = header.sleeps,
        .wakeups_sent = header.wakeups_sent,
        .guard_verdicts = header.guard_verdicts,
        .crowded = header.crowded,
        .signals_deferred = header.signals_deferred,
        .closed_by_reason = header.closed_by_reason,
    };
}

/// Wrapping: a hostile owner's numbers are wrong anyway, but must not trap.
fn add(sum: *layout.Counters, more: *const layout.Counters) void {
    sum.ring_bytes +%= more.ring_bytes;
    sum.ring_messages +%= more.ring_messages;
    sum.tcp_bytes +%= more.tcp_bytes;
    sum.tcp_messages +%= more.tcp_messages;
}

fn record(end: *const layout.End) types.EndRecord {
    return .{
        .state = end.state,
        .reason = end.reason,
        .role = end.role,
        .fd = end.fd,
        .pid = end.pid,
        .holders = end.holders,
        .tx_carrier = end.tx.carrier,
        .rx_carrier = end.rx.carrier,
        .arena_id = end.arena_id,
        .slot = end.slot,
        .generation = end.generation,
        .netns = end.netns,
        .cookie = end.cookie,
        .opened_ns = end.opened_ns,
        .local = end.local,
        .peer = end.peer,
        .tx = end.tx.counters(),
        .rx = end.rx.counters(),
    };
}

const testing = std.testing;

fn testTable() i32 {
    return memory.create("sd-ends", @sizeOf(layout.EndTable));
}

fn testWrite(fd: i32, comptime T: type, value: *const T, offset: usize) !void {
    const rc = linux.pwrite(fd, @ptrCast(value), @sizeOf(T), @intCast(offset));
    try testing.expectEqual(@sizeOf(T), rc);
}

fn testHeader(fd: i32, used: u32) !void {
    var header = std.mem.zeroes(layout.EndTableHeader);
    header.magic = layout.end_table_magic;
    header.used = used;
    header.closed_tx.ring_bytes = 1000;
    header.closed_count = 3;
    try testWrite(fd, layout.EndTableHeader, &header, 0);
}

fn testEnd(fd: i32, index: u32, ring_bytes: u64) !void {
    var end = std.mem.zeroes(layout.End);
    end.state = @backingInt(layout.EndState.attached);
    end.fd = @intCast(index);
    end.tx.ring_bytes = ring_bytes;
    const offset = @offsetOf(layout.EndTable, "ends") + @as(usize, index) * @sizeOf(layout.End);
    try testWrite(fd, layout.End, &end, offset);
}

test "totals are closed connections plus live ones" {
    const fd = testTable();
    defer _ = linux.close(fd);
    try testing.expectEqual(0, check(fd, @sizeOf(layout.EndTable)));
    try testHeader(fd, 200);
    try testEnd(fd, 0, 10);
    try testEnd(fd, 199, 5);
    var sums: types.TableTotals = undefined;
    try testing.expectEqual(0, totals(fd, &sums));
    try testing.expectEqual(1015, sums.tx.ring_bytes);
    try testing.expectEqual(2, sums.live_count);
    try testing.expectEqual(3, sums.closed_count);
}

test "reading says how many there are, also when they do not fit" {
    const fd = testTable();
    defer _ = linux.close(fd);
    try testHeader(fd, 300);
    for ([_]u32{ 3, 64, 299 }) |index| try testEnd(fd, index, 1);
    var records: [2]types.EndRecord = undefined;
    try testing.expectEqual(3, read(fd, &records));
    try testing.expectEqual(3, records[0].fd);
    try testing.expectEqual(64, records[1].fd);
}

test "a lying header reads no further than the table" {
    const fd = testTable();
    defer _ = linux.close(fd);
    try testHeader(fd, std.math.maxInt(u32));
    var records: [1]types.EndRecord = undefined;
    try testing.expectEqual(0, read(fd, &records));
}

test "a table without our magic counts nothing" {
    const fd = testTable();
    defer _ = linux.close(fd);
    var sums: types.TableTotals = undefined;
    try testing.expectEqual(0, totals(fd, &sums));
    try testing.expectEqual(0, sums.closed_count);
}

test "a table of the wrong size or kind is refused" {
    const small = memory.create("sd-ends", 4096);
    defer _ = linux.close(small);
    try testing.expectEqual(status.failure(.INVAL), check(small, @sizeOf(layout.EndTable)));
    const fd = testTable();
    defer _ = linux.close(fd);
    try testing.expectEqual(status.failure(.INVAL), check(fd, 1));
    const waker = status.of(linux.eventfd(0, 0));
    defer _ = linux.close(waker);
    try testing.expect(status.failed(check(waker, @sizeOf(layout.EndTable))));
}
