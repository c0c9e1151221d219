//! The set of states seen: an open-addressing table of 64-bit hashes, each with a number that the
//! search keeps for it. Two states with one hash would be taken for one: among 17 million states
//! there is such a pair with a chance of 1 in 100,000.

const std = @import("std");

const page_bytes = 4096;

pub fn keyOf(bytes: []const u8) u64 {
    return std.hash.Wyhash.hash(0x9e3779b97f4a7c15, bytes);
}

pub const Visited = struct {
    entries: []align(page_bytes) Entry = &.{},
    used: usize = 0,
    allocator: std.mem.Allocator,

    pub const Entry = struct {
        key: u64 = 0,
        /// 0 = empty place.
        number: u32 = 0,
    };

    pub fn init(allocator: std.mem.Allocator) !Visited {
        var visited: Visited = .{ .allocator = allocator };
        visited.entries = try allocate(allocator, 1 << 14);
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
    pub fn place(visited: *Visited, key: u64) !*Entry {
        if (visited.used * 4 >= visited.entries.len * 3) try visited.grow();
        const entry = visited.find(key);
        if (entry.number == 0) {
            entry.key = key;
            visited.used += 1;
        }
        return entry;
    }

    fn find(visited: *Visited, key: u64) *Entry {
        const mask = visited.entries.len - 1;
        var at: usize = @truncate(key & mask);
        while (true) : (at = (at + 1) & mask) {
            const entry = &visited.entries[at];
            if (entry.number == 0 or entry.key == key) return entry;
        }
    }

    fn grow(visited: *Visited) !void {
        const old = visited.entries;
        visited.entries = try allocate(visited.allocator, old.len * 2);
        for (old) |entry| {
            if (entry.number == 0) continue;
            visited.find(entry.key).* = entry;
        }
        visited.allocator.free(old);
    }

    /// In huge pages where there are any: every look-up is somewhere else.
    fn allocate(allocator: std.mem.Allocator, count: usize) ![]align(page_bytes) Entry {
        const entries = try allocator.alignedAlloc(Entry, .fromByteUnits(page_bytes), count);
        const linux = std.os.linux;
        _ = linux.madvise(@ptrCast(entries.ptr), count * @sizeOf(Entry), linux.MADV.HUGEPAGE);
        @memset(entries, .{});
        return entries;
    }
};

test "a key is found again after the table has grown" {
    var visited = try Visited.init(std.testing.allocator);
    defer visited.deinit();
    for (1..40_000) |i| {
        const entry = try visited.place(keyOf(std.mem.asBytes(&i)));
        try std.testing.expectEqual(0, entry.number);
        entry.number = @intCast(i);
    }
    for (1..40_000) |i| {
        const entry = try visited.place(keyOf(std.mem.asBytes(&i)));
        try std.testing.expectEqual(i, entry.number);
    }
}
