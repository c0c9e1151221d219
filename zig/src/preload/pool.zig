//! Object pools that never give memory back: an object's address stays a valid object of its type
//! for ever, so that a thread holding a stale pointer can take its lock and find out that it is
//! stale. Memory comes from mmap, never from malloc (which may be anybody's).

const std = @import("std");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;

/// Objects of one pool that take less lie in small pages.
const huge_from_bytes = 256 * 1024;

pub fn Pool(comptime T: type, comptime chunk_objects: usize) type {
    return struct {
        const Self = @This();

        mutex: Mutex = .{},
        free: ?*T = null,
        chunk: ?[*]T = null,
        chunk_used: usize = 0,
        chunk_len: usize = 0,
        total: usize = 0,

        /// `T` has a field `next_free: ?*T`. Contents are what the last user left. Null: no memory.
        pub fn take(pool: *Self) ?*T {
            const guard = pool.mutex.lock();
            if (!guard.ok()) return null;
            defer guard.unlock();
            if (pool.free) |object| {
                pool.free = object.next_free;
                object.next_free = null;
                return object;
            }
            if (pool.chunk_used == pool.chunk_len and !pool.addChunk()) return null;
            const object = &pool.chunk.?[pool.chunk_used];
            pool.chunk_used += 1;
            return object;
        }

        /// Who has many objects gets huge pages for the further ones, if the system has any.
        fn addChunk(pool: *Self) bool {
            const is_huge = pool.total * @sizeOf(T) >= huge_from_bytes;
            const len = if (is_huge) sys.huge_page_bytes / @sizeOf(T) else chunk_objects;
            const memory = (if (is_huge) sys.mapHuge() else sys.mapPrivate(len * @sizeOf(T))) orelse return false;
            pool.chunk = @ptrCast(@alignCast(memory));
            pool.chunk_used = 0;
            pool.chunk_len = len;
            pool.total += len;
            return true;
        }

        pub fn give(pool: *Self, object: *T) void {
            const guard = pool.mutex.lock();
            if (!guard.ok()) return; // leaked: only from a handler of a fault inside this pool
            defer guard.unlock();
            object.next_free = pool.free;
            pool.free = object;
        }
    };
}

test "a pool hands out distinct objects and reuses what it got back" {
    const Node = struct { next_free: ?*@This() = null, value: u64 = 0 };
    var pool: Pool(Node, 4) = .{};
    var seen: [10]*Node = undefined;
    for (&seen, 0..) |*slot, i| {
        slot.* = pool.take().?;
        slot.*.value = i;
    }
    for (seen, 0..) |node, i| try std.testing.expectEqual(i, node.value);
    pool.give(seen[3]);
    try std.testing.expectEqual(seen[3], pool.take().?);
}

test "a pool with many objects goes on in huge pages, as far as the system has any" {
    const Big = struct { next_free: ?*@This() = null, words: [63]u64 };
    var pool: Pool(Big, 64) = .{};
    const count = huge_from_bytes / @sizeOf(Big) + 100;
    const seen = try std.testing.allocator.alloc(*Big, count);
    defer std.testing.allocator.free(seen);
    for (seen, 0..) |*place, i| {
        place.* = pool.take().?;
        place.*.words = @splat(i);
    }
    for (seen, 0..) |object, i| for (object.words) |word| try std.testing.expectEqual(i, word);
    try std.testing.expectEqual(sys.huge_page_bytes / @sizeOf(Big), pool.chunk_len);
    try std.testing.expectEqual(0, @intFromPtr(pool.chunk.?) % sys.huge_page_bytes);
}
