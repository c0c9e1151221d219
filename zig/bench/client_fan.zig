//! Fan-in and fan-out: streams over all connections at once, to one server (fan-in) or from it
//! (fan-out), in one event loop on each side. Each connection makes one transfer after the other
//! (transfer.zig); what counts is what a verdict has confirmed, so that no byte is counted while it
//! still lies in a buffer. Level-triggered only: an edge-triggered loop would stay with the first
//! connection that never runs dry.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const pattern = @import("pattern.zig");
const transfer = @import("transfer.zig");
const Client = @import("client.zig").Client;
const Link = @import("link.zig").Link;

/// Messages of one transfer: so many that its request and its verdict count little, and so few that
/// every one of a thousand connections confirms several in a short run.
fn messagesEach(connections: u32) u64 {
    return std.math.clamp(16_384 / connections, 16, 256);
}

/// Steps on one connection before the others get their turn.
const steps_max = 64;

pub fn run(client: *Client) void {
    _ = system.raiseFdLimit();
    var fan = Fan.open(client);
    system.stage = "warming up";
    for (fan.peers) |*peer| fan.advance(peer);
    fan.runUntil(system.nowNs() + client.options.warmupNs());
    fan.confirmed_bytes = 0;
    client.beginMeasuring();
    const start = system.nowNs();
    fan.runUntil(start + client.options.measureNs());
    const elapsed = system.nowNs() - start;
    client.endMeasuring();
    const messages = fan.confirmed_bytes / client.options.size;
    client.result.setRate(messages, fan.confirmed_bytes, elapsed);
    if (client.options.checksum) client.result.checksum_ok = fan.all_right;
}

const Fan = struct {
    client: *Client,
    peers: []Peer,
    /// Index into `peers` by descriptor.
    by_fd: std.ArrayList(u32) = .empty,
    confirmed_bytes: u64 = 0,
    all_right: bool = true,

    fn open(client: *Client) Fan {
        const options = client.options;
        const peers = system.allocator.alloc(Peer, options.connections) catch
            system.fail("open {d} connections: out of memory", .{options.connections});
        var self: Fan = .{ .client = client, .peers = peers };
        // One buffer for all: what is checked, is checked before the next connection's turn.
        const message = system.allocBytes(options.size);
        const buffer = system.allocBytes(options.recvBytes());
        for (peers, 0..) |*peer, index| {
            peer.* = .{ .link = client.connect(), .message = message, .buffer = buffer };
            peer.begin(client);
            const fd: usize = @intCast(peer.link.fd);
            while (self.by_fd.items.len <= fd) self.by_fd.append(system.allocator, 0) catch
                system.fail("open {d} connections: out of memory", .{peers.len});
            self.by_fd.items[fd] = @intCast(index);
        }
        return self;
    }

    fn runUntil(self: *Fan, end_ns: u64) void {
        while (system.nowNs() < end_ns) {
            for (self.client.poller.?.wait(-1)) |event| {
                self.advance(&self.peers[self.by_fd.items[@intCast(event.fd)]]);
            }
        }
    }

    /// Does what can be done now on one connection, and has the poller wait for the rest.
    fn advance(self: *Fan, peer: *Peer) void {
        for (0..steps_max) |_| {
            const progress = switch (peer.stage) {
                .request => peer.sendRequest(),
                .streams => peer.stream(),
                .verdict => peer.takeVerdict(),
            };
            switch (progress) {
                .moved => {},
                .wait_readable => return peer.link.setInterest(.{}),
                .wait_writable => return peer.link.setInterest(.{ .write = true }),
                .confirmed => self.confirm(peer),
            }
        }
        // Its turn is over: what is readable or writable still, the poller says again.
        const sends = peer.stage == .request or peer.sender.left > 0;
        peer.link.setInterest(.{ .read = true, .write = sends });
    }

    fn confirm(self: *Fan, peer: *Peer) void {
        const all_right = transfer.Verdict.all_right;
        if (!peer.verdict.valid() or peer.verdict.received != peer.request.to_server_bytes) {
            system.fail("the server received {d} bytes of {d}", .{
                peer.verdict.received,
                peer.request.to_server_bytes,
            });
        }
        if (peer.verdict.first_bad != all_right or peer.receiver.first_bad != all_right) {
            self.all_right = false;
        }
        self.confirmed_bytes += peer.request.to_server_bytes + peer.request.to_client_bytes;
        peer.begin(self.client);
    }
};

const Progress = enum { moved, wait_readable, wait_writable, confirmed };

const Peer = struct {
    link: Link,
    stage: enum { request, streams, verdict } = .request,
    /// Bytes of `request` or of `verdict` that have gone or come.
    done: usize = 0,
    request: transfer.Request = undefined,
    verdict: transfer.Verdict = undefined,
    sender: transfer.Sender = undefined,
    receiver: transfer.Receiver = undefined,
    message: []u8,
    buffer: []u8,

    /// The next transfer's start.
    fn begin(self: *Peer, client: *const Client) void {
        const bytes = messagesEach(client.options.connections) * self.message.len;
        const checksum = client.options.checksum;
        const inward = client.mode == .fan_in;
        const to_server = if (inward) bytes else 0;
        self.stage = .request;
        self.done = 0;
        self.request = .init(to_server, bytes - to_server, checksum);
        self.sender = .{
            .left = self.request.to_server_bytes,
            .seed = pattern.seed_to_server,
            .checksum = checksum,
            .message = self.message,
        };
        self.receiver = .{
            .left = self.request.to_client_bytes,
            .seed = pattern.seed_to_client,
            .checksum = checksum,
            .buffer = self.buffer,
        };
    }

    fn sendRequest(self: *Peer) Progress {
        const bytes = std.mem.asBytes(&self.request)[self.done..];
        const n = libc.send(self.link.fd, bytes.ptr, bytes.len, libc.MSG_NOSIGNAL);
        if (n < 0) return self.afterError(.wait_writable);
        self.done += @intCast(n);
        if (n < bytes.len) return .moved;
        self.stage = .streams;
        return .moved;
    }

    fn stream(self: *Peer) Progress {
        const received = self.receiver.step(self.link.fd);
        const sent = self.sender.step(self.link.fd);
        if (received == .closed or sent == .closed) self.failClosed();
        if (received == .moved or sent == .moved) return .moved;
        if (sent == .blocked) return .wait_writable;
        if (received == .blocked) return .wait_readable;
        self.stage = .verdict;
        self.done = 0;
        return .moved;
    }

    fn takeVerdict(self: *Peer) Progress {
        const bytes = std.mem.asBytes(&self.verdict)[self.done..];
        const n = libc.recv(self.link.fd, bytes.ptr, bytes.len, 0);
        if (n == 0) self.failClosed();
        if (n < 0) return self.afterError(.wait_readable);
        self.done += @intCast(n);
        return if (n == bytes.len) .confirmed else .moved;
    }

    fn afterError(self: *Peer, when_blocked: Progress) Progress {
        return switch (libc.errno()) {
            libc.EINTR => .moved,
            libc.EAGAIN => when_blocked,
            else => self.failClosed(),
        };
    }

    fn failClosed(self: *Peer) noreturn {
        system.fail("connection {d} ended during a transfer: {s}", .{
            self.link.fd,
            libc.errorText(),
        });
    }
};
