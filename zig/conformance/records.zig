//! Records that a main code and its signal handlers send over one connection, and what the other end
//! makes of them: nothing torn, nothing lost, nothing twice, each sender's in order.

const std = @import("std");
const libc = @import("libc.zig");
const signals = @import("signals.zig");
const text = @import("text.zig");
const Side = @import("side.zig").Side;

/// How often the timer's handler has run.
var ticks: u32 = 0;
pub const tick_us = 100;

pub fn tick(number: c_int) callconv(.c) void {
    _ = @atomicRmw(u32, &ticks, .Add, 1, .monotonic);
    if (number == signals.SIGALRM) signals.again();
}

pub fn forget() void {
    @atomicStore(u32, &ticks, 0, .monotonic);
}

pub fn ticksNow() u32 {
    return @atomicLoad(u32, &ticks, .monotonic);
}

/// Small enough for one call to move one whole, as long as not much is on its way: hence the answers.
pub const Record = extern struct { from: u64, number: u64 };
pub const main_code = 1;
pub const handler_code = 2;
pub const last_code = 3;
pub const answered_every = 32;

/// Nagle's algorithm would hold back what the other side is to answer.
pub fn atOnce(conn: c_int) void {
    const TCP_NODELAY = 1;
    const on: c_int = 1;
    _ = libc.setsockopt(conn, libc.IPPROTO_TCP, TCP_NODELAY, &on, @sizeOf(c_int));
}

pub fn put(conn: c_int, from: u64, number: u64) isize {
    const record: Record = .{ .from = from, .number = number };
    return libc.send(conn, std.mem.asBytes(&record), @sizeOf(Record), libc.MSG_NOSIGNAL);
}

/// Sends so many records, and waits for an answer now and then.
pub fn stream(t: *Side, conn: c_int, count: u64) void {
    atOnce(conn);
    for (0..count) |n| {
        if (put(conn, main_code, n) != @sizeOf(Record)) t.fail("send {d}: {f}", .{ n, text.errno(libc.errno()) });
        if (n % answered_every == answered_every - 1) awaitAnswer(t, conn);
    }
}

pub fn awaitAnswer(t: *Side, conn: c_int) void {
    var byte: [1]u8 = undefined;
    if (libc.recv(conn, &byte, 1, 0) != 1) t.fail("recv: {f}", .{text.errno(libc.errno())});
}

/// The other end of it: everything comes once and in order, the main code's records and the
/// handler's. Returns how many each has sent.
pub fn takeStream(t: *Side, conn: c_int) [2]u64 {
    var next: [2]u64 = @splat(0);
    while (true) {
        var record: Record = undefined;
        const n = libc.recv(conn, std.mem.asBytes(&record), @sizeOf(Record), libc.MSG_WAITALL);
        if (n != @sizeOf(Record)) t.fail("recv of a record = {d}", .{n});
        if (record.from == last_code) return next;
        if (record.from != main_code and record.from != handler_code) t.fail("torn", .{});
        const expected = &next[record.from - 1];
        if (record.number != expected.*) t.fail("record {d}, not {d}", .{ record.number, expected.* });
        expected.* += 1;
        if (record.from == main_code and expected.* % answered_every == 0) {
            if (libc.send(conn, "a", 1, libc.MSG_NOSIGNAL) != 1) t.fail("answer", .{});
        }
    }
}

/// Streams until the handler has run so often; the number of records.
pub fn streamUntil(t: *Side, conn: c_int, wanted: u32) u64 {
    atOnce(conn);
    var n: u64 = 0;
    while (ticksNow() < wanted or n % answered_every != 0) : (n += 1) {
        if (put(conn, main_code, n) != @sizeOf(Record)) t.fail("send {d}: {f}", .{ n, text.errno(libc.errno()) });
        if (n % answered_every == answered_every - 1) awaitAnswer(t, conn);
    }
    return n;
}

pub const ticks_wanted = 1500;

pub fn endStream(t: *Side, conn: c_int) void {
    signals.tickEvery(0);
    if (put(conn, last_code, 0) != @sizeOf(Record)) t.fail("the last record", .{});
}
