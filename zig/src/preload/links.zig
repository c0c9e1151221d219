//! Links: the processes on the other side of our arenas, the channel to each, and the doorbells
//! they gave us.
//!
//! A doorbell is one end of a Unix stream pair; ringing it is a send that cannot block and cannot
//! raise SIGPIPE, whatever the peer does to its end (an eventfd's holder could make our write
//! block). Nobody waits for a doorbell to arrive: a sleeper sends it over the channel before it
//! announces itself in shared memory, so a publisher that meets an unknown waiter finds the message
//! in its channel. If it still is not there, WAKE goes over the channel itself, which every sleeper
//! polls (through `control_epoll`): so no wake-up depends on this table being complete. Processes that
//! were both forked find each other by name (rendezvous.zig).

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const protocol = @import("../protocol.zig");
const rendezvous = @import("rendezvous.zig");
const arena_module = @import("arena.zig");
const control = @import("control.zig");
const epoll = @import("epoll.zig");
const log = @import("log.zig");
const packet = @import("packet.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");
const Mutex = @import("lock.zig").Mutex;
const Pool = @import("pool.zig").Pool;

const Arena = arena_module.Arena;

pub const PeerLink = struct {
    next_free: ?*PeerLink = null,
    next: ?*PeerLink,
    arena: *Arena,
    link: u16,
    /// Announced by a forked child of a peer process.
    from_fork: bool,
    channel: i32,
    dead: bool,
    /// The channel is one that this forked child made, and nothing has come over it.
    unproven: bool = false,
};

/// Everything here is under this mutex but `control_epoll` itself.
pub var mutex: Mutex = .{};
var pool: Pool(PeerLink, 64) = .{};

/// Forked children that have gone and are not forgotten yet (`forgetDead`).
var dead_forked: u32 = 0;

/// An epoll over all channels and the monitor's socket: one descriptor for every sleep.
pub var control_epoll: i32 = -1;

pub fn controlEpoll() i32 {
    if (@atomicLoad(i32, &control_epoll, .acquire) >= 0) return control_epoll;
    const fd = sys.ownFd(sys.call(.epoll_create1, .{sys.EPOLL_CLOEXEC})) orelse return -1;
    if (@cmpxchgStrong(i32, &control_epoll, -1, fd, .acq_rel, .acquire) != null) sys.close(fd);
    return control_epoll;
}

pub fn watch(fd: i32, data: u64) void {
    var event: sys.EpollEvent = .{ .events = sys.EPOLLIN, .data = data };
    _ = sys.call(.epoll_ctl, .{ controlEpoll(), sys.EPOLL_CTL_ADD, fd, &event });
}

pub fn unwatch(fd: i32) void {
    var event: sys.EpollEvent = .{ .events = 0, .data = 0 };
    _ = sys.call(.epoll_ctl, .{ controlEpoll(), sys.EPOLL_CTL_DEL, fd, &event });
}

/// A further process on the other side of `a`. Takes the channel.
pub fn add(a: *Arena, link: u16, channel: i32, from_fork: bool) void {
    const l = pool.take() orelse return sys.close(channel);
    l.* = .{
        .next = a.links,
        .arena = a,
        .link = link,
        .from_fork = from_fork,
        .channel = channel,
        .dead = false,
    };
    @atomicStore(?*PeerLink, &a.links, l, .release);
    watch(channel, @intFromPtr(l));
}

/// There is a living channel to that process of the other side, or, for null, to any.
pub fn isReachable(a: *Arena, link: ?u16) bool {
    if (link) |number| if (!isKnown(a, number)) control.process();
    const guard = mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    drain(a);
    var at = a.links;
    while (at) |l| : (at = l.next) {
        if (!l.dead and (link == null or l.link == link.?)) return true;
    }
    return false;
}

pub fn isKnown(a: *Arena, link: u16) bool {
    var at = a.links;
    while (at) |l| : (at = l.next) if (l.link == link) return true;
    return false;
}

/// The process that this link number stood for has gone. A forked child is forgotten then: one that
/// still lives is known at the latest when what lies in our channels has been read, because it
/// announces itself before it uses its number.
pub fn isDead(a: *Arena, link: u16) bool {
    const guard = mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    drain(a);
    var at = a.links;
    while (at) |l| : (at = l.next) if (l.link == link) return l.dead;
    return !a.needs_link and link >= constants.monitor_links_max;
}

/// Reads what came over channels. `only`: those of one arena. A forked child has none before it has
/// announced itself: what lies in those that it inherited is its parent's. Holds `mutex`.
pub fn drain(only: ?*Arena) void {
    var at = arena_module.first;
    while (at) |a| : (at = a.next) {
        if (only != null and only != a) continue;
        if (a.needs_link) continue;
        rendezvous.drain(a);
        var link = a.links;
        while (link) |l| : (link = l.next) drainLink(l);
    }
    if (dead_forked > 0) forgetDead();
}

/// Takes children that have gone out of their arenas, with the doorbells that they gave us and those
/// that we gave them: a server that forks for each connection has thousands in its life. One whose
/// doorbell a thread of ours may be asleep on is left for later. Holds `mutex`.
fn forgetDead() void {
    waiters.closeIdleBells();
    var arena = arena_module.first;
    while (arena) |a| : (arena = a.next) {
        var place = &a.links;
        while (place.*) |l| {
            if (!l.dead or !l.from_fork or waiters.hasBellFor(l)) {
                place = &l.next;
                continue;
            }
            @atomicStore(?*PeerLink, place, l.next, .release);
            // Two who met each other at the same time share two channels.
            if (!isKnown(a, l.link)) {
                bellsForget(a.index, l.link);
                freeNumber(a, a.side ^ 1, l.link);
            }
            pool.give(l);
            dead_forked -= 1;
        }
    }
}

pub fn drainLink(l: *PeerLink) void {
    if (l.dead) return;
    var p: packet.Received = .{};
    for (0..256) |_| {
        switch (packet.receive(l.channel, &p)) {
            .none => return,
            .gone, .garbage => return bury(l),
            .packet => {
                l.unproven = false;
                handle(l, &p);
            },
        }
        p.closeRest();
    }
}

fn handle(l: *PeerLink, p: *packet.Received) void {
    switch (p.kind()) {
        .doorbell => {
            const message = p.as(protocol.Doorbell) orelse return bury(l);
            // Lost on the way, for want of a number for it: WAKE over this channel serves instead.
            const fd = p.take(0) orelse return;
            bellPut(l.arena, @truncate(message.link), @truncate(message.waiter), fd);
        },
        .new_link => {
            const message = p.as(protocol.NewLink) orelse return bury(l);
            const fd = p.take(0) orelse return; // lost: the child sees its end, and looks by itself
            add(l.arena, @truncate(message.link), fd, true);
            waiters.introduceAll(l.arena);
        },
        .wake => {
            const message = p.as(protocol.Wake) orelse return bury(l);
            waiters.kick(message.waiter);
        },
        else => bury(l),
    }
}

/// The process behind this link is gone (or talks nonsense).
fn bury(l: *PeerLink) void {
    if (l.dead) return;
    l.dead = true;
    // Perhaps the peer lives, and had no descriptor left for its end: it cannot ring us.
    if (l.unproven) l.arena.unannounced = true;
    unwatch(l.channel);
    sys.close(l.channel);
    l.channel = -1;
    if (l.from_fork) dead_forked += 1;
    log.debug("arena {d}: link {d} gone", .{ l.arena.id, l.link });
    var at = l.arena.links;
    while (at) |other| : (at = other.next) if (!other.dead) return;
    // A server that lost its only client will not get it back; a client's listener group may get
    // new workers.
    if (l.arena.side == 1) l.arena.dead = true;
}

pub fn forgetArena(a: *Arena) void {
    const guard = mutex.lock();
    defer guard.unlock();
    var at = a.links;
    while (at) |l| {
        at = l.next;
        if (l.channel >= 0) {
            unwatch(l.channel);
            sys.close(l.channel);
        }
        if (l.dead and l.from_fork) dead_forked -= 1;
        pool.give(l);
    }
    a.links = null;
    rendezvous.close(a);
    bellsForget(a.index, null);
    waiters.forgetArena(a);
}

/// After fork, in the child: a channel is read by one process only, so the child makes one of its
/// own for each arena that it goes on using, and announces it over the inherited one.
pub fn announceChild(a: *Arena) void {
    if (!a.needs_link) return;
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    if (!a.needs_link) return;
    a.needs_link = false;
    const number = takeNumber(a) orelse {
        a.unannounced = true;
        var at = a.links;
        while (at) |l| : (at = l.next) bury(l);
        return;
    };
    a.my_link = number;
    // Without a name only those can ring that hear of us over a channel, and one may be missing.
    if (!rendezvous.open(a, number)) a.unannounced = true;
    var told: u32 = 0;
    var at = a.links;
    while (at) |l| : (at = l.next) {
        if (l.dead) continue;
        replaceChannel(l) catch |problem| {
            if (problem != error.PeerGone) a.unannounced = true;
            bury(l);
            continue;
        };
        told += 1;
    }
    if (told == 0 and a.rendezvous < 0) freeNumber(a, a.side, number);
}

/// A link number of our side that no living child has; null: there are too many children. The peer
/// can write to these words as well: then it confuses whom it rings, and nobody else.
fn takeNumber(a: *Arena) ?u16 {
    const header = a.header();
    const start = @atomicRmw(u64, &header.next_link[a.side], .Add, 1, .acq_rel);
    for (0..constants.fork_links_max) |step| {
        const n = (start +% step) % constants.fork_links_max;
        const bit = @as(u64, 1) << @truncate(n);
        if (@atomicRmw(u64, numberWord(a, a.side, n), .Or, bit, .acq_rel) & bit == 0) {
            return @intCast(constants.monitor_links_max + n);
        }
    }
    return null;
}

fn freeNumber(a: *Arena, side: u1, link: u16) void {
    if (link < constants.monitor_links_max) return; // a liar's
    const n = link - constants.monitor_links_max;
    if (n >= constants.fork_links_max) return;
    const bit = @as(u64, 1) << @truncate(n);
    _ = @atomicRmw(u64, numberWord(a, side, n), .And, ~bit, .acq_rel);
}

fn numberWord(a: *Arena, side: u1, n: u64) *u64 {
    return &a.header().fork_links[(side * @as(u64, constants.fork_links_max) + n) / 64];
}

fn replaceChannel(l: *PeerLink) !void {
    var pair: [2]i32 = undefined;
    const kind = sys.SOCK_SEQPACKET | sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC;
    if (sys.call(.socketpair, .{ sys.AF_UNIX, kind, 0, &pair }) < 0) return error.NoDescriptors;
    const sent = packet.send(l.channel, .new_link, introduction(l.arena), &.{pair[1]});
    sys.close(pair[1]);
    sys.close(l.channel);
    l.channel = sys.ownFd(pair[0]) orelse pair[0];
    l.unproven = true;
    if (sent == sys.neg(.AGAIN)) return error.ChannelFull;
    if (sent < 0) return error.PeerGone;
    watch(l.channel, @intFromPtr(l));
}

pub fn introduction(a: *Arena) protocol.NewLink {
    return .{
        .header = undefined, // packet.send fills it in
        .arena_id = a.id,
        .link = a.my_link,
        .pid = @intCast(sys.call(.getpid, .{})),
        .secret = a.header().secret,
    };
}

// ---------------------------------------------------------------------------------------------
// Doorbells of our peers

const BellEntry = struct { key: u64 = 0, fd: i32 = -1 };
const bell_places = 8192;
var bell_table: [bell_places]BellEntry = @splat(.{});
var bell_count: usize = 0;
/// For rebuilding the table (too large for a stack). Under the mutex, as the table.
var bell_scratch: [bell_places]BellEntry = @splat(.{});

fn bellKey(index: u16, link: u16, waiter: u16) u64 {
    return 1 << 63 | @as(u64, index) << 32 | @as(u64, link) << 16 | waiter;
}

fn bellPlace(key: u64) *BellEntry {
    var at = (key *% 0x9e3779b97f4a7c15) >> 51;
    while (true) : (at = (at + 1) % bell_places) {
        const entry = &bell_table[at];
        if (entry.key == key or entry.key == 0) return entry;
    }
}

fn bellPut(a: *Arena, link: u16, waiter: u16, fd: i32) void {
    if (bell_count >= bell_places / 2) return sys.close(fd); // WAKE over the channel serves instead
    const key = bellKey(a.index, link, waiter);
    const entry = bellPlace(key);
    const before = entry.*;
    entry.* = .{ .key = key, .fd = fd };
    if (before.key == 0) bell_count += 1 else if (untilNobodyRings()) sys.close(before.fd);
}

/// Those of one arena, of one link of it or of all.
fn bellsForget(index: u16, link: ?u16) void {
    var any = false;
    for (&bell_table) |*entry| any = any or isOf(entry, index, link);
    if (!any) return;
    bell_scratch = bell_table;
    bell_table = @splat(.{});
    bell_count = 0;
    const quiet = untilNobodyRings(); // else their numbers must never come to name something else
    for (&bell_scratch) |entry| {
        if (entry.key == 0) continue;
        if (isOf(&entry, index, link)) {
            if (quiet) sys.close(entry.fd);
        } else {
            bellPlace(entry.key).* = entry;
            bell_count += 1;
        }
    }
}

fn isOf(entry: *const BellEntry, index: u16, link: ?u16) bool {
    if (entry.key == 0 or @as(u16, @truncate(entry.key >> 32)) != index) return false;
    return link == null or @as(u16, @truncate(entry.key >> 16)) == link.?;
}

/// Wakes waiter `waiter` of the process at `link` on the other side of `a`. False: it could not be told.
pub fn ring(a: *Arena, link: u16, waiter: u16) bool {
    announceChild(a);
    if (a.side == 0 and !isKnown(a, link)) control.process();
    const key = bellKey(a.index, link, waiter);
    {
        const guard = mutex.lock();
        // A handler of a fault in this very code: the table may be half changed, the channel is not.
        if (!guard.ok()) {
            return wakeOverChannel(a, link, waiter);
        }
        const entry = bellPlace(key).*;
        if (entry.key != 0) beginRinging();
        guard.unlock();
        if (entry.key != 0) {
            defer endRinging();
            if (ringEntry(&entry)) return true;
        }
    }
    const guard = mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    drain(a);
    if (ringEntry(bellPlace(key))) return true;
    if (wakeOverChannel(a, link, waiter)) return true;
    if (rendezvous.meet(a, link) and wakeOverChannel(a, link, waiter)) return true;
    log.debug("arena {d}: nobody to ring at link {d}", .{ a.id, link });
    return false;
}

fn ringEntry(entry: *const BellEntry) bool {
    if (entry.key == 0) return false;
    const flags = sys.MSG_DONTWAIT | sys.MSG_NOSIGNAL;
    const n = sys.call(.sendto, .{ entry.fd, "1", 1, flags, 0, 0 });
    return n == 1 or n == sys.neg(.AGAIN); // full: rung already
}

/// Threads that ring a bell of the table just now, without the mutex: the wake-up often takes the cpu
/// away at once, and the other threads would wait for it.
///
/// Invariant: a descriptor of the table is closed, or its number given away, only by a holder of the
/// mutex that has taken it out of the table and has seen nobody ringing since. Whoever rings has
/// counted himself under the mutex, while it was in the table (relaxed: the mutex orders it), and
/// leaves with a release that the holder's look acquires: his system call is over by then.
var ringing: u32 = 0;

inline fn beginRinging() void {
    _ = @atomicRmw(u32, &ringing, .Add, 1, .monotonic);
}

inline fn endRinging() void {
    _ = @atomicRmw(u32, &ringing, .Sub, 1, .release);
}

/// Waits for them; none can come. Holds `mutex`. False: one has been stopped, by a debugger perhaps.
fn untilNobodyRings() bool {
    for (0..1000) |turn| {
        if (@atomicLoad(u32, &ringing, .acquire) == 0) return true;
        if (turn < 10) _ = sys.call(.sched_yield, .{}) else sys.pause(1_000_000);
    }
    return false;
}

/// False: there is no channel to a living process of that number.
fn wakeOverChannel(a: *Arena, link: u16, waiter: u16) bool {
    const message: protocol.Wake = .{
        .header = undefined,
        .arena_id = a.id,
        .link = link,
        .waiter = waiter,
    };
    var at = a.links;
    while (at) |l| : (at = l.next) {
        if (l.dead or l.link != link) continue;
        const sent = packet.send(l.channel, .wake, message, &.{});
        // Full: so much lies there unread that its reader is awake.
        if (sent >= 0 or sent == sys.neg(.AGAIN)) return true;
    }
    return false;
}

/// After fork, in the child: peers' doorbells stay valid (we ring, they read); our own control
/// descriptors are the parent's and must not be read here.
pub fn afterForkChild() void {
    mutex = .{};
    ringing = 0; // other threads', which are not here
    if (control_epoll >= 0) leaveControl();
    var at = arena_module.first;
    while (at) |a| : (at = a.next) {
        a.needs_link = true;
        rendezvous.close(a);
    }
}

/// Copies of those of this process's ancestors: they sit in instances that it has inherited, and only
/// who has them can take them out of there.
pub var inherited_control: [4]i32 = @splat(-1);
var inherited_control_next: usize = 0;

fn leaveControl() void {
    const place = &inherited_control[inherited_control_next % inherited_control.len];
    if (place.* >= 0) sys.close(place.*);
    place.* = -1;
    if (epoll.hasWaiters()) {
        place.* = control_epoll;
        inherited_control_next += 1;
    } else sys.close(control_epoll);
    control_epoll = -1;
}

/// One of our descriptors has another number, or (-1) is gone; the old number still names the same
/// file until the caller goes on.
pub fn ownFdMoved(old: i32, new: i32) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    if (control_epoll == old) @atomicStore(i32, &control_epoll, new, .release);
    for (&inherited_control) |*fd| if (fd.* == old) {
        fd.* = new; // what it is registered as stays: `strangers` in epoll.zig
    };
    var at = arena_module.first;
    while (at) |a| : (at = a.next) {
        if (a.rendezvous == old) {
            unwatch(old);
            a.rendezvous = new;
            if (new >= 0) watch(new, @intFromPtr(a)) else a.unannounced = true;
        }
        var link = a.links;
        while (link) |l| : (link = l.next) {
            if (l.channel != old) continue;
            unwatch(old);
            l.channel = new; // -1: found gone, and buried, when it is read next
            if (new >= 0) watch(new, @intFromPtr(l));
        }
    }
    var was_bell = false;
    for (&bell_table) |*entry| {
        if (entry.key == 0 or entry.fd != old) continue;
        entry.fd = new;
        was_bell = true;
    }
    if (was_bell) _ = untilNobodyRings();
}
