//! Object pools that never give memory back: an object's address stays a valid object of its type
//! for ever, so that a thread holding a stale pointer can take its lock and find out that it is
//! stale. Memory comes from mmap, never from malloc (which may be anybody's).

const std = @import("std");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;

pub fn Pool(comptime T: type, comptime chunk_objects: usize) type {
    return struct {
        const Self = @This();

        mutex: Mutex = .{},
        free: ?*T = null,
        chunk: ?[*]T = null,
        chunk_used: usize = 0,

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
            if (pool.chunk == null or pool.chunk_used == chunk_objects) {
                const memory = sys.mapPrivate(chunk_objects * @sizeOf(T)) orelse return null;
                pool.chunk = @ptrCast(@alignCast(memory));
                pool.chunk_used = 0;
            }
            const object = &pool.chunk.?[pool.chunk_used];
            pool.chunk_used += 1;
            return object;
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
