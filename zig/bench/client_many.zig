//! Ping-pong over many connections in one event loop, one message on the way on each: how a load
//! generator such as redis-benchmark works. A latency here includes the time that an echo waits
//! until the loop comes to it.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const Client = @import("client.zig").Client;
const Histogram = @import("histogram.zig").Histogram;
const link_module = @import("link.zig");
const Link = link_module.Link;

const Peer = struct { link: Link, have: usize = 0, sent_ns: u64 = 0 };

pub fn run(client: *Client) void {
    _ = system.raiseFdLimit();
    var many = Many.init(client);
    many.sendOnEach();
    system.stage = "warming up";
    many.runUntil(system.nowNs() + client.options.warmupNs(), std.math.maxInt(u64));
    many.histogram = .{};
    many.messages = 0;
    client.beginMeasuring();
    const start = system.nowNs();
    if (client.options.count > 0) {
        many.runUntil(std.math.maxInt(u64), client.options.count);
    } else {
        many.runUntil(start + client.options.measureNs(), std.math.maxInt(u64));
    }
    const elapsed = system.nowNs() - start;
    client.endMeasuring();
    client.result.setRate(many.messages, many.messages * client.options.size * 2, elapsed);
    client.result.rtt_ns = many.histogram.summary();
}

const Many = struct {
    client: *Client,
    peers: []Peer,
    /// Index into `peers` by descriptor.
    by_fd: std.AutoHashMapUnmanaged(c_int, u32) = .empty,
    message: []u8,
    echo: []u8,
    histogram: Histogram = .{},
    messages: u64 = 0,

    fn init(client: *Client) Many {
        const count = client.options.connections;
        var self: Many = .{
            .client = client,
            .peers = system.allocator.alloc(Peer, count) catch
                system.fail("open {d} connections: out of memory", .{count}),
            .message = system.allocBytes(client.options.size),
            .echo = system.allocBytes(client.options.size),
        };
        for (self.peers, 0..) |*peer, index| {
            peer.* = .{ .link = client.connect() };
            self.by_fd.put(system.allocator, peer.link.fd, @intCast(index)) catch
                system.fail("open {d} connections: out of memory", .{count});
        }
        return self;
    }

    fn sendOnEach(self: *Many) void {
        for (self.peers) |*peer| self.sendOn(peer, system.nowNs());
    }

    fn sendOn(self: *Many, peer: *Peer, now_ns: u64) void {
        peer.have = 0;
        peer.sent_ns = now_ns;
        peer.link.sendAll(self.message);
    }

    /// Until the time is over or so many echoes have come.
    fn runUntil(self: *Many, end_ns: u64, messages_max: u64) void {
        var now = system.nowNs();
        while (now < end_ns and self.messages < messages_max) {
            const events = self.client.poller.?.wait(-1);
            now = system.nowNs();
            for (events) |event| {
                if (event.readable) self.receive(&self.peers[self.by_fd.get(event.fd).?], now);
            }
        }
    }

    /// Takes what is there; a complete echo is answered with the next message.
    fn receive(self: *Many, peer: *Peer, now_ns: u64) void {
        while (true) {
            const n = libc.recv(peer.link.fd, self.echo.ptr, self.echo.len - peer.have, 0);
            if (n == 0) system.fail("the server closed connection {d}", .{peer.link.fd});
            if (n < 0) switch (libc.errno()) {
                libc.EAGAIN, libc.EINTR => return,
                else => link_module.failRecv(self.echo.len),
            };
            peer.have += @intCast(n);
            if (peer.have < self.echo.len) continue;
            self.histogram.record(now_ns -| peer.sent_ns);
            self.messages += 1;
            self.sendOn(peer, now_ns);
            if (!peer.link.isEdgeTriggered()) return;
        }
    }
};
