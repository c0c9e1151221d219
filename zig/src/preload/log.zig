//! SOCKSDIRECT_LOG=warn|info|debug: one line each on stderr, otherwise silence. Nothing here
//! allocates, takes a lock or touches errno.

const std = @import("std");
const sys = @import("sys.zig");

pub const Level = enum(u8) { silent = 0, warn = 1, info = 2, debug = 3 };

pub var level: Level = .silent;

pub fn setLevel(text: []const u8) void {
    inline for (.{ "silent", "warn", "info", "debug" }) |name| {
        if (std.mem.eql(u8, text, name)) level = @field(Level, name);
    }
}

pub fn warn(comptime format: []const u8, args: anytype) void {
    write(.warn, format, args);
}

pub fn info(comptime format: []const u8, args: anytype) void {
    write(.info, format, args);
}

pub fn debug(comptime format: []const u8, args: anytype) void {
    write(.debug, format, args);
}

inline fn write(comptime at: Level, comptime format: []const u8, args: anytype) void {
    if (@intFromEnum(level) < @intFromEnum(at)) return;
    writeLine(@tagName(at), format, args);
}

noinline fn writeLine(name: []const u8, comptime format: []const u8, args: anytype) void {
    var buffer: [512]u8 = undefined;
    const pid = sys.call(.getpid, .{});
    const head = std.fmt.bufPrint(&buffer, "socksdirect[{d}] {s}: ", .{ pid, name }) catch return;
    const body = std.fmt.bufPrint(buffer[head.len .. buffer.len - 1], format, args) catch
        buffer[head.len..head.len];
    buffer[head.len + body.len] = '\n';
    _ = sys.call(.write, .{ 2, &buffer, head.len + body.len + 1 });
}
