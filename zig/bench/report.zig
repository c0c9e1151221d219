//! What a run found, and how it is printed: one JSON object (`--json`) or one line for people.
//! docs/BENCHMARKING.md says what each number means.

const std = @import("std");
const system = @import("system.zig");
const Summary = @import("histogram.zig").Summary;

pub const Result = struct {
    mode: []const u8,
    io: []const u8,
    server_io: []const u8,
    transport: []const u8 = "tcp",
    size: u32,
    connections: u32,
    messages: u64 = 0,
    bytes: u64 = 0,
    seconds: f64 = 0,
    /// Messages, exchanges or connections, by mode.
    per_second: f64 = 0,
    gbytes_per_second: f64 = 0,
    rtt_ns: ?Summary = null,
    /// Null: nobody checked.
    checksum_ok: ?bool = null,
    cpu_seconds: struct { client: f64 = 0, server: f64 = 0 } = .{},
    client_rss_kib: u64 = 0,
    server_rss_kib: u64 = 0,
    idle: ?Idle = null,

    /// In memory that a forked child fills in for its parent.
    pub fn shared() *Result {
        return @ptrCast(@alignCast(system.sharedMemory(@sizeOf(Result)).ptr));
    }

    pub fn setRate(result: *Result, messages: u64, bytes: u64, elapsed_ns: u64) void {
        result.messages = messages;
        result.bytes = bytes;
        result.seconds = nsToSeconds(elapsed_ns);
        const seconds = @max(result.seconds, 1e-9);
        result.per_second = @as(f64, @floatFromInt(messages)) / seconds;
        result.gbytes_per_second = @as(f64, @floatFromInt(bytes)) / seconds / 1e9;
    }

    pub fn print(result: *const Result, as_json: bool) void {
        var buffer: [4096]u8 = undefined;
        const text = if (as_json)
            std.fmt.bufPrint(&buffer, "{f}\n", .{std.json.fmt(result.*, .{})})
        else
            result.line(&buffer);
        system.writeAll(1, text catch system.fail("print the result: it is too long", .{}));
    }

    fn line(result: *const Result, buffer: []u8) std.fmt.BufPrintError![]u8 {
        const start = try std.fmt.bufPrint(
            buffer,
            "{s} {s} {s} {d} B: {d:.0}/s, {d:.3} GB/s, {d} in {d:.3} s",
            .{
                result.mode,       result.io,                result.transport, result.size,
                result.per_second, result.gbytes_per_second, result.messages,  result.seconds,
            },
        );
        var length = start.len;
        if (result.rtt_ns) |rtt| length += (try std.fmt.bufPrint(
            buffer[length..],
            "; rtt ns p50 {d} p99 {d} max {d} mean {d:.0}",
            .{ rtt.p50, rtt.p99, rtt.max, rtt.mean },
        )).len;
        if (result.checksum_ok) |ok| length += (try std.fmt.bufPrint(
            buffer[length..],
            "; every byte checked: {s}",
            .{if (ok) "right" else "WRONG"},
        )).len;
        if (result.idle) |idle| length += (try std.fmt.bufPrint(
            buffer[length..],
            "; idle {d:.1} s: cpu {d:.3} ms client, {d:.3} ms server; {d:.0} B a connection",
            .{ idle.seconds, idle.client_cpu_ms, idle.server_cpu_ms, idle.bytes_per_connection },
        )).len;
        length += (try std.fmt.bufPrint(buffer[length..], "\n", .{})).len;
        return buffer[0..length];
    }
};

pub const Idle = struct {
    seconds: f64,
    client_cpu_ms: f64,
    server_cpu_ms: f64,
    /// Growth of both sides' proportional set size from before the connections, and of the
    /// machine's shared memory.
    client_pss_kib: i64,
    server_pss_kib: i64,
    shmem_kib: i64,
    /// Of the two sides together, in user space; the kernel's socket memory is not in it.
    bytes_per_connection: f64,
};

pub fn nsToSeconds(ns: u64) f64 {
    return @as(f64, @floatFromInt(ns)) / 1e9;
}

test "a result prints as JSON that says what it must" {
    var result: Result = .{
        .mode = "stream",
        .io = "poll",
        .server_io = "poll",
        .size = 64,
        .connections = 1,
    };
    result.setRate(10, 640, 1_000_000_000);
    var buffer: [2048]u8 = undefined;
    const text = try std.fmt.bufPrint(&buffer, "{f}", .{std.json.fmt(result, .{})});
    const parsed = try std.json.parseFromSlice(std.json.Value, std.testing.allocator, text, .{});
    defer parsed.deinit();
    try std.testing.expectEqual(10, parsed.value.object.get("messages").?.integer);
    try std.testing.expect(parsed.value.object.get("checksum_ok").? == .null);
}
