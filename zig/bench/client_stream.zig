//! Streams: as many sized messages as the connection takes, to the server (stream), from it
//! (source) or both ways at once (duplex), by the protocol of transfer.zig.
//!
//! A run of `--seconds` is a row of transfers, each sized by the rate of the one before to take a
//! fifth of the time; a rate counts from each request to its verdict, so that no byte is counted
//! before it is delivered (and checked).

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const pattern = @import("pattern.zig");
const transfer = @import("transfer.zig");
const BlockingSender = @import("server.zig").BlockingSender;
const Client = @import("client.zig").Client;
const Link = @import("link.zig").Link;

const first_messages = 16;

pub fn run(client: *Client) void {
    var link = client.connect();
    defer link.close();
    const options = client.options;
    var streamer: Streamer = .{
        .client = client,
        .link = &link,
        .message = system.allocBytes(options.size),
        .buffer = system.allocBytes(options.recvBytes()),
    };
    system.stage = "warming up";
    const rate = streamer.warmUp();
    client.beginMeasuring();
    streamer.total = .{};
    if (options.bytes > 0) {
        streamer.transferOnce(options.bytes);
    } else if (options.count > 0) {
        streamer.transferOnce(options.count * options.size);
    } else {
        streamer.runFor(client.options.measureNs(), rate);
    }
    client.endMeasuring();
    const total = streamer.total;
    client.result.setRate(total.bytes / options.size, total.bytes, total.elapsed_ns);
    if (options.checksum) client.result.checksum_ok = total.right;
    if (options.checksum and !total.right) {
        system.writeAll(2, "sdbench client: some bytes were not what had been sent\n");
    }
}

const Total = struct { bytes: u64 = 0, elapsed_ns: u64 = 0, right: bool = true };

const Streamer = struct {
    client: *Client,
    link: *Link,
    message: []u8,
    buffer: []u8,
    total: Total = .{},

    /// Single bytes for half of the time, so that a connection that changes its carrier has done
    /// so before much is sent; then transfers of doubling length. Returns the last one's bytes a
    /// second.
    fn warmUp(self: *Streamer) f64 {
        const half = system.nowNs() + self.client.options.warmupNs() / 2;
        while (system.nowNs() < half) self.transferOnce(1);
        self.total = .{};
        var bytes: u64 = first_messages * self.message.len;
        while (true) : (bytes *|= 2) {
            const before = self.total;
            self.transferOnce(bytes);
            const elapsed = @max(self.total.elapsed_ns - before.elapsed_ns, 1);
            const rate = @as(f64, @floatFromInt(bytes)) * 1e9 / @as(f64, @floatFromInt(elapsed));
            if (self.total.elapsed_ns >= self.client.options.warmupNs() / 2) return rate;
        }
    }

    fn runFor(self: *Streamer, wanted_ns: u64, first_rate: f64) void {
        var rate = first_rate;
        while (self.total.elapsed_ns < wanted_ns) {
            const part = rate * self.client.options.seconds / 5;
            const size: f64 = @floatFromInt(self.message.len);
            const messages: u64 = @intFromFloat(@ceil(part / size));
            self.transferOnce(@max(messages, 1) * self.message.len);
            rate = @as(f64, @floatFromInt(self.total.bytes)) * 1e9 /
                @as(f64, @floatFromInt(@max(self.total.elapsed_ns, 1)));
        }
    }

    /// `bytes` in each direction that the mode uses.
    fn transferOnce(self: *Streamer, bytes: u64) void {
        const mode = self.client.mode;
        const checksum = self.client.options.checksum;
        const to_server = if (mode == .source) 0 else bytes;
        const to_client = if (mode == .stream) 0 else bytes;
        const start = system.nowNs();
        self.link.sendAll(std.mem.asBytes(&transfer.Request.init(to_server, to_client, checksum)));
        var sender: transfer.Sender = .{
            .left = to_server,
            .seed = pattern.seed_to_server,
            .checksum = checksum,
            .message = self.message,
        };
        var receiver: transfer.Receiver = .{
            .left = to_client,
            .seed = pattern.seed_to_client,
            .checksum = checksum,
            .buffer = self.buffer,
        };
        if (self.link.poller == null) {
            self.moveBlocking(&sender, &receiver);
        } else {
            self.moveByEvents(&sender, &receiver);
        }
        var verdict: transfer.Verdict = undefined;
        self.link.recvAll(std.mem.asBytes(&verdict));
        self.total.elapsed_ns += system.nowNs() - start;
        self.total.bytes += to_server + to_client;
        self.judge(&verdict, to_server, receiver.first_bad);
    }

    fn judge(self: *Streamer, verdict: *const transfer.Verdict, sent: u64, first_bad: u64) void {
        if (!verdict.valid()) {
            system.fail("the server's verdict is not one: bytes were lost or doubled", .{});
        }
        if (verdict.received != sent) {
            system.fail("the server received {d} bytes of {d}", .{ verdict.received, sent });
        }
        const all_right = transfer.Verdict.all_right;
        if (verdict.first_bad != all_right or first_bad != all_right) self.total.right = false;
    }

    fn moveBlocking(self: *Streamer, sender: *transfer.Sender, receiver: *transfer.Receiver) void {
        var sending: BlockingSender = .{ .fd = self.link.fd, .sender = sender.* };
        if (receiver.left == 0) {
            sending.runToEnd();
        } else {
            // A sender with nothing to send ends at once.
            const thread = system.spawnThread(&BlockingSender.entry, &sending);
            while (receiver.step(self.link.fd) == .moved) {}
            _ = libc.pthread_join(thread, null);
        }
        failIfCut(sending.sender.left, receiver.left);
    }

    fn moveByEvents(self: *Streamer, sender: *transfer.Sender, receiver: *transfer.Receiver) void {
        const link = self.link;
        while (true) {
            const received = receiver.step(link.fd);
            const sent = sender.step(link.fd);
            if (received == .closed or sent == .closed) failIfCut(sender.left, receiver.left);
            if (received == .moved or sent == .moved) continue;
            if (received == .done and sent == .done) break;
            link.waitFor(.{ .read = received == .blocked, .write = sent == .blocked });
        }
        link.rest();
    }

    fn failIfCut(unsent: u64, missing: u64) void {
        if (unsent == 0 and missing == 0) return;
        system.fail(
            "the connection ended with {d} bytes unsent and {d} to come",
            .{ unsent, missing },
        );
    }
};
