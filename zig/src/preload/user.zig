//! The application's memory where a call names it by address: structs that a call reads and results
//! that it writes. A bad address is EFAULT, as from the kernel (carrier/copy.zig says how). Each
//! function says so by null or false.

const std = @import("std");
const constants = @import("../constants.zig");
const copy = @import("../carrier/copy.zig");

pub inline fn load(comptime T: type, from: *const T) ?T {
    var value: T = undefined;
    return if (copy.copy(@ptrCast(&value), @ptrCast(from), @sizeOf(T))) value else null;
}

pub inline fn store(comptime T: type, to: *T, value: T) bool {
    return copy.copy(@ptrCast(to), @ptrCast(&value), @sizeOf(T));
}

pub inline fn loadMany(comptime T: type, into: []T, from: [*]const T) bool {
    return copy.copy(@ptrCast(into.ptr), @ptrCast(from), into.len * @sizeOf(T));
}

/// How many of `items`, from the first on, can be written: a look at each page, at most
/// `pages_max` of them, so that a buffer of which little is used is not touched as a whole.
pub fn writable(comptime T: type, items: []T) usize {
    const pages_max = 256;
    const bytes: [*]u8 = @ptrCast(items.ptr);
    const len = items.len * @sizeOf(T);
    var at: usize = 0;
    for (0..pages_max) |_| {
        if (!copy.touch(&bytes[at])) break;
        const address = @intFromPtr(bytes) + at;
        at += constants.page_bytes - address % constants.page_bytes;
        if (at >= len) return items.len;
    }
    return at / @sizeOf(T);
}

/// Whether both ends of a few bytes, less than a page, can be written.
pub inline fn isWritable(bytes: []u8) bool {
    return bytes.len == 0 or copy.touch(&bytes[0]) and copy.touch(&bytes[bytes.len - 1]);
}

/// The kernel refuses these without looking: no process has memory there.
pub inline fn isKernelAddress(address: usize) bool {
    return @as(isize, @bitCast(address)) < 0;
}
