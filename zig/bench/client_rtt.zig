//! Ping-pong: send a message, wait for its echo, repeat. What it measures is the whole path of a
//! small request through both sides' waiting; percentiles come from timed exchanges, the mean from
//! the clock at both ends of the run. With `--think-us` the client sleeps before each exchange, so
//! that the server's wait is a long one; bursts send several messages before they wait.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const turns = @import("turns.zig");
const Client = @import("client.zig").Client;
const Histogram = @import("histogram.zig").Histogram;
const Link = @import("link.zig").Link;
const Options = @import("options.zig").Options;

/// Exchanges between two looks at the time.
const batch_exchanges = 64;
/// A look at the clock distorts an exchange of some hundred ns by half (it waits for everything
/// before it), so that of fast exchanges so many in a row make one sample.
const fast_per_sample = 8;
/// What is fast.
const fast_below_ns = 5_000;

pub fn run(client: *Client) void {
    if (client.options.connections > 1) return @import("client_many.zig").run(client);
    var link = client.connect();
    defer link.close();
    const burst: usize = if (client.mode == .bursts) client.options.burst else 1;
    var ping: PingPong = .{
        .link = &link,
        .messages_each = burst,
        .think_ns = @as(u64, client.options.think_us) * 1000,
        .bytes = newBurst(client.options, burst),
        .echo = system.allocBytes(client.options.replyBytes() * burst),
        .is_echo = client.options.request.len == 0,
        .is_checked = client.options.checksum,
    };
    if (ping.think_ns > 0) system.sleepExactly();
    ping.warmUp(client);
    if (client.mode == .fork_both) {
        measureInChild(client, &ping);
    } else {
        measure(client, &ping);
    }
}

fn newBurst(options: *const Options, messages: usize) []u8 {
    if (messages == 1) return options.newMessage();
    return system.allocBytes(options.size * messages);
}

/// The child uses the connection; the parent, which made it, waits for what the child finds.
fn measureInChild(client: *Client, ping: *PingPong) void {
    const child = system.forkOrFail("to go on in the child");
    if (child == 0) {
        measure(client, ping);
        libc._exit(0);
    }
    var status: c_int = 0;
    while (libc.waitpid(child, &status, 0) < 0) {}
    if (status != 0) system.fail("the child that measured ended with wait status {d}", .{status});
}

fn measure(client: *Client, ping: *PingPong) void {
    ping.left = std.math.divCeil(u64, client.options.count, ping.messages_each) catch unreachable;
    ping.end_ns = system.nowNs() + client.options.measureNs();
    client.beginMeasuring();
    const start = system.nowNs();
    if (client.options.io == .two_threads) {
        turns.take(ping, &PingPong.turn);
    } else {
        while (ping.batch()) {}
    }
    const elapsed = system.nowNs() - start;
    client.endMeasuring();
    const result = client.result;
    const messages = ping.exchanges * ping.messages_each;
    result.setRate(messages, ping.exchanges * (ping.bytes.len + ping.echo.len), elapsed);
    const summary = ping.histogram.summary().averagedOver(ping.per_sample);
    // Of exchanges with pauses between them, only the timed parts count.
    result.rtt_ns = if (ping.think_ns > 0) summary else summary.withMean(elapsed, ping.exchanges);
    if (client.options.checksum) result.checksum_ok = ping.wrong == 0;
}

const PingPong = struct {
    link: *Link,
    /// What one exchange sends: one message, or a burst of them.
    bytes: []u8,
    messages_each: usize,
    echo: []u8,
    /// The server sends back what it gets (and not an answer of its own).
    is_echo: bool,
    /// Echoes are compared: a pass over the data that would be a large message's time.
    is_checked: bool,
    /// Slept before each exchange.
    think_ns: u64,
    histogram: Histogram = .{},
    exchanges: u64 = 0,
    /// Exchanges to do; 0: until `end_ns`.
    left: u64 = 0,
    end_ns: u64 = 0,
    per_sample: u32 = 1,
    /// Echoes that were not what had been sent.
    wrong: u64 = 0,

    fn warmUp(self: *PingPong, client: *Client) void {
        system.stage = "warming up";
        const start = system.nowNs();
        var done: u64 = 0;
        var now = start;
        // The fork that follows must find a connection that has been in use for a while.
        while (now - start < client.options.warmupNs() or done < client.options.fork_after) {
            const before = now;
            for (0..batch_exchanges) |_| self.exchange();
            now = system.nowNs();
            done += batch_exchanges;
            const fast = (now - before) / batch_exchanges < fast_below_ns;
            self.per_sample = if (fast and self.think_ns == 0) fast_per_sample else 1;
        }
    }

    /// False when the run is over.
    fn batch(self: *PingPong) bool {
        const usual: u64 = if (self.think_ns > 0) 1 else batch_exchanges;
        const wanted = if (self.left == 0) usual else @min(self.left, usual);
        var done: u64 = 0;
        while (done < wanted) : (done += self.per_sample) self.sample();
        self.exchanges += done;
        if (self.left == 0) return system.nowNs() < self.end_ns;
        self.left -= wanted;
        return self.left > 0;
    }

    fn turn(context: *anyopaque) bool {
        const self: *PingPong = @ptrCast(@alignCast(context));
        for (0..turns.batch_messages / batch_exchanges) |_| if (!self.batch()) return false;
        return true;
    }

    fn sample(self: *PingPong) void {
        if (self.think_ns > 0) system.sleepNs(self.think_ns);
        const start = system.nowNs();
        for (0..self.per_sample) |_| self.exchange();
        self.histogram.record((system.nowNs() - start) / self.per_sample);
    }

    /// Each message of a burst is a send of its own.
    fn exchange(self: *PingPong) void {
        if (self.is_echo) self.bytes[0] +%= 1;
        const size = self.bytes.len / self.messages_each;
        for (0..self.messages_each) |i| self.link.sendAll(self.bytes[i * size ..][0..size]);
        self.link.recvAll(self.echo);
        if (self.is_checked and libc.memcmp(self.bytes.ptr, self.echo.ptr, self.echo.len) != 0) {
            self.wrong += 1;
        }
    }
};
