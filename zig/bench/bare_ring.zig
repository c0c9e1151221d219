//! The limit: two processes, two rings in shared memory, nothing else. No sockets, no fds, no
//! sleeping, no library; each side spins. A socket library that carries bytes through shared memory
//! cannot be faster than this, so its figures are to be read against these.
//!
//! Written independently of libsd (which has its own ring), so that one does not hide the other's
//! faults.

const std = @import("std");
const duo = @import("duo.zig");
const system = @import("system.zig");
const Options = @import("options.zig").Options;

/// Larger than a core's own cache, so that the reader finds bulk data in the shared one: on the
/// machine of docs/BENCHMARKING.md 64 KiB messages go at 13 GB/s, and at 6 in a ring of 256 KiB.
const ring_bytes = 1024 * 1024;
/// Larger writes are published in such pieces, so that both sides copy at the same time.
const piece_bytes = 32 * 1024;

/// What fits in the line of `head` beside it.
const near_words = 6;

/// Shared by both processes. `head` counts bytes written, `tail` bytes read, since the start;
/// tail <= head <= tail + ring_bytes. Each is stored with release by its one owner after the copy
/// that it announces, and loaded with acquire by the other before the copy that relies on it.
///
/// A small message is copied twice: into `data`, and into `near`, so that a reader who has waited for
/// it gets count and bytes by one line's way instead of two. The next message may overwrite `near`
/// while it is being read: `near_mark` is stored before its words (release), and loaded after them, so
/// if it still names that message, they are its words.
const Ring = extern struct {
    head: u64 align(128),
    near_mark: u64,
    near: [near_words]u64,
    tail: u64 align(128),
    data: [ring_bytes]u8 align(4096),

    fn fitsNear(length: usize) bool {
        return length % 8 == 0 and length <= near_words * 8;
    }

    /// The message of so many bytes that ends there.
    fn markOf(end: u64, length: usize) u64 {
        return end << 8 | length;
    }
};

const Producer = struct {
    ring: *Ring,
    head: u64 = 0,
    /// `tail` as last seen; behind the truth, never before it.
    tail_seen: u64 = 0,

    fn send(self: *Producer, bytes: []const u8) void {
        var rest = bytes;
        while (rest.len > 0) {
            const piece = rest[0..@min(rest.len, piece_bytes)];
            self.waitForRoom(piece.len);
            if (Ring.fitsNear(piece.len)) self.copyNear(piece);
            copyIn(self.ring, self.head, piece);
            self.head += piece.len;
            // Pairs with Consumer.waitForBytes: the bytes before their count.
            @atomicStore(u64, &self.ring.head, self.head, .release);
            rest = rest[piece.len..];
        }
    }

    inline fn copyNear(self: *Producer, piece: []const u8) void {
        const words: []align(1) const u64 = @ptrCast(piece);
        // Each release keeps it behind the one before; pairs with Consumer.takeNear.
        @atomicStore(u64, &self.ring.near_mark, Ring.markOf(self.head + piece.len, piece.len), .release);
        for (words, self.ring.near[0..words.len]) |word, *to| @atomicStore(u64, to, word, .release);
    }

    fn waitForRoom(self: *Producer, wanted: usize) void {
        while (self.head + wanted - self.tail_seen > ring_bytes) {
            // Pairs with Consumer.recv: its copy before our overwriting.
            self.tail_seen = @atomicLoad(u64, &self.ring.tail, .acquire);
        }
    }
};

const Consumer = struct {
    ring: *Ring,
    tail: u64 = 0,
    /// `head` as last seen.
    head_seen: u64 = 0,

    fn recv(self: *Consumer, buffer: []u8) void {
        var rest = buffer;
        while (rest.len > 0) {
            const length: usize = @intCast(@min(rest.len, self.waitForBytes()));
            if (!self.takeNear(rest[0..length])) copyOut(self.ring, self.tail, rest[0..length]);
            self.tail += length;
            // Pairs with Producer.waitForRoom: our copy before its overwriting.
            @atomicStore(u64, &self.ring.tail, self.tail, .release);
            rest = rest[length..];
        }
    }

    /// True: `buffer` is the last message, whole.
    inline fn takeNear(self: *Consumer, buffer: []u8) bool {
        if (!Ring.fitsNear(buffer.len) or self.tail + buffer.len != self.head_seen) return false;
        const words: []align(1) u64 = @ptrCast(buffer);
        // Each acquire keeps it before the next; pairs with Producer.copyNear.
        for (words, self.ring.near[0..words.len]) |*word, *from| word.* = @atomicLoad(u64, from, .acquire);
        return @atomicLoad(u64, &self.ring.near_mark, .acquire) == Ring.markOf(self.head_seen, buffer.len);
    }

    /// How many bytes there are, at least one.
    fn waitForBytes(self: *Consumer) u64 {
        while (self.head_seen == self.tail) {
            // Pairs with Producer.send: the count before the bytes.
            self.head_seen = @atomicLoad(u64, &self.ring.head, .acquire);
        }
        return self.head_seen - self.tail;
    }
};

fn copyIn(ring: *Ring, position: u64, bytes: []const u8) void {
    const start: usize = @intCast(position % ring_bytes);
    const first = @min(bytes.len, ring_bytes - start);
    @memcpy(ring.data[start..][0..first], bytes[0..first]);
    @memcpy(ring.data[0 .. bytes.len - first], bytes[first..]);
}

fn copyOut(ring: *Ring, position: u64, buffer: []u8) void {
    const start: usize = @intCast(position % ring_bytes);
    const first = @min(buffer.len, ring_bytes - start);
    @memcpy(buffer[0..first], ring.data[start..][0..first]);
    @memcpy(buffer[first..], ring.data[0 .. buffer.len - first]);
}

/// Both directions, seen by both processes.
const Rings = struct {
    shared: *Shared,

    const Shared = extern struct { to_far: Ring, to_near: Ring };

    pub fn open() Rings {
        const bytes = system.sharedMemory(@sizeOf(Shared));
        // First touch costs a page fault each: take them now.
        @memset(bytes, 0);
        return .{ .shared = @ptrCast(bytes.ptr) };
    }

    pub fn near(self: *Rings) End {
        return .{ .in = .{ .ring = &self.shared.to_near }, .out = .{ .ring = &self.shared.to_far } };
    }

    pub fn far(self: *Rings) End {
        return .{ .in = .{ .ring = &self.shared.to_far }, .out = .{ .ring = &self.shared.to_near } };
    }
};

const End = struct {
    in: Consumer,
    out: Producer,

    pub inline fn send(self: *End, bytes: []const u8) void {
        self.out.send(bytes);
    }

    pub inline fn recv(self: *End, buffer: []u8) void {
        self.in.recv(buffer);
    }
};

pub fn run(options: *const Options) void {
    if (options.one_cpu or system.cpuCount() < 2) {
        system.fail("bare-ring needs two cpus: each side spins on its own", .{});
    }
    duo.run(Rings, "bare-ring", options);
}

test "bytes come out of the ring as they went in, across its end" {
    var rings = Rings.open();
    var near = rings.near();
    var far = rings.far();
    var out: [1000]u8 = undefined;
    var in: [1000]u8 = undefined;
    for (0..2000) |round| {
        for (&out, 0..) |*byte, i| byte.* = @truncate(round *% 31 + i);
        near.send(&out);
        far.recv(&in);
        try std.testing.expectEqualSlices(u8, &out, &in);
    }
    try std.testing.expect(near.out.head > ring_bytes);
}

test "small messages come out as they went in, however they are read" {
    var rings = Rings.open();
    var near = rings.near();
    var far = rings.far();
    var out: [48]u8 = undefined;
    var in: [48]u8 = undefined;
    for ([_][]const usize{ &.{8}, &.{48}, &.{ 8, 8 }, &.{ 8, 4, 4 }, &.{ 16, 24 } }, 0..) |sizes, round| {
        for (&out, 0..) |*byte, i| byte.* = @truncate(round *% 31 + i);
        var total: usize = 0;
        for (sizes) |size| {
            near.send(out[total..][0..size]);
            total += size;
        }
        @memset(&in, 0xee);
        far.recv(in[0..total]);
        try std.testing.expectEqualSlices(u8, out[0..total], in[0..total]);
    }
}
