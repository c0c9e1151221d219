//! From kernel TCP to a ring: the client offers a slot from its third data call on (so that one
//! request and its answer pay nothing), the server adopts it at a data call of its own, from the
//! fourth on. Beside the traffic, never in front of it: every step is a look at shared memory or a
//! packet sent without waiting, and each failure leaves the connection on TCP with a reason.
//!
//! An offer is believed only after the kernel confirmed it: the server asks sock_diag once for the
//! client's socket by its exact address pair and cookie, and compares the owner's uid with the
//! arena's. A stale or forged offer finds no such socket.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const Reason = @import("../reason.zig").Reason;
const addr = @import("addr.zig");
const arena_module = @import("arena.zig");
const control = @import("control.zig");
const diag = @import("diag.zig");
const ends = @import("ends.zig");
const foreign = @import("foreign.zig");
const interest = @import("interest.zig");
const links = @import("links.zig");
const listeners = @import("listeners.zig");
const log = @import("log.zig");
const options = @import("options.zig");
const profile = @import("profile.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");
const conn_module = @import("conn.zig");

const Conn = conn_module.Conn;
const Arena = arena_module.Arena;

/// At each data call of a connection that is not attached and may become so.
pub inline fn step(c: *Conn) void {
    c.calls +%= 1;
    switch (c.stateOf()) {
        .undecided => if (c.calls >= c.next_attempt) stepSlow(c),
        else => {},
    }
}

noinline fn stepSlow(c: *Conn) void {
    if (conn_module.isInKernel(c)) return;
    if (isYoung()) {
        c.next_attempt = c.calls +% young_calls;
        return;
    }
    attempt(c);
    if (eager) awaitAnswers(c);
}

fn attempt(c: *Conn) void {
    control.poll();
    if (c.isHeld()) {
        foreign.considerLift(c);
        if (c.isHeld()) return;
    }
    if (c.shared and conn_module.otherHolderLives(c)) return c.setReason(.shared_by_fork);
    switch (c.role) {
        .client => clientStep(c),
        .server => serverStep(c),
    }
}

/// SOCKSDIRECT_EAGER: connections try from their first data call on, and a client waits for the
/// monitor's answers. So that tests of other programs reach the rings, although these mostly make
/// connections that end before they would have been worth one.
pub var eager = false;

/// At which data call to start: one request and its answer pay nothing. They are two calls of a
/// client; a server's third is the one that finds the end of such a connection, and its fourth is
/// the first at which an offer can lie there, made at its client's third.
pub inline fn firstAttempt(role: layout.Role) u32 {
    if (eager) return 1;
    return switch (role) {
        .client => 3,
        .server => 4,
    };
}

fn awaitAnswers(c: *Conn) void {
    const start = sys.nowNs();
    while (c.stateOf() == .undecided) {
        const patience_ns: u64 = switch (@as(Reason, @enumFromInt(c.end.reason))) {
            .arena_pending => constants.eager_arena_wait_ns,
            .no_listener => if (listeners.isVerdictDue())
                constants.eager_arena_wait_ns
            else
                constants.eager_listener_wait_ns,
            .not_adopted => if (arena_module.isTwinDue()) constants.eager_arena_wait_ns else return,
            else => return,
        };
        if (sys.nowNs() - start > patience_ns) return;
        sys.futexWait(&never_woken, 0, 100_000);
        control.process();
        attempt(c);
    }
}

const never_woken: u32 = 0;

// ---------------------------------------------------------------------------------------------
// Client

fn clientStep(c: *Conn) void {
    if (c.end.peer.port == 0) {
        if (options.keepsOnTcp(c.fd)) return conn_module.makePlain(c, .socket_option);
        if (!readAddresses(c)) return later(c, .undecided);
    }
    if (!onThisHost(c)) return conn_module.makePlain(c, .peer_not_local);
    if (diag.wanted() and control.hasAskedForDiag()) return soon(c, .offer_unverified);
    if (!canMove(c) or !readCookie(c)) return soon(c, .offer_unverified);
    if (!control.ensure()) return later(c, .no_monitor);
    if (control.isDraining()) return later(c, .disabled);
    const group = control.lookup(&c.end.peer) orelse return soon(c, .arena_pending);
    if (group == 0) return later(c, .no_listener);
    const tuple: layout.Tuple = .{ .client = c.end.local, .server = c.end.peer };
    var have_any = false;
    {
        const guard = arena_module.mutex.lock();
        if (!guard.ok()) return;
        defer guard.unlock();
        // Another thread may have offered while this one came here: a second offer would bind the
        // connection to a slot that the server never looks at.
        if (c.stateOf() != .undecided) return;
        var at = arena_module.first;
        while (at) |a| : (at = a.next) {
            // Group numbers mean something only to the monitor that gave them.
            if (a.side != 0 or a.group != group or a.session != control.session) continue;
            if (a.dead or a.needs_link) continue;
            have_any = true;
            const index = arena_module.claim(a, &tuple) orelse continue;
            if (offer(c, a, index, &tuple)) break;
            return;
        }
    }
    if (c.isAttached()) {
        kickLocal(c);
        interest.attach(c);
        return;
    }
    const reason = control.requestArena(group, have_any);
    if (reason == .arena_pending) soon(c, reason) else later(c, if (have_any) .arena_full else reason);
}

/// This process has not joined the monitor yet, and has not had connections for long enough to earn
/// what that costs (`join_after_ns`). Its connections stay on TCP until then.
pub fn isYoung() bool {
    if (control.isMember() or join_after_ns == 0 or eager) return false;
    const now = sys.nowNs();
    const since = @cmpxchgStrong(u64, &in_use_since, 0, now, .monotonic, .monotonic) orelse return true;
    return now -% since < join_after_ns;
}

/// SOCKSDIRECT_JOIN_AFTER_MS.
pub var join_after_ns: u64 = constants.join_after_ns;
/// When this process was first asked; 0: never.
var in_use_since: u64 = 0;
/// Data calls of a connection from one look to the next.
const young_calls = 4;

fn soon(c: *Conn, reason: Reason) void {
    c.setReason(reason);
    c.next_attempt = c.calls +% 1;
}

/// Try again when the number of calls has doubled: cheap for ever, and a monitor or listener that
/// appears later is still found.
fn later(c: *Conn, reason: Reason) void {
    c.setReason(reason);
    c.next_attempt = c.calls *| 2 +| 2;
}

fn readAddresses(c: *Conn) bool {
    c.end.local = addr.local(c.fd) orelse return false;
    c.end.peer = addr.peer(c.fd) orelse return false;
    c.end.cookie = sys.getSockopt(c.fd, sys.SOL_SOCKET, sys.SO_COOKIE, u64) orelse 0;
    c.end.netns = control.netnsOf();
    c.spin.follow(profile.ofConnection(c.role, &c.end.local, &c.end.peer));
    return true;
}

/// Both ends of a ring must be able to tell where they are in the kernel's streams: an end that
/// cannot would wait for ever for a byte that is its next one. It is a property of the system, so one
/// connection stands for all.
fn canMove(c: *Conn) bool {
    if (@atomicLoad(bool, &positions_known, .monotonic)) return true;
    const known = c.kernel().receivePosition() != null and c.kernel().sendPosition() != null;
    if (diag.wanted()) control.borrowDiag();
    if (known) @atomicStore(bool, &positions_known, true, .monotonic);
    return known;
}

var positions_known = false;

/// The answer may have come from a socket that was the parent's.
pub fn afterForkChild() void {
    positions_known = false;
    in_use_since = 0;
}

/// By which the server will know this very socket. (An emulator may not know the option.)
fn readCookie(c: *Conn) bool {
    if (c.end.cookie != 0) return true;
    c.end.cookie = diag.cookieOf(&.{ .client = c.end.local, .server = c.end.peer }) orelse 0;
    if (diag.wanted()) control.borrowDiag();
    return c.end.cookie != 0;
}

fn onThisHost(c: *const Conn) bool {
    return addr.isLoopback(&c.end.peer) or
        std.mem.eql(u8, &c.end.local.address, &c.end.peer.address);
}

fn offer(c: *Conn, a: *Arena, index: u32, tuple: *const layout.Tuple) bool {
    const slot = a.slot(index);
    if (!arena_module.populateSlot(a, index, layout.client_to_server)) {
        setTag(slot, .free);
        later(c, .no_memory);
        return false;
    }
    slot.cookie = c.end.cookie;
    slot.netns = c.end.netns;
    slot.client_uid = @intCast(sys.call(.getuid, .{}));
    slot.client_link = a.my_link;
    slot.tuple = tuple.*;
    arena_module.bind(c, a, index);
    const state: layout.SlotState = @bitCast(slot.state);
    c.end.generation = state.generation;
    conn_module.readModes(c);
    // From here on we sleep with our words armed: the server may adopt and enter the ring at once.
    @atomicStore(u32, &c.state, @intFromEnum(layout.EndState.attached), .release);
    @atomicStore(u32, &c.end.state, @intFromEnum(layout.EndState.offered), .release);
    c.setReason(.offered);
    // Release: who sees OFFERED sees the identity above. Then the counter that servers compare.
    setTag(slot, .offered);
    _ = @atomicRmw(u64, &a.header().offers, .Add, 1, .acq_rel);
    ends.count("offers_made");
    log.debug("fd {d}: offered slot {d} of arena {d}", .{ c.fd, index, a.id });
    return true;
}

fn setTag(slot: *layout.Slot, tag: layout.SlotTag) void {
    var state: layout.SlotState = @bitCast(slot.state);
    state.tag = @intFromEnum(tag);
    @atomicStore(u64, &slot.state, @bitCast(state), .release);
}

/// The server has taken the offer: our direction may enter the ring. (Its own direction may have
/// done so already; reading follows the gate.)
pub fn adoptionSeen(c: *Conn) bool {
    const known = @atomicLoad(u32, &c.end.state, .monotonic);
    if (known == @intFromEnum(layout.EndState.attached)) return true;
    const state: layout.SlotState = @bitCast(@atomicLoad(u64, &c.slot.state, .acquire));
    if (state.tag != @intFromEnum(layout.SlotTag.adopted)) return false;
    // Without a channel to the adopting process nobody could be woken: TCP carries on.
    if (!links.isReachable(c.arena, state.server_link)) {
        c.setReason(.no_fds);
        return false;
    }
    @atomicStore(u32, &c.end.state, @intFromEnum(layout.EndState.attached), .release);
    c.setReason(.none);
    ends.count("accelerated_count");
    log.debug("fd {d}: adopted by link {d}", .{ c.fd, state.server_link });
    return true;
}

// ---------------------------------------------------------------------------------------------
// Server

fn serverStep(c: *Conn) void {
    if (c.end.peer.port == 0) {
        if (options.keepsOnTcp(c.fd)) return conn_module.makePlain(c, .socket_option);
        if (!readAddresses(c)) return;
    }
    if (!onThisHost(c)) return conn_module.makePlain(c, .peer_not_local);
    const tuple: layout.Tuple = .{ .client = c.end.peer, .server = c.end.local };
    c.setReason(control.servingReason());
    control.rejoinIfShort();
    if (canMove(c)) {
        if (adoptAny(c, &tuple)) return attach(c);
    } else c.setReason(.offer_unverified);
    if (diag.wanted()) control.borrowDiag();
    control.joinByConnection(c.fd);
}

/// Looks through the arenas for an offer of this connection. True: adopted.
fn adoptAny(c: *Conn, tuple: *const layout.Tuple) bool {
    const guard = arena_module.mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    var at = arena_module.first;
    while (at) |a| : (at = a.next) {
        if (a.side != 1 or a.dead) continue;
        if (tryAdopt(c, a, tuple)) return true;
        if (c.stateOf() != .undecided) return false;
    }
    return false;
}

fn tryAdopt(c: *Conn, a: *Arena, tuple: *const layout.Tuple) bool {
    const places = tuple.places(a.layout.slot_count);
    for (0..constants.offer_probe_max) |n| {
        const index = places.at(@intCast(n));
        const slot = a.slot(index);
        const word = @atomicLoad(u64, &slot.state, .acquire);
        const state: layout.SlotState = @bitCast(word);
        if (state.tag != @intFromEnum(layout.SlotTag.offered)) continue;
        const offered = slot.tuple; // one copy: the client may still write to it
        if (!offered.eql(tuple)) continue;
        return adopt(c, a, index, state, tuple, slot.cookie);
    }
    return false;
}

fn adopt(c: *Conn, a: *Arena, index: u32, state: layout.SlotState, tuple: *const layout.Tuple, cookie: u64) bool {
    switch (diag.confirm(tuple, c.end.peer.family == 6 or c.end.local.family == 6, cookie, a.peer_uid)) {
        .yes => {},
        .no => {
            conn_module.makePlain(c, .offer_unverified);
            return false;
        },
        .later => {
            c.setReason(.offer_unverified);
            return false;
        },
    }
    if (!arena_module.populateSlot(a, index, layout.server_to_client)) {
        conn_module.makePlain(c, .no_memory);
        return false;
    }
    links.announceChild(a);
    if (!links.isReachable(a, null)) return false; // nobody to ring there
    var adopted = state;
    adopted.tag = @intFromEnum(layout.SlotTag.adopted);
    adopted.server_link = a.my_link;
    const slot = a.slot(index);
    if (@cmpxchgStrong(u64, &slot.state, @bitCast(state), @bitCast(adopted), .acq_rel, .monotonic) != null) {
        return false; // withdrawn meanwhile
    }
    arena_module.bind(c, a, index);
    c.end.generation = state.generation;
    conn_module.readModes(c);
    ends.count("offers_adopted");
    return true;
}

// ---------------------------------------------------------------------------------------------
// Both

/// From here on the slot's gates decide where bytes go. Sleepers of this process that went to sleep
/// without a doorbell are woken, so that they look again with one. (PROTOCOL rule 2)
fn attach(c: *Conn) void {
    c.setReason(.none);
    c.end.pid = if (ends.table) |t| t.header.pid else 0;
    c.setState(.attached);
    ends.count("accelerated_count");
    kickLocal(c);
    interest.attach(c);
    log.debug("fd {d}: attached to slot {d} of arena {d}", .{ c.fd, c.slot_index, c.arena.id });
}

fn kickLocal(c: *Conn) void {
    // Pairs with the sleeper's: its number is stored, barrier, then it looks at the state again.
    @import("../carrier/carrier.zig").Native.fence();
    for (&c.local_sleepers) |*place| {
        const number = @atomicLoad(u32, place, .monotonic);
        if (number != 0) waiters.kick(number);
    }
}
