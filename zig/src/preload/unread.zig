//! What lies unread, on whichever carrier: what FIONREAD, TCP_INQ, TCP_INFO, SIOCATMARK and SO_RCVLOWAT
//! have to know. Nothing here reads, or waits.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const conn_module = @import("conn.zig");
const sys = @import("sys.zig");

const Conn = conn_module.Conn;

/// Unread bytes, as FIONREAD counts them: those in the ring, and behind them what the sender has
/// sent by TCP since it left.
pub fn bytes(c: *Conn) usize {
    const held = c.lockRx() orelse return 0;
    defer c.unlockRx(held);
    var r = c.receiver();
    switch (r.source(c.kernel())) {
        .ring => |n| {
            const down = @atomicLoad(u64, &c.rx_direction.down, .acquire);
            return n + if (down == layout.Direction.open_ended) 0 else byKernel(c);
        },
        .ring_empty, .corrupt => return 0,
        .kernel => return byKernel(c) + aheadInRing(c),
    }
}

/// Of those, what the kernel has.
pub fn byKernel(c: *const Conn) usize {
    var queued: c_int = 0;
    _ = sys.call(.ioctl, .{ c.fd, sys.FIONREAD, &queued });
    return @intCast(@max(0, queued));
}

/// Bytes wait on both carriers, or may: then neither of them knows alone whether SO_RCVLOWAT is reached.
pub fn isOnBoth(c: *const Conn) bool {
    const direction = c.rx_direction;
    if (c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) {
        return @atomicLoad(u64, &direction.down, .acquire) != layout.Direction.open_ended;
    }
    const gate = carrier.Gate.from(@atomicLoad(u64, &direction.gate, .acquire));
    return gate.isEntering();
}

/// SO_RCVLOWAT is more than a byte, and both carriers together have so many.
pub fn reachesLowWater(c: *Conn) bool {
    const low_water = c.lowWater();
    return low_water > 1 and isOnBoth(c) and bytes(c) >= low_water;
}

/// As the kernel tells it by TCP_INQ: the end of the stream counts as a byte.
pub fn leftToRead(c: *Conn) i32 {
    var polled = [_]sys.PollFd{.{ .fd = c.fd, .events = sys.POLLRDHUP }};
    const ended = !c.shutRead() and sys.poll(&polled, 0, null) > 0;
    const left = if (c.isAttached()) bytes(c) else byKernel(c);
    return @intCast(@min(left + @intFromBool(ended), std.math.maxInt(i32)));
}

/// Bytes in the ring that the sender has entered behind those in the kernel. None as long as any of
/// those is in the sender's queue: it comes before them, and whoever has read as many bytes as were
/// counted may rely on being told of whatever comes later.
fn aheadInRing(c: *Conn) usize {
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.rx_direction.gate, .acquire));
    if (!gate.isEntering() or !hasArrivedTo(c, gate)) return 0;
    const ahead = @atomicLoad(u64, &c.rx_direction.head, .acquire) -% gate.position;
    return if (ahead <= constants.ring_bytes) ahead else 0;
}

/// The sender has entered the ring, and everything before its bytes there has come.
pub fn isWhole(c: *Conn) bool {
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.rx_direction.gate, .acquire));
    return gate.isEntering() and hasArrivedTo(c, gate);
}

fn hasArrivedTo(c: *Conn, gate: carrier.Gate) bool {
    return c.kernel().hasReceivedTo(gate.position -% c.end.rx.carried);
}

/// What rings have carried of a connection. What is in a ring has been received, as the kernel sees
/// it: nothing can get lost on the way any more.
pub const Carried = struct { sent: u64 = 0, received: u64 = 0 };

pub fn ringCarried(c: *Conn) Carried {
    var carried: Carried = .{};
    if (c.lockTx()) |held| {
        defer c.unlockTx(held);
        const s = c.sender();
        carried.sent = c.end.tx.carried;
        if (s.inRing()) carried.sent +%= s.head -% c.end.tx.entered;
    }
    if (c.lockRx()) |held| {
        defer c.unlockRx(held);
        var r = c.receiver();
        carried.received = c.end.rx.carried;
        if (r.inRing()) {
            const unread_bytes = @min(r.ringBytes(), constants.ring_bytes);
            carried.received +%= c.end.rx.position -% c.end.rx.entered +% unread_bytes;
        } else carried.received +%= aheadInRing(c);
    }
    return carried;
}

/// Bytes lie in the ring: whatever mark there is in the kernel's stream comes after them.
pub fn isBeforeMark(c: *Conn) bool {
    const held = c.lockRx() orelse return false;
    defer c.unlockRx(held);
    var r = c.receiver();
    return r.source(c.kernel()) == .ring;
}
