//! epoll instances with ring connections in them.
//!
//! The application's epoll stays the real one and keeps every registration: kernel descriptors,
//! nesting, dup and sharing are the kernel's business, and FIN, errors and TCP bytes of ring
//! connections come from it. What the kernel cannot know, ring readiness, comes from here:
//!
//!   hot registrations   looked at directly at every wait: one load of the ring's head
//!   armed ones          cost nothing until the peer sets their bit in our ready row; then they are
//!                       on the ready list, and looked at, until a look finds nothing
//!
//! Going to sleep arms all. So a wait costs what is active, not what is registered (readiness.zig). Changes to registrations of ring connections are brought to the
//! kernel only before it is asked next (interest.zig).
//!
//! To be rung, an instance owns a waiter: its local bell, the control descriptors and the doorbells
//! sit in the application's epoll under tagged data, and are filtered out of the results.
//!
//! Lock order: send lock, instance mutex, receive lock; the instance mutex before those of control,
//! arenas and links.

const std = @import("std");
const constants = @import("../constants.zig");
const arena_module = @import("arena.zig");
const cancel = @import("cancel.zig");
const clock = @import("clock.zig");
const conn_module = @import("conn.zig");
const control = @import("control.zig");
const ends = @import("ends.zig");
const fds = @import("fds.zig");
const interest = @import("interest.zig");
const links = @import("links.zig");
const lock = @import("lock.zig");
const nesting = @import("nesting.zig");
const profile = @import("profile.zig");
const readiness = @import("readiness.zig");
const section = @import("section.zig");
const sharing = @import("sharing.zig");
const signals = @import("signals.zig");
const spin = @import("spin.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");
const Pool = @import("pool.zig").Pool;

const Conn = conn_module.Conn;
const Arena = arena_module.Arena;

/// One connection's place in one epoll instance, through one descriptor. What a wait looks at and
/// changes is in the first cache line.
pub const Registration = extern struct {
    conn: *Conn align(128),
    epoll: *Epoll,
    data: u64,
    /// What the application asked for; not `wanted`: deleted, but the kernel does not know yet.
    events: u32,
    wanted: bool,
    /// ONESHOT fired: silent until the next MOD.
    disabled: bool,
    /// Counted in the instance's `ring_count`.
    joined: bool,
    /// Neither hot nor armed.
    stranded: bool,
    /// On the instance's ready list, and its neighbours there.
    listed: bool,
    out_reported: bool,
    /// Wait words held, for bytes and for space.
    armed: Place,
    armed_out: Place,
    /// Place in the hot set, or `not_hot`.
    hot_index: u32,
    listed_before: ?*Registration,
    listed_after: ?*Registration,
    /// `Epoll.marks`, its lower half, when its bit was taken last.
    marked_at: u32,
    /// In the instance's list of changes for the kernel; MOD is due even without a difference.
    dirty: bool,
    rearm: bool,

    row: ?*readiness.RowUse,
    /// Edge-triggered: events up to here have been reported.
    seen_head: u64,
    /// In the instance's list of all registrations of tracked connections.
    previous: ?*Registration,
    next: ?*Registration,
    next_free: ?*Registration = null,
    /// What the kernel has.
    kernel_data: u64,
    kernel_events: u32,
    in_kernel: bool,
    /// In a settled instance (sharing.zig): the connection has been moved, as far as it could be.
    moved: bool,
    /// The kernel has it as we believe (`interest.compareWithKernel`).
    agrees: bool,
    fd: i32,

    pub const not_hot = std.math.maxInt(u32);

    comptime {
        std.debug.assert(@offsetOf(Registration, "row") == 64);
    }
};

/// A wait word held, or none.
pub const Place = extern struct {
    index_plus_one: u8 = 0,

    pub inline fn of(index: ?u8) Place {
        return .{ .index_plus_one = if (index) |i| i + 1 else 0 };
    }

    pub inline fn get(place: Place) ?u8 {
        return if (place.index_plus_one == 0) null else place.index_plus_one - 1;
    }
};

pub const hot_max = 64;
pub const dirty_max = 256;

/// Of a hot registration.
pub const Watched = struct {
    /// Its ring's.
    head: *const u64,
    /// While `head` is this, and no look is wanted, there is nothing to look at.
    quiet_at: u64 = 0,
    wants_look: bool = true,
    /// Scans in a row that found nothing.
    vain_scans: u32 = 0,

    pub inline fn headNow(watched: *const Watched) u64 {
        return @atomicLoad(u64, watched.head, .acquire);
    }

    pub inline fn isQuiet(watched: *const Watched) bool {
        return !watched.wants_look and watched.headNow() == watched.quiet_at;
    }

    /// `head`: as it was before the look that found nothing.
    pub inline fn beQuietAt(watched: *Watched, head: u64) void {
        watched.quiet_at = head;
        watched.wants_look = false;
    }

    pub inline fn beLookedAt(watched: *Watched) void {
        watched.wants_look = true;
    }
};

/// An instance without a doorbell looks this often.
const bounded_ns = 1_000_000;

pub const Epoll = struct {
    next_free: ?*Epoll = null,
    fd: i32 align(64),
    refs: u32,
    mutex: lock.Mutex,
    /// Registrations of attached connections.
    ring_count: u32,
    registrations: ?*Registration,
    stranded_count: u32,
    oneshot_count: u32,
    exclusive_count: u32,
    waiter: ?*waiters.Waiter,
    rows: ?*readiness.RowUse,
    hot: [hot_max]*Registration,
    /// Beside each of them what a scan sees first (readiness.zig).
    hot_watched: [hot_max]Watched,
    hot_count: u32,
    next_hot: u32,
    /// Armed registrations to look at, in turn (readiness.zig).
    ready_list: readiness.List,
    /// Begin the next scan with the ready list: the last one had no room for it.
    list_first: bool,
    /// Bits taken so far; a sleep counts as many (readiness.zig, `marked`).
    marks: u64,
    dirty: [dirty_max]*Registration,
    dirty_count: u32,
    sleepers: u32,
    last_kernel_look: u64,
    /// How long after that the next one is due while rings have events.
    kernel_look_gap_ns: u64,
    kernel_turn: bool,
    spin: spin.Spin,
    /// Who may have ring connections in it; null: this process, which has not forked since it made it.
    claim: ?*sharing.Claim,
    /// By this process (the claim's process id may be that of an earlier one).
    mine: bool,
    /// Rows and doorbells are another process's, or there are none: inherited by fork and not used
    /// yet, or settled.
    foreign: bool,
    /// Other processes use it too: the kernel's alone, but for what peers have not re-sent.
    settled: bool,
    /// Sleeps in a row that were ended by other processes' descriptors.
    strangers: u32,
    /// Somebody waits for this instance itself (another epoll, poll): it stays armed while the
    /// application is not in a wait, so that its doorbells make it readable.
    nested: bool,
    parked: bool,
    /// Parked, and everything that would make it readable rings.
    reachable: bool,
    /// Somebody waits for it edge-triggered, or has.
    edge_nested: bool,
    /// The instances in this one.
    nests: ?*nesting.Nest,
    /// What the last scan reported last; the cpu it came from; and that there was one since the last
    /// sleep, so that it may pay to watch the rings.
    last_reported: ?*Registration,
    peer_cpu: u32,
    reported: bool,
    /// Data, by hash, with which descriptors that are no tracked connections were registered. A bit
    /// says that the kernel is to be asked, nothing more.
    unknown_data: [unknown_bits / 64]u64,
};

const unknown_bits = 1024;

var pool: Pool(Epoll, 16) = .{};

pub inline fn find(fd: c_int) ?*Epoll {
    return fds.lookup(.epoll, Epoll, fd);
}

pub fn track(fd: c_int) void {
    const e = pool.take() orelse return;
    e.* = std.mem.zeroInit(Epoll, .{
        .hot = @as([hot_max]*Registration, undefined),
        .hot_watched = @as([hot_max]Watched, undefined),
        .dirty = @as([dirty_max]*Registration, undefined),
    });
    e.fd = fd;
    e.refs = 1;
    e.spin.follow(profile.chosen.default);
    e.kernel_look_gap_ns = constants.kernel_look_poll_ns;
    if (!fds.set(.epoll, fd, e)) pool.give(e);
}

pub fn addDescriptor(e: *Epoll, fd: c_int) void {
    if (fds.set(.epoll, fd, e)) e.refs += 1;
}

pub fn dropDescriptor(e: *Epoll, fd: c_int) void {
    fds.clear(fd);
    e.refs -= 1;
    if (e.refs > 0) {
        if (e.fd == fd) if (otherDescriptor(e)) |other| {
            e.fd = other;
            if (e.waiter) |w| w.epoll_fd = other;
        };
        return;
    }
    sharing.forget(e);
    interest.dropInstance(e);
    nesting.forget(e);
    @import("early.zig").forgetInstance(e);
    readiness.dropRows(e, null);
    if (e.waiter) |w| if (!e.foreign or e.settled) waiters.destroy(w);
    pool.give(e);
}

fn otherDescriptor(e: *const Epoll) ?i32 {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) if (find(fd) == e) return fd;
    return null;
}

/// Must waits go through us? Once doorbells sit in it, always: they have to be filtered out, as do
/// those of instances in it; and once it has been through a fork, because they may be another process's.
/// With several threads always too: another may attach the first connection while this one sleeps.
pub inline fn concernsUs(e: *const Epoll) bool {
    return e.ring_count != 0 or e.waiter != null or e.dirty_count != 0 or e.oneshot_count != 0 or
        e.nests != null or e.claim != null or !lock.isSingleThreaded();
}

pub fn waiterOf(e: *Epoll) ?*waiters.Waiter {
    if (e.waiter) |w| return w;
    const w = waiters.create(e.fd) orelse return null;
    e.waiter = w;
    waiters.epollAdd(e.fd, w.local);
    const control_fd = links.controlEpoll();
    if (control_fd >= 0) waiters.epollAdd(e.fd, control_fd);
    return w;
}

pub fn kickSleepers(e: *Epoll) void {
    if (e.sleepers > 0) if (e.waiter) |w| waiters.kick(w.number);
}

// ---------------------------------------------------------------------------------------------
// Waiting

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
    if (@intFromPtr(w.e.claim) | @intFromPtr(w.e.nests) != 0) useAll(w.e);
    if (w.e.nested) nesting.unpark(w.e);
    const result = waitAwake(w);
    if (w.e.nested) nesting.park(w.e);
    return result;
}

/// A wait on `e` is a use of it and of those in it. Before any lock is taken.
noinline fn useAll(e: *Epoll) void {
    if (e.claim != null) sharing.use(e);
    if (e.nests != null) nesting.useInner(e);
}

fn waitAwake(w: Wait) isize {
    const n = waitUntil(w);
    if (n > 0 and @atomicLoad(u32, &w.e.sleepers, .monotonic) > 0) {
        const guard = w.e.mutex.lock();
        defer guard.unlock();
        if (guard.ok()) readiness.handOver(w.e);
    }
    return n;
}

fn waitUntil(w: Wait) isize {
    const deadline = if (w.timeout_ns) |ns| sys.nowNs() +| ns else 0;
    var spun = false;
    while (true) {
        const found = look(w, if (mayWait(w)) .before_waiting else .now_or_never);
        if (found != 0 or !mayWait(w)) return found;
        if (!spun) {
            spun = true;
            const early = spinFor(w, deadline);
            if (early != 0) return early;
        }
        var left: ?u64 = null;
        if (w.timeout_ns != null) {
            const now = sys.nowNs();
            // As in the kernel, the time being over is no answer before everything has been looked at:
            // so far that may be the rings alone.
            if (now >= deadline) return look(w, .now_or_never);
            left = deadline - now;
        }
        const n = sleepOnce(w, left);
        if (n != 0) return n;
        if (section.isPending()) return sys.neg(.INTR);
    }
}

inline fn mayWait(w: Wait) bool {
    return if (w.timeout_ns) |ns| ns != 0 else true;
}

const Moment = enum { now_or_never, before_waiting, while_watching };

/// Ring events, and kernel events when that look is due; 0 = nothing. Where nothing is ready and a
/// wait follows, the wait is the look.
fn look(w: Wait, moment: Moment) isize {
    const e = w.e;
    const guard = e.mutex.lock();
    if (!guard.ok()) return kernelWait(w, w.events, 0);
    defer guard.unlock();
    var n = readiness.scan(e, w.events);
    if (n == 0 and moment == .before_waiting) return 0;
    const now = clock.ticks();
    const gap_ns = if (n > 0) e.kernel_look_gap_ns else constants.kernel_look_poll_ns;
    const due = now -% e.last_kernel_look >= clock.fromNs(gap_ns);
    const only_look = n == 0 and moment == .now_or_never;
    // With no room for both, ring and kernel take turns.
    e.kernel_turn = n == w.events.len and !e.kernel_turn;
    if (!due and !only_look and !(e.kernel_turn and n == 1)) return @intCast(n);
    if (n == w.events.len and !e.kernel_turn) return @intCast(n);
    e.last_kernel_look = now;
    if (n == w.events.len) n = readiness.giveBack(e, w.events, n); // never starve the kernel
    if (n == w.events.len) return @intCast(n);
    interest.synchronise(e);
    if (e.nests != null) _ = nesting.isReachable(e);
    const raw = kernelWaitRaw(w, w.events[n..], 0);
    e.kernel_look_gap_ns = if (raw != 0) constants.kernel_look_poll_ns else @min(2 * gap_ns, constants.kernel_look_poll_ns_max);
    const more = filter(w, w.events[n..], raw, e.nested and n > 0);
    if (more < 0) return if (n > 0) @intCast(n) else more;
    const total = merge(e, w.events, n, @intCast(more));
    // Room was made for a kernel event in vain: fill it again.
    return @intCast(if (total == 0) readiness.scan(e, w.events) else total);
}

/// A connection with both ring and kernel events is reported once; two registrations with the same
/// data are two events.
fn merge(e: *Epoll, events: []sys.EpollEvent, ring: usize, kernel: usize) usize {
    var total = ring;
    for (events[ring..][0..kernel]) |event| {
        for (events[0..ring]) |*mine| {
            if (mine.data == event.data and !interest.isSharedData(e, event.data)) {
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

/// A descriptor that is no tracked connection has been registered.
pub fn noteUnknown(e: *Epoll, data: u64) void {
    const n = unknownBit(data);
    _ = @atomicRmw(u64, &e.unknown_data[n / 64], .Or, @as(u64, 1) << @truncate(n), .monotonic);
}

pub fn mayBeUnknown(e: *const Epoll, data: u64) bool {
    const n = unknownBit(data);
    return @atomicLoad(u64, &e.unknown_data[n / 64], .monotonic) >> @truncate(n) & 1 != 0;
}

fn unknownBit(value: u64) usize {
    return (value ^ value >> 10 ^ value >> 23) % unknown_bits;
}

/// One line of what the kernel says about an instance.
pub const Known = struct { fd: i32, events: u32, data: u64 };

/// The kernel's registrations, from /proc: exact and slow.
pub const KnownList = struct {
    fd: isize,
    buffer: [4096]u8 = undefined,
    len: usize = 0,
    at: usize = 0,

    pub fn open(e: *const Epoll) KnownList {
        var path: [40]u8 = undefined;
        const name = std.fmt.bufPrintSentinel(&path, "/proc/self/fdinfo/{d}", .{e.fd}, 0) catch return .{ .fd = -1 };
        const at_cwd: isize = -100;
        return .{ .fd = sys.call(.openat, .{ at_cwd, name.ptr, sys.SOCK_CLOEXEC }) };
    }

    pub fn close(list: *KnownList) void {
        if (list.fd >= 0) _ = sys.call(.close, .{list.fd});
    }

    pub fn next(list: *KnownList) ?Known {
        while (list.line()) |text| if (parseKnown(text)) |known| return known;
        return null;
    }

    fn line(list: *KnownList) ?[]const u8 {
        while (true) {
            const rest = list.buffer[list.at..list.len];
            if (std.mem.findScalar(u8, rest, '\n')) |end| {
                list.at += end + 1;
                return rest[0..end];
            }
            std.mem.copyForwards(u8, list.buffer[0..rest.len], rest);
            list.at = 0;
            list.len = rest.len;
            if (list.fd < 0) return null;
            const n = sys.call(.read, .{ list.fd, list.buffer[rest.len..].ptr, list.buffer.len - rest.len });
            if (n <= 0) return null;
            list.len += @intCast(n);
        }
    }
};

/// "tfd:        5 events:       19 data:                7  pos:0 ino:..."
fn parseKnown(text: []const u8) ?Known {
    var words = std.mem.tokenizeAny(u8, text, " \t");
    if (!std.mem.eql(u8, words.next() orelse return null, "tfd:")) return null;
    const fd = std.fmt.parseInt(i32, words.next() orelse return null, 10) catch return null;
    if (!std.mem.eql(u8, words.next() orelse return null, "events:")) return null;
    const events = std.fmt.parseInt(u32, words.next() orelse return null, 16) catch return null;
    if (!std.mem.eql(u8, words.next() orelse return null, "data:")) return null;
    const data = std.fmt.parseInt(u64, words.next() orelse return null, 16) catch return null;
    return .{ .fd = fd, .events = events, .data = data };
}

test "a line of an epoll's fdinfo is understood, others are not" {
    const text = "tfd:        5 events: 80000019 data: ffffffff00000007  pos:0 ino:1b3f sdev:9";
    const known: Known = .{ .fd = 5, .events = 0x80000019, .data = 0xffffffff00000007 };
    try std.testing.expectEqual(known, parseKnown(text));
    try std.testing.expectEqual(null, parseKnown("flags:\t02"));
}

/// Real epoll_wait, minus our own descriptors: those are served. Events for the application.
fn kernelWait(w: Wait, into: []sys.EpollEvent, timeout_ns: ?u64) isize {
    return filter(w, into, kernelWaitRaw(w, into, timeout_ns), false);
}

/// What of `n` kernel events is the application's. Walks registrations: under the mutex.
/// `keep_bells`: an instance that has ring events stays readable for those who wait for it; ringing
/// again would be one edge more than the kernel tells.
fn filter(w: Wait, into: []sys.EpollEvent, n: isize, keep_bells: bool) isize {
    if (n <= 0) return n;
    const served = serveOwn(w.e, into[0..@intCast(n)], keep_bells);
    // Served or not, something of ours woke us: 0 means that the caller looks again.
    var kept = if (w.e.ring_count > 0) interest.translate(w.e, into[0..served]) else served;
    if (w.e.nests != null) kept = nesting.verify(w.e, into[0..kept]);
    if (w.e.oneshot_count == 0) return @intCast(kept);
    return @intCast(interest.claimOneshot(w.e, into[0..kept]));
}

/// Where the result cannot be written, the kernel refuses an event, and would not without: what of ours
/// is readable must not make it do so.
fn kernelWaitRaw(w: Wait, into: []sys.EpollEvent, timeout_ns: ?u64) isize {
    const n = kernelWaitOnce(w, into, timeout_ns);
    if (n == sys.neg(.FAULT)) {
        @branchHint(.cold);
        if (w.e.waiter) |waiter| if (waiters.drainAll(waiter)) return kernelWaitOnce(w, into, 0);
    }
    return n;
}

fn kernelWaitOnce(w: Wait, into: []sys.EpollEvent, timeout_ns: ?u64) isize {
    const mask_bytes: usize = 8;
    const ns = timeout_ns orelse
        return sys.call(.epoll_pwait, .{ w.e.fd, into.ptr, into.len, -1, w.mask, mask_bytes });
    if (ns == 0) return sys.call(.epoll_pwait, .{ w.e.fd, into.ptr, into.len, 0, w.mask, mask_bytes });
    const ts: sys.Timespec = .{ .sec = @intCast(ns / 1_000_000_000), .nsec = @intCast(ns % 1_000_000_000) };
    const n = sys.call(.epoll_pwait2, .{ w.e.fd, into.ptr, into.len, &ts, w.mask, mask_bytes });
    if (n != sys.neg(.NOSYS)) return n;
    const ms: i32 = @intCast(@min((ns + 999_999) / 1_000_000, std.math.maxInt(i32)));
    return sys.call(.epoll_pwait, .{ w.e.fd, into.ptr, into.len, ms, w.mask, mask_bytes });
}

/// Takes our descriptors out of the results and serves them; the number that remain.
fn serveOwn(e: *const Epoll, events: []sys.EpollEvent, keep_bells: bool) usize {
    var kept: usize = 0;
    for (events) |event| {
        if (event.data & waiters.tag_mask == waiters.epoll_tag) {
            const fd: i32 = @bitCast(@as(u32, @truncate(event.data)));
            if (fd == links.control_epoll) control.process();
            if (fd != links.control_epoll and !keep_bells) if (e.waiter) |w| waiters.drainFd(w, fd);
            continue;
        }
        events[kept] = event;
        kept += 1;
    }
    return kept;
}

/// Watches the hot rings and the rows, and now and then the kernel, for a while. Events, or 0.
fn spinFor(w: Wait, deadline: u64) isize {
    const e = w.e;
    if (e.foreign or (!e.reported and e.hot_count == 0)) return 0;
    var watch = e.spin.watch(e.peer_cpu) orelse return 0;
    while (watch.step()) {
        if (section.isPending()) return 0;
        const seen = readiness.glance(e);
        const due = watch.last -% e.last_kernel_look >= clock.fromNs(constants.kernel_look_poll_ns);
        if (!seen and !due) continue;
        const found = look(w, .while_watching);
        if (found != 0) {
            if (seen) e.spin.hit(&watch);
            return found;
        }
        if (w.timeout_ns != null and sys.nowNs() >= deadline) return 0;
    }
    e.spin.missed(&watch);
    return 0;
}

/// Arms everything, looks again, sleeps in the kernel. Events, 0 = look again, negative errno.
fn sleepOnce(w: Wait, left: ?u64) isize {
    const e = w.e;
    var timeout = left;
    if (beginSleep(w, &timeout)) |n| {
        if (n == 0 and e.claim != null) sharing.use(e);
        return n;
    }
    ends.count("sleeps");
    const start = clock.ticks();
    signals.sleepOn(if (e.waiter) |waiter| waiter.local else -1);
    var cleanup: cancel.Cleanup = .{};
    cleanup.push(cancelledAsleep, e);
    const raw = if (!section.isPending()) kernelSleep(w, timeout) else sys.neg(.INTR);
    cleanup.pop();
    signals.sleepOn(-1);
    if (e.settled and raw > 0) pauseForStrangers(w, raw);
    const end = endSleep(w, raw, start);
    if (end.counted) sharing.endSleep(e);
    return end.n;
}

/// Null: everything is armed, and nothing was found: sleep.
fn beginSleep(w: Wait, timeout: *?u64) ?isize {
    const e = w.e;
    const guard = e.mutex.lock();
    if (!guard.ok()) return kernelWait(w, w.events, @min(timeout.* orelse bounded_ns, bounded_ns));
    defer guard.unlock();
    const reachable = readiness.prepareSleep(e);
    const inner_reachable = e.nests == null or nesting.isReachable(e);
    const n = readiness.scan(e, w.events);
    if (n > 0 or e.claim != null and !sharing.beginSleep(e)) {
        readiness.endSleep(e);
        return @intCast(n);
    }
    interest.synchronise(e);
    const bounded = (!reachable and e.ring_count > 0) or readiness.needsLooks(e) or !inner_reachable;
    if (bounded) timeout.* = @min(timeout.* orelse bounded_ns, bounded_ns);
    return null;
}

/// `counted`: in the instance's claim, which may have been made meanwhile.
fn endSleep(w: Wait, raw: isize, start: u64) struct { n: isize, counted: bool } {
    const e = w.e;
    const guard = e.mutex.lock();
    defer guard.unlock();
    const n = filter(w, w.events, raw, false);
    e.last_kernel_look = clock.ticks();
    e.spin.slept(clock.toNs(e.last_kernel_look -% start));
    readiness.endSleep(e);
    return .{ .n = n, .counted = e.claim != null };
}

/// Another process's descriptors make a shared instance readable, and only that process can empty
/// them or take them out: looking at once again would be a busy loop.
fn pauseForStrangers(w: Wait, raw: isize) void {
    const e = w.e;
    for (w.events[0..@intCast(raw)]) |event| if (event.data & waiters.tag_mask != waiters.epoll_tag) {
        e.strangers = 0;
        return;
    };
    const pause_ns = @as(u64, bounded_ns) << @intCast(@min(e.strangers, 4));
    e.strangers +|= 1;
    _ = sys.poll(&.{}, pause_ns, null);
}

fn kernelSleep(w: Wait, timeout_ns: ?u64) isize {
    if (!cancel.isCancellable()) return kernelWaitRaw(w, w.events, timeout_ns);
    return cancel.epollWait(w.e.fd, w.events, timeout_ns, w.mask);
}

fn cancelledAsleep(argument: ?*anyopaque) callconv(.c) void {
    const e: *Epoll = @ptrCast(@alignCast(argument.?));
    signals.sleepOn(-1);
    const guard = e.mutex.lock();
    readiness.endSleep(e);
    if (e.claim != null) sharing.cancelledAsleep(e);
    guard.unlock();
    if (e.nested) nesting.park(e);
    section.abandon();
}

// ---------------------------------------------------------------------------------------------
// Fork and arenas

/// Rows and doorbells of inherited instances belong to the parent.
pub fn afterForkChild() void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const e = find(fd) orelse continue;
        e.mutex = .{};
        sharing.inherit(e);
        e.sleepers = 0;
        e.parked = false;
    }
}

/// A forked child has copies of descriptors that sit in its parent's instances.
pub fn hasWaiters() bool {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) if (find(fd)) |e| if (e.waiter != null) return true;
    return false;
}

/// Before fork: the kernel's registrations are shared with the child, so they have to be right.
pub fn beforeFork() void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const e = find(fd) orelse continue;
        const guard = e.mutex.lock();
        if (guard.ok()) interest.synchronise(e);
        sharing.prepare(e);
        guard.unlock();
    }
}

/// The arena is about to be unmapped: rows that lie in it go. False: an instance is busy, try again
/// later. (Called with the arena mutex held: only tries.)
pub fn forgetArena(a: *Arena) bool {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const e = find(fd) orelse continue;
        if (e.rows == null) continue;
        const held = lock.tryAcquire(&e.mutex.word) orelse return false;
        defer lock.release(&e.mutex.word, held);
        readiness.dropRows(e, a);
    }
    return true;
}
