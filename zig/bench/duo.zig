//! Ping-pong and streams between two processes over a channel that is no socket: the harness of the
//! bare ring (bare_ring.zig) and of pipes (pipe.zig). A channel has two ends of two directions:
//!
//!   Channel.open() Channel      before the fork, seen by both processes
//!   channel.near() End          the parent's end: its sender and its receiver
//!   channel.far() End           the child's
//!   End.send([]const u8), End.recv([]u8)    whole messages

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const report = @import("report.zig");
const Histogram = @import("histogram.zig").Histogram;
const Options = @import("options.zig").Options;
const Result = report.Result;

/// Exchanges between two looks at the clock, which would distort a single short one by half.
const exchanges_per_sample = 8;
/// A channel whose exchanges take longer than this has each of them timed by itself.
const fast_below_ns = 5_000;

const Mode = enum { rtt, stream };

pub fn run(comptime Channel: type, comptime name: []const u8, options: *const Options) void {
    const parseEnum = @import("options.zig").parseEnum;
    const mode = parseEnum(Mode, "mode", if (options.mode.len == 0) "rtt" else options.mode);
    var duo: Duo(Channel) = .{ .options = options, .message = system.allocBytes(options.size) };
    var result: Result = .{
        .mode = @tagName(mode),
        .io = "blocking",
        .server_io = "blocking",
        .transport = name,
        .size = options.size,
        .connections = options.connections,
    };
    switch (mode) {
        .rtt => duo.measureRtt(&result),
        .stream => duo.measureStream(&result),
    }
    result.client_rss_kib = system.memoryOf(libc.getpid()).rss_kib;
    result.print(options.json);
}

fn Duo(comptime Channel: type) type {
    return struct {
        options: *const Options,
        message: []u8,
        histogram: Histogram = .{},
        per_sample: u32 = 1,

        const Self = @This();

        fn measureRtt(self: *Self, result: *Result) void {
            var channel = Channel.open();
            const child = system.forkOrFail("of the echoing side");
            if (child == 0) self.echoForEver(&channel);
            self.pin(0);
            var end = channel.near();
            if (self.options.think_us > 0) system.sleepExactly();
            self.chooseSample(&end);
            _ = self.pingFor(&end, self.options.warmupNs());
            self.histogram = .{};
            const cpu = CpuClock.start(child);
            const start = system.nowNs();
            const count = self.pingFor(&end, self.options.measureNs());
            const elapsed = system.nowNs() - start;
            cpu.stop(result);
            endChild(child);
            result.setRate(count, count * self.message.len * 2, elapsed);
            const summary = self.histogram.summary().averagedOver(self.per_sample);
            const pauses = self.options.think_us > 0;
            result.rtt_ns = if (pauses) summary else summary.withMean(elapsed, count);
        }

        fn chooseSample(self: *Self, end: anytype) void {
            const start = system.nowNs();
            for (0..exchanges_per_sample) |_| self.exchange(end);
            const each = (system.nowNs() - start) / exchanges_per_sample;
            const fast = each < fast_below_ns and self.options.think_us == 0;
            self.per_sample = if (fast) exchanges_per_sample else 1;
        }

        fn pingFor(self: *Self, end: anytype, wanted_ns: u64) u64 {
            const limit = system.nowNs() + wanted_ns;
            var count: u64 = 0;
            while (system.nowNs() < limit) : (count += self.per_sample) {
                if (self.options.think_us > 0) {
                    system.sleepNs(@as(u64, self.options.think_us) * 1000);
                }
                const before = system.nowNs();
                for (0..self.per_sample) |_| self.exchange(end);
                self.histogram.record((system.nowNs() - before) / self.per_sample);
            }
            return count;
        }

        fn exchange(self: *Self, end: anytype) void {
            end.send(self.message);
            end.recv(self.message);
        }

        fn echoForEver(self: *Self, channel: *Channel) noreturn {
            self.pin(1);
            var end = channel.far();
            while (true) {
                end.recv(self.message);
                end.send(self.message);
            }
        }

        /// From the child to the parent, which counts what it has received.
        fn measureStream(self: *Self, result: *Result) void {
            var channel = Channel.open();
            const child = system.forkOrFail("of the sending side");
            if (child == 0) {
                self.pin(1);
                var end = channel.far();
                while (true) end.send(self.message);
            }
            self.pin(0);
            var end = channel.near();
            _ = self.receiveFor(&end, self.options.warmupNs());
            const cpu = CpuClock.start(child);
            const start = system.nowNs();
            const count = self.receiveFor(&end, self.options.measureNs());
            const elapsed = system.nowNs() - start;
            cpu.stop(result);
            endChild(child);
            result.setRate(count, count * self.message.len, elapsed);
        }

        fn receiveFor(self: *Self, end: anytype, wanted_ns: u64) u64 {
            const limit = system.nowNs() + wanted_ns;
            const batch = @max(1, (1 << 20) / self.message.len);
            var count: u64 = 0;
            while (system.nowNs() < limit) : (count += batch) {
                for (0..batch) |_| {
                    end.recv(self.message);
                    std.mem.doNotOptimizeAway(self.message.ptr);
                }
            }
            return count;
        }

        fn pin(self: *const Self, side: usize) void {
            _ = system.pinToCpu(if (self.options.one_cpu) 0 else side);
        }
    };
}

/// CPU time of this process and of the other.
const CpuClock = struct {
    child: c_int,
    mine_ns: u64,
    theirs_ns: u64,

    fn start(child: c_int) CpuClock {
        return .{
            .child = child,
            .mine_ns = system.cpuNs(libc.getpid()),
            .theirs_ns = system.cpuNs(child),
        };
    }

    fn stop(self: *const CpuClock, result: *Result) void {
        result.cpu_seconds = .{
            .client = report.nsToSeconds(system.cpuNs(libc.getpid()) -| self.mine_ns),
            .server = report.nsToSeconds(system.cpuNs(self.child) -| self.theirs_ns),
        };
    }
};

pub fn endChild(pid: c_int) void {
    _ = libc.kill(pid, libc.SIGKILL);
    _ = libc.waitpid(pid, null, 0);
}
