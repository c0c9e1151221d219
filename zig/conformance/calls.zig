//! The calls of a stream, recorded: one line each, with arguments, value, errno and bytes.
//!
//! `sendAll`, `recvAll` and `recvToEnd` stand for as many calls as it takes and are one line:
//! how a stream is cut into pieces is nobody's promise.

const std = @import("std");
const libc = @import("libc.zig");
const text = @import("text.zig");
const Side = @import("side.zig").Side;

pub fn send(t: *Side, fd: c_int, bytes: []const u8, flags: c_int) isize {
    t.begin("send({s}, {f}, {f})", .{ t.name(fd), text.bytes(bytes), text.messageFlags(flags) });
    return t.result(libc.send(fd, bytes.ptr, bytes.len, flags));
}

pub fn write(t: *Side, fd: c_int, bytes: []const u8) isize {
    t.begin("write({s}, {f})", .{ t.name(fd), text.bytes(bytes) });
    return t.result(libc.write(fd, bytes.ptr, bytes.len));
}

/// One recv of at most `count` bytes.
pub fn recv(t: *Side, fd: c_int, comptime count: usize, flags: c_int) isize {
    var buffer: [count]u8 = @splat(0);
    t.begin("recv({s}, {d}, {f})", .{ t.name(fd), count, text.messageFlags(flags) });
    return t.resultBytes(libc.recv(fd, &buffer, count, flags), &buffer);
}

pub fn read(t: *Side, fd: c_int, comptime count: usize) isize {
    var buffer: [count]u8 = @splat(0);
    t.begin("read({s}, {d})", .{ t.name(fd), count });
    return t.resultBytes(libc.read(fd, &buffer, count), &buffer);
}

/// Sends everything, waiting as often as it must; says how far it came.
pub fn sendAll(t: *Side, fd: c_int, bytes: []const u8) void {
    t.begin("send all({s}, {f})", .{ t.name(fd), text.bytes(bytes) });
    var done: usize = 0;
    while (done < bytes.len) {
        const n = libc.send(fd, bytes.ptr + done, bytes.len - done, libc.MSG_NOSIGNAL);
        if (n < 0 and libc.errno() == libc.EAGAIN) {
            waitFor(fd, libc.POLLOUT);
        } else if (n < 0) {
            return t.end(" = {d}, then {f}", .{ done, text.errno(libc.errno()) });
        } else done += @intCast(n);
    }
    t.end(" = {d}", .{done});
}

/// Receives exactly so many bytes; fewer only at the end of the stream or an error.
pub fn recvAll(t: *Side, fd: c_int, count: usize) void {
    const buffer = t.memory(count);
    defer t.free(buffer);
    t.begin("recv all({s}, {d})", .{ t.name(fd), count });
    recvInto(t, fd, buffer);
}

/// Receives until the stream ends or fails. `limit` must be more than ever comes.
pub fn recvToEnd(t: *Side, fd: c_int, limit: usize) void {
    const buffer = t.memory(limit);
    defer t.free(buffer);
    t.begin("recv to the end({s})", .{t.name(fd)});
    recvInto(t, fd, buffer);
}

fn recvInto(t: *Side, fd: c_int, buffer: []u8) void {
    var done: usize = 0;
    while (done < buffer.len) {
        const n = libc.recv(fd, buffer.ptr + done, buffer.len - done, 0);
        const errno = libc.errno();
        if (n > 0) {
            done += @intCast(n);
        } else if (n < 0 and errno == libc.EAGAIN) {
            waitFor(fd, libc.POLLIN);
        } else if (n < 0) {
            return t.end(" = {d} {f}, then {f}", .{ done, text.bytes(buffer[0..done]), text.errno(errno) });
        } else {
            return t.end(" = {d} {f}, then the end", .{ done, text.bytes(buffer[0..done]) });
        }
    }
    t.end(" = {d} {f}", .{ done, text.bytes(buffer) });
}

fn waitFor(fd: c_int, events: c_short) void {
    var polled = [_]libc.pollfd{.{ .fd = fd, .events = events }};
    _ = libc.poll(&polled, 1, -1);
}

pub fn shutdown(t: *Side, fd: c_int, how: c_int) c_int {
    const names = [_][]const u8{ "RD", "WR", "RDWR" };
    const name = if (how >= 0 and how < names.len) names[@intCast(how)] else "?";
    t.begin("shutdown({s}, {s})", .{ t.name(fd), name });
    return t.result(libc.shutdown(fd, how));
}

pub fn close(t: *Side, fd: c_int) c_int {
    t.begin("close({s})", .{t.name(fd)});
    return t.result(libc.close(fd));
}

/// accept4; the new descriptor gets the label.
pub fn accept(t: *Side, listener: c_int, flags: c_int, label: []const u8) c_int {
    t.begin("accept4({s}, 0x{x})", .{ t.name(listener), flags });
    return t.resultFd(libc.accept4(listener, null, null, flags), label);
}

/// connect to this loopback port.
pub fn connect(t: *Side, fd: c_int, port: u16) c_int {
    const address: libc.sockaddr_in = .{ .port_be = @byteSwap(port), .address = .{ 127, 0, 0, 1 } };
    t.begin("connect({s})", .{t.name(fd)});
    return t.result(libc.connect(fd, &address, @sizeOf(libc.sockaddr_in)));
}

// -- looking without consuming ------------------------------------------------------------------

/// What poll says at once.
pub fn pollNow(t: *Side, fd: c_int, events: c_short) void {
    var polled = [_]libc.pollfd{.{ .fd = fd, .events = events }};
    t.begin("poll({s}, {f}, 0)", .{ t.name(fd), text.events(events) });
    const n = libc.poll(&polled, 1, 0);
    if (n < 0) {
        _ = t.result(n);
    } else {
        t.end(" = {d} {f}", .{ n, text.events(polled[0].revents) });
    }
}

/// FIONREAD: bytes that can be received.
pub fn queued(t: *Side, fd: c_int) void {
    var count: c_int = -1;
    t.begin("ioctl({s}, FIONREAD)", .{t.name(fd)});
    const code = libc.ioctl(fd, libc.FIONREAD, @intFromPtr(&count));
    if (code < 0) _ = t.result(code) else t.end(" = {d}, {d} bytes", .{ code, count });
}

/// Waits until poll says all of these (perhaps more): what follows does not depend on timing.
pub fn untilEvents(t: *Side, fd: c_int, events: c_short) void {
    var polled = [_]libc.pollfd{.{ .fd = fd, .events = events }};
    t.begin("-- until poll({s}) says {f}", .{ t.name(fd), text.events(events) });
    while (true) {
        if (libc.poll(&polled, 1, 1000) == 1 and polled[0].revents & events == events) break;
        t.pause();
    }
    t.end("", .{});
}

/// Waits until so many bytes can be received.
pub fn untilQueued(t: *Side, fd: c_int, count: c_int) void {
    t.begin("-- until FIONREAD({s}) is {d}", .{ t.name(fd), count });
    var now: c_int = -1;
    while (libc.ioctl(fd, libc.FIONREAD, @intFromPtr(&now)) == 0 and now != count) t.pause();
    t.end("", .{});
}
