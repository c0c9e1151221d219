//! The bytes of a checked stream: each depends on its position, so that a lost, doubled, reordered
//! or foreign byte shows at once and at the place where it happened.
//!
//! Byte p is byte (p mod 8) of a 64-bit word made from p / 8 and a seed. The word is a sum, so that
//! the compiler makes SIMD of both loops: checking costs about as much as one more pass over the
//! data. The two directions of a connection use different seeds.

const std = @import("std");

pub const seed_to_server: u64 = 0x5d_0c_a1_1e_d5_eb_ba_11;
pub const seed_to_client: u64 = 0xc1_1e_47_0b_ad_f0_0d_55;

const step: u64 = 0x9e3779b97f4a7c15;

fn word(seed: u64, index: u64) u64 {
    return seed +% index *% step;
}

fn byteAt(seed: u64, position: u64) u8 {
    return @truncate(word(seed, position / 8) >> @intCast(position % 8 * 8));
}

/// Writes the bytes of the stream from `position` on.
pub fn fill(seed: u64, position: u64, out: []u8) void {
    const head = headLength(position, out.len);
    for (out[0..head], 0..) |*byte, i| byte.* = byteAt(seed, position + i);

    const words = (out.len - head) / 8;
    const first = (position + head) / 8;
    for (0..words) |i| {
        std.mem.writeInt(u64, out[head + i * 8 ..][0..8], word(seed, first + i), .little);
    }
    for (out[head + words * 8 ..], head + words * 8..) |*byte, i| {
        byte.* = byteAt(seed, position + i);
    }
}

/// Index of the first byte that is not what the stream has at that place; null if all are right.
pub fn firstMismatch(seed: u64, position: u64, in: []const u8) ?usize {
    const head = headLength(position, in.len);
    const words = (in.len - head) / 8;
    const first = (position + head) / 8;
    var difference: u64 = 0;
    for (0..words) |i| {
        const got = std.mem.readInt(u64, in[head + i * 8 ..][0..8], .little);
        difference |= got ^ word(seed, first + i);
    }
    for (in[0..head], 0..) |byte, i| difference |= byte ^ byteAt(seed, position + i);
    for (in[head + words * 8 ..], head + words * 8..) |byte, i| {
        difference |= byte ^ byteAt(seed, position + i);
    }
    if (difference == 0) return null;
    for (in, 0..) |byte, i| if (byte != byteAt(seed, position + i)) return i;
    unreachable; // difference was not zero, so a byte differs
}

/// Bytes before the next multiple of eight.
fn headLength(position: u64, length: usize) usize {
    return @min(length, @as(usize, @intCast((8 - position % 8) % 8)));
}

test "any cut of the stream is filled and accepted alike" {
    var whole: [200]u8 = undefined;
    fill(seed_to_server, 1000, &whole);
    for (0..40) |from| for (from..200) |to| {
        var piece: [200]u8 = undefined;
        fill(seed_to_server, 1000 + from, piece[0 .. to - from]);
        try std.testing.expectEqualSlices(u8, whole[from..to], piece[0 .. to - from]);
        const wrong = firstMismatch(seed_to_server, 1000 + from, whole[from..to]);
        try std.testing.expectEqual(null, wrong);
    };
}

test "every changed byte is found where it is" {
    var bytes: [77]u8 = undefined;
    for (0..bytes.len) |i| {
        fill(seed_to_client, 13, &bytes);
        bytes[i] ^= 0x10;
        try std.testing.expectEqual(i, firstMismatch(seed_to_client, 13, &bytes));
    }
}

test "lost, doubled, swapped and foreign bytes are found" {
    var bytes: [64]u8 = undefined;
    fill(seed_to_server, 0, &bytes);
    const one_lost = bytes[1..];
    try std.testing.expect(firstMismatch(seed_to_server, 0, one_lost) != null);
    try std.testing.expect(firstMismatch(seed_to_server, 1, bytes[0..16]) != null);
    try std.testing.expect(firstMismatch(seed_to_server, 256, &bytes) != null);
    std.mem.swap(u8, &bytes[9], &bytes[40]);
    try std.testing.expectEqual(9, firstMismatch(seed_to_server, 0, &bytes));
    fill(seed_to_client, 0, &bytes);
    try std.testing.expect(firstMismatch(seed_to_server, 0, &bytes) != null);
}
