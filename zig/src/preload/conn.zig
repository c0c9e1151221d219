//! A tracked TCP connection as this process sees it. What several processes share lies in
//! `layout.End` (siblings by fork) and `layout.Slot` (the peer); this struct holds the pointers to
//! them and what is private: descriptor, flags, spin state, epoll registrations.
//!
//! Life: `track` after connect or accept; undecided -> attached (negotiate.zig; a client attaches
//! when it offers, a server when it adopts), or plain at any time; `unref` on close. Objects are type-stable (pool.zig): a thread that looked one
//! up and lost the race with close finds `generation` changed, under the lock it took.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const Reason = @import("../reason.zig").Reason;
const arena_module = @import("arena.zig");
const cancel = @import("cancel.zig");
const clock = @import("clock.zig");
const cork = @import("cork.zig");
const diag = @import("diag.zig");
const ends = @import("ends.zig");
const epoll = @import("epoll.zig");
const faults = @import("faults.zig");
const fds = @import("fds.zig");
const holders = @import("holders.zig");
const interest = @import("interest.zig");
const listeners = @import("listeners.zig");
const lock = @import("lock.zig");
const log = @import("log.zig");
const membarrier = @import("membarrier.zig");
const process = @import("process.zig");
const options = @import("options.zig");
const profile = @import("profile.zig");
const section = @import("section.zig");
const sys = @import("sys.zig");
const Pool = @import("pool.zig").Pool;
const Guard = @import("guard.zig").Guard;
const Spin = @import("spin.zig").Spin;

pub const Sender = carrier.Sender(carrier.Native);
pub const Receiver = carrier.Receiver(carrier.Native);

/// Registrations of one connection in epoll instances, at most; one more keeps it on TCP.
pub const registrations_max = 4;

/// What a message touches lies in the first two cache lines, in this order: with thousands of
/// connections hardly one is in the cache when its turn comes.
pub const Conn = extern struct {
    end: *layout.End align(128),
    /// `layout.EndState`, this process's copy: when it says attached, the pointers below are set.
    state: u32,
    fd: i32,
    nonblocking: bool,
    modes_known: bool,
    /// Held by forked siblings too (or was): locks are always atomic.
    shared: bool,
    /// The kernel has told of the peer's end, an error or urgent data: what it told once it tells
    /// again, so poll asks it at every call from then on.
    kernel_speaks: bool,
    /// `End.modes_changed` when the modes were read last.
    modes_seen: u32,
    receive_low_water: u32,
    registration_count: u32,
    /// Descriptors in this process that name it.
    refs: u32,
    /// Threads that use it: it may not be recycled under them.
    pins: u32,
    generation: u32,
    slot_index: u32,
    /// Clock of the last look at the kernel socket, sending and receiving side.
    tx_looked: u64,
    rx_looked: u64,

    tx_direction: *layout.Direction,
    rx_direction: *layout.Direction,
    tx_ring: carrier.Native.Ring,
    rx_ring: carrier.Native.Ring,
    arena: *arena_module.Arena,
    /// Its first word, the phase, ends the second line.
    guard: Guard,

    slot: *layout.Slot,
    /// Clock when sending last went round the ring or beyond its end.
    tx_wrapped: u64,
    /// Clock when a sleep ended and its poll showed neither end nor error of the kernel socket.
    quiet_at: u64,
    /// Messages received by ring when sending last came to the end of the hot window.
    answers_seen: u64,
    spin: Spin,
    receive_timeout_ns: u64,
    send_timeout_ns: u64,
    /// Frame of a call of the kernel's own that may sleep on it; 0: none (`isInKernel`).
    in_kernel: usize,
    registrations: [registrations_max]?*epoll.Registration,
    /// Of the ring's bytes that were read, those before here came while there were SO_RCVLOWAT of them:
    /// they have woken whoever waits. Kept while that is more than one.
    woken_head: u64,
    next_free: ?*Conn = null,
    /// Held on TCP: clock of the next look whether it still has to be, and how long after the last.
    hold_look_at: u64,
    hold_look_ns: u64,
    role: layout.Role,
    /// Data calls so far on TCP, and at which one to negotiate next.
    calls: u32,
    next_attempt: u32,
    /// Threads asleep without a doorbell, while undecided (PROTOCOL rule 2).
    local_sleepers: [4]u32,
    /// Counted among this process's undecided server connections.
    counted_undecided: bool,
    /// Between `track` and `recycle`.
    live: bool,
    /// Has a slot that `unbind` has to be called for.
    bound: bool,
    /// recvmsg tells how much is left (TCP_INQ).
    tells_left: bool,
    /// TCP_CORK, as far as the kernel has not heard of it (cork.zig).
    cork: cork.Cork,

    comptime {
        std.debug.assert(@offsetOf(Conn, "tx_direction") == 64);
        std.debug.assert(@offsetOf(Conn, "guard") == 120 and @offsetOf(Guard, "phase") == 0);
    }

    pub inline fn isAttached(c: *const Conn) bool {
        return @atomicLoad(u32, &c.state, .acquire) == @intFromEnum(layout.EndState.attached);
    }

    /// The arena it has a slot in, once it has one.
    pub fn arenaOrNull(c: *const Conn) ?*arena_module.Arena {
        return if (c.isAttached()) c.arena else null;
    }

    pub fn stateOf(c: *const Conn) layout.EndState {
        return @enumFromInt(@atomicLoad(u32, &c.state, .acquire));
    }

    pub fn setState(c: *Conn, state: layout.EndState) void {
        if (state != .undecided) noteDecided(c);
        @atomicStore(u32, &c.end.state, @intFromEnum(state), .release);
        @atomicStore(u32, &c.state, @intFromEnum(state), .release);
    }

    pub fn setReason(c: *Conn, reason: Reason) void {
        @atomicStore(u32, &c.end.reason, @intFromEnum(reason), .monotonic);
    }

    /// The local side has shut down sending (whichever process that holds this end did it).
    pub inline fn shutWrite(c: *const Conn) bool {
        return c.end.tx.flags & flag_shut != 0;
    }

    /// On TCP while another program holds the connection (foreign.zig).
    pub inline fn isHeld(c: *const Conn) bool {
        return c.end.tx.flags & flag_held != 0;
    }

    pub inline fn shutRead(c: *const Conn) bool {
        return c.end.rx.flags & flag_shut != 0;
    }

    /// A look has taken the socket's error away: the next call to whom it would be told has it.
    pub fn keepError(c: *Conn, err: isize) void {
        @atomicStore(i32, &c.end.saved_error, @intCast(err), .release);
    }

    pub inline fn hasError(c: *const Conn) bool {
        return @atomicLoad(i32, &c.end.saved_error, .acquire) != 0;
    }

    /// The kept error, for one caller among the processes that hold the connection.
    pub inline fn takeError(c: *Conn) ?i32 {
        if (!c.hasError()) return null;
        const err = @atomicRmw(i32, &c.end.saved_error, .Xchg, 0, .acq_rel);
        return if (err == 0) null else err;
    }

    pub inline fn sender(c: *Conn) Sender {
        return .init(c.tx_direction, &c.end.tx, c.tx_ring);
    }

    /// A message has been taken out of the ring. Under the receive lock.
    pub inline fn countReceived(c: *Conn) void {
        c.end.rx.ring_messages += 1;
        if (c.end.rx.ring_messages % constants.relax_every == 0) relaxSender(c);
    }

    pub inline fn receiver(c: *Conn) Receiver {
        return .{ .direction = c.rx_direction, .end = &c.end.rx, .ring = c.rx_ring };
    }

    pub inline fn kernel(c: *Conn) Kernel {
        return .{ .fd = c.fd, .opener = c.role == .client, .saved_error = &c.end.saved_error };
    }

    pub inline fn bells(c: *Conn) arena_module.Bells {
        return .{ .arena = c.arena, .slot = c.slot_index };
    }

    /// Where the next byte to receive lies. For prefetching only: it asks nobody whether it is there.
    inline fn nextByte(c: *const Conn) [*]const u8 {
        const rx = &c.end.rx;
        const index = (rx.position -% rx.seen_base) & (constants.hot_window_bytes - 1);
        return c.rx_ring.hot + index;
    }

    /// For whoever watches `head`: asks for the line of the next byte along with it. The sender takes
    /// both lines away when it writes; they come back side by side instead of one after the other,
    /// which takes a tenth to a sixth off a round trip.
    pub inline fn prefetchNext(c: *const Conn) void {
        @prefetch(c.nextByte(), .{});
    }

    /// What a look for bytes reads: brought into the cache before it is needed.
    pub inline fn prefetchLook(c: *const Conn) void {
        @prefetch(&c.end.rx, .{});
        @prefetch(&c.rx_direction.head, .{});
    }

    /// Bytes are there: the application will receive them, and then perhaps answer. The lines that
    /// this takes come all at once instead of one after the other, between barriers.
    pub inline fn prefetchExchange(c: *const Conn) void {
        carrier.Native.prefetchWrite(&c.rx_direction.tail);
        @prefetch(c.nextByte(), .{});
        carrier.Native.prefetchWrite(&c.tx_direction.head);
        @prefetch(&c.tx_direction.attn, .{});
        @prefetch(&c.rx_direction.psleep, .{});
        @prefetch(&c.end.tx, .{});
    }

    pub inline fn lockTx(c: *Conn) ?lock.Held {
        const held = lock.acquire(&c.end.tx.lock, c.shared) orelse return null;
        if (held == .inherited) recoverTx(c);
        return held;
    }

    pub inline fn unlockTx(c: *Conn, held: lock.Held) void {
        lock.release(&c.end.tx.lock, held);
    }

    pub inline fn lockRx(c: *Conn) ?lock.Held {
        const held = lock.acquire(&c.end.rx.lock, c.shared) orelse return null;
        if (held == .inherited) recoverRx(c);
        return held;
    }

    pub inline fn unlockRx(c: *Conn, held: lock.Held) void {
        lock.release(&c.end.rx.lock, held);
    }

    /// After a sleep that was ended by something else than the kernel socket.
    pub fn noteQuiet(c: *Conn) void {
        @atomicStore(u64, &c.quiet_at, clock.ticks(), .monotonic);
    }

    /// Such a sleep ended lately: its poll was the look at the kernel socket that is due.
    pub fn wasQuiet(c: *const Conn, now: u64) bool {
        return now -% @atomicLoad(u64, &c.quiet_at, .monotonic) < clock.fromNs(constants.kernel_look_tx_ns);
    }

    /// O_NONBLOCK, as last seen.
    pub inline fn isNonblocking(c: *Conn) bool {
        if (c.isUsedElsewhere()) readModes(c);
        return c.readsCurrentModes().nonblocking;
    }

    /// Another program, or a descriptor that the library does not know, can change the modes.
    inline fn isUsedElsewhere(c: *const Conn) bool {
        return c.end.rx.flags & flag_elsewhere != 0;
    }

    inline fn readsCurrentModes(c: *Conn) *const Conn {
        if (!c.modes_known or c.modesAreOld()) readModes(c);
        return c;
    }

    /// SO_RCVLOWAT; 0 as long as it is unknown.
    pub inline fn lowWater(c: *Conn) u32 {
        if (c.modesAreOld()) readModes(c);
        if (c.isUsedElsewhere()) readLowWater(c);
        return c.receive_low_water;
    }

    /// Another process that holds the connection has changed them.
    inline fn modesAreOld(c: *const Conn) bool {
        return c.shared and c.modes_seen != @atomicLoad(u32, &c.end.modes_changed, .acquire);
    }

    pub inline fn tellsLeft(c: *Conn) bool {
        return options.hasAskedForLeft() and c.readsCurrentModes().tells_left;
    }

    /// A place among the threads that an attaching thread wakes; store 0 there afterwards. Null: all
    /// are taken, sleep with a timeout.
    pub fn takeSleeperPlace(c: *Conn, number: u16) ?*u32 {
        for (&c.local_sleepers) |*place| {
            if (@cmpxchgStrong(u32, place, 0, number, .acq_rel, .monotonic) == null) return place;
        }
        return null;
    }

    pub fn pin(c: *Conn) void {
        _ = @atomicRmw(u32, &c.pins, .Add, 1, .acq_rel);
    }

    pub fn unpin(c: *Conn) void {
        if (@atomicRmw(u32, &c.pins, .Sub, 1, .acq_rel) == 1 and
            @atomicLoad(u32, &c.refs, .acquire) == 0) recycle(c);
    }
};

/// A sibling died in the middle of sending (PROTOCOL M5): its move is finished or given back.
noinline fn recoverTx(c: *Conn) void {
    if (!c.isAttached()) return;
    var s = c.sender();
    if (!s.recover(c.kernel(), c.bells())) fail(c, .peer_corrupt);
}

noinline fn recoverRx(c: *Conn) void {
    if (!c.isAttached()) return;
    var r = c.receiver();
    if (!r.recover(c.kernel(), c.bells())) fail(c, .peer_corrupt);
}

/// The connection cannot go on in shared memory: it ends with a reset on the kernel's side. The
/// slot stays bound until close, because other threads may still look at it.
pub fn fail(c: *Conn, reason: Reason) void {
    c.setReason(reason);
    const linger: sys.Linger = .{ .onoff = 1, .linger = 0 };
    _ = sys.call(.setsockopt, .{ c.fd, sys.SOL_SOCKET, sys.SO_LINGER, &linger, @sizeOf(sys.Linger) });
    disconnect(c);
    c.setState(.plain);
}

/// By connect to AF_UNSPEC, at once, whoever else holds the socket: the peer's end gets a reset, and
/// ours the error that a reset from there would give it.
fn disconnect(c: *Conn) void {
    var unspec: [16]u8 = @splat(0);
    _ = sys.call(.connect, .{ c.fd, &unspec, unspec.len });
}

/// The kernel's socket becomes what it would be after a reset from the peer; what lies in the ring
/// can still be read.
pub fn resetLocally(c: *Conn) void {
    disconnect(c);
    _ = sys.call(.shutdown, .{ c.fd, 2 }); // as the reset would have: poll says IN, RDHUP and HUP
}

/// The kernel socket under a connection, as the carrier code wants to see it.
pub const Kernel = struct {
    fd: i32,
    /// The active opener's acknowledged-byte count includes its SYN.
    opener: bool,
    /// Where the socket's error goes that a send of ours has taken (`Conn.keepError`).
    saved_error: *i32,

    /// The peer has closed or half-closed, or the connection has failed.
    pub fn ending(k: Kernel) bool {
        return k.condition() != .open;
    }

    pub const Condition = enum { open, ending, failed };

    /// `failed` and `ending` by one look.
    pub fn condition(k: Kernel) Condition {
        var p = [_]sys.PollFd{.{ .fd = k.fd, .events = sys.POLLRDHUP }};
        if (sys.poll(&p, 0, null) <= 0) return .open;
        return if (p[0].revents & ~sys.POLLRDHUP != 0) .failed else .ending;
    }

    /// Nothing can be sent or received any more.
    pub fn failed(k: Kernel) bool {
        return k.condition() == .failed;
    }

    /// Bytes ever handed to the kernel for sending. Read, not counted, so that writes behind the
    /// library's back are in it: acknowledged + queued, re-read until stable (PROTOCOL.md).
    pub fn sendPosition(k: Kernel) ?u64 {
        var before = k.tcpInfo(bytes_acked_offset) orelse return null;
        for (0..64) |_| {
            var queued: c_int = 0;
            if (sys.call(.ioctl, .{ k.fd, sys.SIOCOUTQ, &queued }) < 0) return null;
            const after = k.tcpInfo(bytes_acked_offset) orelse return null;
            if (after == before) return after + @as(u32, @intCast(queued)) - @intFromBool(k.opener);
            before = after;
        }
        return null;
    }

    /// A socket that was reset looks like one that has had a FIN, which counts as a byte; with an
    /// empty queue, where the ring begins tells which it is.
    pub fn mayBeOneShort(k: Kernel) bool {
        return k.mayBeOneShortBehind(0);
    }

    /// The same for what comes behind `peeked` bytes, which must be all that the queue has.
    pub fn mayBeOneShortBehind(k: Kernel, peeked: u64) bool {
        var queued: c_int = 0;
        return k.tcpState() == tcp_close and
            sys.call(.ioctl, .{ k.fd, sys.FIONREAD, &queued }) == 0 and queued == peeked;
    }

    /// Everything before `position` of the kernel's stream has come, read or not: none of it is in the
    /// sender's queue, or on its way.
    pub fn hasReceivedTo(k: Kernel, position: u64) bool {
        const received = (k.tcpInfo(bytes_received_offset) orelse return true) - @intFromBool(k.finReceived());
        const missing: i64 = @bitCast(position -% received);
        return missing <= 0 or (missing == 1 and k.tcpState() == tcp_close); // as `mayBeOneShort`
    }

    /// Bytes ever read from the kernel.
    pub fn receivePosition(k: Kernel) ?u64 {
        var before = k.tcpInfo(bytes_received_offset) orelse return null;
        for (0..64) |_| {
            var queued: c_int = 0;
            if (sys.call(.ioctl, .{ k.fd, sys.FIONREAD, &queued }) < 0) return null;
            const after = k.tcpInfo(bytes_received_offset) orelse return null;
            if (after == before) return after - @as(u32, @intCast(queued)) - @intFromBool(k.finReceived());
            before = after;
        }
        return null;
    }

    pub fn trySend(k: Kernel, bytes: [*]const u8, len: u64) ?u64 {
        const flags = sys.MSG_DONTWAIT | sys.MSG_NOSIGNAL;
        const n = sys.call(.sendto, .{ k.fd, bytes, len, flags, 0, 0 });
        if (n > 0) return @intCast(n);
        // EPIPE is no error of the socket's: it comes again.
        if (n != sys.neg(.AGAIN) and n != sys.neg(.PIPE)) @atomicStore(i32, k.saved_error, @intCast(n), .release);
        return null;
    }

    const bytes_acked_offset = 120;
    const bytes_received_offset = 128;

    fn tcpInfo(k: Kernel, comptime offset: usize) ?u64 {
        var info: [offset + 8]u8 align(8) = undefined;
        var len: u32 = info.len;
        if (sys.call(.getsockopt, .{ k.fd, sys.IPPROTO_TCP, sys.TCP_INFO, &info, &len }) < 0) return null;
        // An emulator may pass only the beginning on.
        if (len < info.len) return diag.tcpInfo(k.fd, offset);
        return std.mem.readInt(u64, info[offset..][0..8], .little);
    }

    /// The kernel counts the peer's FIN as a received byte; the state says whether it came.
    const tcp_close = 7;

    /// 0: unknown.
    fn tcpState(k: Kernel) u8 {
        var info: [8]u8 = undefined;
        var len: u32 = info.len;
        if (sys.call(.getsockopt, .{ k.fd, sys.IPPROTO_TCP, sys.TCP_INFO, &info, &len }) < 0) return 0;
        return info[0];
    }

    pub fn finReceived(k: Kernel) bool {
        return switch (k.tcpState()) {
            // TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING
            6, tcp_close, 8, 9, 11 => true,
            else => false,
        };
    }
};

/// `TxEnd.flags`, `RxEnd.flags`: shut down; do not enter the ring; only as long as another program
/// holds the connection; (receiving) used by others than the library's, who can change its modes.
pub const flag_shut: u32 = 1;
pub const flag_stay: u32 = 2;
pub const flag_held: u32 = 4;
pub const flag_elsewhere: u32 = 8;

var pool: Pool(Conn, 64) = .{};

/// The connection behind `fd`, held against recycling until `done`: a section. (One thread: nobody
/// else can close it meanwhile, so nothing is counted.)
pub inline fn acquire(fd: c_int) ?*Conn {
    if (!lock.isSingleThreaded()) return acquireShared(fd);
    section.enter();
    if (find(fd)) |c| return c;
    section.leave();
    return null;
}

noinline fn acquireShared(fd: c_int) ?*Conn {
    var c = find(fd) orelse return null;
    cancel.hold();
    section.enter();
    while (true) {
        c.pin();
        const now = find(fd);
        if (now == c) return c;
        c.unpin();
        c = now orelse {
            section.leave();
            cancel.unhold();
            return null;
        };
    }
}

/// Handlers that were put off run here, errno being kept: set it before or after.
pub inline fn done(c: *Conn) void {
    if (lock.isSingleThreaded()) return section.leave();
    c.unpin();
    section.leave();
    cancel.unhold();
}

/// As `done`, by the cleanup routine of a thread that ends.
pub fn abandoned(c: *Conn) void {
    if (!lock.isSingleThreaded()) c.unpin();
    section.abandon();
}

/// Around a call that may wait in the kernel: the thread holds nothing there, so handlers run as
/// they come and may close the connection or jump out, and cancelling the thread leaves nothing.
pub const Away = struct {
    conn: *Conn,
    generation: u32,
    outer: usize,
    window: section.Window,

    /// Handlers may have run already (`window.delivered`): then wait for nothing.
    pub fn begin(c: *Conn) Away {
        const generation = c.generation;
        const outer = if (isInKernel(c)) c.in_kernel else 0;
        c.in_kernel = @frameAddress();
        if (!lock.isSingleThreaded()) c.unpin();
        const window: section.Window = .open();
        if (!lock.isSingleThreaded()) cancel.unhold();
        return .{ .conn = c, .generation = generation, .outer = outer, .window = window };
    }

    /// False: the connection was closed meanwhile, the object may be another's (but is held: `done`).
    pub fn end(away: Away) bool {
        const c = away.conn;
        const alone = lock.isSingleThreaded();
        if (!alone) cancel.hold();
        away.window.close();
        if (!alone) c.pin();
        if (c.generation != away.generation or @atomicLoad(u32, &c.refs, .acquire) == 0) return false;
        c.in_kernel = away.outer;
        return true;
    }
};

/// Does this thread, further down its stack, sleep in a call of the kernel's own on `c`? Then this is
/// a handler that interrupts it, and must not move the connection: a kernel that goes on receiving
/// knows nothing of a ring.
pub fn isInKernel(c: *Conn) bool {
    const entered = c.in_kernel;
    if (entered == 0) return false;
    // A handler's frames lie below a signal frame of more than this. Nearer, or above: a handler has
    // jumped out of that call.
    const signal_frame_bytes = 1024;
    const here = @frameAddress();
    if (here +% signal_frame_bytes -% entered < stack_bytes) {
        c.in_kernel = 0;
        return false;
    }
    return true;
}

const stack_bytes = 8 * 1024 * 1024;

/// Server connections that may still be adopted.
var undecided_servers: u32 = 0;

pub fn anyUndecidedServer() bool {
    return @atomicLoad(u32, &undecided_servers, .acquire) != 0;
}

fn noteDecided(c: *Conn) void {
    if (c.role != .server or !c.counted_undecided) return;
    c.counted_undecided = false;
    _ = @atomicRmw(u32, &undecided_servers, .Sub, 1, .acq_rel);
    listeners.settle();
}

pub inline fn find(fd: c_int) ?*Conn {
    return fds.lookup(.conn, Conn, fd);
}

/// Starts to track a connection that may move to a ring. Silently does not, if there is no memory
/// for it: the descriptor then is kernel TCP for good.
pub fn track(fd: c_int, role: layout.Role, nonblocking: bool) ?*Conn {
    faults.install();
    const end = ends.take() orelse return null;
    const c = pool.take() orelse {
        ends.give(end);
        return null;
    };
    const generation = c.generation;
    const fresh = std.mem.zeroInit(Conn, .{
        .end = end,
        .tx_direction = @as(*layout.Direction, undefined),
        .rx_direction = @as(*layout.Direction, undefined),
        .tx_ring = @as(carrier.Native.Ring, undefined),
        .rx_ring = @as(carrier.Native.Ring, undefined),
        .arena = @as(*arena_module.Arena, undefined),
        .slot = @as(*layout.Slot, undefined),
        .role = role,
        .guard = @as(Guard, .{}),
    });
    // All but `pins`: a thread that lost the race with close may be touching it right now.
    inline for (@typeInfo(Conn).@"struct".field_names) |name| {
        if (comptime !std.mem.eql(u8, name, "pins")) @field(c, name) = @field(fresh, name);
    }
    c.generation = generation +% 1;
    @atomicStore(bool, &c.live, true, .release);
    c.fd = fd;
    c.refs = 1;
    c.nonblocking = nonblocking;
    c.spin.follow(profile.chosen.default);
    c.next_attempt = @import("negotiate.zig").firstAttempt(role);
    end.role = @intFromEnum(role);
    end.fd = fd;
    end.pid = ends.table.?.header.pid;
    end.holders = 1;
    end.opened_ns = 0;
    c.setReason(.undecided);
    c.setState(.undecided);
    if (role == .server) {
        c.counted_undecided = true;
        _ = @atomicRmw(u32, &undecided_servers, .Add, 1, .acq_rel);
    }
    if (!fds.set(.conn, fd, c)) {
        ends.give(end);
        pool.give(c);
        return null;
    }
    return c;
}

/// One more descriptor for the same connection (dup).
pub fn addDescriptor(c: *Conn, fd: c_int) void {
    _ = @atomicRmw(u32, &c.refs, .Add, 1, .acq_rel);
    if (!fds.set(.conn, fd, c)) _ = @atomicRmw(u32, &c.refs, .Sub, 1, .acq_rel);
}

/// A descriptor is about to go. When it was the last here, ends this process's part in the
/// connection; the caller then makes the close system call.
pub fn dropDescriptor(c: *Conn, fd: c_int) void {
    fds.clear(fd);
    if (c.registration_count > 0) interest.forgetDescriptor(c, fd);
    if (@atomicRmw(u32, &c.refs, .Sub, 1, .acq_rel) != 1) {
        if (c.fd == fd) c.fd = otherDescriptor(c, fd) orelse c.fd;
        return;
    }
    finish(c);
    if (@atomicLoad(u32, &c.pins, .acquire) == 0) recycle(c);
}

fn otherDescriptor(c: *Conn, gone: c_int) ?i32 {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        if (fd != gone and find(fd) == c) return fd;
    }
    return null;
}

fn finish(c: *Conn) void {
    if (c.registration_count > 0) interest.detach(c, true);
    const last = !otherHolderLives(c);
    // No thread of ours may be in the middle of the ring when the slot is given back.
    noteDecided(c);
    const tx = c.lockTx();
    const rx = c.lockRx();
    const was = c.stateOf();
    if (was == .attached) @atomicStore(u32, &c.state, @intFromEnum(layout.EndState.plain), .release);
    if (rx) |held| c.unlockRx(held);
    if (tx) |held| c.unlockTx(held);
    switch (was) {
        .attached => if (last) closeSlot(c),
        else => {},
    }
    if (c.bound) arena_module.unbind(c);
    _ = @atomicRmw(u32, &c.end.holders, .Sub, 1, .acq_rel);
}

/// The process ends: what close would do for each connection, without the system call.
pub fn finishAll() void {
    if (!lock.isSingleThreaded()) return; // other threads may be in a ring: the monitor cleans up
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = find(fd) orelse continue;
        dropDescriptor(c, fd);
    }
}

/// Before fork: both processes will hold every connection.
pub fn beforeFork() void {
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = find(fd) orelse continue;
        if (c.fd != fd) continue;
        cork.giveNow(c);
        c.shared = true;
        _ = @atomicRmw(u32, &c.end.holders, .Add, 1, .acq_rel);
    }
}

pub fn afterForkChild() void {
    pool.mutex = .{};
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) {
        const c = find(fd) orelse continue;
        c.pins = 0;
        // In a process namespace of its own, it cannot find its parent by number, nor that it.
        if (process.id() == 1) holders.setCrowded(c.end);
        c.local_sleepers = @splat(0);
    }
}

/// A forked sibling may still use the connection.
pub fn otherHolderLives(c: *const Conn) bool {
    if (!c.shared or @atomicLoad(u32, &c.end.holders, .acquire) <= 1) return false;
    return holders.othersLive(c.end, process.id());
}

/// Last local close of an attached connection: unread ring bytes turn the close into a reset, as
/// they do on Linux, and our half of the slot is given back.
fn closeSlot(c: *Conn) void {
    const direction = c.rx_direction;
    const in_ring = c.end.rx.carrier == @intFromEnum(layout.Carrier.ring);
    if (in_ring or isEntered(direction)) {
        // Not in the ring, but the sender is: what it has put there nobody has read.
        const position = if (in_ring) c.end.rx.position else @atomicLoad(u64, &direction.tail, .monotonic);
        const head = @atomicLoad(u64, &direction.head, .acquire);
        if (head != position or in_ring and !c.shutRead() and kernelHasUnread(c)) {
            const linger: sys.Linger = .{ .onoff = 1, .linger = 0 };
            _ = sys.call(.setsockopt, .{ c.fd, sys.SOL_SOCKET, sys.SO_LINGER, &linger, @sizeOf(sys.Linger) });
        }
    }
    tellClosed(c);
    arena_module.releaseSlot(c);
}

/// The peer's sends look at the kernel from now on.
pub fn tellClosed(c: *Conn) void {
    _ = @atomicRmw(u64, &c.rx_direction.attn_flags, .Or, layout.attn_flag_closed, .acq_rel);
}

/// The peer streams: it may leave its barrier out, and whoever sleeps here has one for both.
noinline fn relaxSender(c: *Conn) void {
    if (membarrier.isUsable()) carrier.Barrier(carrier.Native).relax(c.rx_direction);
}

/// The sender has put bytes into the ring, or may, that are to be read from there.
pub fn isEntered(direction: *const layout.Direction) bool {
    const gate = carrier.Gate.from(@atomicLoad(u64, &direction.gate, .acquire));
    return gate.kind() == .ring or gate.isEntering();
}

/// Reads past an urgent byte that was never part of the stream: it would lie in the kernel's queue
/// before the ring's bytes, and turn the close into a reset. True: there was a real byte.
fn kernelHasUnread(c: *Conn) bool {
    var byte: u8 = 0;
    return sys.call(.recvfrom, .{ c.fd, &byte, 1, sys.MSG_DONTWAIT, 0, 0 }) > 0;
}

/// Once, by whoever comes last: the closer, or a thread that still used it.
fn recycle(c: *Conn) void {
    if (@cmpxchgStrong(bool, &c.live, true, false, .acq_rel, .monotonic) != null) return;
    c.generation +%= 1;
    const end = c.end;
    if (@atomicLoad(u32, &end.holders, .acquire) == 0) ends.give(end) else ends.orphan(end);
    pool.give(c);
}

/// No ring for this connection from here on; the kernel carries it. Only while it is not attached.
pub fn makePlain(c: *Conn, reason: Reason) void {
    c.setReason(reason);
    c.setState(.plain);
    log.debug("fd {d}: stays on kernel TCP: {s}", .{ c.fd, reason.name() });
}

/// Reads the descriptor's modes once, when it joins a ring; interception keeps them current.
pub fn readModes(c: *Conn) void {
    c.modes_known = true;
    c.modes_seen = @atomicLoad(u32, &c.end.modes_changed, .acquire);
    const flags = sys.call(.fcntl, .{ c.fd, sys.F_GETFL, 0 });
    c.nonblocking = flags >= 0 and flags & sys.O_NONBLOCK != 0;
    c.receive_timeout_ns = timeoutNs(sys.getSockopt(c.fd, sys.SOL_SOCKET, sys.SO_RCVTIMEO, sys.Timeval));
    c.send_timeout_ns = timeoutNs(sys.getSockopt(c.fd, sys.SOL_SOCKET, sys.SO_SNDTIMEO, sys.Timeval));
    readLowWater(c);
    c.tells_left = options.hasAskedForLeft() and
        sys.getSockopt(c.fd, sys.IPPROTO_TCP, options.TCP_INQ, u32) orelse 0 != 0;
}

noinline fn readLowWater(c: *Conn) void {
    const low = sys.getSockopt(c.fd, sys.SOL_SOCKET, sys.SO_RCVLOWAT, i32) orelse 1;
    c.receive_low_water = @intCast(@max(1, low));
}

/// The descriptor's modes are one for all processes that hold it: the others read them again.
pub fn tellModesChanged(c: *Conn) void {
    const before = @atomicRmw(u32, &c.end.modes_changed, .Add, 1, .acq_rel);
    if (c.modes_seen == before) c.modes_seen = before +% 1;
}

fn timeoutNs(value: ?sys.Timeval) u64 {
    const tv = value orelse return 0;
    if (tv.sec < 0 or tv.usec < 0) return 0;
    return @as(u64, @intCast(tv.sec)) *| 1_000_000_000 +| @as(u64, @intCast(tv.usec)) * 1000;
}

test "a sender may leave its barrier out after so many messages" {
    var direction = std.mem.zeroes(layout.Direction);
    var end = std.mem.zeroes(layout.End);
    var c: Conn = undefined;
    c.end = &end;
    c.rx_direction = &direction;
    for (1..constants.relax_every) |_| c.countReceived();
    try std.testing.expectEqual(0, direction.barrier);
    c.countReceived();
    try std.testing.expectEqual(membarrier.isUsable(), direction.barrier != 0);
}
