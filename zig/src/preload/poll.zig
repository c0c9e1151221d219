//! poll and select over any mixture of ring connections and kernel descriptors.
//!
//! Rings are looked at in shared memory; everything else, and the ends of ring connections, by the
//! kernel: at every call that finds nothing in the rings, and else at most every 20 us. Sleeping is
//! one ppoll over the application's descriptors plus our bells, with every ring armed.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const abandoned = @import("abandoned.zig");
const arena_module = @import("arena.zig");
const cancel = @import("cancel.zig");
const clock = @import("clock.zig");
const conn_module = @import("conn.zig");
const ends = @import("ends.zig");
const epoll = @import("epoll.zig");
const fds = @import("fds.zig");
const readiness = @import("readiness.zig");
const listeners = @import("listeners.zig");
const nesting = @import("nesting.zig");
const lock = @import("lock.zig");
const section = @import("section.zig");
const signals = @import("signals.zig");
const spin = @import("spin.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");
const unread = @import("unread.zig");
const waiters = @import("waiters.zig");

const Conn = conn_module.Conn;
const Wake = carrier.Wake(carrier.Native);
const PollFd = sys.PollFd;

/// Descriptors of one call that the stack holds; larger calls map memory.
const on_stack = 64;
const out_events = sys.POLLOUT | sys.POLLWRNORM;
const bells_max = 40;
const bounded_ns = 1_000_000;

var last_kernel_look: u64 = 0;

/// Any attached connection among them, or one that another thread may attach meanwhile? Else the
/// call is the kernel's alone.
pub fn concernsUs(polled: []const PollFd) bool {
    const alone = lock.isSingleThreaded();
    var ours = false;
    for (polled) |p| {
        if (conn_module.find(p.fd)) |c| {
            const state = c.stateOf();
            if (state == .attached or (state == .undecided and (!alone or c.shared))) ours = true;
        } else if (epoll.find(p.fd)) |e| {
            if (!epoll.concernsUs(e)) continue;
            nesting.begin(e);
            ours = true;
        } else if (listeners.find(p.fd)) |l| listeners.ensureRegistered(l);
    }
    return ours;
}

pub const Call = struct {
    polled: []PollFd,
    timeout_ns: ?u64,
    mask: ?*const anyopaque,
};

/// poll with ring connections among `polled`. Raw result; `revents` are set.
pub fn wait(call: Call) isize {
    var space: [on_stack + bells_max]PollFd = undefined;
    var armed_space: [on_stack]Armed = undefined;
    const n = call.polled.len;
    if (n <= on_stack) return run(call, space[0 .. n + bells_max], armed_space[0..n]);
    const bytes = (n + bells_max) * @sizeOf(PollFd) + n * @sizeOf(Armed) + 16;
    var mapped: Mapped = .{ .memory = sys.mapPrivate(bytes) orelse return sys.neg(.NOMEM), .bytes = bytes };
    const memory = mapped.memory;
    defer sys.unmap(memory, bytes);
    var cleanup: cancel.Cleanup = .{};
    cleanup.push(Mapped.cancelled, &mapped);
    defer cleanup.pop();
    const copy: [*]PollFd = @ptrCast(@alignCast(memory));
    const offset = std.mem.alignForward(usize, (n + bells_max) * @sizeOf(PollFd), @alignOf(Armed));
    const armed: [*]Armed = @ptrCast(@alignCast(memory + offset));
    return run(call, copy[0 .. n + bells_max], armed[0..n]);
}

const Mapped = struct {
    memory: [*]align(4096) u8,
    bytes: usize,

    fn cancelled(argument: ?*anyopaque) callconv(.c) void {
        const mapped: *Mapped = @ptrCast(@alignCast(argument.?));
        sys.unmap(mapped.memory, mapped.bytes);
    }
};

/// What one entry holds during a sleep: wait words in its slot, or, while it is undecided, a place
/// among the sleepers that an attaching thread wakes.
const Armed = struct {
    conn: ?*Conn = null,
    arena: ?*arena_module.Arena = null,
    value: u64 = 0,
    in_words: ?*carrier.Words = null,
    out_words: ?*carrier.Words = null,
    in: u8 = 0,
    out: u8 = 0,
    place: ?*u32 = null,
};

fn run(call: Call, copy: []PollFd, armed: []Armed) isize {
    const deadline = if (call.timeout_ns) |ns| sys.nowNs() +| ns else 0;
    var spun = false;
    while (true) {
        const rings = lookRings(call.polled);
        const now = clock.ticks();
        const due = now -% last_kernel_look >= clock.fromNs(constants.kernel_look_poll_ns);
        if (rings.ready > 0 and !due and !rings.kernel_speaks) return @intCast(rings.ready);
        const immediate = if (call.timeout_ns) |ns| ns == 0 else false;
        if (rings.ready > 0 or immediate) return lookKernel(call, copy);
        if (!spun) {
            spun = true;
            const early = spinFor(call, copy);
            if (early < 0) return early;
            if (early > 0) continue;
        }
        var left: ?u64 = null;
        if (call.timeout_ns != null) {
            const at = sys.nowNs();
            if (at >= deadline) return lookKernel(call, copy);
            left = deadline - at;
        }
        const result = sleepOnce(call, copy, armed, left);
        if (result != 0) return result;
    }
}

/// Entries that the rings say are ready, and whether the kernel has something to add to one.
const Rings = struct { ready: usize = 0, kernel_speaks: bool = false };

/// Sets revents from the rings alone.
fn lookRings(polled: []PollFd) Rings {
    var rings: Rings = .{};
    for (polled) |*p| {
        p.revents = 0;
        const c = conn_module.find(p.fd) orelse continue;
        if (!c.isAttached()) continue;
        p.revents = ringEvents(c, p.events);
        if (p.revents != 0) rings.ready += 1;
        if (c.kernel_speaks) rings.kernel_speaks = true;
    }
    return rings;
}

fn ringEvents(c: *Conn, wanted: i16) i16 {
    var events: i16 = 0;
    const in = sys.POLLIN | sys.POLLRDNORM;
    if (wanted & in != 0 and readable(c)) events |= wanted & in;
    const out = out_events;
    if (wanted & out != 0 and c.end.tx.carrier == @intFromEnum(layout.Carrier.ring) and
        readiness.writableRing(c)) events |= wanted & out;
    return events;
}

fn readable(c: *Conn) bool {
    if (c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) {
        const head = @atomicLoad(u64, &c.rx_direction.head, .acquire);
        return head -% c.end.rx.position >= @max(1, c.lowWater()) or unread.reachesLowWater(c);
    }
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.rx_direction.gate, .acquire));
    if (!gate.isEntering()) return false;
    return entersReadable(c) or unread.reachesLowWater(c);
}

fn entersReadable(c: *Conn) bool {
    const held = c.lockRx() orelse return false;
    defer c.unlockRx(held);
    var r = c.receiver();
    return switch (r.source(c.kernel())) {
        .ring => |n| n >= c.lowWater(),
        .ring_empty, .kernel, .corrupt => false,
    };
}

/// The kernel's view without waiting, merged with the rings'.
fn lookKernel(call: Call, copy: []PollFd) isize {
    last_kernel_look = clock.ticks();
    fillCopy(call.polled, copy);
    const entries = copy[0..call.polled.len];
    const n = sys.poll(entries, 0, call.mask);
    if (n == sys.neg(.INTR)) {
        // What the rings have found comes before a signal.
        for (entries) |*p| p.revents = 0;
        const ready = mergeCopy(call.polled, copy);
        return if (ready > 0) ready else n;
    }
    if (n < 0) return n;
    return mergeCopy(call.polled, copy);
}

/// The application's entries, without OUT where sending rides the ring (always true there).
fn fillCopy(polled: []const PollFd, copy: []PollFd) void {
    for (polled, copy[0..polled.len]) |p, *to| {
        to.* = .{ .fd = p.fd, .events = p.events };
        const c = conn_module.find(p.fd) orelse {
            if (nestedAt(p.fd)) |e| _ = nesting.isReachable(e);
            continue;
        };
        if (c.isAttached() and c.end.tx.carrier == @intFromEnum(layout.Carrier.ring)) {
            if (p.events & out_events != 0) to.events = (p.events & ~out_events) | sys.POLLRDHUP;
        }
    }
}

fn mergeCopy(polled: []PollFd, copy: []const PollFd) isize {
    var ready: isize = 0;
    for (polled, copy[0..polled.len]) |*p, from| {
        p.revents |= from.revents;
        if (from.revents & sys.POLLIN != 0) if (nestedAt(p.fd)) |e| if (!nesting.isReadable(e, false)) {
            p.revents &= ~(sys.POLLIN | sys.POLLRDNORM);
        };
        if (conn_module.find(p.fd)) |c| {
            if (c.hasError()) p.revents |= sys.POLLERR;
            if (c.isAttached()) mergeAttached(c, p, from.revents);
        }
        if (p.revents != 0) ready += 1;
    }
    return ready;
}

/// What the kernel said of a connection on a ring, which is already in `p`, and what the ring adds.
fn mergeAttached(c: *Conn, p: *PollFd, kernel_events: i16) void {
    p.revents |= ringEvents(c, p.events);
    const more_than_bytes = sys.POLLRDHUP | sys.POLLHUP | sys.POLLERR | sys.POLLPRI;
    if (kernel_events & more_than_bytes != 0) c.kernel_speaks = true;
    const ending = kernel_events & (sys.POLLRDHUP | sys.POLLHUP | sys.POLLIN) != 0;
    if (ending and abandoned.resetIfAbandoned(c)) p.revents |= sys.POLLHUP | sys.POLLERR;
    // The peer is going: a send will not block, the kernel will tell it the truth.
    if (kernel_events & sys.POLLRDHUP != 0) p.revents |= p.events & out_events;
    if (p.events & sys.POLLRDHUP == 0) p.revents &= ~sys.POLLRDHUP;
}

fn nestedAt(fd: i32) ?*epoll.Epoll {
    const e = epoll.find(fd) orelse return null;
    return if (e.nested) e else null;
}

/// Above 0: look again, something may be there. Negative errno of the kernel's look.
fn spinFor(call: Call, copy: []PollFd) isize {
    const c = firstRing(call.polled) orelse return 0;
    const peer_cpu = @atomicLoad(u32, &c.rx_direction.producer_cpu, .monotonic);
    var watch = c.spin.watch(peer_cpu) orelse return 0;
    while (watch.step()) {
        if (section.isPending()) return 0;
        for (0..8) |_| {
            if (anyRing(call.polled)) {
                c.spin.hit(&watch);
                return 1;
            }
            c.prefetchNext();
        }
        if (call.polled.len > 1 and watch.last -% last_kernel_look >= clock.fromNs(constants.kernel_look_poll_ns)) {
            const found = lookKernel(call, copy);
            if (found < 0) return found;
            if (found > 0) return 0; // the sleep returns with it at once
        }
    }
    c.spin.missed(&watch);
    return 0;
}

fn firstRing(polled: []const PollFd) ?*Conn {
    for (polled) |p| {
        const c = conn_module.find(p.fd) orelse continue;
        if (c.isAttached() and c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) return c;
    }
    return null;
}

fn anyRing(polled: []const PollFd) bool {
    for (polled) |p| {
        const c = conn_module.find(p.fd) orelse continue;
        if (c.isAttached() and ringEvents(c, p.events) != 0) return true;
    }
    return false;
}

/// Arms every ring, looks again, sleeps. Ready entries, 0 = look again, negative errno.
fn sleepOnce(call: Call, copy: []PollFd, armed: []Armed, left: ?u64) isize {
    const w = waiters.take();
    defer if (w) |waiter| waiters.give(waiter);
    var sound = w != null;
    if (w) |waiter| {
        for (call.polled, armed) |p, *a| {
            a.* = .{};
            if (!armEntry(waiter, p, a)) sound = false;
        }
    }
    defer if (w != null) for (armed) |*a| disarmEntry(a);
    carrier.Native.fence(); // places among the sleepers before the look at the states
    for (armed) |*a| if (a.place != null and a.conn.?.isAttached()) return 0;
    if (anyRing(call.polled)) return 0;
    fillCopy(call.polled, copy);
    const n = call.polled.len;
    const extra = if (w) |waiter| waiters.pollSet(waiter, null, copy[n..]) else 0;
    if (extra == copy.len - n) sound = false;
    var timeout = left;
    if (!sound) timeout = @min(timeout orelse bounded_ns, bounded_ns);
    ends.count("sleeps");
    const start = clock.ticks();
    signals.sleepOn(if (w) |waiter| waiter.local else -1);
    defer signals.sleepOn(-1);
    if (section.isPending()) return sys.neg(.INTR);
    var asleep: Asleep = .{ .waiter = w, .armed = if (w != null) armed else &.{} };
    var cleanup: cancel.Cleanup = .{};
    cleanup.push(Asleep.cancelled, &asleep);
    const result = cancel.poll(copy[0 .. n + extra], timeout, call.mask);
    cleanup.pop();
    if (section.isPending() and result >= 0) {
        const found = mergeCopy(call.polled, copy);
        return if (found > 0) found else sys.neg(.INTR);
    }
    if (firstRing(call.polled)) |c| c.spin.slept(clock.toNs(clock.ticks() -% start));
    if (result < 0) return result;
    if (w) |waiter| waiters.afterSleep(waiter, copy[n..][0..extra]);
    last_kernel_look = clock.ticks();
    return mergeCopy(call.polled, copy);
}

/// What a sleep holds, for a thread that is cancelled in it.
const Asleep = struct {
    waiter: ?*waiters.Waiter,
    armed: []Armed,

    fn cancelled(argument: ?*anyopaque) callconv(.c) void {
        const asleep: *Asleep = @ptrCast(@alignCast(argument.?));
        signals.sleepOn(-1);
        for (asleep.armed) |*a| disarmEntry(a);
        if (asleep.waiter) |w| waiters.give(w);
        section.abandon();
    }
};

fn armEntry(w: *waiters.Waiter, p: PollFd, a: *Armed) bool {
    const c = conn_module.acquire(p.fd) orelse {
        return if (nestedAt(p.fd)) |e| nesting.isReachable(e) else true;
    };
    a.conn = c;
    if (!c.isAttached()) {
        if (c.stateOf() != .undecided) return true;
        a.place = c.takeSleeperPlace(w.number);
        return a.place != null;
    }
    stream.serveRecall(c);
    a.arena = c.arena;
    arena_module.retain(c.arena);
    const state: layout.SlotState = @bitCast(@atomicLoad(u64, &c.slot.state, .acquire));
    var sound = waiters.prepare(w, c.arena, state.server_link);
    a.value = w.attention(.thread, c.arena.my_link, w.number);
    if (p.events & (sys.POLLIN | sys.POLLRDNORM) != 0) {
        if (Wake.armForBytes(c.rx_direction, a.value)) |index| {
            a.in_words = &c.rx_direction.attn;
            a.in = index;
        } else sound = false;
        if (c.lowWater() > 1 and unread.isOnBoth(c)) sound = false;
    }
    const in_ring = c.end.tx.carrier == @intFromEnum(layout.Carrier.ring);
    if (p.events & (sys.POLLOUT | sys.POLLWRNORM) != 0 and in_ring) {
        c.tx_direction.askForHalf();
        if (Wake.arm(&c.tx_direction.psleep, a.value)) |index| {
            a.out_words = &c.tx_direction.psleep;
            a.out = index;
        } else sound = false;
    }
    return sound;
}

fn disarmEntry(a: *Armed) void {
    if (a.in_words) |words| Wake.disarmExact(words, a.in, a.value);
    if (a.out_words) |words| Wake.disarmExact(words, a.out, a.value);
    if (a.place) |place| @atomicStore(u32, place, 0, .release);
    if (a.arena) |arena| arena_module.release(arena);
    if (a.conn) |c| conn_module.done(c);
}

// ---------------------------------------------------------------------------------------------
// select

/// As long as the call's highest descriptor needs: programs enlarge their sets.
pub const FdSet = u64;
const Bits = ?[*]FdSet;

/// select's sets as poll entries; the number, or null when it is the kernel's alone.
pub fn fromSets(n: usize, read: Bits, write: Bits, except: Bits, into: []PollFd) ?[]PollFd {
    var count: usize = 0;
    for (0..n) |fd| {
        var events: i16 = 0;
        if (isSet(read, fd)) events |= sys.POLLIN;
        if (isSet(write, fd)) events |= sys.POLLOUT;
        if (isSet(except, fd)) events |= sys.POLLPRI;
        if (events == 0) continue;
        into[count] = .{ .fd = @intCast(fd), .events = events };
        count += 1;
    }
    const entries = into[0..count];
    return if (concernsUs(entries)) entries else null;
}

/// Back into the sets; the number of bits, or -EBADF.
pub fn toSets(entries: []const PollFd, read: Bits, write: Bits, except: Bits) isize {
    for (entries) |p| if (p.revents & sys.POLLNVAL != 0) return sys.neg(.BADF);
    for ([_]Bits{ read, write, except }) |maybe| if (maybe) |set| {
        const limit = if (entries.len == 0) 0 else @as(usize, @intCast(entries[entries.len - 1].fd)) / 64 + 1;
        @memset(set[0..limit], 0);
    };
    var bits: isize = 0;
    for (entries) |p| {
        const in = sys.POLLIN | sys.POLLRDNORM | sys.POLLHUP | sys.POLLERR;
        const out = sys.POLLOUT | sys.POLLWRNORM | sys.POLLERR;
        if (p.events & sys.POLLIN != 0 and p.revents & in != 0) bits += put(read, p.fd);
        if (p.events & sys.POLLOUT != 0 and p.revents & out != 0) bits += put(write, p.fd);
        if (p.events & sys.POLLPRI != 0 and p.revents & sys.POLLPRI != 0) bits += put(except, p.fd);
    }
    return bits;
}

fn isSet(set: Bits, fd: usize) bool {
    const bits = set orelse return false;
    return bits[fd / 64] >> @truncate(fd) & 1 != 0;
}

fn put(set: Bits, fd: i32) isize {
    const bits = set orelse return 0;
    const at: usize = @intCast(fd);
    bits[at / 64] |= @as(u64, 1) << @truncate(at);
    return 1;
}
