//! Calls with vectors, message headers and several messages at once, recorded.

const std = @import("std");
const libc = @import("libc.zig");
const text = @import("text.zig");
const Side = @import("side.zig").Side;

const parts_max = 16;

pub fn writev(t: *Side, fd: c_int, parts: []const []const u8) isize {
    var vectors: [parts_max]libc.iovec = undefined;
    beginParts(t, "writev", fd, parts);
    return t.result(libc.writev(fd, &vectors, fill(&vectors, parts)));
}

/// writev of this many entries of `each` bytes, and of an address that only the count needs.
pub fn writevMany(t: *Side, fd: c_int, count: usize, each: []const u8) isize {
    const vectors = std.heap.c_allocator.alloc(libc.iovec, count) catch t.fail("no memory", .{});
    defer std.heap.c_allocator.free(vectors);
    for (vectors) |*v| v.* = .{ .base = @constCast(each.ptr), .length = each.len };
    t.begin("writev({s}, {d} times {f})", .{ t.name(fd), count, text.bytes(each) });
    return t.result(libc.writev(fd, vectors.ptr, @intCast(count)));
}

/// readv into this many entries of `size` bytes.
pub fn readvMany(t: *Side, fd: c_int, count: usize, comptime size: usize) isize {
    const vectors = std.heap.c_allocator.alloc(libc.iovec, count) catch t.fail("no memory", .{});
    defer std.heap.c_allocator.free(vectors);
    const buffer = t.memory(@max(count * size, 1));
    defer t.free(buffer);
    for (vectors, 0..) |*v, i| v.* = .{ .base = buffer.ptr + i * size, .length = size };
    t.begin("readv({s}, {d} times {d})", .{ t.name(fd), count, size });
    return t.resultBytes(libc.readv(fd, vectors.ptr, @intCast(count)), buffer);
}

pub fn readv(t: *Side, fd: c_int, comptime sizes: []const usize) isize {
    var buffer: [total(sizes)]u8 = @splat(0);
    var vectors: [parts_max]libc.iovec = undefined;
    t.begin("readv({s}, {any})", .{ t.name(fd), sizes });
    return t.resultBytes(libc.readv(fd, &vectors, spread(&vectors, sizes, &buffer)), &buffer);
}

/// preadv2 with offset -1: as readv, with flags.
pub fn preadv2(t: *Side, fd: c_int, comptime sizes: []const usize, flags: c_int) isize {
    var buffer: [total(sizes)]u8 = @splat(0);
    var vectors: [parts_max]libc.iovec = undefined;
    const count = spread(&vectors, sizes, &buffer);
    t.begin("preadv2({s}, {any}, -1, 0x{x})", .{ t.name(fd), sizes, flags });
    return t.resultBytes(libc.preadv2(fd, &vectors, count, -1, flags), &buffer);
}

pub fn pwritev2(t: *Side, fd: c_int, parts: []const []const u8, flags: c_int) isize {
    var vectors: [parts_max]libc.iovec = undefined;
    beginParts(t, "pwritev2", fd, parts);
    return t.result(libc.pwritev2(fd, &vectors, fill(&vectors, parts), -1, flags));
}

pub fn sendmsg(t: *Side, fd: c_int, parts: []const []const u8, flags: c_int) isize {
    var vectors: [parts_max]libc.iovec = undefined;
    const header: libc.msghdr = .{ .vectors = &vectors, .count = @intCast(fill(&vectors, parts)) };
    beginParts(t, "sendmsg", fd, parts);
    return t.result(libc.sendmsg(fd, &header, flags));
}

/// recvmsg with room for a name and control data: what comes in them is recorded too.
pub fn recvmsg(t: *Side, fd: c_int, comptime sizes: []const usize, flags: c_int) isize {
    var buffer: [@max(1, total(sizes))]u8 = @splat(0);
    var vectors: [parts_max]libc.iovec = undefined;
    var name: [128]u8 = undefined;
    var control: [256]u8 align(8) = undefined;
    var header: libc.msghdr = .{
        .name = &name,
        .name_length = name.len,
        .vectors = &vectors,
        .count = @intCast(spread(&vectors, sizes, &buffer)),
        .control = &control,
        .control_length = control.len,
    };
    t.begin("recvmsg({s}, {any}, {f})", .{ t.name(fd), sizes, text.messageFlags(flags) });
    const n = libc.recvmsg(fd, &header, flags);
    if (n < 0) return t.result(n);
    t.end(" = {d} {f}, flags {f}, name {d}, control {d}", .{
        n,
        text.bytes(buffer[0..@min(buffer.len, @as(usize, @intCast(n)))]),
        text.messageFlags(header.flags),
        header.name_length,
        header.control_length,
    });
    return n;
}

/// recvmsg with so much room for control data, of which the bytes in the queue (TCP_INQ) are recorded.
pub fn recvLeft(t: *Side, fd: c_int, comptime size: usize, room: usize, flags: c_int) isize {
    var buffer: [@max(1, size)]u8 = @splat(0);
    var vectors: [parts_max]libc.iovec = undefined;
    var control: [64]u8 align(8) = @splat(0xee);
    var header: libc.msghdr = .{
        .name = null,
        .name_length = 0,
        .vectors = &vectors,
        .count = @intCast(spread(&vectors, &.{size}, &buffer)),
        .control = &control,
        .control_length = @intCast(room),
    };
    t.begin("recvmsg({s}, {d}, {f}), room for {d} of control", .{ t.name(fd), size, text.messageFlags(flags), room });
    const n = libc.recvmsg(fd, &header, flags);
    if (n < 0) return t.result(n);
    t.end(" = {d} {f}, flags {f}, control {d}: length {d}, level {d}, type {d}, value {d}", .{
        n,
        text.bytes(buffer[0..@min(buffer.len, @as(usize, @intCast(n)))]),
        text.messageFlags(header.flags),
        header.control_length,
        std.mem.readInt(u64, control[0..8], .little),
        std.mem.readInt(i32, control[8..12], .little),
        std.mem.readInt(i32, control[12..16], .little),
        std.mem.readInt(i32, control[16..20], .little),
    });
    return n;
}

pub fn sendto(t: *Side, fd: c_int, bytes: []const u8, flags: c_int) isize {
    const address: libc.sockaddr_in = .{ .port_be = 0x0900, .address = .{ 127, 0, 0, 9 } };
    t.begin("sendto({s}, {f}, {f}, an address)", .{
        t.name(fd),
        text.bytes(bytes),
        text.messageFlags(flags),
    });
    return t.result(libc.sendto(fd, bytes.ptr, bytes.len, flags, &address, @sizeOf(libc.sockaddr_in)));
}

/// recvfrom with room for an address: TCP leaves it, and says that it has none.
pub fn recvfrom(t: *Side, fd: c_int, comptime count: usize, flags: c_int) isize {
    var buffer: [count]u8 = @splat(0);
    var address: [16]u8 align(8) = @splat(0xee);
    var length: u32 = address.len;
    t.begin("recvfrom({s}, {d}, {f})", .{ t.name(fd), count, text.messageFlags(flags) });
    const n = libc.recvfrom(fd, &buffer, count, flags, &address, &length);
    if (n < 0) return t.result(n);
    const touched = !std.mem.allEqual(u8, &address, 0xee);
    const filled = buffer[0..@min(count, @as(usize, @intCast(n)))];
    t.end(" = {d} {f}, address length {d}, {s}", .{
        n,
        text.bytes(filled),
        length,
        if (touched) "written" else "untouched",
    });
    return n;
}

/// sendmmsg of one part each.
pub fn sendmmsg(t: *Side, fd: c_int, messages: []const []const u8, flags: c_int) c_int {
    var vectors: [parts_max]libc.iovec = undefined;
    var headers: [parts_max]libc.mmsghdr = undefined;
    _ = fill(&vectors, messages);
    for (headers[0..messages.len], vectors[0..messages.len]) |*h, *v| {
        h.* = .{ .header = .{ .vectors = @ptrCast(v), .count = 1 } };
    }
    beginParts(t, "sendmmsg", fd, messages);
    const n = libc.sendmmsg(fd, &headers, @intCast(messages.len), flags);
    if (n < 0) return t.result(n);
    var lengths: [parts_max]c_uint = undefined;
    for (headers[0..@intCast(n)], lengths[0..@intCast(n)]) |h, *length| length.* = h.length;
    t.end(" = {d} {any}", .{ n, lengths[0..@intCast(n)] });
    return n;
}

/// recvmmsg of `count` messages of `size` bytes; no timeout if null.
pub fn recvmmsg(
    t: *Side,
    fd: c_int,
    comptime count: usize,
    comptime size: usize,
    flags: c_int,
    timeout_ms: ?c_long,
) c_int {
    var buffers: [count][size]u8 = @splat(@splat(0));
    var vectors: [count]libc.iovec = undefined;
    var headers: [count]libc.mmsghdr = undefined;
    for (&headers, &vectors, &buffers) |*h, *v, *buffer| {
        v.* = .{ .base = buffer, .length = size };
        h.* = .{ .header = .{ .vectors = @ptrCast(v), .count = 1 } };
    }
    var timeout: libc.timespec = .{ .sec = 0, .nsec = (timeout_ms orelse 0) * 1_000_000 };
    t.begin("recvmmsg({s}, {d} of {d}, {f}, {?d})", .{
        t.name(fd),
        count,
        size,
        text.messageFlags(flags),
        timeout_ms,
    });
    const n = libc.recvmmsg(fd, &headers, count, flags, if (timeout_ms == null) null else &timeout);
    if (n < 0) return t.result(n);
    var lengths: [count]c_uint = undefined;
    var all: [count * size]u8 = undefined;
    var at: usize = 0;
    for (headers[0..@intCast(n)], lengths[0..@intCast(n)], buffers[0..@intCast(n)]) |h, *length, *b| {
        length.* = h.length;
        @memcpy(all[at..][0..h.length], b[0..h.length]);
        at += h.length;
    }
    t.end(" = {d} {any} {f}", .{ n, lengths[0..@intCast(n)], text.bytes(all[0..at]) });
    return n;
}

fn beginParts(t: *Side, comptime call: []const u8, fd: c_int, parts: []const []const u8) void {
    var buffer: [256]u8 = undefined;
    var w: std.Io.Writer = .fixed(&buffer);
    for (parts, 0..) |part, i| {
        if (i > 0) w.writeAll(", ") catch {};
        w.print("{f}", .{text.bytes(part)}) catch {};
    }
    t.begin(call ++ "({s}, [{s}])", .{ t.name(fd), w.buffered() });
}

fn fill(vectors: *[parts_max]libc.iovec, parts: []const []const u8) c_int {
    for (vectors[0..parts.len], parts) |*v, part| {
        v.* = .{ .base = @constCast(part.ptr), .length = part.len };
    }
    return @intCast(parts.len);
}

fn spread(vectors: *[parts_max]libc.iovec, sizes: []const usize, buffer: []u8) c_int {
    var at: usize = 0;
    for (vectors[0..sizes.len], sizes) |*v, size| {
        v.* = .{ .base = buffer.ptr + at, .length = size };
        at += size;
    }
    return @intCast(sizes.len);
}

fn total(comptime sizes: []const usize) usize {
    var sum: usize = 0;
    for (sizes) |size| sum += size;
    return sum;
}
