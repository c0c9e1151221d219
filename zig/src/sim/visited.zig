//! The set of states seen: an open-addressing table of 96-bit hashes, each with a number that the
//! search keeps for it. Two states with one hash would be taken for one: with 10 million states the
//! chance of a single such pair is 1 in 10^15.

const std = @import("std");

pub const Key = struct {
    low: u64,
    high: u32,

    pub fn of(bytes: []const u8) Key {
        const low = std.hash.Wyhash.hash(0x9e3779b97f4a7c15, bytes);
        const high = std.hash.Wyhash.hash(0xc2b2ae3d27d4eb4f, bytes);
        return .{ .low = low, .high = @truncate(high) };
    }
};

pub const Visited = struct {
    entries: []Entry = &.{},
    used: usize = 0,
    allocator: std.mem.Allocator,

    pub const Entry = struct {
        low: u64 = 0,
        high: u32 = 0,
        /// 0 = empty place.
        number: u32 = 0,
    };

    pub fn init(allocator: std.mem.Allocator) !Visited {
        var visited: Visited = .{ .allocator = allocator };
        visited.entries = try allocator.alloc(Entry, 1 << 14);
        @memset(visited.entries, .{});
        return visited;
    }

    pub fn deinit(visited: *Visited) void {
        visited.allocator.free(visited.entries);
    }

    pub fn bytes(visited: *const Visited) usize {
        return visited.entries.len * @sizeOf(Entry);
    }

    /// The key's place; its `number` is 0 if it was not there, and the caller must set it.
    /// Valid until the next call.
    pub fn place(visited: *Visited, key: Key) !*Entry {
        if (visited.used * 4 >= visited.entries.len * 3) try visited.grow();
        const entry = visited.find(key);
        if (entry.number == 0) {
            entry.low = key.low;
            entry.high = key.high;
            visited.used += 1;
        }
        return entry;
    }

    fn find(visited: *Visited, key: Key) *Entry {
        const mask = visited.entries.len - 1;
        var at: usize = @truncate(key.low & mask);
        while (true) : (at = (at + 1) & mask) {
            const entry = &visited.entries[at];
            if (entry.number == 0) return entry;
            if (entry.low == key.low and entry.high == key.high) return entry;
        }
    }

    fn grow(visited: *Visited) !void {
        const old = visited.entries;
        visited.entries = try visited.allocator.alloc(Entry, old.len * 2);
        @memset(visited.entries, .{});
        for (old) |entry| {
            if (entry.number == 0) continue;
            visited.find(.{ .low = entry.low, .high = entry.high }).* = entry;
        }
        visited.allocator.free(old);
    }
};

test "a key is found again after the table has grown" {
    var visited = try Visited.init(std.testing.allocator);
    defer visited.deinit();
    for (1..40_000) |i| {
        const entry = try visited.place(Key.of(std.mem.asBytes(&i)));
        try std.testing.expectEqual(0, entry.number);
        entry.number = @intCast(i);
    }
    for (1..40_000) |i| {
        const entry = try visited.place(Key.of(std.mem.asBytes(&i)));
        try std.testing.expectEqual(i, entry.number);
    }
}
