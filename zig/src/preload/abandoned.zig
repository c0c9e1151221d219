//! A peer that was killed with bytes unread in its ring. Its kernel has closed the socket by a FIN,
//! because no byte was unread there; over TCP those bytes would have been, and the close a reset.
//! So whoever first sees that FIN makes its own socket what the reset would have made of it.
//!
//! (A close by the library itself sees to that beforehand: `closeSlot` in conn.zig.)

const std = @import("std");
const layout = @import("../layout.zig");
const addr = @import("addr.zig");
const conn_module = @import("conn.zig");
const diag = @import("diag.zig");
const log = @import("log.zig");
const sys = @import("sys.zig");

const Conn = conn_module.Conn;

/// The kernel has told of the peer's end. True: the socket has now been reset, look at it again.
pub fn resetIfAbandoned(c: *Conn) bool {
    if (!c.isAttached()) return false;
    // The next send asks the kernel and does not rely on its last look.
    c.tx_looked = 0;
    if (!hasUnread(c)) return false;
    var p = [_]sys.PollFd{.{ .fd = c.fd, .events = sys.POLLRDHUP }};
    if (sys.poll(&p, 0, null) <= 0) return false;
    // With both ways shut, the kernel has forgotten the peer's socket, whether it was killed or not.
    if (p[0].revents != sys.POLLRDHUP or c.shutWrite()) return false;
    // Disconnecting would throw away what the kernel still has for us.
    if (kernelHasBytes(c)) return false;
    if (!hasNoOwner(c)) return false;
    enterRing(c);
    log.debug("fd {d}: the peer was killed with bytes unread: reset", .{c.fd});
    conn_module.resetLocally(c);
    return true;
}

/// Bytes of ours lie in the ring, and the peer's library has not closed its end.
fn hasUnread(c: *const Conn) bool {
    const direction = c.tx_direction;
    if (@atomicLoad(u64, &direction.attn_flags, .acquire) & layout.attn_flag_closed != 0) return false;
    if (!conn_module.isEntered(direction)) return false;
    return @atomicLoad(u64, &direction.head, .monotonic) != @atomicLoad(u64, &direction.tail, .acquire);
}

/// The kernel's positions are gone with the connection: where the ring begins must be noted first.
fn enterRing(c: *Conn) void {
    const held = c.lockRx() orelse return;
    defer c.unlockRx(held);
    var r = c.receiver();
    _ = r.source(c.kernel());
}

fn kernelHasBytes(c: *const Conn) bool {
    var queued: c_int = 0;
    return sys.call(.ioctl, .{ c.fd, sys.FIONREAD, &queued }) < 0 or queued > 0;
}

/// No process has the peer's socket any more. (After a mere shutdown, one has.)
fn hasNoOwner(c: *const Conn) bool {
    const tuple: layout.Tuple = .{
        .client = addr.peer(c.fd) orelse return false,
        .server = addr.local(c.fd) orelse return false,
    };
    return diag.isOwnerless(&tuple);
}
