//! Copies between a ring and the application's memory, which may not be there: a wild pointer, a
//! page without access, a mapped file that was truncated. The kernel answers EFAULT; so must we, and
//! a copy that cannot fault must not pay for those that do.
//!
//! So nothing is asked beforehand. Each copy is a piece of assembly (copy_x86_64.zig,
//! copy_aarch64.zig) whose first and last address are noted in the section `sd_guarded`, as the
//! kernel's own exception table does it. A signal handler (preload/faults.zig) that finds the
//! interrupted instruction in such a piece continues behind it, with the register that says "failed"
//! set. What had been copied by then is in nobody's way: ring bytes are not published yet, and the
//! application is told that its buffer holds nothing.
//!
//! The loop for large copies is our own for that reason; it is no slower than libc's memcpy.

const std = @import("std");
const builtin = @import("builtin");

const machine = switch (builtin.cpu.arch) {
    .x86_64 => @import("copy_x86_64.zig"),
    .aarch64 => @import("copy_aarch64.zig"),
    else => @compileError("write this architecture's guarded copies"),
};

/// True: copied. False: one of the two is not accessible; `target` may have been written in part.
pub inline fn copy(target: [*]u8, source: [*]const u8, len: usize) bool {
    if (len <= 16) return copySmall(target, source, len);
    if (len <= 32) return machine.copyVectors(target, source, len);
    if (len <= 64) return machine.copyVectors(target, source, 32) and
        machine.copyVectors(target + len - 32, source + len - 32, 32);
    return machine.copyLarge(target, source, len);
}

inline fn copySmall(target: [*]u8, source: [*]const u8, len: usize) bool {
    if (len >= 8) return machine.copyWords(u64, target, source, len);
    if (len >= 4) return machine.copyWords(u32, target, source, len);
    if (len >= 2) return machine.copyWords(u16, target, source, len);
    return len == 0 or machine.copyWords(u8, target, source, 1);
}

/// Whether a byte can be written; its value stays.
pub const touch = machine.touch;

/// What the assembly notes about itself: its two ends, relative to the notes.
const Guarded = extern struct { begin: i32, end: i32 };

const table_start = @extern([*]const Guarded, .{ .name = "__start_sd_guarded", .visibility = .hidden });
const table_stop = @extern([*]const Guarded, .{ .name = "__stop_sd_guarded", .visibility = .hidden });

/// Where to continue, with the "failed" register (`rax`, `x0`) set, when the instruction at
/// `address` has faulted; null: it is not part of a copy.
pub fn continuation(address: usize) ?usize {
    for (table_start[0 .. table_stop - table_start]) |*entry| {
        const first = absolute(&entry.begin);
        const last = absolute(&entry.end);
        if (address >= first and address < last) return last;
    }
    return null;
}

fn absolute(relative: *const i32) usize {
    return @intFromPtr(relative) +% @as(usize, @bitCast(@as(isize, relative.*)));
}

test "copy moves every length up to 700 exactly" {
    var source: [700]u8 = undefined;
    for (&source, 0..) |*byte, i| byte.* = @truncate(i *% 31 +% 7);
    for (machine.largeCopies()) |large| {
        var len: usize = 0;
        while (len <= source.len) : (len += 1) {
            var target: [source.len + 2]u8 = @splat(0xaa);
            const done = if (len > 64) large(target[1..].ptr, &source, len) else copy(target[1..].ptr, &source, len);
            try std.testing.expect(done);
            try std.testing.expectEqual(0xaa, target[0]);
            try std.testing.expectEqualSlices(u8, source[0..len], target[1..][0..len]);
            try std.testing.expectEqual(0xaa, target[1 + len]);
        }
    }
}

test "an address outside of copies has no continuation" {
    try std.testing.expectEqual(null, continuation(@intFromPtr(&continuation)));
    try std.testing.expect(table_stop - table_start > 0);
}
