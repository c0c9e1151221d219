//! sendfile and splice on a connection that is attached to a ring: by copy, with the same results
//! as the kernel's. (Right first; without a copy when it shows to matter.)

const std = @import("std");
const cancel = @import("cancel.zig");
const conn_module = @import("conn.zig");
const readiness = @import("readiness.zig");
const negotiate = @import("negotiate.zig");
const section = @import("section.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");
const user = @import("user.zig");

const Conn = conn_module.Conn;
const piece_bytes = 64 * 1024;
const SPLICE_F_NONBLOCK = 2;

/// The copying way is needed; else the kernel does it.
pub fn applies(c: *Conn) bool {
    if (!c.isAttached()) negotiate.step(c);
    return c.isAttached();
}

/// From a file to the socket. As in the kernel, what cannot seek is no file.
pub fn sendfile(c: *Conn, in: c_int, offset: ?*i64, count: usize) isize {
    var buffer: [piece_bytes]u8 = undefined;
    var done: usize = 0;
    var position: i64 = if (offset) |o|
        user.load(i64, o) orelse return sys.neg(.FAULT)
    else
        @intCast(sys.call(.lseek, .{ in, 0, 1 }));
    if (position < 0) return if (offset == null and position != sys.neg(.SPIPE)) position else sys.neg(.INVAL);
    while (done < count) {
        const want = @min(buffer.len, count - done);
        const n = sys.call(.pread64, .{ in, &buffer, want, position });
        if (n < 0 and done == 0) return n;
        if (n <= 0) break;
        const sent = sendPiece(c, buffer[0..@intCast(n)], 0);
        if (sent < 0 and done == 0) return sent;
        if (sent <= 0) break;
        done += @intCast(sent);
        position += sent;
        if (sent < n) break;
    }
    if (offset) |o| {
        if (!user.store(i64, o, position)) return sys.neg(.FAULT);
    } else _ = sys.call(.lseek, .{ in, position, 0 });
    return @intCast(done);
}

fn sendPiece(c: *Conn, bytes: []u8, flags: u32) isize {
    const iov = [_]sys.Iovec{.{ .base = bytes.ptr, .len = bytes.len }};
    var b: stream.Buffers = .{ .iov = &iov, .remaining = bytes.len };
    return stream.send(c, &b, flags);
}

/// Waits until a send surely takes half a ring. 0, or why not.
fn untilWritable(c: *Conn) isize {
    if (!c.isNonblocking()) return stream.untilRoom(c);
    return if (readiness.writableRing(c)) 0 else sys.neg(.AGAIN);
}

/// Waits for the pipe, unless it is non-blocking, with nothing held. 0, or why the call is over.
fn untilPipe(c: *Conn, pipe: c_int, events: i16) isize {
    const modes = sys.call(.fcntl, .{ pipe, sys.F_GETFL, 0 });
    if (modes < 0 or modes & sys.O_NONBLOCK != 0) return 0;
    var p = [_]sys.PollFd{.{ .fd = pipe, .events = events }};
    if (sys.poll(&p, 0, null) > 0) return 0;
    const away: conn_module.Away = .begin(c);
    const n = if (away.window.delivered) sys.neg(.INTR) else cancel.poll(&p, null, null);
    if (!away.end()) return sys.neg(.BADF);
    if (n != sys.neg(.INTR)) return @min(n, 0);
    return if (section.wasInterrupted()) n else section.restart;
}

/// Bytes for the socket ride the ring (or can from here on), or the call ends with an error that we
/// keep; else the kernel's own call is right.
pub fn sendsByRing(c: *Conn) bool {
    return applies(c) and (stream.enterRing(c) or c.hasError());
}

/// splice moves between a pipe and something else; any other pair is the kernel's to refuse.
pub fn isPipe(fd: c_int) bool {
    const F_GETPIPE_SZ = 1032;
    return sys.call(.fcntl, .{ fd, F_GETPIPE_SZ, 0 }) >= 0;
}

/// Pipe to socket. Bytes taken from the pipe cannot be put back: only as many as surely fit.
pub fn toSocket(c: *Conn, in: c_int, len: usize, flags: c_uint) isize {
    var buffer: [piece_bytes]u8 = undefined;
    if (flags & SPLICE_F_NONBLOCK != 0) {
        var p = [_]sys.PollFd{.{ .fd = in, .events = sys.POLLIN }};
        if (sys.poll(&p, 0, null) <= 0) return sys.neg(.AGAIN);
    } else {
        const over = untilPipe(c, in, sys.POLLIN);
        if (over != 0) return over;
    }
    const over = untilWritable(c);
    if (over != 0) return over;
    const room = if (c.isAttached()) c.tx_direction.sizeInUse() / 2 else piece_bytes;
    const n = sys.call(.read, .{ in, &buffer, @min(buffer.len, len, room) });
    if (n <= 0) return n;
    return sendPiece(c, buffer[0..@intCast(n)], 0);
}

/// Socket to pipe: peeked, written, and only what the pipe took is consumed.
pub fn fromSocket(c: *Conn, out: c_int, len: usize, flags: c_uint) isize {
    var buffer: [piece_bytes]u8 = undefined;
    const wait: u32 = if (flags & SPLICE_F_NONBLOCK != 0) sys.MSG_DONTWAIT else 0;
    if (wait == 0) {
        // Once it takes something, a signal ends the write with what it has taken.
        const over = untilPipe(c, out, sys.POLLOUT);
        if (over != 0) return over;
    }
    const peeked = receivePiece(c, buffer[0..@min(buffer.len, len)], sys.MSG_PEEK | wait);
    if (peeked <= 0) return peeked;
    if (flags & SPLICE_F_NONBLOCK != 0) {
        var p = [_]sys.PollFd{.{ .fd = out, .events = sys.POLLOUT }};
        if (sys.poll(&p, 0, null) <= 0) return sys.neg(.AGAIN);
    }
    // A pipe that polls writable takes PIPE_BUF bytes without blocking; more may wait, as in splice.
    const most: usize = if (flags & SPLICE_F_NONBLOCK != 0) 4096 else buffer.len;
    const written = sys.call(.write, .{ out, &buffer, @min(@as(usize, @intCast(peeked)), most) });
    if (written <= 0) return written;
    return receivePiece(c, buffer[0..@intCast(written)], 0);
}

fn receivePiece(c: *Conn, into: []u8, flags: u32) isize {
    const iov = [_]sys.Iovec{.{ .base = into.ptr, .len = into.len }};
    var b: stream.Buffers = .{ .iov = &iov, .remaining = into.len };
    return stream.receive(c, &b, flags);
}
