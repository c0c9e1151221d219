//! Connections a second: connect, exchange `--requests` messages, close. Without requests the
//! server closes at once and the client waits for that, so that one connection is open at a time
//! and accept is part of what is measured.

const std = @import("std");
const system = @import("system.zig");
const Client = @import("client.zig").Client;
const Histogram = @import("histogram.zig").Histogram;

pub fn run(client: *Client) void {
    const options = client.options;
    const message = system.allocBytes(options.size);
    const echo = system.allocBytes(options.size);
    var histogram: Histogram = .{};
    const warm_end = system.nowNs() + client.options.warmupNs();
    while (system.nowNs() < warm_end) once(client, message, echo);

    client.beginMeasuring();
    const start = system.nowNs();
    const end = start + client.options.measureNs();
    var now = start;
    var done: u64 = 0;
    while (if (options.count > 0) done < options.count else now < end) : (done += 1) {
        once(client, message, echo);
        const after = system.nowNs();
        histogram.record(after - now);
        now = after;
    }
    client.endMeasuring();
    client.result.setRate(done, done * options.requests * options.size * 2, now - start);
    client.result.rtt_ns = histogram.summary();
}

fn once(client: *Client, message: []const u8, echo: []u8) void {
    var link = client.connect();
    system.stage = "exchanging on a new connection";
    for (0..client.options.requests) |_| {
        link.sendAll(message);
        link.recvAll(echo);
        if (!std.mem.eql(u8, message, echo)) system.fail("a new connection's echo is wrong", .{});
    }
    if (client.options.requests == 0 and link.recvSome(echo) != 0) {
        system.fail("a server that only accepts has sent something", .{});
    }
    link.close();
}
