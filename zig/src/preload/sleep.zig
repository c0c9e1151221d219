//! Waiting on one connection: look, spin a little, announce, look again, sleep in the kernel.
//! (PROTOCOL.md, Sleeping and waking; wake.zig has the two barriers.)
//!
//! Sleeping is one ppoll over the real socket, our local bell, the control descriptors and the
//! doorbells: so FIN, errors, signals and timeouts wake it as they would wake a plain recv.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const arena_module = @import("arena.zig");
const cancel = @import("cancel.zig");
const clock = @import("clock.zig");
const conn_module = @import("conn.zig");
const ends = @import("ends.zig");
const section = @import("section.zig");
const signals = @import("signals.zig");
const spin = @import("spin.zig");
const stream = @import("stream.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");

const Conn = conn_module.Conn;
const Wake = carrier.Wake(carrier.Native);

pub const Result = enum { ready, timeout, interrupted };

/// Without a doorbell (no descriptors left, all wait words taken): sleep this long at most.
const bounded_ns = 2_000_000;
const poll_set_max = 40;

/// Until `need` bytes may be there, the stream ends or patience does.
pub fn untilReadable(c: *Conn, need: u64, attempt: *stream.Attempt) Result {
    if (!c.isAttached()) {
        const events = sys.POLLIN | sys.POLLRDHUP;
        return sleepUndecided(c, events, c.receive_timeout_ns, &attempt.deadline);
    }
    if (c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) {
        if (spinReadable(c, need)) return .ready;
    }
    return sleepReadable(c, need, attempt);
}

/// Until more than `have` bytes can be peeked. Interrupted also when no more will come. Bytes that the
/// kernel carries make its poll return at once: there the wait is for the end, a look at a time.
pub fn untilMore(c: *Conn, have: u64, attempt: *stream.Attempt) Result {
    if (c.isAttached() and c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) {
        const result = untilReadable(c, have + 1, attempt);
        if (result != .ready or !attempt.kernel_look or readableNow(c, have + 1)) return result;
        return .interrupted;
    }
    const left = remaining(timeoutOf(c, c.receive_timeout_ns, sys.POLLIN), &attempt.deadline) orelse
        return .timeout;
    var polled = [_]sys.PollFd{.{ .fd = c.fd, .events = sys.POLLRDHUP }};
    const ns = @min(left orelse bounded_ns, bounded_ns);
    var cleanup: cancel.Cleanup = .{};
    cleanup.push(cancelledForMore, c);
    defer cleanup.pop();
    const n = signals.poll(&polled, ns, -1);
    return if (n == 0) .ready else .interrupted;
}

fn cancelledForMore(argument: ?*anyopaque) callconv(.c) void {
    signals.sleepOn(-1);
    conn_module.abandoned(@ptrCast(@alignCast(argument.?)));
}

inline fn spinReadable(c: *Conn, need: u64) bool {
    const direction = c.rx_direction;
    const peer_cpu = @atomicLoad(u32, &direction.producer_cpu, .monotonic);
    var watch = c.spin.watch(peer_cpu) orelse return false;
    const position = @atomicLoad(u64, &c.end.rx.position, .monotonic);
    if (c.spin.isStreaming(c.end.tx.ring_messages)) gather();
    var turn: u32 = 1;
    while (true) : (turn +%= 1) {
        // No pause here: it costs 2.4x in latency, and the watch sees to it that the spin is short.
        for (0..32) |_| {
            if (@atomicLoad(u64, &direction.head, .acquire) -% position >= need) {
                c.spin.hit(&watch);
                return true;
            }
            c.prefetchNext();
        }
        if (!watch.step()) break;
        // A signal may wait for some hundred nanoseconds; data in an answer's usual time may not.
        if (turn % 8 == 0 and section.isPending()) return false;
    }
    c.spin.missed(&watch);
    return false;
}

/// Time for some messages of a stream to arrive: looking for each of them takes the cache line of
/// `head` from the sender once a message, and halves what both get done.
fn gather() void {
    for (0..constants.gather_pauses) |_| std.atomic.spinLoopHint();
}

fn sleepReadable(c: *Conn, need: u64, attempt: *stream.Attempt) Result {
    const timeout = remaining(c.receive_timeout_ns, &attempt.deadline) orelse return .timeout;
    stream.serveRecall(c);
    var nap = Nap.begin(c, .bytes);
    defer nap.end(c);
    if (readableNow(c, need)) return .ready;
    const events = sys.POLLIN | sys.POLLRDHUP; // not PRI: urgent data does not end a recv
    const result = nap.sleep(c, events, timeout);
    if (nap.socket_events != 0) attempt.kernel_look = true;
    c.spin.slept(nap.slept_ns);
    return result;
}

/// Holding the lock: is there a reason not to sleep?
fn readableNow(c: *Conn, need: u64) bool {
    const held = c.lockRx() orelse return true;
    defer c.unlockRx(held);
    var r = c.receiver();
    return switch (r.source(c.kernel())) {
        .ring => |n| n >= need,
        .corrupt => true,
        .ring_empty => c.shutRead(),
        .kernel => false,
    };
}

/// Until the ring or the kernel takes bytes. A ring that stays full for long is left for TCP, whose
/// buffers are larger: programs that count on them must not deadlock.
pub fn untilWritable(c: *Conn, full_since: *u64) Result {
    // A send that always finds some room when it looks would else never be ended.
    if (section.isPending()) return .interrupted;
    if (!c.isAttached()) return sleepUndecided(c, sys.POLLOUT, c.send_timeout_ns, full_since);
    if (c.end.tx.carrier != @intFromEnum(layout.Carrier.ring)) {
        return sleepUndecided(c, sys.POLLOUT, c.send_timeout_ns, full_since);
    }
    if (spinWritable(c)) return .ready;
    return sleepWritable(c, full_since);
}

fn spinWritable(c: *Conn) bool {
    const direction = c.tx_direction;
    const consumer_cpu = @atomicLoad(u32, &direction.consumer_cpu, .monotonic);
    var watch = c.spin.watch(consumer_cpu) orelse return false;
    const before = c.end.tx.cached_tail;
    while (true) {
        for (0..32) |_| {
            if (@atomicLoad(u64, &direction.tail, .acquire) -% before >= constants.publish_chunk_bytes) return true;
            std.atomic.spinLoopHint();
        }
        if (!watch.step() or section.isPending()) break;
    }
    return @atomicLoad(u64, &direction.tail, .acquire) != before;
}

fn sleepWritable(c: *Conn, full_since: *u64) Result {
    const now = clock.ticks();
    if (full_since.* == 0) full_since.* = now;
    if (now -% full_since.* > clock.fromNs(constants.full_ring_spill_ns)) {
        spill(c);
        full_since.* = 0;
        return .ready;
    }
    const direction = c.tx_direction;
    const head = @atomicLoad(u64, &direction.head, .monotonic);
    direction.askForHalf();
    var nap = Nap.begin(c, .space);
    defer nap.end(c);
    if (head -% @atomicLoad(u64, &direction.tail, .acquire) < direction.sizeInUse()) return .ready;
    if (@atomicLoad(u64, &direction.attn_flags, .acquire) != 0) return .ready; // recalled, or closed
    var timeout: u64 = constants.full_ring_spill_ns;
    if (c.send_timeout_ns != 0) timeout = @min(timeout, c.send_timeout_ns);
    switch (nap.sleep(c, sys.POLLRDHUP, timeout)) {
        .interrupted => return .interrupted,
        .ready => {},
        .timeout => if (c.send_timeout_ns != 0 and
            clock.toNs(clock.ticks() -% full_since.*) >= c.send_timeout_ns) return .timeout,
    }
    if (nap.socket_events != 0) c.tx_looked = 0; // the next attempt looks at the kernel
    return .ready;
}

fn spill(c: *Conn) void {
    const held = c.lockTx() orelse return;
    defer c.unlockTx(held);
    var s = c.sender();
    if (s.inRing()) stream.leave(c, &s, .ring_full);
}

/// On the kernel's socket alone: nobody can ring us yet, except this process when it attaches the
/// connection meanwhile (PROTOCOL rule 2).
fn sleepUndecided(c: *Conn, events: i16, timeout_ns: u64, deadline: *u64) Result {
    const limit = remaining(timeoutOf(c, timeout_ns, events), deadline) orelse return .timeout;
    const was_attached = c.isAttached();
    const w = waiters.take();
    defer if (w) |waiter| waiters.give(waiter);
    const place = if (w) |waiter| c.takeSleeperPlace(waiter.number) else null;
    defer if (place) |p| @atomicStore(u32, p, 0, .release);
    carrier.Native.fence(); // our number before the look at the state; pairs with kickLocal
    if (c.isAttached() != was_attached) return .ready;
    var polled: [3]sys.PollFd = undefined;
    polled[0] = .{ .fd = c.fd, .events = events };
    const extra = if (w) |waiter| waiters.pollSet(waiter, c.arenaOrNull(), polled[1..]) else 0;
    var ns = limit;
    if (place == null) ns = @min(ns orelse bounded_ns, bounded_ns);
    c.pin();
    defer c.unpin();
    var undecided: Undecided = .{ .conn = c, .waiter = w, .place = place };
    var cleanup: cancel.Cleanup = .{};
    cleanup.push(Undecided.cancelled, &undecided);
    defer cleanup.pop();
    const bell = if (w) |waiter| waiter.local else -1;
    const n = signals.poll(polled[0 .. 1 + extra], ns, bell);
    if (n == sys.neg(.INTR)) return .interrupted;
    if (w) |waiter| waiters.afterSleep(waiter, polled[1 .. 1 + extra]);
    if (n == 0 and limit != null and ns.? == limit.?) return .timeout;
    return .ready;
}

/// What such a sleep holds, for a thread that is cancelled in it.
const Undecided = struct {
    conn: *Conn,
    waiter: ?*waiters.Waiter,
    place: ?*u32,

    fn cancelled(argument: ?*anyopaque) callconv(.c) void {
        const held: *Undecided = @ptrCast(@alignCast(argument.?));
        signals.sleepOn(-1);
        held.conn.unpin();
        if (held.place) |place| @atomicStore(u32, place, 0, .release);
        if (held.waiter) |w| waiters.give(w);
        conn_module.abandoned(held.conn);
    }
};

/// SO_RCVTIMEO and SO_SNDTIMEO of a connection that has not read its modes yet.
fn timeoutOf(c: *Conn, known: u64, events: i16) u64 {
    if (c.stateOf() != .undecided) return known;
    conn_module.readModes(c);
    return if (events & sys.POLLIN != 0) c.receive_timeout_ns else c.send_timeout_ns;
}

/// Time left of a call's timeout (0 = for ever, then null inside); outer null: it is over.
fn remaining(timeout_ns: u64, deadline: *u64) ??u64 {
    if (timeout_ns == 0) return @as(?u64, null);
    const now = sys.nowNs();
    if (deadline.* == 0) deadline.* = now + timeout_ns;
    if (now >= deadline.*) return null;
    return @as(?u64, deadline.* - now);
}

/// One announced sleep: a waiter, a word armed for it, and the poll.
const Nap = struct {
    waiter: ?*waiters.Waiter,
    words: *carrier.Words,
    armed: ?u8 = null,
    value: u64 = 0,
    arena: *arena_module.Arena,
    conn: *Conn,
    reachable: bool = false,
    socket_events: i16 = 0,
    slept_ns: u64 = 0,

    fn begin(c: *Conn, comptime wanted: enum { bytes, space }) Nap {
        var nap: Nap = .{ .waiter = waiters.take(), .words = switch (wanted) {
            .bytes => &c.rx_direction.attn,
            .space => &c.tx_direction.psleep,
        }, .arena = c.arena, .conn = c };
        const w = nap.waiter orelse return nap;
        arena_module.retain(nap.arena);
        const state: layout.SlotState = @bitCast(@atomicLoad(u64, &c.slot.state, .acquire));
        nap.reachable = waiters.prepare(w, c.arena, state.server_link);
        nap.value = w.attention(.thread, c.arena.my_link, w.number);
        nap.armed = switch (wanted) {
            .bytes => Wake.armForBytes(c.rx_direction, nap.value),
            .space => Wake.arm(nap.words, nap.value),
        };
        c.pin();
        return nap;
    }

    fn end(nap: *Nap, c: *Conn) void {
        const w = nap.waiter orelse return;
        // Another thread may have closed the connection, and the slot be somebody else's by now.
        if (nap.armed) |index| Wake.disarmExact(nap.words, index, nap.value);
        arena_module.release(nap.arena);
        waiters.give(w);
        c.unpin();
    }

    /// The thread was cancelled in `sleep`.
    fn cancelled(argument: ?*anyopaque) callconv(.c) void {
        const nap: *Nap = @ptrCast(@alignCast(argument.?));
        signals.sleepOn(-1);
        nap.end(nap.conn);
        conn_module.abandoned(nap.conn);
    }

    fn sleep(nap: *Nap, c: *Conn, events: i16, timeout: ?u64) Result {
        var polled: [poll_set_max]sys.PollFd = undefined;
        polled[0] = .{ .fd = c.fd, .events = events };
        var n: usize = 1;
        if (nap.waiter) |w| n += waiters.pollSet(w, c.arena, polled[1..]);
        var ns = timeout;
        const bounded = nap.armed == null or !nap.reachable or n == polled.len;
        if (bounded) ns = @min(ns orelse bounded_ns, bounded_ns);
        ends.count("sleeps");
        const start = clock.ticks();
        const bell = if (nap.waiter) |w| w.local else -1;
        var cleanup: cancel.Cleanup = .{};
        cleanup.push(cancelled, nap);
        defer cleanup.pop();
        const result = signals.poll(polled[0..n], ns, bell);
        nap.slept_ns = clock.toNs(clock.ticks() -% start);
        if (result == sys.neg(.INTR)) return .interrupted;
        nap.socket_events = polled[0].revents;
        if (nap.socket_events == 0) c.noteQuiet();
        if (nap.waiter) |w| waiters.afterSleep(w, polled[1..n]);
        if (result == 0 and !bounded) return .timeout;
        return .ready;
    }
};
