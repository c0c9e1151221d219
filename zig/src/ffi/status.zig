//! How native functions report to TypeScript: zero or more is success, a negative number is an
//! errno. System calls are made directly (never through libc), so that the library does the same
//! thing when the monitor itself runs under LD_PRELOAD.

const std = @import("std");
const linux = std.os.linux;

pub const Status = i32;

/// The result of a raw system call as a status.
pub fn of(rc: usize) Status {
    const signed: isize = @bitCast(rc);
    return std.math.lossyCast(i32, signed);
}

pub fn failure(code: linux.E) Status {
    return -@as(i32, @intCast(@backingInt(code)));
}

pub fn failed(status: Status) bool {
    return status < 0;
}

test "a system call's error becomes a negative errno" {
    const rc = linux.close(-1);
    try std.testing.expectEqual(failure(.BADF), of(rc));
}

test "a result that does not fit is clamped, never wrapped into an error" {
    try std.testing.expectEqual(std.math.maxInt(i32), of(1 << 40));
}
