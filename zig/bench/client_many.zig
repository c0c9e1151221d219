//! Ping-pong over many connections in event loops: how a load generator such as redis-benchmark
//! works. Each loop is a thread with a poller and connections of its own (`--threads`); in each, all
//! connections have one message on the way, or so many at once as `--active` says, in turn. A
//! latency here includes the time that an echo waits until the loop comes to it.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const Client = @import("client.zig").Client;
const Histogram = @import("histogram.zig").Histogram;
const Options = @import("options.zig").Options;
const Poller = @import("poller.zig").Poller;
const link_module = @import("link.zig");
const Link = link_module.Link;

/// Exchanges on each connection before anything is measured: enough for it to change its carrier.
const settling_exchanges = 8;

pub fn run(client: *Client) void {
    _ = system.raiseFdLimit();
    const count = client.options.threads;
    const loops = system.allocator.alloc(Loop, count) catch
        system.fail("start {d} event loops: out of memory", .{count});
    for (loops, 0..) |*loop, index| loop.* = Loop.init(client, shareOf(client.options, index));
    for (loops[1..]) |*loop| loop.thread = system.spawnThread(&Loop.entry, loop);
    loops[0].settle();
    for (loops[1..]) |*loop| loop.waitUntilSettled();

    client.beginMeasuring();
    const start = system.nowNs();
    for (loops) |*loop| loop.end_ns = start + client.options.measureNs();
    for (loops[1..]) |*loop| loop.go();
    loops[0].measure();
    for (loops[1..]) |*loop| _ = libc.pthread_join(loop.thread, null);
    const elapsed = system.nowNs() - start;
    client.endMeasuring();
    report(client, loops, elapsed);
}

/// What one of the loops has of a number that is for all of them.
fn shareOf(options: *const Options, index: usize) Share {
    return .{
        .connections = part(options.connections, options.threads, index),
        .active = @max(1, part(options.active, options.threads, index)),
        .count = part(options.count, options.threads, index),
    };
}

const Share = struct { connections: u64, active: u64, count: u64 };

fn part(whole: u64, parts: u64, index: usize) u64 {
    return whole / parts + @intFromBool(index < whole % parts);
}

fn report(client: *Client, loops: []const Loop, elapsed_ns: u64) void {
    var all: Histogram = .{};
    for (loops) |*loop| all.add(&loop.histogram);
    const exchange_bytes = loops[0].message.len + loops[0].echo.len;
    client.result.setRate(all.total, all.total * exchange_bytes, elapsed_ns);
    client.result.rtt_ns = all.summary();
}

const Peer = struct { link: Link, have: usize = 0, sent_ns: u64 = 0, is_waiting: bool = false };

const Loop = struct {
    client: *Client,
    share: Share,
    poller: Poller,
    peers: []Peer,
    /// Index into `peers` by descriptor.
    by_fd: std.ArrayList(u32) = .empty,
    message: []u8,
    echo: []u8,
    histogram: Histogram = .{},
    /// Connections with a message on the way, how many there should be, and who is next.
    waiting: usize = 0,
    active: usize = 0,
    next: usize = 0,
    end_ns: u64 = 0,
    thread: usize = 0,
    settled: libc.Semaphore = .{},
    started: libc.Semaphore = .{},

    fn init(client: *Client, share: Share) Loop {
        const options = client.options;
        var self: Loop = .{
            .client = client,
            .share = share,
            .poller = Poller.initNested(options.io, options.epolls),
            .peers = system.allocator.alloc(Peer, share.connections) catch
                system.fail("open {d} connections: out of memory", .{share.connections}),
            .message = options.newMessage(),
            .echo = system.allocBytes(options.replyBytes()),
        };
        _ = libc.sem_init(&self.settled, 0, 0);
        _ = libc.sem_init(&self.started, 0, 0);
        return self;
    }

    fn entry(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
        const self: *Loop = @ptrCast(@alignCast(argument.?));
        self.settle();
        _ = libc.sem_post(&self.settled);
        while (libc.sem_wait(&self.started) != 0) {}
        self.measure();
        return null;
    }

    fn waitUntilSettled(self: *Loop) void {
        while (libc.sem_wait(&self.settled) != 0) {}
    }

    fn go(self: *Loop) void {
        _ = libc.sem_post(&self.started);
    }

    /// Opens the connections, uses each for a while, then goes on as it will be measured.
    fn settle(self: *Loop) void {
        self.open();
        system.stage = "warming up";
        self.active = self.peers.len;
        self.sendMore(system.nowNs());
        self.runUntil(std.math.maxInt(u64), self.peers.len * settling_exchanges);
        if (self.client.options.active > 0) self.active = @min(self.share.active, self.peers.len);
        self.runUntil(system.nowNs() + self.client.options.warmupNs(), std.math.maxInt(u64));
        self.histogram = .{};
    }

    fn open(self: *Loop) void {
        for (self.peers, 0..) |*peer, index| {
            peer.* = .{ .link = self.client.connectIn(&self.poller) };
            const fd: usize = @intCast(peer.link.fd);
            while (self.by_fd.items.len <= fd) self.by_fd.append(system.allocator, 0) catch
                system.fail("open {d} connections: out of memory", .{self.peers.len});
            self.by_fd.items[fd] = @intCast(index);
        }
    }

    fn measure(self: *Loop) void {
        if (self.share.count > 0) {
            self.runUntil(std.math.maxInt(u64), self.share.count);
        } else {
            self.runUntil(self.end_ns, std.math.maxInt(u64));
        }
    }

    /// Until the time is over or so many echoes have come.
    fn runUntil(self: *Loop, end_ns: u64, messages_max: u64) void {
        var now = system.nowNs();
        while (now < end_ns and self.histogram.total < messages_max) {
            const events = self.poller.wait(-1);
            now = system.nowNs();
            for (events) |event| {
                const peer = &self.peers[self.by_fd.items[@intCast(event.fd)]];
                if (event.readable) self.receive(peer, now);
            }
        }
    }

    /// Takes what is there; a complete echo lets the next message go.
    fn receive(self: *Loop, peer: *Peer, now_ns: u64) void {
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
            peer.is_waiting = false;
            self.waiting -= 1;
            if (self.active == self.peers.len) self.sendOn(peer, now_ns) else self.sendMore(now_ns);
            if (!peer.link.isEdgeTriggered()) return;
        }
    }

    /// Sends on further connections, in turn, until as many wait as should.
    fn sendMore(self: *Loop, now_ns: u64) void {
        while (self.waiting < self.active) {
            const peer = &self.peers[self.next];
            self.next = (self.next + 1) % self.peers.len;
            if (!peer.is_waiting) self.sendOn(peer, now_ns);
        }
    }

    fn sendOn(self: *Loop, peer: *Peer, now_ns: u64) void {
        peer.have = 0;
        peer.sent_ns = now_ns;
        peer.is_waiting = true;
        self.waiting += 1;
        peer.link.sendAll(self.message);
    }
};

test "shares of a number add up to it" {
    var sum: u64 = 0;
    for (0..3) |index| sum += part(10, 3, index);
    try std.testing.expectEqual(10, sum);
    try std.testing.expectEqual(4, part(10, 3, 0));
}
