//! The environment of the real library: memory operations are the machine's, nothing is faulty.
//!
//! The carrier code (gate, wake, sender, receiver) takes such an environment as a comptime
//! parameter. The interleaving test passes another one, in which every operation is a scheduling
//! point and stores sit in a store buffer first; both instantiate the same source.

const std = @import("std");
const builtin = @import("builtin");
const constants = @import("../constants.zig");

pub const Native = struct {
    pub const ring_bytes: u64 = constants.ring_bytes;
    pub const hot_window_bytes: u64 = constants.hot_window_bytes;
    pub const faults: Faults = .{};

    pub const Order = enum { relaxed, acquire_or_release };

    pub inline fn load(comptime order: Order, word: *const u64) u64 {
        return switch (order) {
            .relaxed => @atomicLoad(u64, word, .monotonic),
            .acquire_or_release => @atomicLoad(u64, word, .acquire),
        };
    }

    pub inline fn store(comptime order: Order, word: *u64, value: u64) void {
        switch (order) {
            .relaxed => @atomicStore(u64, word, value, .monotonic),
            .acquire_or_release => @atomicStore(u64, word, value, .release),
        }
    }

    /// Null when `word` was `expected` and now is `new`; else what it was.
    pub inline fn cas(word: *u64, expected: u64, new: u64) ?u64 {
        return @cmpxchgStrong(u64, word, expected, new, .acq_rel, .acquire);
    }

    pub inline fn exchange(word: *u64, new: u64) u64 {
        return @atomicRmw(u64, word, .Xchg, new, .acq_rel);
    }

    pub inline fn bitOr(word: *u64, bits: u64) u64 {
        return @atomicRmw(u64, word, .Or, bits, .acq_rel);
    }

    /// Full barrier: no later load may be satisfied before earlier stores are visible.
    pub inline fn fence() void {
        switch (builtin.cpu.arch) {
            // A locked no-op on the own stack: 3 ns where mfence takes 21.
            .x86_64 => asm volatile ("lock orl $0, -8(%%rsp)" ::: .{ .memory = true }),
            .aarch64 => asm volatile ("dmb ish" ::: .{ .memory = true }),
            else => @compileError("name this architecture's full barrier"),
        }
    }

    pub inline fn copyIn(ring: [*]u8, index: u64, source: []const u8) void {
        copy(ring + index, source.ptr, source.len);
    }

    pub inline fn copyOut(ring: [*]const u8, index: u64, target: []u8) void {
        copy(target.ptr, ring + index, target.len);
    }

    extern "c" fn memcpy(noalias target: *anyopaque, noalias source: *const anyopaque, n: usize) *anyopaque;

    /// Small copies are inline moves: a call through the PLT costs more than they do.
    inline fn copy(target: [*]u8, source: [*]const u8, len: usize) void {
        if (len <= 16) return copySmall(target, source, len);
        if (len <= 64) {
            const Block = @Vector(16, u8);
            var offset: usize = 0;
            while (offset + 16 <= len) : (offset += 16) {
                const block: Block = source[offset..][0..16].*;
                target[offset..][0..16].* = block;
            }
            const tail: Block = source[len - 16 ..][0..16].*;
            target[len - 16 ..][0..16].* = tail;
            return;
        }
        _ = memcpy(target, source, len);
    }

    inline fn copySmall(target: [*]u8, source: [*]const u8, len: usize) void {
        if (len >= 8) return copyEnds(u64, target, source, len);
        if (len >= 4) return copyEnds(u32, target, source, len);
        if (len >= 2) return copyEnds(u16, target, source, len);
        if (len == 1) target[0] = source[0];
    }

    /// Two moves, one from either end, that overlap in the middle.
    inline fn copyEnds(comptime T: type, target: [*]u8, source: [*]const u8, len: usize) void {
        const size = @sizeOf(T);
        const first: *align(1) const T = @ptrCast(source);
        const last: *align(1) const T = @ptrCast(source + len - size);
        const first_value = first.*;
        const last_value = last.*;
        @as(*align(1) T, @ptrCast(target)).* = first_value;
        @as(*align(1) T, @ptrCast(target + len - size)).* = last_value;
    }
};

/// The known-bad variants of the models in PROTOCOL.md, switched on only in the interleaving test,
/// which must find each of them.
pub const Faults = struct {
    /// Leave the ring before the receiver has acknowledged the switch (m1 NO_ACK).
    no_ack: bool = false,
    /// "Ring empty and recv() == 0, so EOF" without looking again (m1 NAIVE_EOF).
    naive_eof: bool = false,
    /// Jump to the ring at SWITCH(p ahead) when TCP ended (m1 NO_GAP).
    no_gap: bool = false,
    /// Giving ring bytes back does not look at `attn` (m1 NO_GBWAKE).
    no_give_back_wake: bool = false,
    /// The sender ignores RDHUP (m1 NO_RDHUP).
    no_rdhup: bool = false,
    /// The thread that offers or adopts does not ring local sleepers (m1 NOKICK).
    no_kick: bool = false,
    /// No barrier between publishing WANT and reading head (m2 NOMB).
    no_recall_barrier: bool = false,
    /// Leave without waiting for the re-send (m2 NOWAIT).
    no_recall_wait: bool = false,
    /// A full kernel leaves bytes of the current call in the ring (m2 NOROLL).
    no_unpublish: bool = false,
    /// Take a recall back without CAS (m2 NOCAS).
    no_cancel_cas: bool = false,
    /// No barrier between publishing and reading `attn` (m3).
    no_producer_fence: bool = false,
    /// No barrier between arming and the second look (m3).
    no_consumer_fence: bool = false,
    /// Load base before head (m4 BASEFIRST).
    base_before_head: bool = false,
    /// Rewind without looking at tail (m4 EAGER).
    eager_rewind: bool = false,
    /// The producer clears the sleeper's word, then rings (m5 PCLR).
    producer_clears: bool = false,
    /// Publish before the copy (m5 HEADFIRST).
    head_first: bool = false,
    /// A survivor takes a dead holder's lock over and goes on without `recover`.
    no_recover: bool = false,
};

test "copy moves every length up to 300 exactly" {
    var source: [300]u8 = undefined;
    for (&source, 0..) |*byte, i| byte.* = @truncate(i *% 31 +% 7);
    var len: usize = 0;
    while (len <= 300) : (len += 1) {
        var target: [302]u8 = @splat(0xaa);
        Native.copy(target[1..].ptr, &source, len);
        try std.testing.expectEqual(0xaa, target[0]);
        try std.testing.expectEqualSlices(u8, source[0..len], target[1..][0..len]);
        try std.testing.expectEqual(0xaa, target[1 + len]);
    }
}
