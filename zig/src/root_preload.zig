//! Root of libsd.so, the preload library: exports the intercepted libc names (preload/table.zig) and
//! nothing else. See docs/ARCHITECTURE.md for how the parts fit.

const std = @import("std");
const builtin = @import("builtin");
const init = @import("preload/init.zig");
const sys = @import("preload/sys.zig");
const table = @import("preload/table.zig");
const variadic_arm64 = @import("preload/variadic_arm64.zig");

/// The default panic handler would pull half of libc into every program that is preloaded.
pub const panic = std.debug.FullPanic(panicLine);

pub const std_options: std.Options = .{
    .enable_segfault_handler = false,
    .signal_stack_size = null,
    .allow_stack_tracing = false,
};

fn panicLine(message: []const u8, _: ?usize) noreturn {
    const head = "socksdirect: internal error: ";
    _ = sys.call(.write, .{ 2, head, head.len });
    _ = sys.call(.write, .{ 2, message.ptr, message.len });
    _ = sys.call(.write, .{ 2, "\n", 1 });
    const pid = sys.call(.getpid, .{});
    _ = sys.call(.tgkill, .{ pid, sys.call(.gettid, .{}), 6 });
    _ = sys.call(.exit_group, .{134});
    unreachable;
}

comptime {
    for (table.entries) |entry| {
        const in = if (entry.variadic and builtin.cpu.arch == .aarch64) variadic_arm64 else entry.in;
        @export(&@field(in, entry.name), .{ .name = entry.name });
    }
}

const Hook = *const fn () callconv(.c) void;
const constructor: Hook = &init.constructor;
const destructor: Hook = &init.destructor;

comptime {
    @export(&constructor, .{ .name = "sd_constructor", .section = ".init_array", .visibility = .hidden });
    @export(&destructor, .{ .name = "sd_destructor", .section = ".fini_array", .visibility = .hidden });
}
