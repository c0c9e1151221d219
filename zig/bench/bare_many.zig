//! The limit of many connections: a pair of bare rings for each, one message on the way at a time, on
//! each connection in turn, and a bell in either direction that names the ring to look at. Nothing
//! else: so what this costs beside one pair of rings (bare_ring.zig) is what the caches and the
//! address translation take for thousands of rings that were not used lately, and no library that
//! keeps a ring for each connection can be without it.
//!
//! All that belongs to one direction lies in one page, which is less than any real one can do with.

const std = @import("std");
const duo = @import("duo.zig");
const system = @import("system.zig");
const Options = @import("options.zig").Options;

const ring_bytes = 2048;

/// `head` counts bytes written, `tail` bytes read; stored with release by their one owner after the
/// copy, loaded with acquire by the other before it.
const Ring = extern struct {
    head: u64 align(128),
    tail: u64 align(128),
    data: [ring_bytes]u8 align(ring_bytes),
};

/// How many messages have been sent, and in which ring the last one lies.
const Bell = extern struct { count: u32 align(128), ring: u32 };

const Side = enum(u1) { near, far };

/// What a side knows of one connection by itself.
const Own = struct { head: u64 = 0, tail: u64 = 0, tail_seen: u64 = 0 };

const End = struct {
    side: Side,
    bells: *[2]Bell,
    rings: [][2]Ring,
    own: []Own,
    /// The connection whose turn it is; messages that have been sent and received.
    turn: u32 = 0,
    sent: u32 = 0,
    received: u32 = 0,

    pub fn send(self: *End, bytes: []const u8) void {
        const ring = &self.rings[self.turn][@intFromEnum(self.side)];
        const own = &self.own[self.turn];
        while (own.head + bytes.len - own.tail_seen > ring_bytes) {
            // Pairs with `recv`: its copy before our overwriting.
            own.tail_seen = @atomicLoad(u64, &ring.tail, .acquire);
        }
        copyIn(&ring.data, own.head, bytes);
        own.head += bytes.len;
        // Pairs with `recv`: the bytes before their count, both before the bell.
        @atomicStore(u64, &ring.head, own.head, .release);
        const bell = &self.bells[@intFromEnum(self.side)];
        self.sent +%= 1;
        bell.ring = self.turn;
        @atomicStore(u32, &bell.count, self.sent, .release);
        if (self.side == .far) return;
        self.turn = if (self.turn + 1 == self.rings.len) 0 else self.turn + 1;
    }

    pub fn recv(self: *End, buffer: []u8) void {
        const other = @intFromEnum(self.side) ^ 1;
        const bell = &self.bells[other];
        // Pairs with `send`: one message is on the way at a time, so its ring does not change yet.
        while (@atomicLoad(u32, &bell.count, .acquire) == self.received) {}
        self.received +%= 1;
        const index = bell.ring;
        const ring = &self.rings[index][other];
        const own = &self.own[index];
        const head = @atomicLoad(u64, &ring.head, .acquire);
        std.debug.assert(head == own.tail + buffer.len);
        copyOut(&ring.data, own.tail, buffer);
        own.tail += buffer.len;
        // Pairs with `send`: our copy before its overwriting.
        @atomicStore(u64, &ring.tail, own.tail, .release);
        if (self.side == .far) self.turn = index; // the echo goes back where it came from
    }
};

fn copyIn(data: *[ring_bytes]u8, position: u64, bytes: []const u8) void {
    const start: usize = @intCast(position % ring_bytes);
    const first = @min(bytes.len, ring_bytes - start);
    @memcpy(data[start..][0..first], bytes[0..first]);
    @memcpy(data[0 .. bytes.len - first], bytes[first..]);
}

fn copyOut(data: *const [ring_bytes]u8, position: u64, buffer: []u8) void {
    const start: usize = @intCast(position % ring_bytes);
    const first = @min(buffer.len, ring_bytes - start);
    @memcpy(buffer[0..first], data[start..][0..first]);
    @memcpy(buffer[first..], data[0 .. buffer.len - first]);
}

const Channel = struct {
    bells: *[2]Bell,
    rings: [][2]Ring,

    /// How many connections; `duo` asks for a channel without saying.
    var count: usize = 1;

    pub fn open() Channel {
        const bytes = system.sharedMemory(4096 + count * @sizeOf([2]Ring));
        @memset(bytes, 0); // page faults: now
        const rings: [*][2]Ring = @ptrCast(@alignCast(bytes.ptr + 4096));
        return .{ .bells = @ptrCast(@alignCast(bytes.ptr)), .rings = rings[0..count] };
    }

    pub fn near(self: *Channel) End {
        return self.end(.near);
    }

    pub fn far(self: *Channel) End {
        return self.end(.far);
    }

    fn end(self: *Channel, side: Side) End {
        const own = system.allocator.alloc(Own, count) catch
            system.fail("open {d} rings: out of memory", .{count});
        @memset(own, .{});
        return .{ .side = side, .bells = self.bells, .rings = self.rings, .own = own };
    }
};

pub fn run(options: *const Options) void {
    if (options.one_cpu or system.cpuCount() < 2) {
        system.fail("bare-ring needs two cpus: each side spins on its own", .{});
    }
    if (options.size > ring_bytes) {
        system.usage("--size {d}: many bare rings hold {d} bytes each", .{ options.size, ring_bytes });
    }
    if (options.mode.len > 0 and !std.mem.eql(u8, options.mode, "rtt")) {
        system.usage("--mode {s}: many bare rings know rtt only", .{options.mode});
    }
    Channel.count = options.connections;
    duo.run(Channel, "bare-ring", options);
}

test "an echo comes back by the ring of its message, on each connection in turn" {
    Channel.count = 3;
    defer Channel.count = 1;
    var channel = Channel.open();
    var near = channel.near();
    var far = channel.far();
    var message: [100]u8 = undefined;
    var echo: [100]u8 = undefined;
    for (0..200) |round| {
        @memset(&message, @truncate(round));
        near.send(&message);
        far.recv(&echo);
        try std.testing.expectEqual(round % 3, far.turn);
        far.send(&echo);
        @memset(&echo, 0xff);
        near.recv(&echo);
        try std.testing.expectEqualSlices(u8, &message, &echo);
    }
    try std.testing.expect(near.own[0].head > ring_bytes);
}
