//! The next definition of a libc function after ours, found once and kept. No lock, no malloc: a
//! race finds the same address twice.

const std = @import("std");

const RTLD_NEXT: ?*anyopaque = @ptrFromInt(std.math.maxInt(usize));

extern "c" fn dlsym(handle: ?*anyopaque, name: [*:0]const u8) ?*anyopaque;

/// Null where this libc has no such function.
pub fn find(comptime name: [:0]const u8) ?*anyopaque {
    const Cache = struct {
        const symbol = name;
        var address: usize = 0;
    };
    const known = @atomicLoad(usize, &Cache.address, .monotonic);
    if (known > 1) return @ptrFromInt(known);
    if (known == 1) return null;
    const found = dlsym(RTLD_NEXT, Cache.symbol.ptr);
    @atomicStore(usize, &Cache.address, if (found) |p| @intFromPtr(p) else 1, .monotonic);
    return found;
}

/// The function itself; for those that every supported libc has.
pub inline fn get(comptime name: [:0]const u8, comptime F: type) *const F {
    return @ptrCast(@alignCast(find(name) orelse missing(name)));
}

fn missing(comptime name: []const u8) noreturn {
    const sys = @import("sys.zig");
    const text = "socksdirect: this libc has no " ++ name ++ "\n";
    _ = sys.call(.write, .{ 2, text, text.len });
    _ = sys.call(.exit_group, .{127});
    unreachable;
}

/// An object (not a function) of libc, by any definition.
pub fn object(comptime T: type, name: [*:0]const u8) ?*T {
    return @ptrCast(@alignCast(dlsym(null, name) orelse return null));
}
