//! A clock for waits: the cpu's counter, scaled once. Reading it costs 9 ns and no system call.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys.zig");

/// Counter ticks for 1024 ns, set by `calibrate`.
var ticks_per_1024_ns: u64 = 2600;

pub inline fn ticks() u64 {
    switch (builtin.cpu.arch) {
        .x86_64 => {
            var low: u32 = undefined;
            var high: u32 = undefined;
            asm volatile ("rdtsc"
                : [low] "={eax}" (low),
                  [high] "={edx}" (high),
            );
            return @as(u64, high) << 32 | low;
        },
        .aarch64 => return asm volatile ("mrs %[out], cntvct_el0"
            : [out] "=r" (-> u64),
        ),
        else => return sys.nowNs(),
    }
}

pub inline fn fromNs(ns: u64) u64 {
    return (ns *% ticks_per_1024_ns) >> 10;
}

pub inline fn toNs(tick_count: u64) u64 {
    return (tick_count << 10) / ticks_per_1024_ns;
}

/// Start of the measurement that `calibrate` ends; two cheap reads at start-up.
var start_ticks: u64 = 0;
var start_ns: u64 = 0;

pub fn begin() void {
    start_ticks = ticks();
    start_ns = sys.nowNs();
}

/// Scales the counter by the time since `begin`. Call when some 100 us or more have passed; before
/// that the guess stands, which only makes spins somewhat longer or shorter.
pub fn calibrate() void {
    const elapsed_ns = sys.nowNs() -% start_ns;
    const elapsed_ticks = ticks() -% start_ticks;
    if (elapsed_ns < 100_000 or elapsed_ns > 1 << 50) return;
    ticks_per_1024_ns = @max(1, (elapsed_ticks >> 4) * 1024 / (elapsed_ns >> 4));
}

test "the counter runs forward and scales to nanoseconds" {
    begin();
    const before = ticks();
    while (sys.nowNs() -% start_ns < 200_000) {}
    calibrate();
    const ns = toNs(ticks() -% before);
    try std.testing.expect(ns > 100_000);
}
