//! TCP_CORK while a ring carries what is sent. Ring bytes are never held back, so the option does
//! nothing to them; but servers switch it on and off around each answer (nginx's tcp_nopush), which is
//! two system calls of eight. So the wish is kept here, and brought to the kernel when somebody asks
//! for it, or when the kernel could have something to do with it: before sending leaves the ring, and
//! before another process holds the connection.
//!
//! Not before the receiver is in the ring too: until then the last bytes that went by TCP may wait in
//! the kernel for the cork to be pulled.
//!
//! Invariant, under the send lock: where `Conn.cork` is not `as_kernel`, sending is in the ring, and
//! no other process holds the connection.

const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const conn_module = @import("conn.zig");
const options = @import("options.zig");
const sys = @import("sys.zig");

const Conn = conn_module.Conn;

pub const Cork = enum(u8) { as_kernel, off, on };

pub inline fn isMeant(level: c_int, name: c_int) bool {
    return level == sys.IPPROTO_TCP and name == options.TCP_CORK;
}

/// setsockopt. False: the kernel's call, for which all has been made ready.
pub fn keep(c: *Conn, value: ?*const anyopaque, len: u32) bool {
    if (c.shared or !c.isAttached()) return false;
    const held = c.lockTx() orelse return false;
    defer c.unlockTx(held);
    const wanted = options.numberIn(value, len); // null: the kernel says what is wrong with it
    if (wanted == null or c.shared or !c.isAttached() or !carriesAlone(c)) {
        give(c);
        return false;
    }
    c.cork = if (wanted.? != 0) .on else .off;
    return true;
}

/// Sending is in the ring, and nothing of this direction is in the kernel any more.
fn carriesAlone(c: *Conn) bool {
    if (c.end.tx.carrier != @intFromEnum(layout.Carrier.ring)) return false;
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.tx_direction.gate, .acquire));
    return gate.kind() == .ring;
}

/// The kernel's socket is to be as the application believes. Under the send lock.
pub fn give(c: *Conn) void {
    if (c.cork == .as_kernel) return;
    const value: c_int = @intFromBool(c.cork == .on);
    _ = sys.call(.setsockopt, .{ c.fd, sys.IPPROTO_TCP, options.TCP_CORK, &value, @sizeOf(c_int) });
    c.cork = .as_kernel;
}

pub fn giveNow(c: *Conn) void {
    if (c.cork == .as_kernel) return;
    const held = c.lockTx() orelse return;
    defer c.unlockTx(held);
    give(c);
}
