//! The application's buffers of one call.

const std = @import("std");
const sys = @import("sys.zig");
const user = @import("user.zig");

const Iovec = sys.Iovec;

/// A cursor over the application's buffers.
pub const Buffers = struct {
    iov: []const Iovec,
    index: usize = 0,
    offset: usize = 0,
    remaining: usize,

    /// Most bytes of one call (the kernel's MAX_RW_COUNT); what lies behind is not looked at.
    pub const bytes_max = 0x7ffff000;

    /// Null: a length is negative. Cuts `iov` to what one call can carry.
    pub fn init(iov: []Iovec) ?Buffers {
        var total: usize = 0;
        for (iov) |*v| {
            if (v.len > std.math.maxInt(isize)) return null;
            v.len = @min(v.len, bytes_max - total);
            total += v.len;
        }
        return .{ .iov = iov, .remaining = total };
    }

    /// Names memory that no process can have: the kernel refuses it before it waits for anything.
    pub fn isRefused(b: *const Buffers) bool {
        for (b.iov) |v| if (v.len > 0 and user.isKernelAddress(@intFromPtr(v.base))) return true;
        return false;
    }

    /// Nothing taken yet: the application's own array says it all.
    pub inline fn isWhole(b: *const Buffers) bool {
        return b.index == 0 and b.offset == 0;
    }

    /// The next contiguous piece, at most `limit` long; empty at the end.
    pub inline fn piece(b: *Buffers, limit: usize) []u8 {
        while (b.index < b.iov.len and b.offset == b.iov[b.index].len) {
            b.index += 1;
            b.offset = 0;
        }
        if (b.index == b.iov.len) return &.{};
        const v = b.iov[b.index];
        // A null pointer is as wrong as any other, and not allowed in a slice.
        const at = @max(@intFromPtr(v.base), 1) +% b.offset;
        return @as([*]u8, @ptrFromInt(at))[0..@min(limit, v.len - b.offset)];
    }

    pub inline fn advance(b: *Buffers, n: usize) void {
        b.remaining -= n;
        b.offset += n;
    }

    /// Skips `n` bytes over any number of pieces.
    pub fn skip(b: *Buffers, count: usize) void {
        var left = count;
        while (left > 0) {
            const part = b.piece(left).len;
            b.advance(part);
            left -= part;
        }
    }

    /// What is left, as an iovec array for a system call; at most `into.len` pieces.
    pub fn rest(b: *const Buffers, into: []Iovec, limit: usize) []Iovec {
        var copy = b.*;
        var n: usize = 0;
        var left = limit;
        while (n < into.len and left > 0) : (n += 1) {
            const part = copy.piece(left);
            if (part.len == 0) break;
            into[n] = .{ .base = part.ptr, .len = part.len };
            copy.advance(part.len);
            left -= part.len;
        }
        return into[0..n];
    }
};

test "buffers walk over empty and partial pieces" {
    var a = [_]u8{ 1, 2, 3 };
    var z = [_]u8{ 4, 5 };
    var iov = [_]Iovec{
        .{ .base = &a, .len = 3 },
        .{ .base = &a, .len = 0 },
        .{ .base = &z, .len = 2 },
    };
    var b = Buffers.init(&iov).?;
    try std.testing.expectEqual(5, b.remaining);
    try std.testing.expectEqualSlices(u8, a[0..2], b.piece(2));
    b.skip(4);
    try std.testing.expectEqualSlices(u8, z[1..], b.piece(10));
    var rest: [4]Iovec = undefined;
    try std.testing.expectEqual(1, b.rest(&rest, 10).len);
}
