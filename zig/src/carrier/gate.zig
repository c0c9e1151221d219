//! The gate: one 64-bit word a direction that says which carrier the receiver must read, and the
//! stream position where that changes. Both sides change it, by compare-and-swap only.
//!
//!   tcp          the kernel socket carries everything
//!   switching(p) from position p on in the ring; the receiver has not acknowledged yet
//!   ring         acknowledged: the receiver reads the ring and nothing else
//!   busy(p)      the sender is moving ring bytes from p on back to TCP
//!   tcp_final    held on TCP: a program without the library holds this end
//!
//! `want` (recall) accompanies switching(p): the receiver has left and asks the sender to re-send
//! from p over TCP. Invariant: only the receiver leaves `ring` (to tcp or switching); bytes behind
//! `down` go to TCP only after the receiver acknowledged the ring. (PROTOCOL.md, Moving)

pub const Tag = enum(u3) { tcp = 0, switching = 1, ring = 2, busy = 3, tcp_final = 4, _ };

pub const Gate = packed struct(u64) {
    tag: u3 = 0,
    want: bool = false,
    position: u60 = 0,

    pub fn of(tag: Tag, position: u64) Gate {
        return .{ .tag = @intFromEnum(tag), .position = @truncate(position) };
    }

    pub fn wanted(position: u64) Gate {
        return .{ .tag = @intFromEnum(Tag.switching), .want = true, .position = @truncate(position) };
    }

    pub fn kind(gate: Gate) Tag {
        return @enumFromInt(gate.tag);
    }

    /// The sender is in the ring, and the receiver has not followed nor asked it back.
    pub fn isEntering(gate: Gate) bool {
        return gate.kind() == .switching and !gate.want;
    }

    pub fn word(gate: Gate) u64 {
        return @bitCast(gate);
    }

    pub fn from(value: u64) Gate {
        return @bitCast(value);
    }
};

test "a zeroed slot's gate is tcp" {
    const std = @import("std");
    try std.testing.expectEqual(Tag.tcp, Gate.from(0).kind());
    const gate = Gate.from(Gate.wanted(12345).word());
    try std.testing.expectEqual(Tag.switching, gate.kind());
    try std.testing.expect(gate.want);
    try std.testing.expectEqual(12345, gate.position);
}
