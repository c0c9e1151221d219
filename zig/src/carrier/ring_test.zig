//! Sender and receiver over plain memory in one thread: streams of odd sizes, wrap, rewind, moves
//! there and back. (Interleavings are the job of ../interleave.zig.)

const std = @import("std");
const layout = @import("../layout.zig");
const carrier = @import("carrier.zig");
const Native = carrier.Native;

const Sender = carrier.Sender(Native);
const Receiver = carrier.Receiver(Native);

/// A loss-free kernel stream of unlimited size, or one that takes no more.
const FakeKernel = struct {
    bytes: std.ArrayList(u8) = .empty,
    read_to: usize = 0,
    full: bool = false,
    hup: bool = false,

    /// Counts no FIN.
    pub fn mayBeOneShort(_: *FakeKernel) bool {
        return false;
    }

    pub fn ending(kernel: *FakeKernel) bool {
        return kernel.hup;
    }
    pub fn sendPosition(kernel: *FakeKernel) ?u64 {
        return kernel.bytes.items.len;
    }
    pub fn receivePosition(kernel: *FakeKernel) ?u64 {
        return kernel.read_to;
    }
    pub fn trySend(kernel: *FakeKernel, bytes: [*]const u8, len: u64) ?u64 {
        if (kernel.full) return null;
        kernel.bytes.appendSlice(std.testing.allocator, bytes[0..len]) catch return null;
        return len;
    }
};

const NoBells = struct {
    pub fn ring(_: NoBells, _: carrier.Attention) bool {
        return true;
    }
    pub fn ready(_: NoBells, _: carrier.Attention) void {}
};

const Pair = struct {
    /// In memory that nobody may write.
    const canary = 0xca;

    direction: layout.Direction = std.mem.zeroes(layout.Direction),
    tx: layout.TxEnd = std.mem.zeroes(layout.TxEnd),
    rx: layout.RxEnd = std.mem.zeroes(layout.RxEnd),
    hot: [Native.hot_window_bytes]u8 = undefined,
    behind_hot: [64]u8 = @splat(canary),
    memory: []u8,
    kernel: FakeKernel = .{},
    /// Whether the ring may grow when its end comes.
    grows: bool = false,
    sent: u64 = 0,
    received: u64 = 0,

    fn init() !Pair {
        const memory = try std.testing.allocator.alloc(u8, Native.ring_bytes + 8192);
        @memset(memory[Native.ring_bytes..], canary);
        return .{ .memory = memory };
    }
    fn deinit(pair: *Pair) void {
        std.testing.allocator.free(pair.memory);
        pair.kernel.bytes.deinit(std.testing.allocator);
    }
    fn ring(pair: *Pair) Native.Ring {
        return .{ .hot = &pair.hot, .cold = pair.memory.ptr };
    }
    fn sender(pair: *Pair) Sender {
        return .init(&pair.direction, &pair.tx, pair.ring());
    }
    fn receiver(pair: *Pair) Receiver {
        return .{ .direction = &pair.direction, .end = &pair.rx, .ring = pair.ring() };
    }
    /// In the ring, and that as large as it gets: the reader is always half a small ring behind.
    fn growFully(pair: *Pair) !void {
        var s = pair.sender();
        try std.testing.expect(s.enter(&pair.kernel));
        _ = try pair.receive(1); // acknowledges
        pair.grows = true;
        for (0..4) |_| _ = try pair.send(8192);
        for (0..1000) |_| {
            try std.testing.expectEqual(8192, try pair.send(8192));
            try std.testing.expectEqual(8192, try pair.receive(8192));
        }
        try std.testing.expectEqual(Native.ring_bytes, pair.sender().size());
        pair.grows = false;
    }
    fn byteAt(position: u64) u8 {
        return @truncate(position *% 0x9e3779b97f4a7c15 >> 32);
    }
    /// Sends `len` bytes by whatever carries now; the number accepted.
    fn send(pair: *Pair, len: u64) !u64 {
        var buffer: [8192]u8 = undefined;
        for (buffer[0..len], 0..) |*byte, i| byte.* = byteAt(pair.sent + i);
        var s = pair.sender();
        var n = len;
        if (s.inRing()) {
            n = @min(len, s.space(len) orelse return error.Corrupt);
            s.may_grow = pair.grows;
            _ = s.append(buffer[0..n]);
            s.publish(NoBells{});
        } else {
            try pair.kernel.bytes.appendSlice(std.testing.allocator, buffer[0..n]);
        }
        pair.sent += n;
        return n;
    }
    /// Receives up to `max` bytes and checks each; the number, 0 when nothing is there.
    fn receive(pair: *Pair, max: u64) !u64 {
        var buffer: [8192]u8 = undefined;
        var r = pair.receiver();
        var n: u64 = 0;
        switch (r.source(&pair.kernel)) {
            .ring => |available| {
                n = @min(available, max);
                _ = r.copy(0, buffer[0..n]);
                r.consume(n, NoBells{});
            },
            .kernel => {
                const queue = pair.kernel.bytes.items[pair.kernel.read_to..];
                n = @min(queue.len, max);
                @memcpy(buffer[0..n], queue[0..n]);
                pair.kernel.read_to += n;
            },
            .ring_empty => return 0,
            .corrupt => return error.Corrupt,
        }
        for (buffer[0..n], 0..) |byte, i| {
            try std.testing.expectEqual(byteAt(pair.received + i), byte);
        }
        pair.received += n;
        return n;
    }
};

test "a random stream keeps every byte over wraps, rewinds and moves" {
    var pair = try Pair.init();
    defer pair.deinit();
    var random_state = std.Random.DefaultPrng.init(0x5d);
    const random = random_state.random();
    for (0..60_000) |_| {
        pair.grows = random.uintLessThan(u8, 4) == 0;
        switch (random.uintLessThan(u8, 20)) {
            0 => {
                var s = pair.sender();
                if (!s.inRing()) _ = s.enter(&pair.kernel);
            },
            1 => {
                var s = pair.sender();
                pair.kernel.full = random.boolean();
                if (s.inRing()) {
                    try std.testing.expect(s.leave(&pair.kernel, NoBells{}) != .corrupt);
                }
                pair.kernel.full = false;
            },
            2...10 => _ = try pair.send(1 + random.uintLessThan(u64, 3000)),
            else => _ = try pair.receive(1 + random.uintLessThan(u64, 3000)),
        }
    }
    for (0..2000) |_| _ = try pair.receive(8192);
    try std.testing.expectEqual(pair.sent, pair.received);
    try std.testing.expect(pair.sent > 1 << 20);
}

test "request-response traffic stays in the hot window" {
    var pair = try Pair.init();
    defer pair.deinit();
    var s = pair.sender();
    try std.testing.expect(s.enter(&pair.kernel));
    for (0..10_000) |_| {
        _ = try pair.send(100);
        try std.testing.expectEqual(100, try pair.receive(4096));
    }
    try std.testing.expect(pair.tx.high_water <= Native.hot_window_bytes);
}

test "messages that divide the hot window stay in it too" {
    var pair = try Pair.init();
    defer pair.deinit();
    var s = pair.sender();
    try std.testing.expect(s.enter(&pair.kernel));
    for (0..10_000) |_| {
        _ = try pair.send(64);
        try std.testing.expectEqual(64, try pair.receive(4096));
    }
    try std.testing.expect(pair.tx.high_water <= Native.hot_window_bytes);
}

test "a head that the peer moved behind our entry is noticed, not computed with" {
    var pair = try Pair.init();
    defer pair.deinit();
    _ = try pair.send(5000); // over tcp: the ring begins at 5000
    var s = pair.sender();
    try std.testing.expect(s.enter(&pair.kernel));
    try std.testing.expectEqual(5000, try pair.receive(5000));
    try std.testing.expectEqual(0, try pair.receive(1)); // acknowledges
    pair.direction.head = 4999;
    var lied_to = pair.sender();
    try std.testing.expectEqual(null, lied_to.space(1));
    try std.testing.expect(lied_to.leave(&pair.kernel, NoBells{}) == .corrupt);
}

test "a full ring refuses more and a peer's impossible tail is noticed" {
    var pair = try Pair.init();
    defer pair.deinit();
    var s = pair.sender();
    try std.testing.expect(s.enter(&pair.kernel));
    var total: u64 = 0;
    while (true) {
        const n = try pair.send(8192);
        total += n;
        if (n == 0) break;
    }
    try std.testing.expectEqual(Native.ring_bytes_initial, total);
    pair.direction.tail = pair.direction.head + 1;
    var again = pair.sender();
    try std.testing.expectEqual(null, again.space(1));
}

test "a ring whose reader is behind grows at its end" {
    var pair = try Pair.init();
    defer pair.deinit();
    try pair.growFully();
    while (pair.received < pair.sent) _ = try pair.receive(8192);
    _ = try pair.send(100);
    try std.testing.expectEqual(100, try pair.receive(8192));
}

test "a long call that begins with a short piece keeps every byte in a grown ring" {
    var pair = try Pair.init();
    defer pair.deinit();
    try pair.growFully();
    while (pair.received < pair.sent) _ = try pair.receive(8192);
    // Ten bytes short of the window's end, so that the short piece meets it and the ring is rewound.
    const window = Native.hot_window_bytes;
    while ((pair.sent -% pair.direction.base) % window != window - 10) {
        _ = try pair.send(1);
        _ = try pair.receive(1);
    }
    const body = 200_000;
    var call = pair.sender();
    try std.testing.expect(call.space(11 + body).? >= 11 + body);
    var bytes: [body]u8 = undefined;
    for ([_]u64{ 11, body }) |len| {
        for (bytes[0..len], 0..) |*byte, i| byte.* = Pair.byteAt(pair.sent + i);
        try std.testing.expect(call.append(bytes[0..len]));
        pair.sent += len;
    }
    call.publish(NoBells{});
    while (pair.received < pair.sent) try std.testing.expect(try pair.receive(8192) > 0);
}

test "a mask that the peer made up stays inside the ring" {
    var pair = try Pair.init();
    defer pair.deinit();
    var s = pair.sender();
    try std.testing.expect(s.enter(&pair.kernel));
    _ = try pair.receive(1);
    var random_state = std.Random.DefaultPrng.init(7);
    const random = random_state.random();
    var buffer: [8192]u8 = undefined;
    for (0..5000) |_| {
        pair.direction.mask = random.int(u64);
        pair.direction.base = random.int(u64);
        var liar = pair.sender();
        const n = @min(liar.space(buffer.len) orelse 0, buffer.len);
        liar.may_grow = random.boolean();
        _ = liar.append(buffer[0..n]);
        liar.publish(NoBells{});
        try std.testing.expect(liar.reach(n) <= Native.ring_bytes);
        var r = pair.receiver();
        _ = r.copy(0, buffer[0..n]);
        r.consume(n, NoBells{});
    }
    try std.testing.expect(std.mem.allEqual(u8, pair.memory[Native.ring_bytes..], Pair.canary));
    try std.testing.expect(std.mem.allEqual(u8, &pair.behind_hot, Pair.canary));
}

test "a peer's impossible head is noticed" {
    var pair = try Pair.init();
    defer pair.deinit();
    var s = pair.sender();
    try std.testing.expect(s.enter(&pair.kernel));
    _ = try pair.receive(1); // acknowledges
    pair.direction.head = pair.rx.position + Native.ring_bytes + 1;
    var r = pair.receiver();
    try std.testing.expect(r.source(&pair.kernel) == .corrupt);
}

test "recall with an empty ring leaves at once, with bytes it waits for the sender" {
    var pair = try Pair.init();
    defer pair.deinit();
    var s = pair.sender();
    try std.testing.expect(s.enter(&pair.kernel));
    _ = try pair.receive(1);
    _ = try pair.send(1000);
    _ = try pair.receive(300);
    var r = pair.receiver();
    try std.testing.expect(r.recall(&pair.kernel, NoBells{}) == .waiting);
    var again = pair.sender();
    try std.testing.expect(again.flags() & layout.attn_flag_want != 0);
    try std.testing.expect(again.leave(&pair.kernel, NoBells{}) == .tcp);
    try std.testing.expect(r.recallDone());
    try std.testing.expectEqual(700, try pair.receive(4096));
    try std.testing.expect(!again.enter(&pair.kernel));
}
