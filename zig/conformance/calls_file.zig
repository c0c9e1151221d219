//! Calls that know files and pipes besides sockets, recorded.

const std = @import("std");
const libc = @import("libc.zig");
const text = @import("text.zig");
const Side = @import("side.zig").Side;

/// A file of these bytes, in memory, at its start.
pub fn file(t: *Side, bytes: []const u8) c_int {
    const fd = libc.memfd_create("file", 0);
    if (fd < 0 or libc.write(fd, bytes.ptr, bytes.len) != bytes.len) t.fail("memfd", .{});
    _ = libc.lseek(fd, 0, 0);
    t.label(fd, "file");
    return fd;
}

/// A pipe: [0] is read, [1] written.
pub fn pipe(t: *Side) [2]c_int {
    var fds: [2]c_int = undefined;
    if (libc.pipe(&fds) != 0) t.fail("pipe: {f}", .{text.errno(libc.errno())});
    t.label(fds[0], "pipe out");
    t.label(fds[1], "pipe in");
    return fds;
}

/// At this offset of the file, or at its own (null), which then moves on.
pub fn sendfile(t: *Side, out: c_int, in: c_int, offset: ?c_long, count: usize) isize {
    var at: c_long = offset orelse 0;
    t.begin("sendfile({s}, {s}, {?d}, {d})", .{ t.name(out), t.name(in), offset, count });
    const n = libc.sendfile(out, in, if (offset == null) null else &at, count);
    if (n < 0) return t.result(n);
    t.end(" = {d}, offset {d}, file at {d}", .{ n, at, libc.lseek(in, 0, 1) });
    return n;
}

pub fn splice(t: *Side, in: c_int, out: c_int, count: usize, flags: c_uint) isize {
    t.begin("splice({s}, {s}, {d}, 0x{x})", .{ t.name(in), t.name(out), count, flags });
    return t.result(libc.splice(in, null, out, null, count, flags));
}

pub fn tee(t: *Side, in: c_int, out: c_int, count: usize) isize {
    t.begin("tee({s}, {s}, {d})", .{ t.name(in), t.name(out), count });
    return t.result(libc.tee(in, out, count, 0));
}

pub fn vmsplice(t: *Side, fd: c_int, bytes: []const u8) isize {
    const vector: libc.iovec = .{ .base = @constCast(bytes.ptr), .length = bytes.len };
    t.begin("vmsplice({s}, {f})", .{ t.name(fd), text.bytes(bytes) });
    return t.result(libc.vmsplice(fd, @ptrCast(&vector), 1, 0));
}

pub fn copyFileRange(t: *Side, in: c_int, out: c_int, count: usize) isize {
    t.begin("copy_file_range({s}, {s}, {d})", .{ t.name(in), t.name(out), count });
    return t.result(libc.copy_file_range(in, null, out, null, count, 0));
}

pub fn pread(t: *Side, fd: c_int, comptime count: usize, offset: c_long) isize {
    var buffer: [count]u8 = @splat(0);
    t.begin("pread({s}, {d}, {d})", .{ t.name(fd), count, offset });
    return t.resultBytes(libc.pread(fd, &buffer, count, offset), &buffer);
}

pub fn pwrite(t: *Side, fd: c_int, bytes: []const u8, offset: c_long) isize {
    t.begin("pwrite({s}, {f}, {d})", .{ t.name(fd), text.bytes(bytes), offset });
    return t.result(libc.pwrite(fd, bytes.ptr, bytes.len, offset));
}

pub fn lseek(t: *Side, fd: c_int, offset: c_long, whence: c_int) c_long {
    t.begin("lseek({s}, {d}, {d})", .{ t.name(fd), offset, whence });
    return t.result(libc.lseek(fd, offset, whence));
}

pub fn fsync(t: *Side, fd: c_int) c_int {
    t.begin("fsync({s})", .{t.name(fd)});
    return t.result(libc.fsync(fd));
}

pub fn dup(t: *Side, fd: c_int, label: []const u8) c_int {
    t.begin("dup({s})", .{t.name(fd)});
    return t.resultFd(libc.dup(fd), label);
}

pub fn dup2(t: *Side, old: c_int, new: c_int, label: []const u8) c_int {
    t.begin("dup2({s}, {s})", .{ t.name(old), t.name(new) });
    return t.resultFd(libc.dup2(old, new), label);
}

/// The kind of what is open, as fstat gives it.
pub fn kind(t: *Side, fd: c_int) void {
    var stat: [256]u8 align(8) = @splat(0);
    t.begin("fstat({s})", .{t.name(fd)});
    const code = libc.fstat(fd, &stat);
    if (code < 0) {
        _ = t.result(code);
        return;
    }
    const mode_at: usize = if (@import("builtin").cpu.arch == .x86_64) 24 else 16;
    const mode = std.mem.readInt(u32, stat[mode_at..][0..4], .native);
    t.end(" = {d}, type 0{o}", .{ code, mode & 0o170000 });
}

/// What /proc/self/fd says, without the inode's number.
pub fn link(t: *Side, fd: c_int) void {
    var path: [64]u8 = undefined;
    var target: [256]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&path, "/proc/self/fd/{d}", .{fd}, 0) catch unreachable;
    t.begin("readlink(/proc/self/fd/{s})", .{t.name(fd)});
    const n = libc.readlink(name, &target, target.len);
    if (n < 0) {
        _ = t.result(n);
        return;
    }
    const full = target[0..@intCast(n)];
    t.end(" = {s}", .{full[0 .. std.mem.findScalar(u8, full, '[') orelse full.len]});
}
