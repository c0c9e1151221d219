//! Which process is this? A child of vfork (or of posix_spawn and its like) runs on its parent's
//! memory until it executes: nothing in our tables may follow what it does to its own descriptors.

const sys = @import("sys.zig");

var self: i32 = 0;

/// At start-up and in every child of fork.
pub fn noteSelf() void {
    self = @intCast(sys.call(.getpid, .{}));
}

/// This process, or the parent whose memory a vfork child runs on.
pub fn id() u32 {
    return @intCast(if (self != 0) self else sys.call(.getpid, .{}));
}

/// A system call: for the uncommon paths only.
pub fn inVforkChild() bool {
    return self != 0 and sys.call(.getpid, .{}) != self;
}
