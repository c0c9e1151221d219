//! The data path: send and receive on a tracked connection, whatever carries it. Results are raw
//! (negative errno). Locks are held for one attempt, never while waiting.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const Reason = @import("../reason.zig").Reason;
const carrier = @import("../carrier/carrier.zig");
const abandoned = @import("abandoned.zig");
const arena_module = @import("arena.zig");
const cancel = @import("cancel.zig");
const clock = @import("clock.zig");
const conn_module = @import("conn.zig");
const cork = @import("cork.zig");
const ends = @import("ends.zig");
const foreign = @import("foreign.zig");
const guard = @import("guard.zig");
const interest = @import("interest.zig");
const lock = @import("lock.zig");
const log = @import("log.zig");
const negotiate = @import("negotiate.zig");
const readiness = @import("readiness.zig");
const section = @import("section.zig");
const sleep = @import("sleep.zig");
const spin = @import("spin.zig");
const short = @import("short.zig");
const sys = @import("sys.zig");
const unread = @import("unread.zig");

const Conn = conn_module.Conn;
const Iovec = sys.Iovec;
pub const Buffers = @import("buffers.zig").Buffers;

// ---------------------------------------------------------------------------------------------
// Receiving
//
// A recv with no room waits like any other, and is over when there are bytes or the end, or not even
// that; read and readv with none never get here (Linux: sock_read_iter).

pub const receive_kernel_flags = sys.MSG_OOB | sys.MSG_ERRQUEUE;

pub fn receive(c: *Conn, b: *Buffers, flags: u32) isize {
    // Urgent data and the error queue are the kernel's alone.
    if (flags & receive_kernel_flags != 0) return kernelReceive(c, b, flags);
    if (!c.isAttached()) {
        negotiate.step(c);
        if (staysOnKernel(c)) return kernelReceiveWait(c, b, flags);
    }
    var done: usize = 0;
    var attempt: Attempt = .{};
    while (true) {
        const n = receiveOnce(c, b, flags, &attempt);
        if (n > 0) {
            if (flags & (sys.MSG_WAITALL | sys.MSG_PEEK) == 0) {
                done += @intCast(n);
                // SO_RCVLOWAT: fewer only if the call does not wait (0 while the option is unknown).
                if (b.remaining == 0) return @intCast(done);
                if (done >= c.lowWater() and !continuesElsewhere(c)) return @intCast(done);
            } else if (flags & sys.MSG_PEEK != 0) {
                const seen: usize = @as(usize, @intCast(n)) + peekBeyond(c, b, @intCast(n), flags);
                if (seen > n) return @intCast(seen);
                if (!waitForMore(c, b, @intCast(n), flags, &attempt)) return n;
            } else {
                done += @intCast(n);
                if (b.remaining == 0) return @intCast(done);
            }
            attempt.has_bytes = true;
            continue;
        }
        if (n == 0) return @intCast(done);
        if (n != sys.neg(.AGAIN)) {
            if (done == 0) return n;
            // Asking the kernel took its error away: it is the next call's.
            if (n != sys.neg(.INTR)) c.keepError(n);
            return @intCast(done);
        }
        if (b.isRefused()) return if (done > 0) @intCast(done) else sys.neg(.FAULT);
        if (flags & sys.MSG_DONTWAIT != 0 or c.isNonblocking()) {
            return if (done > 0) @intCast(done) else n;
        }
        const enough = done > 0 and done >= c.lowWater();
        if (enough and flags & sys.MSG_WAITALL == 0) return @intCast(done);
        const need: u64 = if (flags & sys.MSG_WAITALL != 0) 1 else lowWater(c, done, b.remaining);
        attempt.kernel_look = false;
        switch (sleep.untilReadable(c, need, &attempt)) {
            .ready => if (done == 0 and b.iov.len == 1 and b.isWhole()) {
                if (short.receive(c, b.iov[0].base, b.iov[0].len, flags)) |all| return all;
            },
            .timeout => return if (done > 0) @intCast(done) else n,
            .interrupted => return if (done > 0) @intCast(done) else interrupted(c.receive_timeout_ns),
        }
    }
}

/// MSG_PEEK has seen `peeked` bytes: waits for one more if that is less than the call wants
/// (MSG_WAITALL, SO_RCVLOWAT). False: enough, or nothing more comes (the end, a timeout, a signal,
/// another carrier).
fn waitForMore(c: *Conn, b: *const Buffers, peeked: u64, flags: u32, attempt: *Attempt) bool {
    const wanted = if (flags & sys.MSG_WAITALL != 0) b.remaining else lowWater(c, 0, b.remaining);
    if (peeked >= wanted or flags & sys.MSG_DONTWAIT != 0 or c.isNonblocking()) return false;
    attempt.kernel_look = false;
    return sleep.untilMore(c, peeked, attempt) == .ready;
}

/// MSG_PEEK has seen `peeked` bytes, all that one carrier has: what the sender has put into the other
/// one behind them.
fn peekBeyond(c: *Conn, b: *const Buffers, peeked: usize, flags: u32) usize {
    if (peeked >= b.remaining or !c.isAttached() or !carrierChanges(c, peeked)) return 0;
    var rest = b.*;
    rest.skip(peeked);
    if (c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) {
        // Asking a queue that is empty would take the socket's error away.
        if (unread.byKernel(c) == 0) return 0;
        return @intCast(@max(0, kernelReceive(c, &rest, flags)));
    }
    const held = c.lockRx() orelse return 0;
    defer c.unlockRx(held);
    const gate = carrier.Gate.from(@atomicLoad(u64, &c.rx_direction.gate, .acquire));
    if (!gate.isEntering()) return 0;
    const position = c.kernel().receivePosition() orelse return 0;
    const missing = gate.position -% (position +% c.end.rx.carried +% peeked);
    if (missing != 0 and !(missing == 1 and c.kernel().mayBeOneShortBehind(peeked))) return 0;
    // The receiver's end as it will be when it has entered.
    var end = c.end.rx;
    end.position = gate.position;
    end.seen_head = gate.position;
    var r: conn_module.Receiver = .{ .direction = c.rx_direction, .end = &end, .ring = c.rx_ring };
    const available = r.ringBytes();
    if (available == 0 or available > constants.ring_bytes) return 0;
    return peekRing(&r, &rest, @min(available, rest.remaining), flags);
}

fn peekRing(r: *conn_module.Receiver, rest: *Buffers, total: usize, flags: u32) usize {
    var left = total;
    while (left > 0) {
        const into = rest.piece(left);
        if (flags & sys.MSG_TRUNC == 0 and !r.copy(total - left, into)) return total - left;
        rest.advance(into.len);
        left -= into.len;
    }
    return total;
}

/// The bytes read were the last of one carrier, and the sender has gone on with another one. A short
/// read must not end there: programs (libuv) take it, after POLLHUP, for the last one. It must end at
/// the mark of an urgent byte, for which senders change carriers, too.
inline fn continuesElsewhere(c: *Conn) bool {
    return c.isAttached() and carrierChanges(c, 0) and !isAtMark(c);
}

fn isAtMark(c: *Conn) bool {
    var at: c_int = 0;
    return sys.call(.ioctl, .{ c.fd, sys.SIOCATMARK, &at }) == 0 and at != 0;
}

/// With `peeked` bytes not consumed yet.
inline fn carrierChanges(c: *Conn, peeked: u64) bool {
    const direction = c.rx_direction;
    if (c.end.rx.carrier == @intFromEnum(layout.Carrier.ring)) {
        return @atomicLoad(u64, &direction.down, .acquire) == c.end.rx.position +% peeked;
    }
    const gate = carrier.Gate.from(@atomicLoad(u64, &direction.gate, .acquire));
    return gate.kind() == .switching;
}

/// Bytes that a receiving call with `done` bytes so far still waits for.
fn lowWater(c: *Conn, done: usize, remaining: usize) u64 {
    return @max(1, @min(c.lowWater() -| done, remaining));
}

/// What one call learned from waiting.
pub const Attempt = struct {
    /// The kernel socket had an event: look at it even though the ring is what carries bytes.
    kernel_look: bool = false,
    /// The call has received something: then an error is the next call's.
    has_bytes: bool = false,
    /// End of the call's patience; 0: not asked yet.
    deadline: u64 = 0,

    /// Nothing more comes on the kernel's socket, and asking would take its error away.
    inline fn isOver(attempt: *const Attempt, c: *Conn) bool {
        return attempt.has_bytes and c.kernel().failed() and unread.byKernel(c) == 0;
    }
};

/// A call with a timeout is not begun again (signal(7)).
fn interrupted(timeout_ns: u64) isize {
    return if (timeout_ns != 0) sys.neg(.INTR) else section.restart;
}

/// One attempt under the lock: bytes, 0 at the end of the stream, or -EAGAIN and others.
inline fn receiveOnce(c: *Conn, b: *Buffers, flags: u32, attempt: *Attempt) isize {
    if (!c.isAttached()) return if (attempt.isOver(c)) 0 else kernelReceive(c, b, flags);
    const held = c.lockRx() orelse return sys.neg(.AGAIN);
    if (!c.isAttached()) return closedMeanwhile(c, held, .rx);
    var r = c.receiver();
    if (r.inRing()) {
        const available = r.ringBytesFor(b.remaining);
        if (available != 0 and available <= constants.ring_bytes) {
            const n = fromRing(c, &r, b, available, flags);
            c.unlockRx(held);
            return n;
        }
    }
    return receiveSlow(c, b, flags, attempt, held);
}

inline fn fromRing(c: *Conn, r: *conn_module.Receiver, b: *Buffers, available: u64, flags: u32) isize {
    const total: usize = @min(available, b.remaining);
    if (total == 0) return 0;
    var left = total;
    const peek = flags & sys.MSG_PEEK != 0;
    const discard = flags & sys.MSG_TRUNC != 0;
    var cursor = b.*;
    while (left > 0) {
        const into = cursor.piece(left);
        if (!discard and !r.copy(total - left, into)) return sys.neg(.FAULT); // nothing is consumed
        cursor.advance(into.len);
        left -= into.len;
    }
    if (peek) return @intCast(total);
    b.* = cursor;
    if (c.receive_low_water > 1 and available >= c.receive_low_water) c.woken_head = r.end.position +% available;
    r.consume(total, c.bells());
    c.guard.answered();
    c.end.rx.ring_bytes += total;
    c.countReceived();
    return @intCast(total);
}

noinline fn receiveSlow(c: *Conn, b: *Buffers, flags: u32, attempt: *Attempt, taken: @import("lock.zig").Held) isize {
    var held = taken;
    if (c.isHeld()) {
        c.unlockRx(held);
        foreign.considerLift(c);
        held = c.lockRx() orelse return sys.neg(.AGAIN);
        if (!c.isAttached()) return closedMeanwhile(c, held, .rx);
    }
    defer c.unlockRx(held);
    var r = c.receiver();
    for (0..16) |_| {
        switch (r.source(c.kernel())) {
            .ring => |available| return fromRing(c, &r, b, available, flags),
            .corrupt => return condemn(c),
            .ring_empty => {
                // A reset is told even so, but not by a call that has received something.
                if (c.shutRead()) {
                    if (attempt.has_bytes or !c.kernel().failed()) return 0;
                    return kernelReceive(c, b, flags);
                }
                if (!kernelLookDue(c, flags, attempt)) return sys.neg(.AGAIN);
                // A peek would take the socket's error away.
                if (attempt.has_bytes and c.kernel().failed()) return 0;
                const n = peekKernel(c);
                if (n == sys.neg(.AGAIN)) return n;
                if (n > 0) {
                    // The sender has left the ring (then `source` says so now), or somebody wrote
                    // to its socket behind the library's back, after everything in the ring.
                    if (r.source(c.kernel()) == .ring_empty) return kernelReceive(c, b, flags);
                    continue;
                }
                if (n == 0 and abandoned.resetIfAbandoned(c)) {
                    attempt.kernel_look = true;
                    continue;
                }
                // The end is told at every call from here on, however soon after this one.
                if (n == 0) c.kernel_speaks = true;
                // A look takes the socket's error away: keep it for when the ring is drained.
                if (n < 0) c.keepError(n);
                if (r.ended(c.kernel())) return kernelReceive(c, b, flags);
            },
            .kernel => {
                if (attempt.isOver(c)) return 0;
                const n = kernelReceive(c, b, flags);
                if (n > 0 or n == sys.neg(.AGAIN) or n == sys.neg(.INTR)) return n;
                if (n == 0 and b.remaining == 0) return n; // bytes or the end: with no room it is the same
                // By a shutdown of our own the stream has not ended: the peer goes on sending, and
                // serves recalls.
                if (n == 0 and c.shutRead() and !c.kernel().finReceived()) return n;
                if (r.ended(c.kernel())) return n;
                if (n < 0) c.keepError(n);
            },
        }
    }
    return sys.neg(.AGAIN);
}

/// An empty ring says nothing about the peer's end: ask the kernel, but not at every call. One that
/// will sleep asks it then anyway, by its poll; unless the peer is known to have closed, which is not
/// worth watching the ring for.
fn kernelLookDue(c: *Conn, flags: u32, attempt: *Attempt) bool {
    if (!attempt.kernel_look and !c.kernel_speaks) {
        const waits = flags & sys.MSG_DONTWAIT == 0 and !c.isNonblocking();
        const closed = @atomicLoad(u64, &c.tx_direction.attn_flags, .monotonic) & layout.attn_flag_closed != 0;
        if (waits and !closed) return false;
        if (clock.ticks() -% c.rx_looked < clock.fromNs(constants.kernel_look_rx_ns)) return false;
    }
    c.rx_looked = clock.ticks();
    attempt.kernel_look = false;
    return true;
}

fn peekKernel(c: *Conn) isize {
    var byte: u8 = 0;
    return sys.call(.recvfrom, .{ c.fd, &byte, 1, sys.MSG_PEEK | sys.MSG_DONTWAIT, 0, 0 });
}

/// Nobody can attach the connection while a call sleeps in the kernel: it is plain for good, or
/// this process has one thread and shares it with no other. Then the call is exactly Linux's.
inline fn staysOnKernel(c: *const Conn) bool {
    return switch (c.stateOf()) {
        .attached => false,
        .plain => true,
        else => lock.isSingleThreaded() and !c.shared,
    };
}

/// From the kernel socket, without waiting.
fn kernelReceive(c: *Conn, b: *Buffers, flags: u32) isize {
    return kernelReceiveWait(c, b, (flags & ~@as(u32, sys.MSG_WAITALL)) | sys.MSG_DONTWAIT);
}

/// As the descriptor's and the call's flags say.
fn kernelReceiveWait(c: *Conn, b: *Buffers, flags: u32) isize {
    if (flags & sys.MSG_ERRQUEUE == 0) if (c.takeError()) |err| return err;
    var iov: [kernel_pieces]Iovec = undefined;
    const part = if (b.isWhole()) b.iov else b.rest(&iov, std.math.maxInt(isize));
    var msg: sys.Msghdr = .{ .iov = @constCast(part.ptr), .iovlen = part.len };
    var gone = false;
    const n = kernelMessage("recvmsg", c, &msg, flags, &gone);
    if (n > 0 and flags & sys.MSG_PEEK == 0) {
        b.skip(@min(@as(usize, @intCast(n)), b.remaining));
        if (gone) return n;
        c.guard.answered();
        c.end.rx.tcp_bytes += @intCast(n);
        c.end.rx.tcp_messages += 1;
    }
    return n;
}

/// recvmsg or sendmsg; one that may block is a cancellation point, and the connection may be `gone`
/// afterwards.
inline fn kernelMessage(comptime name: [:0]const u8, c: *Conn, msg: *sys.Msghdr, flags: u32, gone: *bool) isize {
    if (flags & sys.MSG_DONTWAIT != 0) return kernelCall(name, c.fd, msg, flags);
    if (section.isPending()) return kernelOrInterrupted(name, c, msg, flags);
    const fd = c.fd;
    const away: conn_module.Away = .begin(c);
    const n = if (away.window.delivered)
        section.restart
    else if (cancel.isCancellable())
        cancel.message(name, fd, msg, flags)
    else
        kernelCall(name, fd, msg, flags);
    gone.* = !away.end();
    if (n != section.restart) return n;
    const ended = section.wasInterrupted();
    const now = if (gone.*) n else kernelOrInterrupted(name, c, msg, flags);
    return if (now == section.restart and ended) sys.neg(.INTR) else now;
}

/// A signal is there: the call does what it can do without waiting, as the kernel's would.
noinline fn kernelOrInterrupted(comptime name: [:0]const u8, c: *Conn, msg: *sys.Msghdr, flags: u32) isize {
    const n = kernelCall(name, c.fd, msg, flags | sys.MSG_DONTWAIT);
    if (n != sys.neg(.AGAIN)) return n;
    conn_module.readModes(c);
    if (c.nonblocking) return n;
    return interrupted(if (comptime std.mem.eql(u8, name, "recvmsg")) c.receive_timeout_ns else c.send_timeout_ns);
}

/// A single piece goes without the header, which the kernel would have to copy and check.
inline fn kernelCall(comptime name: [:0]const u8, fd: i32, msg: *sys.Msghdr, flags: u32) isize {
    if (msg.iovlen != 1) return sys.call(@field(sys.SYS, name), .{ fd, msg, flags });
    const simple = comptime if (std.mem.eql(u8, name, "recvmsg")) "recvfrom" else "sendto";
    const piece = msg.iov.?[0];
    return sys.call(@field(sys.SYS, simple), .{ fd, piece.base, piece.len, flags, 0, 0 });
}

// ---------------------------------------------------------------------------------------------
// Sending

/// Flags that only the kernel understands: such a connection leaves the ring first.
const send_kernel_flags = sys.MSG_OOB | sys.MSG_ZEROCOPY | sys.MSG_FASTOPEN;

pub fn send(c: *Conn, b: *Buffers, flags: u32) isize {
    var done: usize = 0;
    if (b.remaining == 0) return sendNothing(c, b, flags);
    while (!c.isAttached()) {
        negotiate.step(c);
        if (!staysOnKernel(c)) break;
        // A giant is cut, so that the connection can move to a ring in the middle of it.
        const limit: usize = if (c.stateOf() == .plain) std.math.maxInt(isize) else 256 * 1024;
        const before = b.remaining;
        const asked = askedOf(b, limit);
        var gone = false;
        const n = kernelSendWait(c, b, flags, limit, &gone);
        if (n < 0) return if (done > 0) @intCast(done) else n;
        done += before - b.remaining;
        if (n < asked or b.remaining == 0 or gone) return @intCast(done);
    }
    var full_since: u64 = 0;
    while (true) {
        const n = sendOnce(c, b, flags);
        if (n > 0) {
            done += @intCast(n);
            full_since = 0;
        }
        if (n >= 0 and b.remaining == 0) return @intCast(done);
        if (n < 0 and n != sys.neg(.AGAIN)) return if (done > 0) @intCast(done) else n;
        if (n > 0) continue; // until the end, or -EAGAIN
        if (flags & sys.MSG_DONTWAIT != 0 or c.isNonblocking()) {
            if (c.isAttached()) interest.ringIsFull(c);
            return if (done > 0) @intCast(done) else sys.neg(.AGAIN);
        }
        switch (sleep.untilWritable(c, &full_since)) {
            .ready => {},
            .timeout => return if (done > 0) @intCast(done) else sys.neg(.AGAIN),
            .interrupted => return if (done > 0) @intCast(done) else interrupted(c.send_timeout_ns),
        }
    }
}

inline fn sendOnce(c: *Conn, b: *Buffers, flags: u32) isize {
    if (!c.isAttached()) return kernelSend(c, b, flags);
    const held = c.lockTx() orelse return sys.neg(.AGAIN);
    if (!c.isAttached()) return closedMeanwhile(c, held, .tx);
    var s = c.sender();
    const now = clock.ticks();
    const due = now -% c.tx_looked >= clock.fromNs(constants.kernel_look_tx_ns) and affordsLook(c, now);
    c.guard.sent(now);
    const plain = s.inRing() and !due and !c.shutWrite() and
        s.flags() == 0 and flags & send_kernel_flags == 0;
    if (!plain) {
        @branchHint(.unlikely);
        return sendSlow(c, b, flags, held, now);
    }
    const start = b.*;
    var n = intoRing(c, &s, b);
    // A recall that came while we published: either the receiver saw our bytes, or we see WANT here.
    if (s.flags() & layout.attn_flag_want != 0) {
        @branchHint(.cold);
        n = recalled(c, &s, b, start, n);
    }
    c.unlockTx(held);
    return n;
}

/// Clock up to which this process has paid for its senders' looks at the kernel.
var looks_paid_until: u64 = 0;

/// A look costs as much as the message itself. Where each of thousands of connections sends now and
/// then, not all are made: a peer that closes says so in shared memory, so what is found later is
/// one that was killed, and whose connection nobody has been waiting on.
noinline fn affordsLook(c: *const Conn, now: u64) bool {
    if (c.tx_looked == 0) return true; // the socket had an event
    const gap = clock.fromNs(constants.kernel_look_tx_gap_ns);
    const paid = @max(now, @atomicLoad(u64, &looks_paid_until, .monotonic));
    if (paid - now > gap * constants.kernel_looks_tx_in_a_row) return false;
    @atomicStore(u64, &looks_paid_until, paid + gap, .monotonic);
    return true;
}

/// Another thread closed the descriptor while this one waited for the lock.
noinline fn closedMeanwhile(c: *Conn, held: @import("lock.zig").Held, comptime side: enum { rx, tx }) isize {
    if (side == .rx) c.unlockRx(held) else c.unlockTx(held);
    return sys.neg(.BADF);
}

/// As much as fits, published in pieces so that the reader's copy overlaps ours.
inline fn intoRing(c: *Conn, s: *conn_module.Sender, b: *Buffers) isize {
    var free = s.space(b.remaining) orelse return condemn(c);
    if (free < b.remaining) {
        @branchHint(.unlikely);
        free = moreSpace(c, s, free);
    }
    const total: usize = @min(free, b.remaining);
    if (total == 0) return sys.neg(.AGAIN);
    if (s.meetsEnd(total)) prepareGrowth(c, s, total);
    if (s.leavesHot(total)) s.stays_hot = isAnswered(c);
    if (s.reach(total) > c.end.tx.populated) {
        @branchHint(.unlikely);
        if (!populate(c, s.reach(total))) return outOfMemory(c);
    }
    if (@atomicLoad(u64, &c.tx_direction.attn[0], .monotonic) != 0) c.bells().prefetchMark(c.tx_direction.attn[0]);
    const cpu = spin.currentCpuPlusOne();
    if (c.tx_direction.producer_cpu != cpu) {
        @atomicStore(u32, &c.tx_direction.producer_cpu, cpu, .monotonic);
    }
    var left = total;
    while (left > 0) {
        const chunk: usize = @min(left, constants.publish_chunk_bytes);
        const n = appendChunk(s, b, chunk);
        if (n == 0) {
            @branchHint(.cold);
            if (left == total) return sys.neg(.FAULT);
            break;
        }
        left -= chunk;
        s.publish(c.bells());
    }
    c.end.tx.ring_bytes += total - left;
    c.end.tx.ring_messages += 1;
    return @intCast(total - left);
}

/// Appends `chunk` bytes, or none of them: 0 when some are not accessible, as the kernel sends a
/// buffer of its own whole or not at all.
inline fn appendChunk(s: *conn_module.Sender, b: *Buffers, chunk: usize) usize {
    const start = b.*;
    const head = s.head;
    var left = chunk;
    while (left > 0) {
        const from = b.piece(left);
        if (!s.append(from)) {
            @branchHint(.cold);
            b.* = start;
            s.unappend(head);
            return 0;
        }
        b.advance(from.len);
        left -= from.len;
    }
    return chunk;
}

/// Ring memory up to `reach`. The hot window was populated when the slot was taken, or by the first
/// that came here; what lies behind it comes in pieces, the rest of a page first.
noinline fn populate(c: *Conn, reach: u64) bool {
    const hot = constants.hot_window_bytes;
    const from = std.mem.alignBackward(u64, c.end.tx.populated, constants.page_bytes);
    if (c.end.tx.populated < hot and !ends.populate(c.tx_ring.hot, hot)) return false;
    const page = constants.page_bytes;
    const piece: u64 = if (reach <= page) page else constants.populate_chunk_bytes;
    const to = if (reach <= hot) hot else std.mem.alignForward(u64, reach, piece);
    const cold = @max(from, hot);
    if (cold < to and !ends.populate(c.tx_ring.cold + cold, to - cold)) return false;
    arena_module.noteGrown(c.end.tx.populated, to);
    c.end.tx.populated = @intCast(to);
    return true;
}

/// A ring that is full to its very end, as a burst into an empty one leaves it, grows at once.
noinline fn moreSpace(c: *Conn, s: *conn_module.Sender, free: u64) u64 {
    if (free > 0 or !s.isAtEnd()) return free;
    prepareGrowth(c, s, constants.hot_window_bytes);
    if (!s.may_grow) return 0;
    const before = s.size();
    s.grow();
    return s.size() - before;
}

/// The next `total` bytes meet the ring's end. If it came soon, or the reader is behind there, and
/// memory for what would lie beyond it can be had, the ring may grow instead of going round.
noinline fn prepareGrowth(c: *Conn, s: *conn_module.Sender, total: u64) void {
    const size = s.size();
    if (size >= constants.ring_bytes) return;
    const now = clock.ticks();
    const laps = size / constants.ring_bytes_initial;
    const fast = now -% c.tx_wrapped < clock.fromNs(constants.lap_ns_max * laps);
    c.tx_wrapped = now;
    const backlog = s.head -% @atomicLoad(u64, &c.tx_direction.tail, .acquire);
    if (backlog > size or (backlog < constants.bulk_bytes and !fast)) return;
    if (c.end.tx.populated < size + total) {
        if (!arena_module.growthAllowed(size) or !populate(c, size + total)) return;
    }
    s.may_grow = true;
}

/// The peer has sent something since this was asked last. (Counted under another lock: a guess.)
noinline fn isAnswered(c: *Conn) bool {
    const answers = @atomicLoad(u64, &c.end.rx.ring_messages, .monotonic);
    defer c.answers_seen = answers;
    return answers != c.answers_seen;
}

/// No memory for more of the ring: go on over TCP. Holds the send lock.
fn outOfMemory(c: *Conn) isize {
    var s = c.sender();
    leave(c, &s, .no_memory);
    return sys.neg(.AGAIN);
}

/// Everything but "in the ring and nothing special": entering, leaving, the kernel. Takes over the
/// lock.
noinline fn sendSlow(c: *Conn, b: *Buffers, flags: u32, taken: @import("lock.zig").Held, now: u64) isize {
    var held = taken;
    if (c.isHeld()) {
        c.unlockTx(held);
        foreign.considerLift(c);
        held = c.lockTx() orelse return sys.neg(.AGAIN);
        if (!c.isAttached()) return closedMeanwhile(c, held, .tx);
    }
    defer c.unlockTx(held);
    var s = c.sender();
    if (c.shutWrite()) return kernelSend(c, b, flags);
    if (!s.inRing()) {
        if (flags & send_kernel_flags != 0 or keptOnTcp(c, now) or !enter(c, &s)) return kernelSend(c, b, flags);
    }
    if (isShutAndUnread(c)) return kernelSend(c, b, flags);
    const quiet = c.tx_looked != 0 and c.wasQuiet(now);
    c.tx_looked = now;
    if (isGuarded(c) and c.guard.step(now) == .tcp) {
        leave(c, &s, .trying_tcp);
        return if (s.inRing()) kernelVerdict(c, flags) else kernelSend(c, b, flags);
    }
    const wanted = s.flags() & layout.attn_flag_want != 0;
    // Moving bytes would take the socket's error away, which is this call's.
    const condition = if (quiet) .open else c.kernel().condition();
    if (condition == .failed) return kernelVerdict(c, flags);
    if (wanted or flags & send_kernel_flags != 0 or condition == .ending) {
        leave(c, &s, if (wanted) .fd_passed else if (flags & sys.MSG_OOB != 0) .urgent_data else .peer_closed);
        if (s.inRing()) return kernelVerdict(c, flags);
        return kernelSend(c, b, flags);
    }
    const start = b.*;
    const n = intoRing(c, &s, b);
    return if (s.flags() & layout.attn_flag_want != 0) recalled(c, &s, b, start, n) else n;
}

/// The peer has shut down before it came to the ring. What lies there stays for it, as it would in
/// the kernel's queue: moved, it would be answered with a reset, and so is what comes now.
pub fn isShutAndUnread(c: *Conn) bool {
    const direction = c.tx_direction;
    if (@atomicLoad(u64, &direction.attn_flags, .acquire) & layout.attn_flag_closed == 0) return false;
    const gate = carrier.Gate.from(@atomicLoad(u64, &direction.gate, .acquire));
    return gate.isEntering() and c.kernel().condition() == .ending;
}

/// Not where several processes take turns: none of them sees all exchanges.
inline fn isGuarded(c: *const Conn) bool {
    return guard.enabled and !c.shared;
}

/// The guard has found TCP faster, or is finding out.
fn keptOnTcp(c: *Conn, now: u64) bool {
    if (!isGuarded(c)) return false;
    switch (c.guard.phase) {
        .resting, .ring_block => return false,
        .tcp_block, .tcp_kept => {},
    }
    if (c.guard.step(now) == .ring) return false;
    if (c.guard.phase == .tcp_kept and c.end.reason != @intFromEnum(Reason.slower_by_ring)) {
        ends.count("guard_verdicts");
        c.setReason(.slower_by_ring);
        log.debug("fd {d}: exchanges are faster over kernel TCP: sending stays there", .{c.fd});
    }
    return true;
}

/// Bytes are left in the ring that the kernel did not take: because it is full, or because the
/// connection has failed (an empty send tells, with SIGPIPE where it is due).
fn kernelVerdict(c: *Conn, flags: u32) isize {
    if (c.takeError()) |err| return err;
    const n = sys.call(.sendto, .{ c.fd, "", 0, flags | sys.MSG_DONTWAIT, 0, 0 });
    return if (n < 0) n else sys.neg(.AGAIN);
}

/// The receiver asked for its bytes just as we published some: re-send over TCP. What the kernel
/// does not take now of this call's bytes is unpublished and not reported as sent. Holds the lock.
noinline fn recalled(c: *Conn, s: *conn_module.Sender, b: *Buffers, start: Buffers, n: isize) isize {
    if (n <= 0) return n;
    const end = s.call_start + @as(u64, @intCast(n));
    leave(c, s, .fd_passed);
    const lost = if (s.inRing()) end - s.head else 0;
    if (lost == 0) return n;
    const kept: usize = @as(usize, @intCast(n)) - lost;
    b.* = start;
    b.skip(kept);
    c.end.tx.ring_bytes -= lost;
    return if (kept > 0) @intCast(kept) else sys.neg(.AGAIN);
}

/// As `recalled`, after the short way (short.zig) has published all of `bytes`, and on to the end of the
/// call. Takes over the lock.
pub noinline fn recalledAfter(c: *Conn, held: lock.Held, bytes: []const u8, flags: u32) isize {
    const iov = [_]Iovec{.{ .base = @constCast(bytes.ptr), .len = bytes.len }};
    const start: Buffers = .{ .iov = &iov, .remaining = bytes.len };
    var b = start;
    b.advance(bytes.len);
    var s = c.sender();
    s.call_start = s.head -% bytes.len;
    _ = recalled(c, &s, &b, start, @intCast(bytes.len));
    c.unlockTx(held);
    if (b.remaining == 0) return @intCast(bytes.len);
    const done = bytes.len - b.remaining;
    const more = send(c, &b, flags);
    if (more < 0) return if (done > 0) @intCast(done) else more;
    return @as(isize, @intCast(done)) + more;
}

fn enter(c: *Conn, s: *conn_module.Sender) bool {
    if (c.end.tx.flags & conn_module.flag_stay != 0) return false;
    if (c.shutWrite() or !negotiate.adoptionSeen(c)) return false;
    if (!s.enter(c.kernel())) return false;
    ends.count("moves_to_ring");
    // What made it leave is over: the ring is free, or the peer has taken its recall back.
    switch (@as(Reason, @enumFromInt(c.end.reason))) {
        .ring_full, .fd_passed, .trying_tcp, .slower_by_ring => c.setReason(.none),
        else => {},
    }
    interest.carrierChanged(c);
    return true;
}

/// The peer wants its bytes over TCP (recall) while we are about to sleep or have been rung: give
/// them. Only tries: whoever holds the send lock sees the wish itself.
pub fn serveRecall(c: *Conn) void {
    if (c.end.tx.carrier != @intFromEnum(layout.Carrier.ring)) return;
    if (@atomicLoad(u64, &c.tx_direction.attn_flags, .acquire) & layout.attn_flag_want == 0) return;
    const held = lock.tryAcquire(&c.end.tx.lock) orelse return;
    defer c.unlockTx(held);
    var s = c.sender();
    if (s.inRing()) leave(c, &s, .fd_passed);
}

/// Moves into the ring if that is possible now; for transfers that bypass `send`. True: in the ring.
pub fn enterRing(c: *Conn) bool {
    const held = c.lockTx() orelse return false;
    defer c.unlockTx(held);
    var s = c.sender();
    return s.inRing() or enter(c, &s);
}

/// Ring to TCP, as far as the kernel takes it, and where the bytes arrive. Holds the send lock.
pub fn leave(c: *Conn, s: *conn_module.Sender, reason: Reason) void {
    if (isShutAndUnread(c)) return;
    cork.give(c);
    switch (s.leave(c.kernel(), c.bells())) {
        .tcp => {
            ends.count("moves_to_tcp");
            c.setReason(reason);
            interest.carrierChanged(c);
            log.debug("fd {d}: sending moved to kernel TCP: {s}", .{ c.fd, reason.name() });
        },
        .kernel_full => {},
        .corrupt => _ = condemn(c),
    }
}

/// Until a blocking send of half a ring would not wait. 0, or why the call is over.
pub fn untilRoom(c: *Conn) isize {
    var full_since: u64 = 0;
    while (c.isAttached() and c.end.tx.carrier == @intFromEnum(layout.Carrier.ring)) {
        if (readiness.writableRing(c)) return 0;
        switch (sleep.untilWritable(c, &full_since)) {
            .ready => {},
            .timeout => return sys.neg(.AGAIN),
            .interrupted => return interrupted(c.send_timeout_ns),
        }
    }
    return 0;
}

/// A send of no bytes: 0, or the connection's error; the kernel looks at the address all the same.
fn sendNothing(c: *Conn, b: *const Buffers, flags: u32) isize {
    const from = if (b.iov.len == 1) @intFromPtr(b.iov[0].base) else 0;
    return sys.call(.sendto, .{ c.fd, from, 0, flags, 0, 0 });
}

/// What one system call will be asked to take of `b`.
fn askedOf(b: *const Buffers, limit: usize) usize {
    if (b.isWhole() and b.remaining <= limit) return b.remaining;
    var iov: [kernel_pieces]Iovec = undefined;
    var total: usize = 0;
    for (b.rest(&iov, limit)) |part| total += part.len;
    return total;
}

/// Pieces of the application's buffers that one system call of ours passes on, once it is in the
/// middle of them; a call at their beginning passes all.
const kernel_pieces = 64;

/// To the kernel socket, without waiting; a piece at a time.
fn kernelSend(c: *Conn, b: *Buffers, flags: u32) isize {
    var gone: bool = undefined; // nothing waits
    return kernelSendWait(c, b, flags | sys.MSG_DONTWAIT, 256 * 1024, &gone);
}

/// As the descriptor's and the call's flags say, at most `limit` bytes.
fn kernelSendWait(c: *Conn, b: *Buffers, flags: u32, limit: usize, gone: *bool) isize {
    if (c.takeError()) |err| return err;
    var iov: [kernel_pieces]Iovec = undefined;
    const part = if (b.isWhole() and b.remaining <= limit) b.iov else b.rest(&iov, limit);
    var msg: sys.Msghdr = .{ .iov = @constCast(part.ptr), .iovlen = part.len };
    gone.* = false;
    const n = kernelMessage("sendmsg", c, &msg, flags, gone);
    if (n > 0) {
        b.skip(@intCast(n));
        if (gone.*) return n;
        c.end.tx.tcp_bytes += @intCast(n);
        c.end.tx.tcp_messages += 1;
    }
    return n;
}

// ---------------------------------------------------------------------------------------------

/// The peer broke the protocol in shared memory: this connection ends with a reset, nothing else
/// is touched.
fn condemn(c: *Conn) isize {
    log.warn("fd {d}: peer wrote impossible values; connection reset", .{c.fd});
    conn_module.fail(c, .peer_corrupt);
    return sys.neg(.CONNRESET);
}
