//! Which ring connections of an epoll instance are ready. Everything here runs under the instance's
//! mutex. A registration of a ring connection is one of:
//!
//!   hot        watched at every scan: its peer pays nothing for it. For few that talk often
//!   armed      its peer sets a bit in our ready row at every message (wait words of kind row, for
//!              bytes and, while a full ring is waited for, for space)
//!   stranded   neither: no room in the hot set, no wait word or no row. Scans walk all then
//!
//! Taking a bit puts an armed registration on the **ready list**, as a wake-up does in the kernel. It
//! stays armed. Each scan looks at those on the list, in turn: one that has events is reported, and
//! goes to the list's end if it is level-triggered; one that has none leaves the list. So with any
//! number of connections a message costs one bit, one look that finds it and one that does not, and
//! wait words are written when a connection joins and not at every message.
//!
//! Invariant: whoever is armed and not listed has been looked at, and found without events, after its
//! last bit was taken, or after it was armed (`rest`). What was published since has set, or will set,
//! a bit (carrier/rows.zig), which a scan takes before anybody sleeps.
//!
//! A hot registration is watched by its ring's `head` alone, once a look has found nothing at that
//! head (`isQuiet`): the same invariant, with a changed head in place of the bit. What else could
//! give it events makes it looked at (`lookAt`), whichever of the two it is.
//!
//! An armed registration becomes hot when few others talk: its bit comes again within as many marks
//! as the hot set has places, with no sleep between (going to sleep arms all that are hot, so heating
//! would be in vain). One that is watched in vain for many scans in a row is armed again.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const arena_module = @import("arena.zig");
const conn_module = @import("conn.zig");
const epoll = @import("epoll.zig");
const interest = @import("interest.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");
const unread = @import("unread.zig");
const waiters = @import("waiters.zig");
const Pool = @import("pool.zig").Pool;

const Conn = conn_module.Conn;
const Arena = arena_module.Arena;
const Epoll = epoll.Epoll;
const Registration = epoll.Registration;
const Rows = carrier.Rows(carrier.Native);
const Wake = carrier.Wake(carrier.Native);

const in_events = sys.EPOLLIN | sys.EPOLLRDNORM;
const out_events = sys.EPOLLOUT | sys.EPOLLWRNORM;

/// The row of one arena that an instance listens on. Kept until the arena or the instance goes.
pub const RowUse = struct {
    next_free: ?*RowUse = null,
    next: ?*RowUse,
    arena: *Arena,
    index: u32,
    users: u32,
    by_slot: []Listening,

    fn row(use: *const RowUse) *layout.Row {
        return use.arena.row(use.arena.side, use.index);
    }

    fn bits(use: *const RowUse) []u64 {
        return use.arena.rowBits(use.arena.side, use.index)[0 .. use.arena.layout.slot_count / 64];
    }
};

/// Who waits for a slot, and, so that all of it can be brought into the cache at once when the slot is
/// marked, where its connection lies.
pub const Listening = extern struct {
    registration: ?*Registration = null,
    conn: ?*const Conn = null,
    end: ?*const layout.End = null,
    pad: u64 = 0,

    fn of(registration: ?*Registration) Listening {
        const r = registration orelse return .{};
        return .{ .registration = r, .conn = r.conn, .end = r.conn.end };
    }
};

var row_pool: Pool(RowUse, 64) = .{};
var owner_counter: u64 = 0;

// ---------------------------------------------------------------------------------------------
// Rows

/// A registration of a connection that has just joined.
pub fn listenTo(r: *Registration) void {
    r.row = useRow(r.epoll, r.conn.arena);
    if (r.row) |use| {
        use.users += 1;
        use.by_slot[r.conn.slot_index] = .of(r);
    }
    begin(r);
}

pub fn unlisten(r: *Registration) void {
    if (isHot(r)) cool(r);
    r.epoll.ready_list.remove(r);
    disarm(r);
    unstrand(r);
    const use = r.row orelse return;
    r.row = null;
    use.by_slot[r.conn.slot_index] = .of(siblingIn(r));
    use.users -= 1;
}

/// Another registration of the same connection in the same instance (through a dup).
fn siblingIn(r: *const Registration) ?*Registration {
    for (r.conn.registrations) |maybe| {
        const other = maybe orelse continue;
        if (other != r and other.epoll == r.epoll and other.row != null) return other;
    }
    return null;
}

/// The row of this instance in `a`: found or claimed. Null: none free; then the instance polls.
fn useRow(e: *Epoll, a: *Arena) ?*RowUse {
    var at = e.rows;
    while (at) |use| : (at = use.next) if (use.arena == a) return use;
    if (e.foreign) return null;
    const w = epoll.waiterOf(e) orelse return null;
    const use = row_pool.take() orelse return null;
    const slots = a.layout.slot_count;
    const memory = sys.mapPrivate(slots * @sizeOf(Listening)) orelse {
        row_pool.give(use);
        return null;
    };
    const by_slot: [*]Listening = @ptrCast(@alignCast(memory));
    const index = claimRow(a) orelse {
        sys.unmap(memory, slots * @sizeOf(Listening));
        row_pool.give(use);
        return null;
    };
    use.* = .{ .next = e.rows, .arena = a, .index = index, .users = 0, .by_slot = by_slot[0..slots] };
    e.rows = use;
    if (e.sleepers > 0) Rows.sleepBegin(use.row(), sleepValue(w, use));
    return use;
}

fn claimRow(a: *Arena) ?u32 {
    owner_counter += 1;
    const token = @as(u64, @intCast(sys.call(.getpid, .{}))) << 32 | (owner_counter & 0xffff_ffff);
    for (0..constants.ready_rows) |i| {
        const row = a.row(a.side, @intCast(i));
        if (@cmpxchgStrong(u64, &row.owner, 0, token, .acq_rel, .monotonic) == null) return @intCast(i);
    }
    return null;
}

/// Frees the rows of one arena, or all.
pub fn dropRows(e: *Epoll, only: ?*Arena) void {
    var at = &e.rows;
    while (at.*) |use| {
        if (only != null and use.arena != only) {
            at = &use.next;
            continue;
        }
        at.* = use.next;
        if (!e.foreign) {
            Rows.sleepEnd(use.row());
            var nobody: Ignored = .{};
            Rows.take(use.row(), use.bits(), &nobody);
            @atomicStore(u64, &use.row().owner, 0, .release);
        }
        sys.unmap(@ptrCast(use.by_slot.ptr), use.by_slot.len * @sizeOf(Listening));
        row_pool.give(use);
    }
}

/// Marks that nobody waits for any more. One that comes later costs the row's next owner a look.
const Ignored = struct {
    pub fn marked(_: *Ignored, _: u32) void {}
};

fn sleepValue(w: *waiters.Waiter, use: *const RowUse) u64 {
    return w.attention(.thread, use.arena.my_link, w.number);
}

// ---------------------------------------------------------------------------------------------
// Hot, armed, stranded; the ready list

/// Registrations in the order in which they are to be looked at.
pub const List = struct {
    first: ?*Registration = null,
    last: ?*Registration = null,

    fn append(list: *List, r: *Registration) void {
        r.listed = true;
        r.listed_before = list.last;
        r.listed_after = null;
        if (list.last) |last| last.listed_after = r else list.first = r;
        list.last = r;
    }

    fn remove(list: *List, r: *Registration) void {
        if (!r.listed) return;
        r.listed = false;
        if (r.listed_before) |before| before.listed_after = r.listed_after else list.first = r.listed_after;
        if (r.listed_after) |after| after.listed_before = r.listed_before else list.last = r.listed_before;
    }
};

inline fn isHot(r: *const Registration) bool {
    return r.hot_index != Registration.not_hot;
}

/// The next scan looks at it, whatever happened to it: MOD, a ring that was found full.
pub fn lookAt(r: *Registration) void {
    const e = r.epoll;
    if (isHot(r)) return e.hot_watched[r.hot_index].beLookedAt();
    if (r.listed or r.stranded or e.foreign) return;
    e.ready_list.append(r);
}

/// Hot if there is room, else armed and looked at once.
fn begin(r: *Registration) void {
    const e = r.epoll;
    if (e.foreign) return; // scans walk all
    if (e.hot_count < epoll.hot_max) return heat(r);
    if (arm(r)) e.ready_list.append(r) else strand(r);
}

/// From here on looked at at every scan.
fn heat(r: *Registration) void {
    const e = r.epoll;
    e.ready_list.remove(r);
    disarm(r);
    r.hot_index = e.hot_count;
    e.hot[e.hot_count] = r;
    e.hot_watched[e.hot_count] = .{ .head = &r.conn.rx_direction.head };
    e.hot_count += 1;
}

fn cool(r: *Registration) void {
    const e = r.epoll;
    const last = e.hot[e.hot_count - 1];
    e.hot[r.hot_index] = last;
    e.hot_watched[r.hot_index] = e.hot_watched[last.hot_index];
    last.hot_index = r.hot_index;
    e.hot_count -= 1;
    r.hot_index = Registration.not_hot;
}

/// Watched in vain for long: armed from here on. It stays hot if that is impossible.
fn retire(r: *Registration) void {
    r.epoll.hot_watched[r.hot_index].vain_scans = 0;
    if (!arm(r)) return disarm(r);
    cool(r);
    if (wantsLook(r)) lookAt(r);
}

/// A look is over, and `r` is not on the list: armed, and looked at again after that. What still
/// wants a look (a switch of carriers ahead) gets it at the next scan.
fn rest(r: *Registration) void {
    if (!arm(r)) {
        disarm(r);
        strand(r);
    } else if (wantsLook(r)) lookAt(r);
}

fn strand(r: *Registration) void {
    if (r.stranded) return;
    r.stranded = true;
    r.epoll.stranded_count += 1;
}

fn unstrand(r: *Registration) void {
    if (!r.stranded) return;
    r.stranded = false;
    r.epoll.stranded_count -= 1;
}

/// Asks the peer to set our bit. Ends with a full barrier if anything was to be asked: look at the
/// ring again after it.
fn arm(r: *Registration) bool {
    if (r.armed.get() != null and (r.armed_out.get() != null or !waitsForSpace(r))) return true;
    const use = r.row orelse return false;
    const w = r.epoll.waiter orelse return false;
    const value = w.attention(.row, use.arena.my_link, @intCast(use.index));
    if (r.armed.get() == null) r.armed = .of(Wake.armForBytes(r.conn.rx_direction, value));
    return r.armed.get() != null and armOut(r, value);
}

/// While the application waits for space in a full ring: the same for the other direction.
fn armOut(r: *Registration, value: u64) bool {
    if (!waitsForSpace(r) or r.armed_out.get() != null) return true;
    const direction = r.conn.tx_direction;
    direction.askForHalf();
    r.armed_out = .of(Wake.arm(&direction.psleep, value));
    return r.armed_out.get() != null;
}

/// There is space: our peer is not to mark us at every byte that it reads from now on.
fn disarmOut(r: *Registration) void {
    const index = r.armed_out.get() orelse return;
    if (!r.epoll.foreign) Wake.disarm(&r.conn.tx_direction.psleep, index);
    r.armed_out = .{};
}

fn waitsForSpace(r: *const Registration) bool {
    return r.events & out_events != 0 and sendsByRing(r.conn) and !writableRing(r.conn);
}

fn disarm(r: *Registration) void {
    disarmOut(r);
    const index = r.armed.get() orelse return;
    if (!r.epoll.foreign) Wake.disarm(&r.conn.rx_direction.attn, index);
    r.armed = .{};
}

// ---------------------------------------------------------------------------------------------
// Looking

fn sendsByRing(c: *const Conn) bool {
    return c.end.tx.carrier == @intFromEnum(layout.Carrier.ring);
}

fn readsByRing(c: *const Conn) bool {
    return c.end.rx.carrier == @intFromEnum(layout.Carrier.ring);
}

/// Nothing lies in the ring that was not read.
pub fn hasReadAll(c: *const Conn) bool {
    if (!readsByRing(c) and !switching(c)) return true;
    return @atomicLoad(u64, &c.rx_direction.head, .acquire) == c.end.rx.position;
}

fn readableHead(r: *const Registration) u64 {
    return @atomicLoad(u64, &r.conn.rx_direction.head, .acquire);
}

/// As the kernel does it: writable means that a good piece fits, not one byte.
pub fn writableRing(c: *const Conn) bool {
    const head = @atomicLoad(u64, &c.tx_direction.head, .monotonic);
    const tail = @atomicLoad(u64, &c.tx_direction.tail, .acquire);
    return head -% tail <= c.tx_direction.sizeInUse() / 2;
}

/// Ring events of `r` now; notes what edge-triggered registrations have been told.
fn eventsOf(r: *Registration) u32 {
    if (r.disabled or !r.wanted) return 0;
    const c = r.conn;
    var events: u32 = 0;
    if (r.events & in_events != 0) {
        const ready = if (readsByRing(c)) readyIn(r, readableHead(r)) else readyOnTcp(r);
        if (ready) events |= r.events & in_events;
    }
    if (r.events & out_events != 0) {
        if (!sendsByRing(c)) {
            interest.leaveOutToKernel(r);
        } else if (readyOut(r)) events |= r.events & out_events;
    }
    if (events == 0) return 0;
    // Both directions on the ring: nothing to add, but what an edge brings along.
    const whole = readsByRing(c) and sendsByRing(c);
    if (r.events & sys.EPOLLET == 0 and (whole or r.events & in_events == 0)) return events;
    return levelsOf(r) & r.events;
}

/// Everything that is true at this moment. That is what an edge reports, as on Linux, and not itself
/// alone: after an arrival that has been read already, that may be OUT, or nothing. The kernel is asked for a
/// direction that it carries (that is rare: the other one is on the ring).
fn levelsOf(r: *Registration) u32 {
    const c = r.conn;
    var levels: u32 = 0;
    var ask: i16 = 0;
    if (readsByRing(c)) {
        const head = readableHead(r);
        r.seen_head = arrivedTo(c, head);
        if (isEnough(r, head)) levels |= in_events;
    } else {
        if (switching(c)) {
            if (unread.isWhole(c)) r.seen_head = readableHead(r);
            if (unread.reachesLowWater(c)) levels |= in_events;
        } else r.seen_head = c.end.rx.position;
        ask |= sys.POLLIN;
    }
    if (c.shutRead()) levels |= in_events | sys.EPOLLRDHUP; // the end, whatever still comes
    if (sendsByRing(c)) {
        r.out_reported = writableRing(c);
        if (r.out_reported) levels |= out_events;
    } else ask |= sys.POLLOUT;
    if (ask == 0 or r.events & (in_events | out_events) == 0) return levels;
    var p = [_]sys.PollFd{.{ .fd = c.fd, .events = ask }};
    if (sys.poll(&p, 0, null) <= 0) return levels;
    if (p[0].revents & sys.POLLIN != 0) levels |= in_events;
    if (p[0].revents & sys.POLLOUT != 0) levels |= out_events;
    return levels;
}

fn readyIn(r: *const Registration, head: u64) bool {
    return if (r.events & sys.EPOLLET != 0) hasArrived(r, head) else isEnough(r, head);
}

/// SO_RCVLOWAT bytes, or one.
fn isEnough(r: *const Registration, head: u64) bool {
    const c = r.conn;
    return head -% c.end.rx.position >= @max(1, c.lowWater()) or unread.reachesLowWater(c);
}

/// An edge: bytes have come that were not told of. Fewer than SO_RCVLOWAT wake nobody, as on Linux;
/// read ones have woken.
fn hasArrived(r: *const Registration, head: u64) bool {
    const c = r.conn;
    if (!isBehind(arrivedTo(c, head), r.seen_head)) return false;
    if (isEnough(r, head)) return true;
    // Read ones have woken; with SO_RCVLOWAT, those of which there were enough at a time.
    const woken = if (c.lowWater() > 1) c.woken_head else c.end.rx.position;
    return isBehind(woken, toldTo(r));
}

/// How far the stream has come, for those whom we have to tell: to the ring's `head`, and beyond it if
/// the sender has left the ring, and what the kernel has is too little for SO_RCVLOWAT by itself.
fn arrivedTo(c: *Conn, head: u64) u64 {
    if (c.lowWater() <= 1 or !unread.isOnBoth(c)) return head;
    const by_kernel = unread.byKernel(c);
    return if (by_kernel < c.lowWater()) head +% by_kernel else head;
}

inline fn isBehind(position: u64, other: u64) bool {
    return @as(i64, @bitCast(position -% other)) > 0;
}

/// Where the ring's bytes begin of which nobody was told: what was seen before the ring was entered
/// says nothing about it.
fn toldTo(r: *const Registration) u64 {
    const entered = r.conn.end.rx.entered;
    return if (isBehind(entered, r.seen_head)) entered else r.seen_head;
}

/// Reading is on TCP. The ring has something to add where the sender has entered it: where we stand,
/// or ahead of us, and we have bytes of the kernel to read first.
fn readyOnTcp(r: *Registration) bool {
    if (!switching(r.conn)) return hasLeftUntold(r);
    if (entersHere(r.conn)) return readyIn(r, readableHead(r));
    return readyAhead(r);
}

/// The ring has been read to its end and left: an arrival there of which nobody was told is an edge
/// still (`hasArrived`).
fn hasLeftUntold(r: *const Registration) bool {
    if (r.events & sys.EPOLLET == 0) return false;
    return isBehind(if (r.conn.lowWater() > 1) r.conn.woken_head else r.conn.end.rx.position, toldTo(r));
}

/// What the kernel, whose own bytes are unread, cannot tell: an edge of bytes that have come by ring
/// behind them, and that both together are as many as SO_RCVLOWAT wants. They have not come before all
/// of the kernel's have: told earlier they would not be told of when they can be read.
fn readyAhead(r: *const Registration) bool {
    const c = r.conn;
    if (r.events & sys.EPOLLET == 0) return unread.reachesLowWater(c);
    const head = readableHead(r);
    if (!isBehind(head, r.seen_head)) return false;
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.rx_direction.gate, .acquire));
    if (!gate.isEntering() or head == gate.position or !unread.isWhole(c)) return false;
    return c.lowWater() <= 1 or unread.reachesLowWater(c);
}

/// Reading is on TCP, but the sender has entered the ring at the position where we stand.
fn entersHere(c: *Conn) bool {
    if (!switching(c)) return false;
    const held = c.lockRx() orelse return false;
    defer c.unlockRx(held);
    var receiver = c.receiver();
    return receiver.source(c.kernel()) == .ring;
}

fn switching(c: *const Conn) bool {
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.rx_direction.gate, .acquire));
    return gate.isEntering();
}

fn readyOut(r: *Registration) bool {
    if (!writableRing(r.conn)) {
        r.out_reported = false;
        return false;
    }
    if (r.events & sys.EPOLLET != 0) {
        if (r.out_reported) return false;
        r.out_reported = true;
    }
    return true;
}

/// Ring events into `events`, at most `events.len`; the number. What did not get its turn, for want
/// of room, is first next time.
pub fn scan(e: *Epoll, events: []sys.EpollEvent) usize {
    if (e.foreign or e.stranded_count > 0) return scanAll(e, events);
    takeMarks(e);
    if (e.list_first) {
        const n = scanList(e, events);
        e.list_first = false;
        return n + scanHot(e, events[n..]);
    }
    const n = scanHot(e, events);
    e.list_first = n == events.len and e.ready_list.first != null;
    return n + scanList(e, events[n..]);
}

fn scanHot(e: *Epoll, events: []sys.EpollEvent) usize {
    const count = e.hot_count;
    if (count == 0) return 0;
    var n: usize = 0;
    var looked: u32 = 0;
    var idle: ?*Registration = null;
    var at = e.next_hot % count;
    while (looked < count and n < events.len) : (looked += 1) {
        if (at == count) at = 0;
        const watched = &e.hot_watched[at];
        const r = e.hot[at];
        at += 1;
        const head = watched.headNow();
        if (watched.wants_look or head != watched.quiet_at) {
            if (report(r, events, n)) {
                n += 1;
                watched.vain_scans = 0;
                continue;
            }
            if (isQuiet(r)) watched.beQuietAt(head);
        }
        watched.vain_scans += 1;
        if (watched.vain_scans >= hot_scans_max / count) idle = r;
    }
    e.next_hot = at;
    if (idle) |r| retire(r); // not in the loop: it moves another one, which would be looked at twice
    return n;
}

/// Each of those on the list at most once.
fn scanList(e: *Epoll, events: []sys.EpollEvent) usize {
    const list = &e.ready_list;
    const last = list.last orelse return 0;
    var n: usize = 0;
    var ahead: Ahead = .begin(list.first.?);
    while (n < events.len) {
        const r = list.first.?;
        ahead.step();
        list.remove(r);
        if (r.armed_out.get() != null and !waitsForSpace(r)) disarmOut(r);
        const found = report(r, events, n);
        if (found) n += 1;
        if (found and r.events & (sys.EPOLLET | sys.EPOLLONESHOT) == 0) list.append(r) else rest(r);
        if (r == last) break;
    }
    return n;
}

/// Runs some places ahead of a walk over the list, and has what it will look at brought into the
/// cache: each place is a chain of three pointers, whose misses would follow each other.
const Ahead = struct {
    conn: ?*Registration,
    look: ?*Registration,

    const places = 3;

    inline fn begin(first: *Registration) Ahead {
        var ahead: Ahead = .{ .conn = first, .look = first };
        for (0..places) |_| ahead.stepConn();
        return ahead;
    }

    inline fn step(ahead: *Ahead) void {
        ahead.stepConn();
        const r = ahead.look orelse return;
        r.conn.prefetchLook();
        ahead.look = r.listed_after;
    }

    inline fn stepConn(ahead: *Ahead) void {
        const r = ahead.conn orelse return;
        inline for (0..2) |line| @prefetch(@as([*]const u8, @ptrCast(r.conn)) + line * 64, .{});
        ahead.conn = r.listed_after;
        if (r.listed_after) |next| @prefetch(next, .{});
    }
};

/// Scans that find nothing at a hot registration, times their number, after which it is hot no more:
/// the fewer are hot the longer they stay.
const hot_scans_max = 64 * epoll.hot_max;

/// A look has just found nothing: until the ring's head changes, or `lookAt`, none will.
fn isQuiet(r: *const Registration) bool {
    return readsByRing(r.conn) and !waitsForSpace(r) and !wantsLook(r);
}

fn report(r: *Registration, events: []sys.EpollEvent, n: usize) bool {
    const found = eventsOf(r);
    if (found == 0) return false;
    noteReported(r);
    const c = r.conn;
    // A ONESHOT registration is told once: nothing is left for the kernel's look, and what the kernel
    // has told another process is known there alone.
    const once = r.events & sys.EPOLLONESHOT != 0 and (c.shared or !readsByRing(c) or !sendsByRing(c));
    const speaks = c.kernel_speaks or c.shutRead() or once;
    events[n] = .{ .events = if (speaks) found | endOf(r) else found, .data = r.data };
    if (r.events & sys.EPOLLONESHOT != 0) interest.fireOnce(r);
    return true;
}

fn noteReported(r: *Registration) void {
    const e = r.epoll;
    e.last_reported = r;
    e.reported = true;
    r.conn.prefetchExchange();
    e.peer_cpu = @atomicLoad(u32, &r.conn.rx_direction.producer_cpu, .monotonic);
}

/// The kernel has told of the peer's end: what it told once it tells always.
fn endOf(r: *const Registration) u32 {
    const asked = r.events & (in_events | sys.EPOLLRDHUP);
    var p = [_]sys.PollFd{.{ .fd = r.conn.fd, .events = @bitCast(@as(u16, @truncate(asked))) }};
    const taken: u32 = if (r.conn.hasError()) sys.EPOLLERR else 0;
    if (sys.poll(&p, 0, null) <= 0) return taken;
    return taken | @as(u16, @bitCast(p[0].revents)) & (asked | sys.EPOLLHUP | sys.EPOLLERR);
}

/// Every registration is looked at: in a forked child (rows and bits are the parent's), and while
/// some are stranded.
fn scanAll(e: *Epoll, events: []sys.EpollEvent) usize {
    if (!e.foreign) takeMarks(e);
    var n: usize = 0;
    var at = e.registrations;
    while (at) |r| : (at = r.next) {
        if (n == events.len) break;
        if (r.joined and report(r, events, n)) n += 1;
    }
    return n;
}

/// Armed registrations whose bit was set get on the ready list.
fn takeMarks(e: *Epoll) void {
    var at = e.rows;
    while (at) |use| : (at = use.next) {
        var taker: Taker = .{ .use = use, .e = e };
        Rows.take(use.row(), use.bits(), &taker);
    }
}

const Taker = struct {
    use: *RowUse,
    e: *Epoll,

    pub fn marked(taker: *Taker, slot: u32) void {
        const listening = &taker.use.by_slot[slot];
        const first = listening.registration orelse return;
        taker.expect(slot, listening);
        const c = first.conn;
        if (c.registration_count == 1) {
            noteMark(first);
        } else for (c.registrations) |maybe| {
            const r = maybe orelse continue;
            if (r.epoll == taker.e and r.joined) noteMark(r);
        }
        // Rung, perhaps, because the peer wants its bytes over TCP.
        stream.serveRecall(c);
    }

    /// All that an exchange will touch, at once: no line waits for a pointer in another.
    inline fn expect(taker: *Taker, slot: u32, listening: *const Listening) void {
        for (&taker.use.arena.slot(slot).direction) |*direction| {
            @prefetch(&direction.head, .{});
        }
        @prefetch(&listening.end.?.rx, .{});
        const conn: [*]const u8 = @ptrCast(listening.conn.?);
        @prefetch(conn, .{});
        @prefetch(conn + 64, .{});
        @prefetch(listening.registration.?, .{});
        @prefetch(&listening.end.?.tx, .{});
    }
};

fn noteMark(r: *Registration) void {
    const e = r.epoll;
    const since = @as(u32, @truncate(e.marks)) -% r.marked_at;
    e.marks += 1;
    r.marked_at = @truncate(e.marks);
    if (isHot(r) or r.stranded) return;
    if (since < epoll.hot_max and e.hot_count < epoll.hot_max) return heat(r);
    lookAt(r);
}

/// Makes room for one kernel event by taking back the last ring event; what it had marked as told
/// is restored.
pub fn giveBack(e: *Epoll, events: []sys.EpollEvent, n: usize) usize {
    const r = e.last_reported orelse return n;
    if (r.data != events[n - 1].data or r.events & sys.EPOLLONESHOT != 0) return n;
    r.seen_head = r.conn.end.rx.position;
    r.out_reported = false;
    lookAt(r);
    return n - 1;
}

/// Might a scan find something? Looks a few times. No side effects.
pub fn glance(e: *Epoll) bool {
    const guard = e.mutex.lock();
    if (!guard.ok()) return true;
    defer guard.unlock();
    for (0..8) |_| if (glanceLocked(e)) return true;
    return false;
}

pub fn glanceLocked(e: *Epoll) bool {
    for (e.hot_watched[0..e.hot_count], e.hot[0..e.hot_count]) |*watched, r| {
        if (watched.isQuiet()) continue;
        if (wantsLook(r)) return true;
    }
    if (e.foreign) return false;
    var at = e.rows;
    while (at) |use| : (at = use.next) if (Rows.anyReady(use.row(), use.bits())) return true;
    var listed = e.ready_list.first;
    while (listed) |r| : (listed = r.listed_after) if (wantsLook(r)) return true;
    return false;
}

/// Somebody has events, perhaps, that no bit will tell of.
pub fn needsLooks(e: *const Epoll) bool {
    return e.hot_count > 0 or e.ready_list.first != null;
}

fn wantsLook(r: *const Registration) bool {
    if (r.disabled or !r.wanted) return false;
    const c = r.conn;
    if (r.events & out_events != 0 and !r.out_reported and sendsByRing(c) and writableRing(c)) return true;
    if (r.events & in_events == 0) return false;
    if (c.lowWater() > 1 and unread.isOnBoth(c)) return true; // the kernel waits for all of it alone
    if (!readsByRing(c)) return switching(c) or hasLeftUntold(r);
    return readyIn(r, readableHead(r));
}

// ---------------------------------------------------------------------------------------------
// Sleeping

/// Announces the sleep to every ring. True: each of them can wake us. Look once more after this.
pub fn prepareSleep(e: *Epoll) bool {
    e.sleepers += 1;
    e.reported = false;
    e.marks += epoll.hot_max;
    if (e.foreign) return false;
    var sound = e.stranded_count == 0;
    var at = e.rows;
    while (at) |use| : (at = use.next) {
        if (use.users == 0) continue;
        const w = e.waiter.?;
        if (!waiters.prepare(w, use.arena, 0)) sound = false;
        Rows.sleepBegin(use.row(), sleepValue(w, use));
    }
    armAll(e);
    return sound;
}

/// As `prepareSleep`, for a time in which nobody looks (nesting.zig): what has events is armed too,
/// so that further ones ring. Ready: there are events now.
pub fn announce(e: *Epoll) struct { reachable: bool, ready: bool } {
    if (!e.foreign) takeMarks(e);
    const sound = prepareSleep(e) or e.ring_count == 0;
    if (e.foreign or e.stranded_count > 0) return .{ .reachable = sound, .ready = anyHasEvents(e) };
    takeMarks(e); // set while nobody was announced: nothing has rung for these
    armAll(e);
    var reachable = sound;
    var ready = false;
    for (e.hot[0..e.hot_count]) |r| {
        if (!arm(r)) reachable = false;
        if (hasEvents(r)) ready = true;
    }
    return .{ .reachable = reachable, .ready = ready or listHasEvents(e) };
}

fn listHasEvents(e: *Epoll) bool {
    var at = e.ready_list.first;
    while (at) |r| : (at = r.listed_after) if (hasEvents(r)) return true;
    return false;
}

/// Are there ring events, as far as can be told without changing anything? (False: `announce` knows.)
pub fn peek(e: *Epoll) bool {
    for (e.hot[0..e.hot_count]) |r| if (hasEvents(r)) return true;
    if (e.foreign) return false;
    if (listHasEvents(e)) return true;
    var at = e.rows;
    while (at) |use| : (at = use.next) {
        if (Rows.directMark(use.row())) |slot| {
            const r = if (slot < use.by_slot.len) use.by_slot[slot].registration else null;
            if (r != null and r.?.joined and hasEvents(r.?)) return true;
        }
        if (!Rows.anyReady(use.row(), use.bits())) continue;
        for (use.bits(), 0..) |*word, i| {
            var bits = @atomicLoad(u64, word, .acquire); // pairs with markReady: its head before the bit
            while (bits != 0) : (bits &= bits - 1) {
                const r = use.by_slot[i * 64 + @ctz(bits)].registration orelse continue;
                if (r.joined and hasEvents(r)) return true;
            }
        }
    }
    return false;
}

pub fn endAnnouncement(e: *Epoll) void {
    for (e.hot[0..e.hot_count]) |r| disarm(r);
    endSleep(e);
}

fn anyHasEvents(e: *Epoll) bool {
    var at = e.registrations;
    while (at) |r| : (at = r.next) if (r.joined and hasEvents(r)) return true;
    return false;
}

/// What `eventsOf` would find, without noting that anybody has been told.
fn hasEvents(r: *Registration) bool {
    if (!wantsLook(r)) return false;
    const c = r.conn;
    const out = r.events & out_events != 0 and !r.out_reported;
    if (out and sendsByRing(c) and writableRing(c)) return true;
    const head = readableHead(r);
    if (!readsByRing(c) and !entersHere(c)) return readyAhead(r) or hasLeftUntold(r);
    if (r.events & sys.EPOLLET != 0) return head != c.end.rx.position and isBehind(arrivedTo(c, head), r.seen_head);
    return isEnough(r, head);
}

/// Arms the hot set. What stays in it has events already (the next scan reports them) or could not
/// be armed (sleeps are bounded). Who is first on the list has events, too, or nobody is on it.
fn armAll(e: *Epoll) void {
    while (e.ready_list.first) |r| {
        if (wantsLook(r)) break;
        e.ready_list.remove(r);
        rest(r);
    }
    // From the last to the first: arming takes them out of the set.
    var i = e.hot_count;
    while (i > 0) {
        i -= 1;
        const r = e.hot[i];
        if (!arm(r) or wantsLook(r)) {
            disarm(r);
            continue;
        }
        cool(r);
    }
}

/// This thread leaves with its events while others sleep on the instance: what it had made hot has
/// to be able to wake them, and what is ready still does so now.
pub fn handOver(e: *Epoll) void {
    if (e.sleepers == 0 or e.foreign) return;
    armAll(e);
    if (needsLooks(e) or glanceLocked(e)) epoll.kickSleepers(e);
}

/// Whoever publishes from here on only marks.
pub fn silence(e: *Epoll) void {
    if (e.foreign) return;
    var at = e.rows;
    while (at) |use| : (at = use.next) Rows.sleepEnd(use.row());
}

pub fn endSleep(e: *Epoll) void {
    e.sleepers -= 1;
    if (e.foreign) return;
    var at = e.rows;
    while (at) |use| : (at = use.next) {
        if (e.sleepers == 0) {
            Rows.sleepEnd(use.row());
        } else if (e.waiter) |w| {
            // Others still sleep on this row: a new epoch, so that the next publish rings again.
            Rows.sleepBegin(use.row(), sleepValue(w, use));
        }
    }
}
