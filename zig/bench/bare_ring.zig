//! The limit: two processes, two rings in shared memory, nothing else. No sockets, no fds, no
//! sleeping, no library; each side spins. A socket library that carries bytes through shared memory
//! cannot be faster than this, so its figures are to be read against these.
//!
//! Written independently of libsd (which has its own ring), so that one does not hide the other's
//! faults.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const report = @import("report.zig");
const Histogram = @import("histogram.zig").Histogram;
const Summary = @import("histogram.zig").Summary;
const Options = @import("options.zig").Options;

/// Larger than a core's own cache, so that the reader finds bulk data in the shared one: on the
/// machine of docs/BENCHMARKING.md 64 KiB messages go at 13 GB/s, and at 6 in a ring of 256 KiB.
const ring_bytes = 1024 * 1024;
/// Larger writes are published in such pieces, so that both sides copy at the same time.
const piece_bytes = 32 * 1024;
const message_bytes_max = 64 * 1024;
/// Exchanges between two looks at the clock, which would distort a single one by half.
const exchanges_per_sample = 8;

/// Shared by both processes. `head` counts bytes written, `tail` bytes read, since the start;
/// tail <= head <= tail + ring_bytes. Each is stored with release by its one owner after the copy
/// that it announces, and loaded with acquire by the other before the copy that relies on it.
const Ring = extern struct {
    head: u64 align(128),
    tail: u64 align(128),
    data: [ring_bytes]u8 align(4096),
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
            copyIn(self.ring, self.head, piece);
            self.head += piece.len;
            // Pairs with Consumer.waitForBytes: the bytes before their count.
            @atomicStore(u64, &self.ring.head, self.head, .release);
            rest = rest[piece.len..];
        }
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
            copyOut(self.ring, self.tail, rest[0..length]);
            self.tail += length;
            // Pairs with Producer.waitForRoom: our copy before its overwriting.
            @atomicStore(u64, &self.ring.tail, self.tail, .release);
            rest = rest[length..];
        }
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

const Shared = extern struct {
    to_child: Ring,
    to_parent: Ring,
    stop: u32 align(128),
};

/// What one measurement found; see report.zig for the names.
const Result = struct {
    mode: []const u8 = "bare-ring",
    size: usize,
    rtt_ns: ?Summary = null,
    per_second: f64 = 0,
    gbytes_per_second: f64 = 0,
};

pub fn run(options: *const Options) void {
    if (system.cpuCount() < 2) {
        system.fail("bare-ring needs two cpus: each side spins on its own", .{});
    }
    if (options.size > message_bytes_max) {
        system.usage("--size {d}: at most {d} here", .{ options.size, message_bytes_max });
    }
    const mode = if (options.mode.len == 0) "rtt" else options.mode;
    if (std.mem.eql(u8, mode, "rtt")) {
        print(options, &measureRtt(options));
    } else if (std.mem.eql(u8, mode, "stream")) {
        print(options, &measureStream(options));
    } else {
        system.usage("--mode \"{s}\": not one of rtt, stream", .{mode});
    }
}

fn print(options: *const Options, result: *const Result) void {
    var buffer: [1024]u8 = undefined;
    const text = if (options.json)
        std.fmt.bufPrint(&buffer, "{f}\n", .{std.json.fmt(result.*, .{})})
    else if (result.rtt_ns) |rtt|
        std.fmt.bufPrint(
            &buffer,
            "bare ring, {d} B: rtt p50 {d} ns, p99 {d} ns, mean {d:.0} ns\n",
            .{ result.size, rtt.p50, rtt.p99, rtt.mean },
        )
    else
        std.fmt.bufPrint(
            &buffer,
            "bare ring, {d} B: {d:.1} M/s, {d:.2} GB/s\n",
            .{ result.size, result.per_second / 1e6, result.gbytes_per_second },
        );
    system.writeAll(1, text catch unreachable); // every field is a number of known width
}

fn newShared() *Shared {
    const bytes = system.sharedMemory(@sizeOf(Shared));
    // First touch costs a page fault each: take them now.
    @memset(bytes, 0);
    return @ptrCast(bytes.ptr);
}

fn measureRtt(options: *const Options) Result {
    const size = options.size;
    const shared = newShared();
    const child = system.forkOrFail("of the echoing side");
    if (child == 0) {
        _ = system.pinToCpu(1);
        echoForEver(shared, size);
    }
    _ = system.pinToCpu(0);
    var out: Producer = .{ .ring = &shared.to_child };
    var in: Consumer = .{ .ring = &shared.to_parent };
    var message: [message_bytes_max]u8 = undefined;
    @memset(&message, 1);
    var histogram: Histogram = .{};
    _ = pingFor(&out, &in, message[0..size], &histogram, options.warmupNs());
    histogram = .{};
    const start = system.nowNs();
    const count = pingFor(&out, &in, message[0..size], &histogram, options.measureNs());
    const elapsed = system.nowNs() - start;
    endChild(child);
    return .{
        .size = size,
        .per_second = @as(f64, @floatFromInt(count)) / report.nsToSeconds(elapsed),
        .rtt_ns = histogram.summary().withMean(elapsed, count).averagedOver(exchanges_per_sample),
    };
}

fn pingFor(
    out: *Producer,
    in: *Consumer,
    message: []u8,
    histogram: *Histogram,
    wanted_ns: u64,
) u64 {
    const end = system.nowNs() + wanted_ns;
    var count: u64 = 0;
    var before = system.nowNs();
    while (before < end) : (count += exchanges_per_sample) {
        for (0..exchanges_per_sample) |_| {
            out.send(message);
            in.recv(message);
        }
        const now = system.nowNs();
        histogram.record((now - before) / exchanges_per_sample);
        before = now;
    }
    return count;
}

fn echoForEver(shared: *Shared, size: usize) noreturn {
    var in: Consumer = .{ .ring = &shared.to_child };
    var out: Producer = .{ .ring = &shared.to_parent };
    var message: [message_bytes_max]u8 = undefined;
    while (true) {
        in.recv(message[0..size]);
        out.send(message[0..size]);
    }
}

fn measureStream(options: *const Options) Result {
    const size = options.size;
    const shared = newShared();
    const child = system.forkOrFail("of the sending side");
    if (child == 0) {
        _ = system.pinToCpu(1);
        sendUntilStopped(shared, size);
    }
    _ = system.pinToCpu(0);
    var in: Consumer = .{ .ring = &shared.to_parent };
    _ = receiveFor(&in, size, options.warmupNs());
    const start = system.nowNs();
    const count = receiveFor(&in, size, options.measureNs());
    const seconds = report.nsToSeconds(system.nowNs() - start);
    @atomicStore(u32, &shared.stop, 1, .monotonic); // a hint; endChild does not rely on it
    endChild(child);
    const per_second = @as(f64, @floatFromInt(count)) / seconds;
    return .{
        .size = size,
        .per_second = per_second,
        .gbytes_per_second = per_second * @as(f64, @floatFromInt(size)) / 1e9,
    };
}

fn receiveFor(in: *Consumer, size: usize, wanted_ns: u64) u64 {
    const end = system.nowNs() + wanted_ns;
    var message: [message_bytes_max]u8 = undefined;
    const batch = @max(1, (1 << 20) / size);
    var count: u64 = 0;
    while (system.nowNs() < end) : (count += batch) {
        for (0..batch) |_| {
            in.recv(message[0..size]);
            std.mem.doNotOptimizeAway(&message);
        }
    }
    return count;
}

fn sendUntilStopped(shared: *Shared, size: usize) noreturn {
    var out: Producer = .{ .ring = &shared.to_parent };
    var message: [message_bytes_max]u8 = undefined;
    @memset(&message, 1);
    while (@atomicLoad(u32, &shared.stop, .monotonic) == 0) out.send(message[0..size]);
    libc._exit(0);
}

fn endChild(pid: c_int) void {
    _ = libc.kill(pid, libc.SIGKILL);
    _ = libc.waitpid(pid, null, 0);
}

test "bytes come out of the ring as they went in, across its end" {
    const shared = newShared();
    var producer: Producer = .{ .ring = &shared.to_child };
    var consumer: Consumer = .{ .ring = &shared.to_child };
    var out: [1000]u8 = undefined;
    var in: [1000]u8 = undefined;
    for (0..2000) |round| {
        for (&out, 0..) |*byte, i| byte.* = @truncate(round *% 31 + i);
        producer.send(&out);
        consumer.recv(&in);
        try std.testing.expectEqualSlices(u8, &out, &in);
    }
    try std.testing.expect(producer.head > ring_bytes);
}
