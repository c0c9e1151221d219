//! Idle connections: open them, exchange a few messages on each (so that each has its carrier),
//! then wait for nothing. What it measures: CPU time and memory of both sides meanwhile.
//!
//! The client waits as its `--io` does: in poll, select or epoll_wait, or, for blocking, in recv on
//! a second thread while the first sleeps.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const report = @import("report.zig");
const Client = @import("client.zig").Client;
const Link = @import("link.zig").Link;

/// Enough for a connection to be offered, adopted and used on its ring.
const exchanges = 8;
/// Quiet time before the measured idle time, for spinning and late work to end.
const settle_ns = 500_000_000;

const Memory = struct {
    client: system.Memory,
    server: system.Memory,
    shmem_kib: u64,

    fn now(client: *const Client) Memory {
        return .{
            .client = system.memoryOf(libc.getpid()),
            .server = system.memoryOf(client.options.server_pid),
            .shmem_kib = system.shmemKib(),
        };
    }
};

pub fn run(client: *Client) void {
    _ = system.raiseFdLimit();
    const count = client.options.connections;
    const links = system.allocator.alloc(Link, count) catch
        system.fail("open {d} connections: out of memory", .{count});
    const before = Memory.now(client);
    openAndUse(client, links);
    if (client.poller == null) _ = system.spawnThread(&blockInRecv, &links[0]);
    waitIdle(client, settle_ns);

    client.beginMeasuring();
    const start = system.nowNs();
    waitIdle(client, client.options.measureNs());
    client.endMeasuring();
    const elapsed = system.nowNs() - start;
    const after = Memory.now(client);
    client.result.setRate(count * exchanges, count * exchanges * client.options.size * 2, elapsed);
    client.result.idle = summary(client, before, after, elapsed);
}

fn openAndUse(client: *Client, links: []Link) void {
    const message = system.allocBytes(client.options.size);
    const echo = system.allocBytes(client.options.size);
    for (links) |*link| link.* = client.connect();
    system.stage = "exchanging a few messages on each connection";
    // In rounds over all, so that no connection's answer waits for its own first request only.
    for (0..exchanges) |_| for (links) |*link| {
        link.sendAll(message);
        link.recvAll(echo);
    };
}

fn waitIdle(client: *Client, ns: u64) void {
    system.stage = "being idle";
    const poller = client.poller orelse return system.sleepNs(ns);
    const end = system.nowNs() + ns;
    while (true) {
        const now = system.nowNs();
        if (now >= end) return;
        const events = poller.wait(@intCast((end - now) / 1_000_000 + 1));
        for (events) |event| {
            // An edge-triggered registration may tell once that the socket is writable.
            if (event.readable) system.fail("idle connection {d} became readable", .{event.fd});
        }
    }
}

fn blockInRecv(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
    const link: *Link = @ptrCast(@alignCast(argument.?));
    var byte: [1]u8 = undefined;
    _ = libc.recv(link.fd, &byte, 1, 0);
    return null;
}

fn summary(client: *const Client, before: Memory, after: Memory, elapsed_ns: u64) report.Idle {
    const client_kib = growth(before.client.pss_kib, after.client.pss_kib);
    const server_kib = growth(before.server.pss_kib, after.server.pss_kib);
    const count: f64 = @floatFromInt(client.options.connections);
    return .{
        .seconds = report.nsToSeconds(elapsed_ns),
        .client_cpu_ms = client.result.cpu_seconds.client * 1000,
        .server_cpu_ms = client.result.cpu_seconds.server * 1000,
        .client_pss_kib = client_kib,
        .server_pss_kib = server_kib,
        .shmem_kib = growth(before.shmem_kib, after.shmem_kib),
        .bytes_per_connection = @as(f64, @floatFromInt(client_kib + server_kib)) * 1024 / count,
    };
}

fn growth(before: u64, after: u64) i64 {
    return @as(i64, @intCast(after)) - @as(i64, @intCast(before));
}
