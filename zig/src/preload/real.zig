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

/// The function itself; where this libc has none, one that says so to its caller (ENOSYS). An old
/// glibc and musl lack some: nobody could have linked with these, but whoever looks for them by
/// dlsym finds ours.
pub inline fn get(comptime name: [:0]const u8, comptime F: type) *const F {
    return @ptrCast(@alignCast(find(name) orelse @as(*const anyopaque, @ptrCast(&notThere))));
}

/// Called with whatever arguments: both architectures' calling conventions leave them to the caller.
fn notThere() callconv(.c) isize {
    const sys = @import("sys.zig");
    return sys.fail(.NOSYS);
}

/// musl declares the lengths in struct msghdr and cmsghdr as 32-bit numbers with padding that may
/// hold anything, where glibc and the kernel have 64 bits.
pub inline fn isMusl() bool {
    return find("gnu_get_libc_version") == null;
}

/// A length in struct msghdr or cmsghdr, as this libc means it.
pub inline fn messageLength(value: usize) usize {
    return if (isMusl()) @as(u32, @truncate(value)) else value;
}

/// An object (not a function) of libc, by any definition.
pub fn object(comptime T: type, name: [*:0]const u8) ?*T {
    return @ptrCast(@alignCast(dlsym(null, name) orelse return null));
}
