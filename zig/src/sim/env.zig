//! The environment in which the carrier code runs here instead of `carrier/native.zig`: the same
//! operations, but on the simulated machine, and with faults that can be switched in.

const machine = @import("machine.zig");
const native = @import("../carrier/native.zig");

pub const Faults = native.Faults;

/// The fault under test; none while something is to hold.
pub var active: Faults = .{};

pub const Sizes = struct {
    ring_bytes: u64,
    /// What the ring begins with; null: all of it.
    initial: ?u64 = null,
    hot_window_bytes: u64,
};

pub fn SimEnv(comptime sizes: Sizes) type {
    return struct {
        pub const ring_bytes: u64 = sizes.ring_bytes;
        pub const ring_bytes_initial: u64 = sizes.initial orelse sizes.ring_bytes;
        pub const hot_window_bytes: u64 = sizes.hot_window_bytes;
        pub const window_bytes: u64 = sizes.hot_window_bytes;
        pub const bulk_bytes: u64 = sizes.ring_bytes + 1;
        pub const faults: *const Faults = &active;

        pub const Order = native.Native.Order;

        pub fn load(comptime _: Order, word: *const u64) u64 {
            return machine.load(u64, word);
        }

        pub fn store(comptime order: Order, word: *u64, value: u64) void {
            machine.store(u64, word, value, order == .acquire_or_release);
        }

        pub fn cas(word: *u64, expected: u64, new: u64) ?u64 {
            const old = machine.modify(word, .{ .cas = .{ .expected = expected, .new = new } });
            return if (old == expected) null else old;
        }

        pub fn exchange(word: *u64, new: u64) u64 {
            return machine.modify(word, .{ .exchange = new });
        }

        pub fn bitOr(word: *u64, bits: u64) u64 {
            return machine.modify(word, .{ .bit_or = bits });
        }

        pub fn fence() void {
            machine.fence();
        }

        pub fn compilerFence() void {}

        pub fn hasBarrierFromAfar() bool {
            return true;
        }

        pub fn fenceEverywhere() void {
            machine.fenceEverywhere();
        }

        pub fn fenceAfterRmw() void {
            machine.fence();
        }

        /// Prefetching changes nothing that anybody can see.
        pub fn prefetchWrite(_: *const anyopaque) void {}

        pub const Ring = [*]u8;

        pub fn at(ring: Ring, index: u64) [*]u8 {
            return ring + index;
        }

        pub fn contiguous(index: u64, len: u64, size: u64) u64 {
            return @min(len, size - index);
        }

        pub fn copyIn(ring: Ring, index: u64, source: []const u8) bool {
            checkRange(index, source.len);
            for (source, index..) |byte, i| machine.store(u8, &ring[i], byte, false);
            return true;
        }

        pub fn copyOut(ring: Ring, index: u64, target: []u8) bool {
            checkRange(index, target.len);
            for (target, index..) |*byte, i| byte.* = @truncate(machine.load(u8, &ring[i]));
            return true;
        }

        fn checkRange(index: u64, len: u64) void {
            if (index < ring_bytes and len <= ring_bytes - index) return;
            if (index <= ring_bytes and len == 0) return;
            machine.fail("copies {d} bytes at {d}, ring has {d}", .{ len, index, ring_bytes });
        }
    };
}
