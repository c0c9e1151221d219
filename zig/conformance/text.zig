//! How values stand in a transcript: errno by name, flags by name, bytes as text when they are few
//! and otherwise as length and checksum.

const std = @import("std");
const libc = @import("libc.zig");

const bytes_shown_max = 48;

pub const Bytes = struct {
    bytes: []const u8,

    pub fn format(self: Bytes, w: *std.Io.Writer) std.Io.Writer.Error!void {
        if (self.bytes.len > bytes_shown_max) {
            return w.print("<{d} bytes, crc {x:0>8}>", .{ self.bytes.len, std.hash.Crc32.hash(self.bytes) });
        }
        try w.writeByte('"');
        for (self.bytes) |byte| switch (byte) {
            '\n' => try w.writeAll("\\n"),
            '"', '\\' => try w.print("\\{c}", .{byte}),
            else => if (std.ascii.isPrint(byte)) try w.writeByte(byte) else try w.print("\\x{x:0>2}", .{byte}),
        };
        try w.writeByte('"');
    }
};

pub fn bytes(data: []const u8) Bytes {
    return .{ .bytes = data };
}

const Named = struct { c_ulong, []const u8 };

pub const Flags = struct {
    value: c_ulong,
    names: []const Named,

    pub fn format(self: Flags, w: *std.Io.Writer) std.Io.Writer.Error!void {
        if (self.value == 0) return w.writeByte('0');
        var rest = self.value;
        for (self.names) |named| {
            if (rest & named[0] != named[0]) continue;
            if (rest != self.value) try w.writeByte('|');
            try w.writeAll(named[1]);
            rest &= ~named[0];
        }
        if (rest == 0) return;
        if (rest != self.value) try w.writeByte('|');
        try w.print("0x{x}", .{rest});
    }
};

/// MSG_* flags, of a call or of a received message.
pub fn messageFlags(flags: c_int) Flags {
    return .{ .value = @as(c_uint, @bitCast(flags)), .names = &message_flags };
}

/// POLL* events; EPOLL* below 1 << 28 have the same numbers and names.
pub fn events(value: anytype) Flags {
    return .{ .value = @intCast(value), .names = &event_flags };
}

const message_flags = [_]Named{
    .{ libc.MSG_OOB, "OOB" },           .{ libc.MSG_PEEK, "PEEK" },
    .{ libc.MSG_TRUNC, "TRUNC" },       .{ libc.MSG_CTRUNC, "CTRUNC" },
    .{ libc.MSG_DONTWAIT, "DONTWAIT" }, .{ libc.MSG_EOR, "EOR" },
    .{ libc.MSG_WAITALL, "WAITALL" },   .{ libc.MSG_NOSIGNAL, "NOSIGNAL" },
    .{ libc.MSG_MORE, "MORE" },         .{ libc.MSG_ERRQUEUE, "ERRQUEUE" },
    .{ libc.MSG_ZEROCOPY, "ZEROCOPY" }, .{ libc.MSG_WAITFORONE, "WAITFORONE" },
    .{ libc.MSG_FASTOPEN, "FASTOPEN" }, .{ libc.MSG_CMSG_CLOEXEC, "CMSG_CLOEXEC" },
};

const event_flags = [_]Named{
    .{ 0x1, "IN" },          .{ 0x2, "PRI" },      .{ 0x4, "OUT" },
    .{ 0x8, "ERR" },         .{ 0x10, "HUP" },     .{ 0x20, "NVAL" },
    .{ 0x40, "RDNORM" },     .{ 0x80, "RDBAND" },  .{ 0x100, "WRNORM" },
    .{ 0x200, "WRBAND" },    .{ 0x2000, "RDHUP" }, .{ 1 << 28, "EXCLUSIVE" },
    .{ 1 << 30, "ONESHOT" }, .{ 1 << 31, "ET" },
};

/// "EAGAIN", or the number if it has no name.
pub const Errno = struct {
    number: c_int,

    pub fn format(self: Errno, w: *std.Io.Writer) std.Io.Writer.Error!void {
        const number: u16 = @intCast(self.number);
        inline for (@typeInfo(std.os.linux.E).@"enum".field_names) |name| {
            if (@backingInt(@field(std.os.linux.E, name)) == number) {
                return w.writeAll(if (std.mem.eql(u8, name, "SUCCESS")) "0" else "E" ++ name);
            }
        }
        return w.print("errno {d}", .{number});
    }
};

pub fn errno(number: c_int) Errno {
    return .{ .number = number };
}

fn expectText(wanted: []const u8, value: anytype) !void {
    var buffer: [128]u8 = undefined;
    var w: std.Io.Writer = .fixed(&buffer);
    try w.print("{f}", .{value});
    try std.testing.expectEqualStrings(wanted, w.buffered());
}

test "values are shown by name" {
    try expectText("EAGAIN", errno(11));
    try expectText("\"a\\n\\x00\\\"\"", bytes("a\n\x00\""));
    try expectText("PEEK|DONTWAIT", messageFlags(libc.MSG_PEEK | libc.MSG_DONTWAIT));
    try expectText("IN|0x8000", events(@as(u32, 0x8001)));
    const long: [100]u8 = @splat('a');
    try expectText("<100 bytes, crc af707a64>", bytes(&long));
}
