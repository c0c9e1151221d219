//! epoll instances with ring connections in them.
//!
//! The application's epoll stays the real one and keeps every registration: kernel descriptors,
//! nesting, dup and sharing are the kernel's business, and FIN, errors and TCP bytes of ring
//! connections come from it. What the kernel cannot know, ring readiness, comes from here:
//!
//!   hot registrations   looked at directly at every wait: one load of the ring's head
//!   armed ones          cost nothing until the peer sets their bit in our ready row
//!
//! Going to sleep arms all; a bit makes one hot again. So a wait costs what is active, not what is
//! registered. While a connection sends through the ring, the kernel's EPOLLOUT (always true there)
//! is masked in its registration.
//!
//! To be rung, an instance owns a waiter: its local bell, the control descriptors and the doorbells
//! sit in the application's epoll under tagged data, and are filtered out of the results.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const arena_module = @import("arena.zig");
const clock = @import("clock.zig");
const conn_module = @import("conn.zig");
const control = @import("control.zig");
const ends = @import("ends.zig");
const fds = @import("fds.zig");
const links = @import("links.zig");
const log = @import("log.zig");
const spin = @import("spin.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");
const Mutex = @import("lock.zig").Mutex;
const Pool = @import("pool.zig").Pool;

const Conn = conn_module.Conn;
const Arena = arena_module.Arena;
const Rows = carrier.Rows(carrier.Native);
const Wake = carrier.Wake(carrier.Native);

/// One connection's place in one epoll instance, through one descriptor.
pub const Registration = struct {
    next_free: ?*Registration = null,
    epoll: *Epoll,
    conn: *Conn,
    fd: i32,
    /// What the application asked for.
    events: u32,
    data: u64,
    /// Counted in the instance's `ring_count`.
    joined: bool,
    /// ONESHOT fired: silent until the next MOD.
    disabled: bool,
    /// In `hot`; else armed (or unable to be, then `hot` all the same).
    hot_index: u32,
    /// Wait words held, for bytes and for space.
    armed: ?u8,
    armed_out: ?u8,
    row: ?*RowUse,
    /// Edge-triggered: events up to here have been reported.
    seen_head: u64,
    out_reported: bool,
    /// Idle looks in a row, to leave the hot set.
    idle_looks: u32,

    const not_hot = std.math.maxInt(u32);
};

/// The row of one arena that an instance listens on.
const RowUse = struct {
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

const hot_max = 64;
const idle_looks_max = 2000;
/// An instance without a doorbell looks this often.
const bounded_ns = 1_000_000;

pub const Epoll = struct {
    next_free: ?*Epoll = null,
    fd: i32 align(64),
    refs: u32,
    mutex: Mutex,
    /// Registrations of attached connections; 0: every wait goes straight to the kernel.
    ring_count: u32,
    waiter: ?*waiters.Waiter,
    rows: ?*RowUse,
    hot: [hot_max]*Registration,
    hot_count: u32,
    next_hot: u32,
    sleepers: u32,
    last_kernel_look: u64,
    spin: spin.Spin,
    /// Inherited by fork: rows and doorbells are the parent's, so waits are bounded.
    foreign: bool,
    /// A doorbell could not be made: waits are bounded.
    bounded: bool,
};

var pool: Pool(Epoll, 16) = .{};
var registration_pool: Pool(Registration, 256) = .{};
var row_pool: Pool(RowUse, 64) = .{};
var owner_counter: u64 = 0;

pub inline fn find(fd: c_int) ?*Epoll {
    return fds.lookup(.epoll, Epoll, fd);
}

pub fn track(fd: c_int) void {
    const e = pool.take() orelse return;
    e.* = std.mem.zeroInit(Epoll, .{ .hot = @as([hot_max]*Registration, undefined) });
    e.fd = fd;
    e.refs = 1;
    if (!fds.set(.epoll, fd, e)) pool.give(e);
}

pub fn addDescriptor(e: *Epoll, fd: c_int) void {
    if (fds.set(.epoll, fd, e)) e.refs += 1;
}

pub fn dropDescriptor(e: *Epoll, fd: c_int) void {
    fds.clear(fd);
    e.refs -= 1;
    if (e.refs > 0) return;
    var conn_fd: c_int = 0;
    while (conn_fd < fds.used) : (conn_fd += 1) {
        const c = conn_module.find(conn_fd) orelse continue;
        for (&c.registrations) |*place| {
            const r = place.* orelse continue;
            if (r.epoll == e) remove(c, place);
        }
    }
    if (e.waiter) |w| if (!e.foreign) waiters.destroy(w);
    pool.give(e);
}

// ---------------------------------------------------------------------------------------------
// epoll_ctl

/// After the kernel accepted an ADD or MOD of a tracked connection.
pub fn registered(e: *Epoll, c: *Conn, fd: i32, event: *const sys.EpollEvent) void {
    const guard = e.mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    const place = placeOf(c, e, fd) orelse freePlace(c) orelse return tooMany(c);
    const r = place.* orelse fresh: {
        const r = registration_pool.take() orelse return tooMany(c);
        r.* = std.mem.zeroInit(Registration, .{
            .epoll = e,
            .conn = c,
            .hot_index = Registration.not_hot,
        });
        r.fd = fd;
        place.* = r;
        c.registration_count += 1;
        break :fresh r;
    };
    r.events = event.events;
    r.data = event.data;
    r.disabled = false;
    r.seen_head = c.end.rx.position; // a new or changed registration reports what is there
    r.out_reported = false;
    if (!c.isAttached()) return;
    if (r.joined) heat(r) else attachRegistration(r);
    kickSleepers(e);
}

/// A fifth epoll for one connection: its readiness could not be told there, so it leaves the ring.
fn tooMany(c: *Conn) void {
    log.warn("fd {d}: in too many epoll instances; kernel TCP", .{c.fd});
    if (!c.isAttached()) conn_module.makePlain(c, .epoll_shared);
}

fn placeOf(c: *Conn, e: *Epoll, fd: i32) ?*?*Registration {
    for (&c.registrations) |*place| {
        const r = place.* orelse continue;
        if (r.epoll == e and r.fd == fd) return place;
    }
    return null;
}

fn freePlace(c: *Conn) ?*?*Registration {
    for (&c.registrations) |*place| if (place.* == null) return place;
    return null;
}

/// What the kernel is to watch: without OUT while sending rides the ring.
pub fn kernelEvents(c: *Conn, events: u32) u32 {
    const in_ring = c.isAttached() and c.end.tx.carrier == @intFromEnum(layout.Carrier.ring);
    return if (in_ring) events & ~(sys.EPOLLOUT | sys.EPOLLWRNORM) else events;
}

fn maskOut(r: *Registration) void {
    if (r.disabled or r.events & sys.EPOLLOUT == 0) return;
    var event: sys.EpollEvent = .{ .events = kernelEvents(r.conn, r.events), .data = r.data };
    if (r.events & sys.EPOLLEXCLUSIVE != 0) {
        // An exclusive registration cannot be modified.
        _ = sys.call(.epoll_ctl, .{ r.epoll.fd, sys.EPOLL_CTL_DEL, r.fd, &event });
        _ = sys.call(.epoll_ctl, .{ r.epoll.fd, sys.EPOLL_CTL_ADD, r.fd, &event });
    } else {
        _ = sys.call(.epoll_ctl, .{ r.epoll.fd, sys.EPOLL_CTL_MOD, r.fd, &event });
    }
}

pub fn unregistered(e: *Epoll, c: *Conn, fd: i32) void {
    const place = placeOf(c, e, fd) orelse return;
    remove(c, place);
}

fn remove(c: *Conn, place: *?*Registration) void {
    const r = place.*.?;
    const guard = r.epoll.mutex.lock();
    defer guard.unlock();
    place.* = null;
    c.registration_count -= 1;
    detachRegistration(r);
    registration_pool.give(r);
}

/// A descriptor of `c` is closed: the kernel forgets its registrations by itself when it was the
/// last one of the open file.
pub fn forgetDescriptor(c: *Conn, fd: i32) void {
    if (c.registration_count == 0) return;
    for (&c.registrations) |*place| {
        const r = place.* orelse continue;
        if (r.fd == fd and c.refs <= 1) remove(c, place);
    }
}

pub fn detach(c: *Conn) void {
    if (c.registration_count == 0) return;
    for (&c.registrations) |*place| if (place.* != null) remove(c, place);
}

// ---------------------------------------------------------------------------------------------
// Joining and leaving the ring

/// `c` has just been attached: its registrations start to listen to the arena.
pub fn attach(c: *Conn) void {
    if (c.registration_count == 0) return;
    for (c.registrations) |maybe| {
        const r = maybe orelse continue;
        const guard = r.epoll.mutex.lock();
        defer guard.unlock();
        if (!r.joined) attachRegistration(r);
        maskOut(r);
        kickSleepers(r.epoll);
    }
}

/// Sending entered or left the ring.
pub fn carrierChanged(c: *Conn, in_ring: bool) void {
    _ = in_ring;
    if (c.registration_count == 0) return;
    for (c.registrations) |maybe| {
        const r = maybe orelse continue;
        maskOut(r);
        r.out_reported = false;
    }
}

fn attachRegistration(r: *Registration) void {
    const e = r.epoll;
    e.ring_count += 1;
    r.joined = true;
    r.seen_head = r.conn.end.rx.position;
    r.row = useRow(e, r.conn.arena);
    if (r.row) |use| {
        use.users += 1;
        use.by_slot[r.conn.slot_index] = r;
    }
    heat(r);
}

fn detachRegistration(r: *Registration) void {
    const e = r.epoll;
    if (!r.joined) return;
    r.joined = false;
    e.ring_count -= 1;
    if (r.hot_index != Registration.not_hot) cool(r);
    disarm(r);
    const use = r.row orelse return;
    r.row = null;
    use.by_slot[r.conn.slot_index] = siblingIn(e, r);
    use.users -= 1;
    if (use.users == 0) releaseRow(e, use);
}

/// Another registration of the same connection in the same instance (through a dup).
fn siblingIn(e: *Epoll, r: *const Registration) ?*Registration {
    for (r.conn.registrations) |maybe| {
        const other = maybe orelse continue;
        if (other != r and other.epoll == e and other.row != null) return other;
    }
    return null;
}

fn releaseRow(e: *Epoll, use: *RowUse) void {
    if (e.foreign) return; // the parent's
    var at = &e.rows;
    while (at.*) |other| {
        if (other == use) {
            at.* = use.next;
            break;
        }
        at = &other.next;
    }
    Rows.sleepEnd(use.row());
    for (use.bits()) |*word| _ = Rows.take(word);
    @atomicStore(u64, &use.row().owner, 0, .release);
    sys.unmap(@ptrCast(use.by_slot.ptr), use.by_slot.len * @sizeOf(?*Registration));
    _ = @atomicRmw(u32, &use.arena.users, .Sub, 1, .acq_rel);
    row_pool.give(use);
}

/// The row of this instance in `a`: found or claimed. Null: none free; then the instance polls.
fn useRow(e: *Epoll, a: *Arena) ?*RowUse {
    var at = e.rows;
    while (at) |use| : (at = use.next) if (use.arena == a) return use;
    const w = waiterOf(e) orelse return null;
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
    _ = @atomicRmw(u32, &a.users, .Add, 1, .acq_rel);
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

fn waiterOf(e: *Epoll) ?*waiters.Waiter {
    if (e.waiter) |w| return w;
    const w = waiters.create(e.fd) orelse return null;
    e.waiter = w;
    waiters.epollAdd(e.fd, w.local);
    const control_fd = links.controlEpoll();
    if (control_fd >= 0) waiters.epollAdd(e.fd, control_fd);
    return w;
}

fn sleepValue(w: *waiters.Waiter, use: *const RowUse) u64 {
    return w.attention(.thread, use.arena.my_link, w.number);
}

// ---------------------------------------------------------------------------------------------
// Hot and armed. All under the instance's mutex.

fn heat(r: *Registration) void {
    disarm(r);
    if (r.hot_index != Registration.not_hot) return;
    const e = r.epoll;
    if (e.hot_count == hot_max) {
        if (!coolIdle(e)) {
            _ = arm(r);
            // Armed, but perhaps with bytes already there: its own bit makes the next scan look.
            if (r.row) |use| _ = @atomicRmw(u64, &use.bits()[r.conn.slot_index / 64], .Or, bitOf(r), .acq_rel);
            return;
        }
    }
    r.hot_index = e.hot_count;
    r.idle_looks = 0;
    e.hot[e.hot_count] = r;
    e.hot_count += 1;
}

fn bitOf(r: *const Registration) u64 {
    return @as(u64, 1) << @truncate(r.conn.slot_index);
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
    if (readableHead(r) != r.conn.end.rx.position) {
        _ = @atomicRmw(u64, &r.row.?.bits()[r.conn.slot_index / 64], .Or, bitOf(r), .acq_rel);
    }
    return true;
}

/// Asks the peer to set our bit. Ends with a full barrier: look at the ring again after it.
fn arm(r: *Registration) bool {
    if (r.armed != null) return true;
    const use = r.row orelse return false;
    const w = r.epoll.waiter orelse return false;
    const value = w.attention(.row, use.arena.my_link, @intCast(use.index));
    r.armed = Wake.arm(&r.conn.rx_direction.attn, value);
    return r.armed != null and armOut(r, value);
}

/// While the application waits for space in a full ring: the same for the other direction.
fn armOut(r: *Registration, value: u64) bool {
    if (!waitsForSpace(r) or r.armed_out != null) return true;
    const direction = r.conn.tx_direction;
    const head = @atomicLoad(u64, &direction.head, .monotonic);
    @atomicStore(u64, &direction.psleep_mark, head -% constants.ring_bytes / 2, .release);
    r.armed_out = Wake.arm(&direction.psleep, value);
    return r.armed_out != null;
}

fn waitsForSpace(r: *const Registration) bool {
    return r.events & (sys.EPOLLOUT | sys.EPOLLWRNORM) != 0 and
        r.conn.end.tx.carrier == @intFromEnum(layout.Carrier.ring) and !writableRing(r.conn);
}

fn disarm(r: *Registration) void {
    if (!r.epoll.foreign) {
        if (r.armed) |index| Wake.disarm(&r.conn.rx_direction.attn, index);
        if (r.armed_out) |index| Wake.disarm(&r.conn.tx_direction.psleep, index);
    }
    r.armed = null;
    r.armed_out = null;
}

/// A send found the ring full: whoever waits for space has to be looked at, and armed, again.
pub fn ringIsFull(c: *Conn) void {
    if (c.registration_count == 0) return;
    for (c.registrations) |maybe| {
        const r = maybe orelse continue;
        if (r.events & (sys.EPOLLOUT | sys.EPOLLWRNORM) == 0) continue;
        const guard = r.epoll.mutex.lock();
        defer guard.unlock();
        r.out_reported = false;
        if (r.row != null) heat(r);
    }
}

fn readableHead(r: *const Registration) u64 {
    return @atomicLoad(u64, &r.conn.rx_direction.head, .acquire);
}

// ---------------------------------------------------------------------------------------------
// Looking

/// Ring events of `r` now, by level; updates edge state when `report`.
fn eventsOf(r: *Registration) u32 {
    if (r.disabled) return 0;
    const c = r.conn;
    var events: u32 = 0;
    if (r.events & (sys.EPOLLIN | sys.EPOLLRDNORM) != 0) {
        if (c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) {
            const head = readableHead(r);
            if (head != c.end.rx.position and readyIn(r, head)) {
                events |= r.events & (sys.EPOLLIN | sys.EPOLLRDNORM);
            }
        } else if (switchedHere(r)) events |= r.events & (sys.EPOLLIN | sys.EPOLLRDNORM);
    }
    if (r.events & (sys.EPOLLOUT | sys.EPOLLWRNORM) != 0) {
        if (c.end.tx.carrier == @intFromEnum(layout.Carrier.ring) and readyOut(r)) {
            events |= r.events & (sys.EPOLLOUT | sys.EPOLLWRNORM);
        }
    }
    return events;
}

fn readyIn(r: *Registration, head: u64) bool {
    if (r.events & sys.EPOLLET != 0) {
        if (head == r.seen_head) return false;
        r.seen_head = head;
        return true;
    }
    const low = r.conn.receive_low_water;
    return low <= 1 or head -% r.conn.end.rx.position >= low;
}

/// On TCP, but the sender has entered the ring at the position where we stand: the application has
/// to read to find out. Looked at only while the gate says so.
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
    const c = r.conn;
    if (!writableRing(c)) {
        r.out_reported = false;
        return false;
    }
    if (r.events & sys.EPOLLET != 0) {
        if (r.out_reported) return false;
        r.out_reported = true;
    }
    return true;
}

/// As the kernel does it: writable means that a good piece fits, not one byte.
pub fn writableRing(c: *const Conn) bool {
    const head = @atomicLoad(u64, &c.tx_direction.head, .monotonic);
    const tail = @atomicLoad(u64, &c.tx_direction.tail, .acquire);
    return head -% tail <= constants.ring_bytes / 2;
}

/// Ring events into `events`, at most `events.len`; the number.
fn scan(e: *Epoll, events: []sys.EpollEvent) usize {
    if (e.foreign) return scanForeign(e, events);
    takeBits(e);
    var n: usize = 0;
    var looked: u32 = 0;
    const count = e.hot_count;
    if (count == 0) return 0;
    var at = e.next_hot % count;
    while (looked < count and n < events.len) : (looked += 1) {
        if (at >= e.hot_count) at = 0;
        const r = e.hot[at];
        const found = eventsOf(r);
        if (found != 0) {
            events[n] = .{ .events = found, .data = r.data };
            n += 1;
            r.idle_looks = 0;
            if (r.events & sys.EPOLLONESHOT != 0) fireOnce(r);
        } else r.idle_looks += 1;
        at += 1;
    }
    e.next_hot = at;
    return n;
}

/// In a forked child: rows and bits are the parent's, so every registration is looked at.
fn scanForeign(e: *Epoll, events: []sys.EpollEvent) usize {
    var n: usize = 0;
    var fd: c_int = 0;
    while (fd < fds.used and n < events.len) : (fd += 1) {
        const c = conn_module.find(fd) orelse continue;
        if (!c.isAttached()) continue;
        for (c.registrations) |maybe| {
            const r = maybe orelse continue;
            if (r.epoll != e or r.fd != fd or n == events.len) continue;
            const found = eventsOf(r);
            if (found == 0) continue;
            events[n] = .{ .events = found, .data = r.data };
            n += 1;
            if (r.events & sys.EPOLLONESHOT != 0) fireOnce(r);
        }
    }
    return n;
}

fn takeBits(e: *Epoll) void {
    var at = e.rows;
    while (at) |use| : (at = use.next) {
        for (use.bits(), 0..) |*word, i| {
            var bits = Rows.take(word);
            while (bits != 0) : (bits &= bits - 1) {
                const slot = i * 64 + @ctz(bits);
                const marked = use.by_slot[slot] orelse continue;
                for (marked.conn.registrations) |maybe| {
                    const r = maybe orelse continue;
                    if (r.epoll == e and r.row != null) heat(r);
                }
            }
        }
    }
}

fn fireOnce(r: *Registration) void {
    r.disabled = true;
    var event: sys.EpollEvent = .{ .events = sys.EPOLLONESHOT, .data = r.data };
    _ = sys.call(.epoll_ctl, .{ r.epoll.fd, sys.EPOLL_CTL_MOD, r.fd, &event });
}

// ---------------------------------------------------------------------------------------------
// epoll_wait

pub const Wait = struct {
    e: *Epoll,
    events: []sys.EpollEvent,
    /// Null: for ever.
    timeout_ns: ?u64,
    /// Signal mask for the sleep, as epoll_pwait takes it.
    mask: ?*const anyopaque,
};

/// An epoll wait with ring connections among the registered. Raw result.
pub fn wait(w: Wait) isize {
    const deadline = if (w.timeout_ns) |ns| sys.nowNs() +| ns else 0;
    var spun = false;
    while (true) {
        const found = look(w);
        if (found != 0) return found;
        if (w.timeout_ns) |ns| if (ns == 0) return 0;
        if (!spun) {
            spun = true;
            const early = spinFor(w, deadline);
            if (early != 0) return early;
        }
        var left: ?u64 = null;
        if (w.timeout_ns != null) {
            const now = sys.nowNs();
            if (now >= deadline) return 0;
            left = deadline - now;
        }
        const n = sleepOnce(w, left);
        if (n != 0) return n;
    }
}

/// Ring events, and kernel events when that look is due; 0 = nothing.
fn look(w: Wait) isize {
    const e = w.e;
    const guard = e.mutex.lock();
    if (!guard.ok()) return kernelWait(w, w.events, 0);
    defer guard.unlock();
    var n = scan(e, w.events);
    const now = clock.ticks();
    const due = now -% e.last_kernel_look >= clock.fromNs(constants.kernel_look_poll_ns);
    const only_look = if (w.timeout_ns) |ns| ns == 0 and n == 0 else false;
    if (!due and !only_look) return @intCast(n);
    e.last_kernel_look = now;
    if (n == w.events.len and n > 1) n = giveBack(e, w.events, n); // never starve kernel descriptors
    if (n == w.events.len) return @intCast(n);
    const more = kernelWait(w, w.events[n..], 0);
    if (more < 0) return if (n > 0) @intCast(n) else more;
    return @intCast(merge(w.events, n, @intCast(more)));
}

/// Makes room for one kernel event by taking back the last ring event: level-triggered ones come
/// again by themselves, the others are restored.
fn giveBack(e: *Epoll, events: []sys.EpollEvent, n: usize) usize {
    const last = events[n - 1];
    for (e.hot[0..e.hot_count]) |r| {
        if (r.data != last.data) continue;
        if (r.events & sys.EPOLLONESHOT != 0) return n; // already disabled in the kernel
        r.seen_head = r.conn.end.rx.position;
        r.out_reported = false;
        return n - 1;
    }
    return n;
}

/// A connection with both ring and kernel events is reported once.
fn merge(events: []sys.EpollEvent, ring: usize, kernel: usize) usize {
    var total = ring;
    for (events[ring..][0..kernel]) |event| {
        for (events[0..ring]) |*mine| {
            if (mine.data == event.data) {
                mine.events |= event.events;
                break;
            }
        } else {
            events[total] = event;
            total += 1;
        }
    }
    return total;
}

/// Real epoll_wait, minus our own descriptors: those are served. Events for the application.
fn kernelWait(w: Wait, into: []sys.EpollEvent, timeout_ns: ?u64) isize {
    var n: isize = undefined;
    const mask_bytes: usize = 8;
    if (timeout_ns) |ns| {
        const ts: sys.Timespec = .{ .sec = @intCast(ns / 1_000_000_000), .nsec = @intCast(ns % 1_000_000_000) };
        n = if (ns == 0)
            sys.call(.epoll_pwait, .{ w.e.fd, into.ptr, into.len, 0, w.mask, mask_bytes })
        else
            sys.call(.epoll_pwait2, .{ w.e.fd, into.ptr, into.len, &ts, w.mask, mask_bytes });
        if (n == sys.neg(.NOSYS)) {
            const ms: i32 = @intCast(@min((ns + 999_999) / 1_000_000, std.math.maxInt(i32)));
            n = sys.call(.epoll_pwait, .{ w.e.fd, into.ptr, into.len, ms, w.mask, mask_bytes });
        }
    } else n = sys.call(.epoll_pwait, .{ w.e.fd, into.ptr, into.len, -1, w.mask, mask_bytes });
    if (n <= 0) return n;
    return @intCast(serveOwn(into[0..@intCast(n)]));
}

/// Takes our descriptors out of the results and serves them; the number that remain.
fn serveOwn(events: []sys.EpollEvent) usize {
    var kept: usize = 0;
    for (events) |event| {
        if (event.data & 0xffff_ffff_0000_0000 == waiters.epoll_tag) {
            const fd: i32 = @bitCast(@as(u32, @truncate(event.data)));
            if (fd == links.control_epoll) control.process() else waiters.drainFd(fd);
            continue;
        }
        events[kept] = event;
        kept += 1;
    }
    return kept;
}

/// Watches the hot rings, and now and then the kernel, for a while. Events, or 0.
fn spinFor(w: Wait, deadline: u64) isize {
    const e = w.e;
    if (e.hot_count == 0 or e.foreign) return 0;
    const peer_cpu = @atomicLoad(u32, &e.hot[0].conn.rx_direction.producer_cpu, .monotonic);
    var watch = spin.Watch.begin(e.spin.budget(peer_cpu)) orelse return 0;
    while (watch.step()) {
        var seen = false;
        for (0..8) |_| seen = seen or glance(e);
        const due = watch.last -% e.last_kernel_look >= clock.fromNs(constants.kernel_look_poll_ns);
        if (!seen and !due) continue;
        const found = look(w);
        if (found != 0) {
            if (seen) e.spin.hit();
            return found;
        }
        if (w.timeout_ns != null and sys.nowNs() >= deadline) return 0;
    }
    e.spin.missed();
    return 0;
}

/// Might a scan find something? No side effects.
fn glance(e: *Epoll) bool {
    const guard = e.mutex.lock();
    if (!guard.ok()) return true;
    defer guard.unlock();
    for (e.hot[0..e.hot_count]) |r| if (wantsLook(r)) return true;
    var at = e.rows;
    while (at) |use| : (at = use.next) if (Rows.anyReady(use.bits())) return true;
    return false;
}

/// Arms everything, looks again, sleeps in the kernel. Events, 0 = look again, negative errno.
fn sleepOnce(w: Wait, left: ?u64) isize {
    const e = w.e;
    var timeout = left;
    {
        const guard = e.mutex.lock();
        if (!guard.ok()) return kernelWait(w, w.events, @min(left orelse bounded_ns, bounded_ns));
        defer guard.unlock();
        const reachable = prepareSleep(e);
        const n = scan(e, w.events);
        if (n > 0) {
            e.sleepers -= 1;
            endSleep(e);
            return @intCast(n);
        }
        if (!reachable or e.hot_count > 0) timeout = @min(timeout orelse bounded_ns, bounded_ns);
    }
    ends.count("sleeps");
    const start = clock.ticks();
    const n = kernelWait(w, w.events, timeout);
    const guard = e.mutex.lock();
    defer guard.unlock();
    e.last_kernel_look = clock.ticks();
    e.spin.slept(clock.toNs(e.last_kernel_look -% start));
    e.sleepers -= 1;
    endSleep(e);
    return n;
}

/// True: every ring in this instance can wake it.
fn prepareSleep(e: *Epoll) bool {
    e.sleepers += 1;
    var sound = !e.foreign and e.waiter != null;
    if (e.waiter) |w| if (!e.foreign) {
        var at = e.rows;
        while (at) |use| : (at = use.next) {
            if (use.users == 0) continue;
            if (!waiters.prepare(w, use.arena, 0)) sound = false;
            Rows.sleepBegin(use.row(), sleepValue(w, use));
        }
    };
    // From the last to the first: arming takes them out of the set.
    var i = e.hot_count;
    while (i > 0) {
        i -= 1;
        const r = e.hot[i];
        if (e.foreign or !arm(r)) continue;
        if (wantsLook(r)) {
            disarm(r);
            continue; // stays hot: the scan after this reports it
        }
        cool(r);
    }
    return sound;
}

fn wantsLook(r: *Registration) bool {
    if (r.events & (sys.EPOLLOUT | sys.EPOLLWRNORM) != 0 and !r.disabled and !r.out_reported and
        r.conn.end.tx.carrier == @intFromEnum(layout.Carrier.ring) and writableRing(r.conn)) return true;
    const head = readableHead(r);
    if (r.disabled or r.events & (sys.EPOLLIN | sys.EPOLLRDNORM) == 0) return false;
    if (r.conn.end.rx.carrier != @intFromEnum(layout.Carrier.ring)) return switching(r.conn);
    if (r.events & sys.EPOLLET != 0) return head != r.seen_head;
    return head != r.conn.end.rx.position;
}

fn endSleep(e: *Epoll) void {
    var at = e.rows;
    while (at) |use| : (at = use.next) {
        if (e.foreign) continue;
        if (e.sleepers == 0) Rows.sleepEnd(use.row()) else if (e.waiter) |w| {
            // Others still sleep on this row: a new epoch, so that the next publish rings again.
            Rows.sleepBegin(use.row(), sleepValue(w, use));
        }
    }
}

fn kickSleepers(e: *Epoll) void {
    if (e.sleepers > 0) if (e.waiter) |w| waiters.kick(w.number);
}

/// In a forked child an inherited instance keeps working by bounded waits: its rows and doorbells
/// belong to the parent.
pub fn afterForkChild() void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const e = find(fd) orelse continue;
        e.mutex = .{};
        e.foreign = true;
        e.sleepers = 0;
    }
}
