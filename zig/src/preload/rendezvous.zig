//! How two processes meet that were both forked: neither reads a channel that the other knows of.
//!
//! A forked child announces itself over the channels it inherited (links.zig); they lead to the
//! processes that its parent knew. When such a process forks too, before it has read the
//! announcement, its child never sees it, and both children lack a doorbell for the other. So every
//! child binds a datagram socket to a name that follows from arena, side and link number, and whoever
//! meets an unknown number in shared memory sends a channel to that name.
//!
//! Invariant: a forked child's link number stands in wait words and slots only while its name is
//! bound or the child is dead (names go with their process). Hence an unknown number either answers
//! and is known from then on, or there is nobody to ring.
//!
//! Names are seen by everybody (/proc/net/unix); a message counts only with the arena's secret, which
//! lies in the arena. All functions want `links.mutex` held.

const std = @import("std");
const arena_module = @import("arena.zig");
const constants = @import("../constants.zig");
const control = @import("control.zig");
const links = @import("links.zig");
const packet = @import("packet.zig");
const protocol = @import("../protocol.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");

const Arena = arena_module.Arena;

const kind = sys.SOCK_DGRAM | sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC;
/// Messages of one look; nobody honest sends that many.
const drain_max = 64;

/// Makes this process reachable as link `number` of its side of `a`. False: it cannot be.
pub fn open(a: *Arena, number: u16) bool {
    const fd = sys.ownFd(sys.call(.socket, .{ sys.AF_UNIX, kind, 0 })) orelse return false;
    const name = Name.of(a, a.side, number);
    // In another network namespace than its parent's, nobody would find it.
    const netns = sys.getSockopt(fd, sys.SOL_SOCKET, sys.SO_NETNS_COOKIE, u64);
    const here = netns == null or netns.? == control.netnsOf();
    if (!here or sys.call(.bind, .{ fd, &name.bytes, name.len }) < 0) {
        sys.close(fd);
        return false;
    }
    close(a);
    a.rendezvous = fd;
    links.watch(fd, @intFromPtr(a));
    return true;
}

/// Gives the name up: with the arena, or after fork, where it is the parent's.
pub fn close(a: *Arena) void {
    if (a.rendezvous < 0) return;
    sys.close(a.rendezvous);
    a.rendezvous = -1;
}

/// The process with this number of the other side, if it lives: it gets a channel, and is known.
pub fn meet(a: *Arena, link: u16) bool {
    if (link < constants.monitor_links_max) return false; // the monitor introduces these
    const fd = sys.call(.socket, .{ sys.AF_UNIX, kind, 0 });
    if (fd < 0) return false;
    defer sys.close(@intCast(fd));
    const name = Name.of(a, a.side ^ 1, link);
    if (sys.call(.connect, .{ fd, &name.bytes, name.len }) < 0) return false;
    var pair: [2]i32 = undefined;
    const channel = sys.SOCK_SEQPACKET | sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC;
    if (sys.call(.socketpair, .{ sys.AF_UNIX, channel, 0, &pair }) < 0) return false;
    const sent = packet.send(@intCast(fd), .new_link, links.introduction(a), &.{pair[1]});
    sys.close(pair[1]);
    if (sent < 0) {
        sys.close(pair[0]);
        return false;
    }
    links.add(a, link, sys.ownFd(pair[0]) orelse pair[0], true);
    return true;
}

/// Takes the channels that others have sent to our name.
pub fn drain(a: *Arena) void {
    if (a.rendezvous < 0) return;
    var p: packet.Received = .{};
    for (0..drain_max) |_| {
        switch (packet.receive(a.rendezvous, &p)) {
            .none => return,
            .gone, .garbage => {}, // an empty datagram, or a stranger's
            .packet => take(a, &p),
        }
        p.closeRest();
    }
}

fn take(a: *Arena, p: *packet.Received) void {
    if (p.kind() != .new_link) return;
    const message = p.as(protocol.NewLink) orelse return;
    if (message.arena_id != a.id or message.secret != a.header().secret) return;
    const channel = p.take(0) orelse return;
    links.add(a, @truncate(message.link), channel, true);
    waiters.introduceAll(a);
}

/// An abstract socket address.
const Name = struct {
    bytes: [64]u8,
    len: usize,

    fn of(a: *Arena, side: u1, link: u16) Name {
        return make(a.header().public_name, side, link);
    }

    fn make(public_name: u64, side: u1, link: u16) Name {
        var name: Name = .{ .bytes = @splat(0), .len = 0 };
        std.mem.writeInt(u16, name.bytes[0..2], sys.AF_UNIX, .little);
        const text = std.fmt.bufPrint(
            name.bytes[3..],
            "socksdirect/{x:0>16}/{d}/{d}",
            .{ public_name, side, link },
        ) catch unreachable; // 12 + 16 + 2 + 6 bytes at most
        name.len = 3 + text.len;
        return name;
    }
};

test "names differ by arena, side and number" {
    const one = Name.make(7, 0, 65535);
    try std.testing.expect(one.bytes[2] == 0);
    for ([_]Name{ Name.make(8, 0, 65535), Name.make(7, 1, 65535), Name.make(7, 0, 256) }) |other| {
        try std.testing.expect(!std.mem.eql(u8, &one.bytes, &other.bytes));
    }
}
