//! Does anybody else hold this socket, who does not use it through the library's tables? The kernel
//! counts the holders of an open file and tells nobody, so /proc is asked: every process's
//! descriptors, as far as they can be read. Milliseconds: for rare questions, asked seldom.
//!
//! A process that forks while we walk could hide a child from us only by a process number that the
//! walk has passed already, so there are two walks. Who cannot be looked at (another user's) counts
//! as a holder when it may be one: in `since`, when it is young enough to have inherited the socket.

const std = @import("std");
const conn_module = @import("conn.zig");
const fds = @import("fds.zig");
const holders = @import("holders.zig");
const process = @import("process.zig");
const sys = @import("sys.zig");

const Conn = conn_module.Conn;

pub const Question = union(enum) {
    /// Processes started from this moment on (nowBootNs): what a program started by us can be.
    since: u64,
    /// All processes: somebody gave us the socket.
    everybody,
};

const ticks_per_second = 100; // of /proc/PID/stat, on every Linux that we run on
const link_max = 64;
const names_bytes = 8192;

/// True: certainly nobody. False: somebody, or it cannot be told.
pub fn nobody(c: *Conn, question: Question) bool {
    var buffer: [link_max]u8 = undefined;
    const wanted = linkOf("/proc/self/fd", c.fd, &buffer) orelse return false;
    if (!canSeeAll()) return false;
    for (0..2) |_| if (!walk(c, wanted, question)) return false;
    return true;
}

/// Since the machine was started, sleep included: the clock of /proc/PID/stat.
pub fn nowBootNs() u64 {
    const boottime = 7;
    var now: sys.Timespec = .{};
    _ = sys.call(.clock_gettime, .{ boottime, &now });
    return @as(u64, @intCast(now.sec)) * 1_000_000_000 + @as(u64, @intCast(now.nsec));
}

/// Where processes of others are hidden (hidepid), the first one is.
fn canSeeAll() bool {
    return statOf("1") != null;
}

fn walk(c: *Conn, wanted: []const u8, question: Question) bool {
    var names: Names = .open("/proc");
    defer names.close();
    if (!names.ok()) return false;
    const self = process.id();
    while (names.next()) |name| {
        const pid = std.fmt.parseInt(u32, name, 10) catch continue;
        if (pid == self) {
            if (!onlyOurs(c, wanted)) return false;
        } else if (mayHold(c, pid, name, wanted, question)) return false;
    }
    return true;
}

/// Every descriptor of this process that names the socket is in our table.
fn onlyOurs(c: *Conn, wanted: []const u8) bool {
    var names: Names = .open("/proc/self/fd");
    defer names.close();
    if (!names.ok()) return false;
    var buffer: [link_max]u8 = undefined;
    while (names.next()) |name| {
        const fd = std.fmt.parseInt(c_int, name, 10) catch continue;
        const link = linkAt(names.fd, name, &buffer) orelse continue;
        if (std.mem.eql(u8, link, wanted) and conn_module.find(fd) != c) return false;
    }
    return true;
}

fn mayHold(c: *Conn, pid: u32, name: []const u8, wanted: []const u8, question: Question) bool {
    if (holders.contains(c.end, pid)) return false; // by our tables, with our locks
    const young = switch (question) {
        .since => |start_ns| blk: {
            const stat = statOf(name) orelse return false; // it has ended meanwhile
            if (stat.is_nobody or stat.start_ticks +| 1 < start_ns / (1_000_000_000 / ticks_per_second)) {
                return false;
            }
            break :blk true;
        },
        .everybody => false,
    };
    var path: [32]u8 = undefined;
    const folder = std.fmt.bufPrintSentinel(&path, "/proc/{s}/fd", .{name}, 0) catch return true;
    var names: Names = .open(folder);
    defer names.close();
    if (names.fd == sys.neg(.ACCES) or names.fd == sys.neg(.PERM)) {
        return young or mayHoldUnseen(c, pid, name);
    }
    var buffer: [link_max]u8 = undefined;
    while (names.next()) |entry| {
        const link = linkAt(names.fd, entry, &buffer) orelse continue;
        if (std.mem.eql(u8, link, wanted)) return true;
    }
    return names.fd == sys.neg(.MFILE) or names.fd == sys.neg(.NFILE);
}

/// A process of another user, for a socket that we were given: an ancestor may have kept it, and if
/// another user made the socket, anybody.
fn mayHoldUnseen(c: *Conn, pid: u32, name: []const u8) bool {
    const stat = statOf(name) orelse return false;
    if (stat.is_nobody) return false;
    var owner: [144]u8 align(8) = undefined;
    if (sys.call(.fstat, .{ c.fd, &owner }) < 0) return true;
    const uid_at = if (@import("builtin").cpu.arch == .x86_64) 28 else 24;
    const uid = std.mem.readInt(u32, owner[uid_at..][0..4], .little);
    if (uid != @as(u32, @intCast(sys.call(.geteuid, .{})))) return true;
    return isAncestor(pid);
}

fn isAncestor(pid: u32) bool {
    var at: u32 = @intCast(sys.call(.getppid, .{}));
    for (0..64) |_| {
        if (at == pid) return true;
        var buffer: [12]u8 = undefined;
        const name = std.fmt.bufPrint(&buffer, "{d}", .{at}) catch return true;
        const stat = statOf(name) orelse return false;
        if (stat.parent <= 1) return stat.parent == pid;
        at = stat.parent;
    }
    return true;
}

// ---------------------------------------------------------------------------------------------
// /proc

const Stat = struct {
    parent: u32,
    start_ticks: u64,
    /// A kernel thread, or dead and not reaped: holds no descriptors.
    is_nobody: bool,
};

fn statOf(name: []const u8) ?Stat {
    var path: [32]u8 = undefined;
    const file = std.fmt.bufPrintSentinel(&path, "/proc/{s}/stat", .{name}, 0) catch return null;
    var buffer: [512]u8 = undefined;
    return parseStat(sys.readFile(file.ptr, &buffer) orelse return null);
}

fn parseStat(text: []const u8) ?Stat {
    const kernel_thread = 0x00200000;
    // The name may hold anything: fields are counted from its end.
    const after_name = (std.mem.findScalarLast(u8, text, ')') orelse return null) + 2;
    if (after_name >= text.len) return null;
    var fields = std.mem.tokenizeScalar(u8, text[after_name..], ' ');
    var stat: Stat = .{ .parent = 0, .start_ticks = 0, .is_nobody = false };
    var number: usize = 3;
    while (fields.next()) |field| : (number += 1) switch (number) {
        3 => stat.is_nobody = field[0] == 'Z' or field[0] == 'X',
        4 => stat.parent = std.fmt.parseInt(u32, field, 10) catch return null,
        9 => {
            const flags = std.fmt.parseInt(u64, field, 10) catch return null;
            stat.is_nobody = stat.is_nobody or flags & kernel_thread != 0;
        },
        22 => {
            stat.start_ticks = std.fmt.parseInt(u64, field, 10) catch return null;
            return stat;
        },
        else => {},
    };
    return null;
}

fn linkOf(comptime folder: [:0]const u8, fd: c_int, buffer: *[link_max]u8) ?[]const u8 {
    var path: [48]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&path, folder ++ "/{d}", .{fd}, 0) catch return null;
    return readLink(at_cwd, name, buffer);
}

fn linkAt(folder_fd: isize, name: []const u8, buffer: *[link_max]u8) ?[]const u8 {
    var text: [24]u8 = undefined;
    const ended = std.fmt.bufPrintSentinel(&text, "{s}", .{name}, 0) catch return null;
    return readLink(folder_fd, ended, buffer);
}

fn readLink(folder_fd: isize, name: [:0]const u8, buffer: *[link_max]u8) ?[]const u8 {
    const n = sys.call(.readlinkat, .{ folder_fd, name.ptr, buffer, buffer.len });
    return if (n > 0) buffer[0..@intCast(n)] else null;
}

const at_cwd: isize = -100;
const o_cloexec = 0o2000000;

/// Numeric names in a folder of /proc.
const Names = struct {
    /// Negative errno: it could not be opened.
    fd: isize,
    buffer: [names_bytes]u8 align(8) = undefined,
    len: usize = 0,
    at: usize = 0,

    fn open(path: [:0]const u8) Names {
        const o_directory = 0o200000;
        return .{ .fd = sys.call(.openat, .{ at_cwd, path.ptr, o_cloexec | o_directory }) };
    }

    fn ok(names: *const Names) bool {
        return names.fd >= 0;
    }

    fn close(names: *Names) void {
        if (names.ok()) _ = sys.call(.close, .{names.fd});
    }

    fn next(names: *Names) ?[]const u8 {
        while (names.ok()) {
            if (names.at >= names.len) {
                const n = sys.call(.getdents64, .{ names.fd, &names.buffer, names.buffer.len });
                if (n <= 0) return null;
                names.len = @intCast(n);
                names.at = 0;
            }
            const entry = names.buffer[names.at..names.len];
            names.at += std.mem.readInt(u16, entry[16..18], .little); // d_reclen
            const name = std.mem.sliceTo(entry[19..], 0); // d_name
            if (std.ascii.isDigit(name[0])) return name;
        }
        return null;
    }
};

test "fields of a stat line are counted from the end of the name" {
    const line = "42 (a ) b) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 9 10 1 0 12345 99 1\n";
    const stat = parseStat(line).?;
    try std.testing.expectEqual(7, stat.parent);
    try std.testing.expectEqual(12345, stat.start_ticks);
    try std.testing.expect(!stat.is_nobody);
    try std.testing.expect(parseStat("5 (kworker) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0\n").?.is_nobody);
    try std.testing.expectEqual(null, parseStat("nonsense"));
}

test "this process and the first one are found in /proc" {
    const mine = statOf("self").?;
    try std.testing.expectEqual(@as(u32, @intCast(sys.call(.getppid, .{}))), mine.parent);
    try std.testing.expect(mine.start_ticks * (1_000_000_000 / ticks_per_second) <= nowBootNs());
}
