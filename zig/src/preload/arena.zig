//! Arenas this process has mapped: where connections find their slots. A client claims slots and
//! offers them; a server adopts. One arena belongs to two parties, this process's side and the
//! other, so whatever the other writes can hurt the connections between the two and no one else.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");
const control = @import("control.zig");
const ends = @import("ends.zig");
const epoll = @import("epoll.zig");
const links = @import("links.zig");
const listeners = @import("listeners.zig");
const log = @import("log.zig");
const sys = @import("sys.zig");
const Conn = @import("conn.zig").Conn;
const Mutex = @import("lock.zig").Mutex;
const Pool = @import("pool.zig").Pool;

const Rows = carrier.Rows(carrier.Native);

pub const Arena = struct {
    next_free: ?*Arena = null,
    next: ?*Arena,
    /// Small number, unique in this process, for the doorbell table.
    index: u16,
    id: u64,
    /// Listener group, a number of the monitor we spoke to in `session`.
    group: u32,
    session: u32,
    /// 0: we are the client; 1: the server.
    side: u1,
    /// Our own link number on our side.
    my_link: u16,
    /// Of each row of the other side, the sleep that this process has rung (carrier/rows.zig).
    rung: [constants.ready_rows]u64 = @splat(0),
    /// Inherited by fork and not yet announced to the other side.
    needs_link: bool,
    /// Somebody of the other side could not be told about this process: it cannot ring us, so sleeps
    /// are bounded.
    unannounced: bool = false,
    /// A forked child's name (rendezvous.zig); -1: none.
    rendezvous: i32 = -1,
    /// Mapped before a fork: our copy of the parent's channel is for sending one message only.
    peer_pid: u32,
    peer_uid: u32,
    base: [*]align(4096) u8,
    layout: layout.ArenaLayout,
    /// Connections of this process that are attached or offered here.
    users: u32,
    dead: bool,
    links: ?*links.PeerLink,

    pub fn header(a: *const Arena) *layout.ArenaHeader {
        return @ptrCast(@alignCast(a.base));
    }

    pub fn slot(a: *const Arena, index: u32) *layout.Slot {
        return @ptrCast(@alignCast(a.base + a.layout.slotOffset(index)));
    }

    pub fn ring(a: *const Arena, index: u32, direction: u1) carrier.Native.Ring {
        return .{
            .hot = a.base + a.layout.hotOffset(index, direction),
            .cold = a.base + a.layout.ringOffset(index, direction),
        };
    }

    pub fn row(a: *const Arena, side: u1, index: u32) *layout.Row {
        return @ptrCast(@alignCast(a.base + a.layout.rowOffset(side, index)));
    }

    pub fn rowBits(a: *const Arena, side: u1, index: u32) [*]u64 {
        return @ptrCast(@alignCast(a.base + a.layout.rowOffset(side, index) + @sizeOf(layout.Row)));
    }
};

/// Wakes the other side of one slot: the environment's `bells` of carrier/wake.zig.
pub const Bells = struct {
    arena: *Arena,
    slot: u32,

    pub fn ring(bells: Bells, attention: carrier.Attention) bool {
        ends.count("wakeups_sent");
        return links.ring(bells.arena, attention.link, attention.target);
    }

    pub fn ready(bells: Bells, attention: carrier.Attention) void {
        if (attention.target >= constants.ready_rows) return;
        const side = bells.arena.side ^ 1; // rows of whoever sleeps: the other side
        const row = bells.arena.row(side, attention.target);
        const bits = bells.arena.rowBits(side, attention.target);
        Rows.markReady(row, bits, bells.slot, &bells.arena.rung[attention.target], bells);
    }

    /// `ready` will follow for this word: its bit's line can come while the message is written.
    pub fn prefetchMark(bells: Bells, value: u64) void {
        const attention: carrier.Attention = .from(value);
        if (attention.kind != @intFromEnum(carrier.AttentionKind.row) or attention.target >= constants.ready_rows) return;
        const bits = bells.arena.rowBits(bells.arena.side ^ 1, attention.target);
        carrier.Native.prefetchWrite(&bits[bells.slot / 64]);
    }
};

pub var mutex: Mutex = .{};
var pool: Pool(Arena, 16) = .{};
pub var first: ?*Arena = null;
var next_index: u16 = 1;

/// Maps a new arena. Takes the descriptor; null: no memory (it is closed all the same).
pub fn add(message: *const @import("../protocol.zig").Arena, memfd: i32) ?*Arena {
    defer sys.close(memfd);
    if (message.slot_count < 8 or message.slot_count > constants.arena_slots_max) return null;
    if (!std.math.isPowerOfTwo(message.slot_count) or message.slot_count % 64 != 0) return null;
    const shape = layout.ArenaLayout.init(message.slot_count);
    if (shape.total_bytes != message.total_bytes) return null;
    const memory = sys.mapShared(memfd, shape.total_bytes, true) orelse {
        log.warn("arena of {d} bytes not mapped: out of address space", .{shape.total_bytes});
        return null;
    };
    if (!ends.populate(memory, shape.slots_offset)) {
        sys.unmap(memory, shape.total_bytes);
        return null;
    }
    const a = pool.take() orelse {
        sys.unmap(memory, shape.total_bytes);
        return null;
    };
    const guard = mutex.lock();
    defer guard.unlock();
    a.* = .{
        .next = first,
        .index = next_index,
        .id = message.arena_id,
        .group = message.group,
        .session = control.session,
        .side = @intCast(message.side & 1),
        .my_link = @truncate(message.link),
        .needs_link = false,
        .peer_pid = message.peer_pid,
        .peer_uid = message.peer_uid,
        .base = memory,
        .layout = shape,
        .users = 0,
        .dead = false,
        .links = null,
    };
    next_index +%= 1;
    if (next_index == 0) next_index = 1;
    @atomicStore(?*Arena, &first, a, .release);
    return a;
}

/// Unmaps arenas whose other side is gone and that no connection uses. Holds `mutex`.
pub fn sweep() void {
    var at = &first;
    while (at.*) |a| {
        if (a.dead and @atomicLoad(u32, &a.users, .acquire) == 0 and epoll.forgetArena(a)) {
            at.* = a.next;
            links.forgetArena(a);
            sys.unmap(a.base, a.layout.total_bytes);
            pool.give(a);
        } else at = &a.next;
    }
}

pub fn find(id: u64, side: u1) ?*Arena {
    var at = first;
    while (at) |a| : (at = a.next) if (a.id == id and a.side == side) return a;
    return null;
}

/// This process has the client's side of an arena to a group of its own, and the server's is on its
/// way.
pub fn isTwinDue() bool {
    const guard = mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    var at = first;
    while (at) |a| : (at = a.next) {
        if (a.side == 0 and !a.dead and listeners.serves(a.group) and find(a.id, 1) == null) return true;
    }
    return false;
}

// ---------------------------------------------------------------------------------------------
// The client's part: claim, fill in, offer, withdraw

pub const Claimed = struct { arena: *Arena, index: u32 };

/// A free slot among the places of `tuple`, now CLAIMED by us; null: none of them is free.
pub fn claim(a: *Arena, tuple: *const layout.Tuple) ?u32 {
    const places = tuple.places(a.layout.slot_count);
    for (0..constants.offer_probe_max) |step| {
        const index = places.at(@intCast(step));
        const slot = a.slot(index);
        const word = @atomicLoad(u64, &slot.state, .acquire);
        var state: layout.SlotState = @bitCast(word);
        if (reclaimable(a, state)) clean(a, index, state);
        state = @bitCast(@atomicLoad(u64, &slot.state, .acquire));
        if (state.tag != @intFromEnum(layout.SlotTag.free)) continue;
        var mine = state;
        mine.tag = @intFromEnum(layout.SlotTag.claimed);
        if (@cmpxchgStrong(u64, &slot.state, @bitCast(state), @bitCast(mine), .acq_rel, .monotonic) == null) {
            return index;
        }
    }
    return null;
}

/// We closed our half, and the worker that adopted it died without closing its.
fn reclaimable(a: *Arena, state: layout.SlotState) bool {
    return state.tag == @intFromEnum(layout.SlotTag.adopted) and state.client_closed and
        !state.server_closed and links.isDead(a, state.server_link);
}

/// Points `c` at its slot; both sides do this, each from its own view.
pub fn bind(c: *Conn, a: *Arena, index: u32) void {
    const slot = a.slot(index);
    const tx: u1 = if (a.side == 0) layout.client_to_server else layout.server_to_client;
    c.arena = a;
    c.slot = slot;
    c.slot_index = index;
    c.tx_direction = &slot.direction[tx];
    c.rx_direction = &slot.direction[tx ^ 1];
    c.tx_ring = a.ring(index, tx);
    c.rx_ring = a.ring(index, tx ^ 1);
    c.end.arena_id = a.id;
    c.end.slot = index;
    c.bound = true;
    _ = @atomicRmw(u32, &a.users, .Add, 1, .acq_rel);
}

/// Memory for the slot's words and the first page of our ring. False: there is none.
pub fn populateSlot(a: *Arena, index: u32, direction: u1) bool {
    return ends.populate(@ptrCast(a.slot(index)), @sizeOf(layout.Slot)) and
        ends.populate(a.ring(index, direction).hot, constants.hot_window_bytes);
}

/// Takes an offer back that nobody has taken, with all that was said to a peer that never came (that
/// this end is shut down, or closed): the slot's next connection must not hear it. False: it was taken.
pub fn withdraw(c: *Conn) bool {
    const state: layout.SlotState = @bitCast(@atomicLoad(u64, &c.slot.state, .acquire));
    if (state.tag != @intFromEnum(layout.SlotTag.offered)) return false;
    var cleaning = state;
    cleaning.tag = @intFromEnum(layout.SlotTag.cleaning);
    if (@cmpxchgStrong(u64, &c.slot.state, @bitCast(state), @bitCast(cleaning), .acq_rel, .acquire) != null) return false;
    c.slot.direction = @splat(std.mem.zeroes(layout.Direction));
    const free: layout.SlotState = .{ .generation = state.generation +% 1 };
    @atomicStore(u64, &c.slot.state, @bitCast(free), .release);
    return true;
}

// ---------------------------------------------------------------------------------------------
// How much memory grown rings take

/// What rings that this process writes have beyond their initial size. An end that forked children
/// share may be counted in one process and given back in another: a bound, not a book.
var grown_bytes: u64 = 0;

pub fn growthAllowed(more: u64) bool {
    return @atomicLoad(u64, &grown_bytes, .monotonic) +| more <= constants.grown_bytes_max;
}

/// A ring's memory reached `to` bytes.
pub fn noteGrown(from: u64, to: u64) void {
    const more = to -| @max(from, constants.ring_bytes_initial);
    if (more > 0) _ = @atomicRmw(u64, &grown_bytes, .Add, more, .monotonic);
}

fn noteReleased(populated: u64) void {
    const less = populated -| constants.ring_bytes_initial;
    if (less == 0) return;
    var now = @atomicLoad(u64, &grown_bytes, .monotonic);
    while (@cmpxchgWeak(u64, &grown_bytes, now, now -| less, .monotonic, .monotonic)) |found| now = found;
}

// ---------------------------------------------------------------------------------------------
// Both: giving back

/// Marks our half closed; whoever closes second cleans the slot for its next use.
pub fn releaseSlot(c: *Conn) void {
    const a = c.arena;
    noteReleased(c.end.tx.populated);
    if (a.side == 0 and withdraw(c)) return;
    @atomicStore(u64, &c.tx_direction.high_water, c.end.tx.high_water, .release);
    while (true) {
        const state: layout.SlotState = @bitCast(@atomicLoad(u64, &c.slot.state, .acquire));
        if (state.tag != @intFromEnum(layout.SlotTag.adopted)) break; // a liar's doing
        var closed = state;
        if (a.side == 0) closed.client_closed = true else closed.server_closed = true;
        if (@cmpxchgStrong(u64, &c.slot.state, @bitCast(state), @bitCast(closed), .acq_rel, .acquire) != null) {
            continue;
        }
        if (closed.client_closed and closed.server_closed) clean(a, c.slot_index, closed);
        break;
    }
}

pub fn unbind(c: *Conn) void {
    c.bound = false;
    release(c.arena);
}

/// Keeps an arena mapped: for a connection, or for the time of a sleep.
pub fn retain(a: *Arena) void {
    _ = @atomicRmw(u32, &a.users, .Add, 1, .acq_rel);
}

pub fn release(a: *Arena) void {
    _ = @atomicRmw(u32, &a.users, .Sub, 1, .acq_rel);
}

/// Zeroes words and used ring memory, then frees the slot. One caller wins.
fn clean(a: *Arena, index: u32, from: layout.SlotState) void {
    const slot = a.slot(index);
    var cleaning = from;
    cleaning.tag = @intFromEnum(layout.SlotTag.cleaning);
    if (@cmpxchgStrong(u64, &slot.state, @bitCast(from), @bitCast(cleaning), .acq_rel, .monotonic) != null) return;
    for (0..2) |d| {
        const direction: u1 = @intCast(d);
        const used = @atomicLoad(u64, &slot.direction[d].high_water, .acquire);
        cleanRing(a.ring(index, direction), @min(used, constants.ring_bytes));
        slot.direction[d] = std.mem.zeroes(layout.Direction);
    }
    const free: layout.SlotState = .{ .generation = from.generation +% 1 };
    @atomicStore(u64, &slot.state, @bitCast(free), .release);
}

/// Short use is zeroed in place and stays warm; after a burst the pages go back to the system.
fn cleanRing(ring: carrier.Native.Ring, used: u64) void {
    const MADV_REMOVE = 9;
    const hot = constants.hot_window_bytes;
    @memset(ring.hot[0..@min(used, hot)], 0);
    if (used <= hot) return;
    if (used > constants.populate_chunk_bytes) {
        if (sys.call(.madvise, .{ ring.cold, constants.ring_bytes, MADV_REMOVE }) == 0) return;
    }
    @memset(ring.cold[hot..used], 0);
}

test "a slot whose offer was taken back is as new for its next connection" {
    var slot = std.mem.zeroes(layout.Slot);
    slot.state = @bitCast(layout.SlotState{ .tag = @intFromEnum(layout.SlotTag.offered), .generation = 7 });
    for (&slot.direction) |*direction| direction.attn_flags = layout.attn_flag_closed;
    var c: Conn = undefined;
    c.slot = &slot;
    try std.testing.expect(withdraw(&c));
    for (&slot.direction) |*direction| try std.testing.expectEqual(0, direction.attn_flags);
    const state: layout.SlotState = @bitCast(slot.state);
    try std.testing.expectEqual(@intFromEnum(layout.SlotTag.free), state.tag);
    try std.testing.expectEqual(8, state.generation);
    try std.testing.expect(!withdraw(&c));
}
