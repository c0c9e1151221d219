//! From a descriptor number to what the library knows about it: one word an fd, read without a
//! lock. The low bits say which kind of object the word points to.

const std = @import("std");
const sys = @import("sys.zig");

pub const Kind = enum(u3) { none = 0, conn = 1, epoll = 2, listener = 3, own = 4, early = 5, _ };

/// Highest number tracked, plus one: Linux's default fs.nr_open.
pub const limit: usize = 1 << 20;

/// An address that cannot be an object and has the tag `none`; filled in by `init`.
var words: ?[*]u64 = null;

/// Maps the table (address space only; a page is touched for every 512 descriptors used).
pub fn init() bool {
    if (words != null) return true;
    const memory = sys.mapPrivate(limit * 8) orelse return false;
    words = @ptrCast(@alignCast(memory));
    return true;
}

pub inline fn lookup(comptime kind: Kind, comptime T: type, fd: c_int) ?*T {
    const word = load(fd);
    if (word & 7 != @intFromEnum(kind)) return null;
    return @ptrFromInt(word & ~@as(u64, 7));
}

pub inline fn load(fd: c_int) u64 {
    const index: usize = @as(u32, @bitCast(fd));
    const table = words orelse return 0;
    if (index >= limit) return 0;
    return @atomicLoad(u64, &table[index], .acquire);
}

pub fn kindOf(fd: c_int) Kind {
    return @enumFromInt(@as(u3, @truncate(load(fd))));
}

pub fn set(comptime kind: Kind, fd: c_int, object: ?*anyopaque) bool {
    const index: usize = @as(u32, @bitCast(fd));
    const table = words orelse return false;
    if (index >= limit) return false;
    const address = if (object) |o| @intFromPtr(o) else 0;
    std.debug.assert(address & 7 == 0);
    @atomicStore(u64, &table[index], address | @intFromEnum(kind), .release);
    if (kind != .own) @atomicStore(bool, &any_of_application, true, .release);
    if (index >= @atomicLoad(usize, &used, .monotonic)) @atomicStore(usize, &used, index + 1, .monotonic);
    return true;
}

pub fn clear(fd: c_int) void {
    const index: usize = @as(u32, @bitCast(fd));
    const table = words orelse return;
    if (index < limit) @atomicStore(u64, &table[index], 0, .release);
}

/// One more than the highest number ever set: where walks over all descriptors end.
pub var used: usize = 0;

/// Whether there has ever been anything but descriptors of the library's own.
pub var any_of_application = false;

test "a descriptor leads to its object of the right kind only" {
    try std.testing.expect(init());
    var object: u64 align(64) = 7;
    try std.testing.expect(set(.conn, 33, &object));
    try std.testing.expectEqual(&object, lookup(.conn, u64, 33).?);
    try std.testing.expectEqual(null, lookup(.epoll, u64, 33));
    clear(33);
    try std.testing.expectEqual(null, lookup(.conn, u64, 33));
    try std.testing.expectEqual(null, lookup(.conn, u64, -1));
}
