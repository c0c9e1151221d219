//! Latencies in fixed memory: each power of two is cut into 64 equal parts, so that a percentile is
//! at most 1.6 % off whatever the range, and recording is a shift and an increment.

const std = @import("std");

pub const Summary = struct {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    min: u64,
    max: u64,
    mean: f64,
    samples: u64,
    /// Each sample is the mean of so many exchanges in a row.
    exchanges_per_sample: u32 = 1,

    /// With the mean over everything, timed or not.
    pub fn withMean(summary: Summary, elapsed_ns: u64, count: u64) Summary {
        var out = summary;
        out.mean = @as(f64, @floatFromInt(elapsed_ns)) / @as(f64, @floatFromInt(@max(count, 1)));
        return out;
    }

    pub fn averagedOver(summary: Summary, exchanges: u32) Summary {
        var out = summary;
        out.exchanges_per_sample = exchanges;
        return out;
    }
};

pub const Histogram = struct {
    counts: [groups * parts]u64 = @splat(0),
    total: u64 = 0,
    sum: u64 = 0,
    min: u64 = std.math.maxInt(u64),
    max: u64 = 0,

    const parts = 64;
    /// Up to 2^40 ns, 18 minutes.
    const groups = 36;

    pub fn record(self: *Histogram, value: u64) void {
        self.counts[@min(indexOf(value), self.counts.len - 1)] += 1;
        self.total += 1;
        self.sum += value;
        self.min = @min(self.min, value);
        self.max = @max(self.max, value);
    }

    /// As if everything that `other` has had been recorded here.
    pub fn add(self: *Histogram, other: *const Histogram) void {
        for (&self.counts, other.counts) |*mine, theirs| mine.* += theirs;
        self.total += other.total;
        self.sum += other.sum;
        self.min = @min(self.min, other.min);
        self.max = @max(self.max, other.max);
    }

    /// The value that this part of all samples does not exceed.
    pub fn percentile(self: *const Histogram, part: f64) u64 {
        if (self.total == 0) return 0;
        const exact: f64 = @ceil(part * @as(f64, @floatFromInt(self.total)));
        const wanted: u64 = @max(1, @as(u64, @intFromFloat(exact)));
        var seen: u64 = 0;
        for (self.counts, 0..) |count, index| {
            seen += count;
            if (seen >= wanted) return std.math.clamp(valueOf(index), self.min, self.max);
        }
        return self.max;
    }

    pub fn summary(self: *const Histogram) Summary {
        const total: f64 = @floatFromInt(@max(self.total, 1));
        return .{
            .p50 = self.percentile(0.50),
            .p90 = self.percentile(0.90),
            .p99 = self.percentile(0.99),
            .p999 = self.percentile(0.999),
            .min = if (self.total == 0) 0 else self.min,
            .max = self.max,
            .mean = @as(f64, @floatFromInt(self.sum)) / total,
            .samples = self.total,
        };
    }

    /// Values below 64 have a place each; above, the top six bits after the first choose the part.
    fn indexOf(value: u64) usize {
        if (value < parts) return @intCast(value);
        const shift: u6 = @intCast(63 - @clz(value) - 6);
        return (@as(usize, shift) + 1) * parts + @as(usize, @intCast((value >> shift) - parts));
    }

    /// Middle of the values that share a place.
    fn valueOf(index: usize) u64 {
        if (index < parts) return index;
        const shift: u6 = @intCast(index / parts - 1);
        const low = (@as(u64, index % parts) + parts) << shift;
        return low + (@as(u64, 1) << shift) / 2;
    }
};

test "a value comes back within one part in 64" {
    var value: u64 = 1;
    while (value < 1 << 39) : (value = value * 5 / 4 + 1) {
        const back = Histogram.valueOf(Histogram.indexOf(value));
        const error_part = @abs(@as(f64, @floatFromInt(back)) / @as(f64, @floatFromInt(value)) - 1);
        try std.testing.expect(error_part < 1.0 / 64.0);
    }
}

test "percentiles of a known row" {
    var h: Histogram = .{};
    for (1..1001) |i| h.record(i * 1000);
    const s = h.summary();
    try std.testing.expectApproxEqRel(500_000.0, @as(f64, @floatFromInt(s.p50)), 0.02);
    try std.testing.expectApproxEqRel(990_000.0, @as(f64, @floatFromInt(s.p99)), 0.02);
    try std.testing.expectEqual(1000, s.min);
    try std.testing.expectEqual(1_000_000, s.max);
    try std.testing.expectApproxEqRel(500_500.0, s.mean, 0.001);
}

test "two histograms added are one of all samples" {
    var low: Histogram = .{};
    var high: Histogram = .{};
    for (1..501) |i| low.record(i);
    for (501..1001) |i| high.record(i);
    low.add(&high);
    try std.testing.expectEqual(1000, low.total);
    try std.testing.expectEqual(1, low.min);
    try std.testing.expectEqual(1000, low.max);
    try std.testing.expectApproxEqRel(500.0, @as(f64, @floatFromInt(low.percentile(0.5))), 0.02);
}

test "an empty histogram has zeroes" {
    const h: Histogram = .{};
    try std.testing.expectEqual(0, h.summary().min);
    try std.testing.expectEqual(0, h.summary().p50);
}
