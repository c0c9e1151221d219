//! The short way of a short message: what stream.zig does in the common case, with everything that
//! is not common asked first. A send and a receive take some 100 instructions by it, and three times
//! as many without it.
//!
//! Common is: one buffer, and a message of at most the hot window that lies in one window; both the
//! end and the direction on the ring, undisturbed; the guard at rest; no look at the kernel due.
//!
//! Each function does a whole call, or nothing: null sends its caller the long way, which finds
//! everything as it was. The locks are the same, and so are the orderings (`Sender`, `Receiver`).

const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const clock = @import("clock.zig");
const conn_module = @import("conn.zig");
const spin = @import("spin.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");

const Conn = conn_module.Conn;
const Wake = carrier.Wake(carrier.Native);

const bytes_max = constants.hot_window_bytes;
/// Longer ones meet the window's end so often that asking does not pay.
const send_bytes_max = bytes_max / 2;
const on_ring = @backingInt(layout.Carrier.ring);

/// Nothing that these ways do not know: MSG_NOSIGNAL and MSG_MORE are nothing to a ring.
const send_flags: u32 = sys.MSG_DONTWAIT | sys.MSG_NOSIGNAL | sys.MSG_MORE;
const receive_flags: u32 = sys.MSG_DONTWAIT | sys.MSG_NOSIGNAL;

pub inline fn send(c: *Conn, buffer: ?*const anyopaque, len: usize, flags: u32) ?isize {
    if (len -% 1 >= send_bytes_max or flags & ~send_flags != 0 or !c.isAttached()) return null;
    const from = @as([*]const u8, @ptrCast(buffer orelse return null))[0..len];
    if (clock.ticks() -% c.tx_looked >= clock.fromNs(constants.kernel_look_tx_ns)) return null;
    const held = c.lockTx() orelse return null;
    if (!putMessage(c, from)) {
        c.unlockTx(held);
        return null;
    }
    // A recall that came meanwhile: either the receiver saw our bytes, or we see WANT here.
    if (@atomicLoad(u64, &c.tx_direction.attn_flags, .monotonic) & layout.attn_flag_want != 0) {
        @branchHint(.cold);
        return stream.recalledAfter(c, held, from, flags);
    }
    c.unlockTx(held);
    return @intCast(len);
}

/// Under the send lock.
inline fn putMessage(c: *Conn, from: []const u8) bool {
    const tx = &c.end.tx;
    if (!c.isAttached() or tx.carrier != on_ring or tx.flags != 0 or c.guard.isSampling()) return false;
    const direction = c.tx_direction;
    if (@atomicLoad(u64, &direction.attn_flags, .monotonic) != 0) return false;
    const attention = @atomicLoad(u64, &direction.attn[0], .monotonic);
    if (attention != 0) c.bells().prefetchMark(attention);
    const cpu = spin.currentCpuPlusOne();
    if (direction.producer_cpu != cpu) @atomicStore(u32, &direction.producer_cpu, cpu, .monotonic);
    var s = c.sender();
    if (!s.put(from, tx.populated)) return false;
    Wake.notifyOfBytes(direction, &tx.rang, c.bells());
    tx.ring_bytes += from.len;
    tx.ring_messages += 1;
    return true;
}

pub inline fn receive(c: *Conn, buffer: ?*anyopaque, len: usize, flags: u32) ?isize {
    if (flags & ~receive_flags != 0 or len > stream.Buffers.bytes_max or !c.isAttached()) return null;
    const into = @as([*]u8, @ptrCast(buffer orelse return null))[0..len];
    const held = c.lockRx() orelse return null;
    const n = takeMessage(c, into);
    c.unlockRx(held);
    return n;
}

/// Under the receive lock.
inline fn takeMessage(c: *Conn, into: []u8) ?isize {
    const rx = &c.end.rx;
    // SO_RCVLOWAT above one, or perhaps so: another process may have set it.
    if (c.receive_low_water > 1 or c.shared) return null;
    if (!c.isAttached() or rx.carrier != on_ring or rx.flags != 0 or c.guard.isSampling()) return null;
    var r = c.receiver();
    const available = r.ringBytesFor(into.len);
    if (available > constants.ring_bytes) return null; // a liar
    const n = @min(available, into.len);
    if (n -% 1 >= bytes_max) return null;
    // Fewer than asked for: not where the sender goes on with another carrier.
    if (n < into.len) {
        if (@atomicLoad(u64, &c.rx_direction.down, .acquire) == rx.position +% n) return null;
    }
    if (!r.copyPiece(into[0..n])) return null;
    r.consume(n, c.bells());
    rx.ring_bytes += n;
    c.countReceived();
    return @intCast(n);
}
