//! Which ring connections of an epoll instance are ready: the hot set, the armed rest, and the ready
//! rows that bring armed ones back. Everything here runs under the instance's mutex.

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
    /// Registrations by slot.
    by_slot: []?*Registration,

    fn row(use: *const RowUse) *layout.Row {
        return use.arena.row(use.arena.side, use.index);
    }

    fn bits(use: *const RowUse) []u64 {
        return use.arena.rowBits(use.arena.side, use.index)[0 .. use.arena.layout.slot_count / 64];
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
        use.by_slot[r.conn.slot_index] = r;
    }
    heat(r);
}

pub fn unlisten(r: *Registration) void {
    if (r.hot_index != Registration.not_hot) cool(r);
    disarm(r);
    unstrand(r);
    const use = r.row orelse return;
    r.row = null;
    use.by_slot[r.conn.slot_index] = siblingIn(r);
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
    const memory = sys.mapPrivate(slots * @sizeOf(?*Registration)) orelse {
        row_pool.give(use);
        return null;
    };
    const by_slot: [*]?*Registration = @ptrCast(@alignCast(memory));
    const index = claimRow(a) orelse {
        sys.unmap(memory, slots * @sizeOf(?*Registration));
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
            for (use.bits()) |*word| _ = Rows.take(word);
            @atomicStore(u64, &use.row().owner, 0, .release);
        }
        sys.unmap(@ptrCast(use.by_slot.ptr), use.by_slot.len * @sizeOf(?*Registration));
        row_pool.give(use);
    }
}

fn sleepValue(w: *waiters.Waiter, use: *const RowUse) u64 {
    return w.attention(.thread, use.arena.my_link, w.number);
}

// ---------------------------------------------------------------------------------------------
// Hot and armed

/// From here on looked at at every wait.
pub fn heat(r: *Registration) void {
    disarm(r);
    unstrand(r);
    if (r.hot_index != Registration.not_hot) return;
    const e = r.epoll;
    if (e.hot_count == epoll.hot_max and !coolIdle(e)) {
        // No room: armed, and its own bit makes the next scan look at what may be there already.
        if (arm(r)) setBit(r) else strand(r);
        return;
    }
    r.hot_index = e.hot_count;
    r.idle_looks = 0;
    e.hot[e.hot_count] = r;
    e.hot_count += 1;
}

/// Neither hot nor armed (no room, no row): looked at by walking, and sleeps are bounded.
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

fn setBit(r: *const Registration) void {
    const use = r.row orelse return;
    const bit = @as(u64, 1) << @truncate(r.conn.slot_index);
    _ = @atomicRmw(u64, &use.bits()[r.conn.slot_index / 64], .Or, bit, .acq_rel);
}

fn cool(r: *Registration) void {
    const e = r.epoll;
    const last = e.hot[e.hot_count - 1];
    e.hot[r.hot_index] = last;
    last.hot_index = r.hot_index;
    e.hot_count -= 1;
    r.hot_index = Registration.not_hot;
}

/// Makes room in the hot set: the one that was idle longest gets armed.
fn coolIdle(e: *Epoll) bool {
    var idlest: ?*Registration = null;
    for (e.hot[0..e.hot_count]) |r| {
        if (r.idle_looks == 0 or r.row == null) continue;
        if (idlest == null or r.idle_looks > idlest.?.idle_looks) idlest = r;
    }
    const r = idlest orelse return false;
    if (!arm(r)) return false;
    cool(r);
    if (wantsLook(r)) setBit(r);
    return true;
}

/// Asks the peer to set our bit. Ends with a full barrier: look at the ring again after it.
fn arm(r: *Registration) bool {
    const use = r.row orelse return false;
    const w = r.epoll.waiter orelse return false;
    const value = w.attention(.row, use.arena.my_link, @intCast(use.index));
    if (r.armed == null) r.armed = Wake.arm(&r.conn.rx_direction.attn, value);
    return r.armed != null and armOut(r, value);
}

/// While the application waits for space in a full ring: the same for the other direction.
fn armOut(r: *Registration, value: u64) bool {
    if (!waitsForSpace(r) or r.armed_out != null) return true;
    const direction = r.conn.tx_direction;
    direction.askForHalf();
    r.armed_out = Wake.arm(&direction.psleep, value);
    return r.armed_out != null;
}

fn waitsForSpace(r: *const Registration) bool {
    return r.events & out_events != 0 and sendsByRing(r.conn) and !writableRing(r.conn);
}

fn disarm(r: *Registration) void {
    if (!r.epoll.foreign) {
        if (r.armed) |index| Wake.disarm(&r.conn.rx_direction.attn, index);
        if (r.armed_out) |index| Wake.disarm(&r.conn.tx_direction.psleep, index);
    }
    r.armed = null;
    r.armed_out = null;
}

// ---------------------------------------------------------------------------------------------
// Looking

fn sendsByRing(c: *const Conn) bool {
    return c.end.tx.carrier == @intFromEnum(layout.Carrier.ring);
}

fn readsByRing(c: *const Conn) bool {
    return c.end.rx.carrier == @intFromEnum(layout.Carrier.ring);
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
        const ready = if (readsByRing(c)) readyIn(r, readableHead(r)) else switchedHere(r);
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
        r.seen_head = readableHead(r);
        if (isEnough(r, r.seen_head)) levels |= in_events;
    } else ask |= sys.POLLIN;
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
    return head -% r.conn.end.rx.position >= @max(1, r.conn.receive_low_water);
}

/// An edge: bytes have come that were not told of. Fewer than SO_RCVLOWAT wake nobody, as on Linux;
/// read ones have woken.
fn hasArrived(r: *const Registration, head: u64) bool {
    if (head == r.seen_head) return false;
    const rx = &r.conn.end.rx;
    if (head != rx.position) return isEnough(r, head);
    // What was seen before the ring was entered says nothing about it.
    return @as(i64, @bitCast(r.seen_head -% rx.entered)) >= 0;
}

/// On TCP, but the sender has entered the ring at the position where we stand.
fn switchedHere(r: *Registration) bool {
    const c = r.conn;
    if (!switching(c)) return false;
    const held = c.lockRx() orelse return false;
    defer c.unlockRx(held);
    var receiver = c.receiver();
    return switch (receiver.source(c.kernel())) {
        .ring => readyIn(r, readableHead(r)),
        else => false,
    };
}

fn switching(c: *const Conn) bool {
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.rx_direction.gate, .acquire));
    return gate.kind() == .switching and !gate.want;
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

/// Ring events into `events`, at most `events.len`; the number. Starts where the last scan ended.
pub fn scan(e: *Epoll, events: []sys.EpollEvent) usize {
    if (e.foreign or e.stranded_count > 0) return scanAll(e, events);
    takeBits(e);
    const count = e.hot_count;
    if (count == 0) return 0;
    var n: usize = 0;
    var looked: u32 = 0;
    var at = e.next_hot % count;
    while (looked < count and n < events.len) : (looked += 1) {
        if (at >= e.hot_count) at = 0;
        if (report(e.hot[at], events, n)) n += 1;
        at += 1;
    }
    e.next_hot = at;
    return n;
}

fn report(r: *Registration, events: []sys.EpollEvent, n: usize) bool {
    const found = eventsOf(r);
    if (found == 0) {
        r.idle_looks += 1;
        return false;
    }
    r.idle_looks = 0;
    r.epoll.last_reported = r;
    events[n] = .{ .events = if (r.conn.kernel_speaks) found | endOf(r) else found, .data = r.data };
    if (r.events & sys.EPOLLONESHOT != 0) interest.fireOnce(r);
    return true;
}

/// The kernel has told of the peer's end: what it told once it tells always.
fn endOf(r: *const Registration) u32 {
    const asked = r.events & (in_events | sys.EPOLLRDHUP);
    var p = [_]sys.PollFd{.{ .fd = r.conn.fd, .events = @bitCast(@as(u16, @truncate(asked))) }};
    const taken: u32 = if (r.conn.saved_error != 0) sys.EPOLLERR else 0;
    if (sys.poll(&p, 0, null) <= 0) return taken;
    return taken | @as(u16, @bitCast(p[0].revents)) & (asked | sys.EPOLLHUP | sys.EPOLLERR);
}

/// Every registration is looked at: in a forked child (rows and bits are the parent's), and while
/// some are stranded.
fn scanAll(e: *Epoll, events: []sys.EpollEvent) usize {
    if (!e.foreign) takeBits(e);
    var n: usize = 0;
    var at = e.registrations;
    while (at) |r| : (at = r.next) {
        if (n == events.len) break;
        if (r.joined and report(r, events, n)) n += 1;
    }
    return n;
}

/// Armed registrations whose bit was set become hot.
fn takeBits(e: *Epoll) void {
    var at = e.rows;
    while (at) |use| : (at = use.next) {
        for (use.bits(), 0..) |*word, i| {
            var bits = Rows.take(word);
            while (bits != 0) : (bits &= bits - 1) {
                const marked = use.by_slot[i * 64 + @ctz(bits)] orelse continue;
                for (marked.conn.registrations) |maybe| {
                    const r = maybe orelse continue;
                    if (r.epoll == e and r.joined) heat(r);
                }
                // Rung, perhaps, because the peer wants its bytes over TCP.
                stream.serveRecall(marked.conn);
            }
        }
    }
}

/// Makes room for one kernel event by taking back the last ring event; what it had marked as told
/// is restored.
pub fn giveBack(e: *Epoll, events: []sys.EpollEvent, n: usize) usize {
    const r = e.last_reported orelse return n;
    if (r.data != events[n - 1].data or r.events & sys.EPOLLONESHOT != 0) return n;
    r.seen_head = r.conn.end.rx.position;
    r.out_reported = false;
    return n - 1;
}

/// Might a scan find something? No side effects.
pub fn glance(e: *Epoll) bool {
    const guard = e.mutex.lock();
    if (!guard.ok()) return true;
    defer guard.unlock();
    return glanceLocked(e);
}

pub fn glanceLocked(e: *Epoll) bool {
    for (e.hot[0..e.hot_count]) |r| if (wantsLook(r)) return true;
    if (e.foreign) return false;
    var at = e.rows;
    while (at) |use| : (at = use.next) if (Rows.anyReady(use.bits())) return true;
    return false;
}

fn wantsLook(r: *const Registration) bool {
    if (r.disabled or !r.wanted) return false;
    const c = r.conn;
    if (r.events & out_events != 0 and !r.out_reported and sendsByRing(c) and writableRing(c)) return true;
    if (r.events & in_events == 0) return false;
    if (!readsByRing(c)) return switching(c);
    return readyIn(r, readableHead(r));
}

// ---------------------------------------------------------------------------------------------
// Sleeping

/// Announces the sleep to every ring. True: each of them can wake us. Look once more after this.
pub fn prepareSleep(e: *Epoll) bool {
    e.sleepers += 1;
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

/// Arms the hot set. What stays in it has events already (the next scan reports them) or could not
/// be armed (sleeps are bounded).
fn armAll(e: *Epoll) void {
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
    if (e.hot_count > 0 or glanceLocked(e)) epoll.kickSleepers(e);
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
