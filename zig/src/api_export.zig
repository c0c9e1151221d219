//! Writes docs/API.md: every libc function that libsd.so intercepts, from the one table that also
//! makes the exports (preload/table.zig). `zig build api > ../docs/API.md` renews it; a test fails
//! when it is stale.
//!
//! The text is made at compile time, with the columns padded as `deno fmt` pads them, so that the
//! checked-in page passes the format check as it is.

const std = @import("std");
const options = @import("preload/options.zig");
const sys = @import("preload/sys.zig");
const table = @import("preload/table.zig");

/// The order of the page. A namespace of the table that is missing here is a compile error.
const option_groups = .{
    .{ options.Call.sockopt, sys.SOL_SOCKET, "Options of level SOL_SOCKET" },
    .{ options.Call.sockopt, sys.IPPROTO_TCP, "Options of level IPPROTO_TCP" },
    .{ options.Call.ioctl, 0, "Requests of ioctl" },
    .{ options.Call.fcntl, 0, "Commands of fcntl" },
};

const groups = .{
    .{ @import("preload/api_socket.zig"), "api_socket.zig", "Making, naming and ending sockets and descriptors" },
    .{ @import("preload/api_create.zig"), "api_create.zig", "Making other descriptors" },
    .{ @import("preload/api_io.zig"), "api_io.zig", "Moving bytes" },
    .{ @import("preload/api_wait.zig"), "api_wait.zig", "Waiting for several descriptors" },
    .{ @import("preload/api_process.zig"), "api_process.zig", "Processes, libc's own insides, signals, the end" },
    .{ @import("preload/api_alias.zig"), "api_alias.zig", "Further names" },
};

const head =
    \\# Intercepted functions
    \\
    \\<!-- Written by `deno task api` from zig/src/preload/table.zig; do not edit. -->
    \\
    \\These libc names, and no others, are exported by `libsd.so`. A call on a descriptor that the library
    \\does not track goes straight to the next definition, which is libc's. What each name does for a
    \\tracked TCP connection:
    \\
    \\- **accelerated**: served from the ring in shared memory while the connection rides on one.
    \\- **followed**: passed on to libc; the library takes note of what it changes.
    \\- **moves to TCP**: hands the connection to code that does not go through the library, so the
    \\  connection moves back to kernel TCP first and stays there.
    \\
    \\Every other function of libc that can touch a socket passes through, each with its reason, in
    \\[`tests/passes_through.ts`](../tests/passes_through.ts); differences from Linux that users can
    \\notice are in [COMPATIBILITY.md](COMPATIBILITY.md).
    \\
;

const options_head =
    \\
    \\## Options
    \\
    \\`zig/src/preload/options.zig`
    \\
    \\What setsockopt, getsockopt, ioctl and fcntl mean for a connection on a ring:
    \\
    \\- **accelerated**: holds on the ring too, or tells about its bytes.
    \\- **passed**: the kernel's answer, or its effect on the socket underneath, is what is wanted.
    \\- **moves to TCP**: only the kernel can do that; the connection is plain TCP from then on, also when
    \\  time stamps or SIGIO were asked for before connect or listen.
    \\
    \\Options of other levels (IP, IPv6) are about packets and addresses, and are passed.
    \\
;

const text = generate();

fn generate() []const u8 {
    @setEvalBranchQuota(2_000_000);
    comptime {
        checkGroups();
        var out: []const u8 = head;
        for (groups) |group| {
            out = out ++ "\n## " ++ group[2] ++ "\n\n`zig/src/preload/" ++ group[1] ++ "`\n\n";
            out = out ++ generateTable(group[0]);
        }
        out = out ++ options_head;
        for (option_groups) |group| {
            out = out ++ "\n### " ++ group[2] ++ "\n\n" ++ generateOptions(group[0], group[1]);
        }
        return out;
    }
}

fn checkGroups() void {
    comptime for (table.entries) |entry| {
        const known = for (groups) |group| {
            if (group[0] == entry.in) break true;
        } else false;
        if (!known) @compileError("api_export.zig: no group for the namespace of " ++ entry.name);
    };
}

fn generateTable(comptime in: type) []const u8 {
    comptime {
        var rows: []const [3][]const u8 = &.{.{ "function", "how", "note" }};
        for (table.entries) |entry| {
            if (entry.in != in) continue;
            rows = rows ++ .{.{ "`" ++ entry.name ++ "`", howText(entry.how), entry.note }};
        }
        return generateRows(rows);
    }
}

fn generateRows(comptime rows: []const [3][]const u8) []const u8 {
    comptime {
        const widths = columnWidths(rows);
        var out: []const u8 = generateRow(rows[0], widths);
        out = out ++ generateRow(.{ dashes(widths[0]), dashes(widths[1]), dashes(widths[2]) }, widths);
        for (rows[1..]) |row| out = out ++ generateRow(row, widths);
        return out;
    }
}

fn generateOptions(comptime call: options.Call, comptime level: i32) []const u8 {
    comptime {
        var rows: []const [3][]const u8 = &.{.{ "option", "how", "note" }};
        for (options.entries) |option| {
            if (option.call != call or option.level != level) continue;
            rows = rows ++ .{.{ "`" ++ option.name ++ "`", optionHow(option.how), option.note }};
        }
        return generateRows(rows);
    }
}

fn optionHow(comptime how: options.How) []const u8 {
    return switch (how) {
        .accelerated => "accelerated",
        .passed => "passed",
        .moves_to_tcp => "moves to TCP",
    };
}

fn howText(comptime how: table.How) []const u8 {
    return switch (how) {
        .accelerated => "accelerated",
        .followed => "followed",
        .moves_to_tcp => "moves to TCP",
    };
}

fn columnWidths(comptime rows: []const [3][]const u8) [3]usize {
    comptime {
        var widths: [3]usize = @splat(3);
        for (rows) |row| for (row, &widths) |cell, *width| {
            if (std.mem.indexOfScalar(u8, cell, '|') != null) @compileError("a cell may not hold a bar: " ++ cell);
            width.* = @max(width.*, characters(cell));
        };
        return widths;
    }
}

fn generateRow(comptime cells: [3][]const u8, comptime widths: [3]usize) []const u8 {
    comptime {
        var out: []const u8 = "|";
        for (cells, widths) |cell, width| {
            const fill: [width - characters(cell)]u8 = @splat(' ');
            out = out ++ " " ++ cell ++ fill ++ " |";
        }
        return out ++ "\n";
    }
}

fn dashes(comptime width: usize) []const u8 {
    const line: [width]u8 = @splat('-');
    return &line;
}

fn characters(comptime cell: []const u8) usize {
    return std.unicode.utf8CountCodepoints(cell) catch unreachable; // our own literals
}

pub fn main() u8 {
    var rest: []const u8 = text;
    while (rest.len > 0) {
        const rc = std.os.linux.write(1, rest.ptr, rest.len);
        if (std.os.linux.errno(rc) != .SUCCESS) return 1;
        rest = rest[rc..];
    }
    return 0;
}

test "every entry of the table is on the page, once" {
    inline for (table.entries) |entry| {
        const cell = "| `" ++ entry.name ++ "`";
        try std.testing.expectEqual(1, std.mem.count(u8, text, cell));
    }
}
