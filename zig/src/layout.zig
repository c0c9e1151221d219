//! Everything that two processes see in shared memory, and nothing else: one place for offsets,
//! sizes, magics. No pointers, only offsets. Whoever reads a word that a peer can write copies it
//! once, checks it, then uses it; the checks live with the readers.
//!
//! Four kinds of mapping:
//!
//!   arena      one client process and one listener group: header, ready rows, slot controls, rings
//!   registry   written by the monitor alone: listeners, and a sequence word for each process
//!   end table  one process's connections, seen by that process (and its forked children) and,
//!              read-only, by the monitor: locks, carrier state, counters, reason codes

const std = @import("std");
const constants = @import("constants.zig");
const assert = std.debug.assert;

/// A connection's network identity. IPv4 is written as IPv4-mapped IPv6, so that the two forms of
/// one connection compare equal. Ports in host order.
pub const Endpoint = extern struct {
    address: [16]u8 = @splat(0),
    port: u16 = 0,
    /// 4 or 6: what the kernel calls the address (a mapped one is 4).
    family: u16 = 0,
    scope: u32 = 0,

    pub fn eql(a: *const Endpoint, b: *const Endpoint) bool {
        return a.port == b.port and std.mem.eql(u8, &a.address, &b.address);
    }
};

/// As seen by the client: `client` is its own address, `server` the listener's side.
pub const Tuple = extern struct {
    client: Endpoint = .{},
    server: Endpoint = .{},

    pub fn eql(a: *const Tuple, b: *const Tuple) bool {
        return a.client.eql(&b.client) and a.server.eql(&b.server);
    }

    /// The slots in which an offer for this connection may lie. Not secret, not collision-resistant:
    /// a collision costs a probe.
    pub fn places(tuple: *const Tuple, slot_count: u32) Places {
        const port = tuple.client.port;
        var h: u64 = 0x9e3779b97f4a7c15;
        // Linux takes ports of one parity in turn: eight of them are a block.
        h = (h ^ (port >> 4 | (port & 1) << 15)) *% 0xff51afd7ed558ccd;
        h ^= h >> 32;
        h = (h ^ tuple.server.port) *% 0xc4ceb9fe1a85ec53;
        for (tuple.client.address[8..16]) |byte| h = (h ^ byte) *% 0x100000001b3;
        h ^= h >> 29;
        return .{
            .block = @truncate(h),
            .stride = @as(u32, @truncate(h >> 32)) | 1,
            .within = port >> 1 & (Places.block_slots - 1),
            .blocks = slot_count / Places.block_slots,
        };
    }
};

/// Connections that are opened one after the other lie side by side, in blocks: so an event loop that
/// has many of them touches fewer pages. Blocks are scattered, and so are the further places of one
/// that is taken, since they would else pile up behind each other.
pub const Places = struct {
    block: u32,
    /// Odd, so that it leads to every block.
    stride: u32,
    within: u32,
    blocks: u32,

    pub const block_slots = 8;

    /// Place number `step`; after a while within another column of the blocks.
    pub fn at(places: Places, step: u32) u32 {
        const block = (places.block +% step *% places.stride) % places.blocks;
        return block * block_slots + (places.within + step / block_slots * 3) % block_slots;
    }
};

// ---------------------------------------------------------------------------------------------
// Arena

pub const arena_magic: u64 = 0x31_61_6e_65_72_61_64_73; // "sdarena1"

pub const ArenaHeader = extern struct {
    magic: u64,
    abi_version: u32,
    slot_count: u32,
    arena_id: u64,
    ring_bytes: u64,
    /// Two random numbers: part of the names by which forked children are found, and what their
    /// messages must hold (preload/rendezvous.zig).
    public_name: u64,
    secret: u64,
    pad0: [2]u64,
    /// Bumped by the client after each OFFERED store: servers with undecided connections compare.
    offers: u64 align(64),
    pad1: [7]u64,
    /// Where forked children of either side (client, server) start to look for a free link number.
    next_link: [2]u64 align(64),
    pad2: [6]u64,
    /// One half a side; bit n of it: link number `monitor_links_max + n` is taken. Set by the forked
    /// child that takes it, cleared by the other side when that child has gone.
    fork_links: [2 * constants.fork_links_max / 64]u64 align(64),
};

/// One direction of a connection. Each group of words has a cache line of its own; "written by"
/// says who may store to it (PROTOCOL.md, "Words shared per direction").
pub const Direction = extern struct {
    // -- written by the producer --
    /// End of published bytes, absolute stream position.
    head: u64 align(64),
    /// Ring index 0 holds this position: index = (position - base) & mask. Constant while the ring
    /// holds anything.
    base: u64,
    /// Where the ring interval ends; `open_ended` while the producer is in the ring.
    down: u64,
    /// cpu + 1 the producer last published from; 0 = unknown.
    producer_cpu: u32,
    pad0: u32,
    /// Ring bytes ever written, told at close: what cleaning must zero.
    high_water: u64,
    /// The ring's size in use minus one; read through `Direction.maskOf`. Written after `base`.
    mask: u64,
    pad1: [2]u64,

    // -- written by the consumer (by the producer before SWITCH and while BUSY) --
    /// End of consumed bytes.
    tail: u64 align(64),
    consumer_cpu: u32,
    pad2: u32,
    pad3: [6]u64,

    // -- written by the consumer --
    /// Who sleeps, or wants a ready bit, for data: see wake.zig for the encoding; 0 = nobody.
    attn: [constants.wait_words]u64 align(64),
    /// bit 0: mirror of the gate's WANT; bit 1: the consumer closed.
    attn_flags: u64,
    /// Whether the producer needs a barrier behind `head`: barrier.zig.
    barrier: u64,
    pad4: [2]u64,

    // -- written by the producer --
    /// Who sleeps for space.
    psleep: [constants.wait_words]u64 align(64),
    /// Ring the producer only when `tail` has reached this.
    psleep_mark: u64,
    pad5: [3]u64,

    // -- both, by CAS only --
    gate: u64 align(64),
    pad6: [7]u64,

    pub const open_ended: u64 = std.math.maxInt(u64);

    /// A mask for ring indexes out of what the word `mask` says: whatever that is (zero in a new
    /// slot, nonsense from a liar), an index stays inside the ring.
    pub inline fn maskOf(word: u64, initial: u64, most: u64) u64 {
        return (word | (initial - 1)) & (most - 1);
    }

    /// How many bytes the ring holds at present, for those who wait for space in it.
    pub inline fn sizeInUse(direction: *const Direction) u64 {
        const word = @atomicLoad(u64, &direction.mask, .monotonic);
        return maskOf(word, constants.ring_bytes_initial, constants.ring_bytes) + 1;
    }

    /// Before a wait for space: ring us when half of the ring is free, not for each byte.
    pub inline fn askForHalf(direction: *Direction) void {
        const head = @atomicLoad(u64, &direction.head, .monotonic);
        @atomicStore(u64, &direction.psleep_mark, head -% direction.sizeInUse() / 2, .release);
    }
};

pub const attn_flag_want: u64 = 1;
pub const attn_flag_closed: u64 = 2;

/// Index into `Slot.direction`.
pub const client_to_server = 0;
pub const server_to_client = 1;

pub const SlotTag = enum(u8) {
    /// Nobody's; rings and words are zero.
    free = 0,
    /// The client is filling it in.
    claimed = 1,
    /// The client's offer stands: adopt or leave it.
    offered = 2,
    /// Both sides use it (or have used it: see the closed bits).
    adopted = 3,
    /// Being cleaned for reuse.
    cleaning = 4,
    _,
};

/// `Slot.state`: tag, closed bits, the adopting link, and a generation that tells one use of the
/// slot from the next.
pub const SlotState = packed struct(u64) {
    tag: u8 = 0,
    client_closed: bool = false,
    server_closed: bool = false,
    reserved: u6 = 0,
    server_link: u16 = 0,
    generation: u32 = 0,
};

pub const Slot = extern struct {
    /// `SlotState`, by CAS.
    state: u64 align(64),
    /// The client's SO_COOKIE, its network namespace, its address pair; written before OFFERED.
    cookie: u64,
    netns: u64,
    client_uid: u32,
    client_link: u32,
    tuple: Tuple,
    pad: [5]u64,
    direction: [2]Direction align(64),
};

/// One epoll instance that waits on this arena: a bitmap of slots that want looking at, a summary of
/// it, a direct mark, and a sleeping word. Written by its owner except the bits, which both sides
/// change by atomic OR and exchange, and the direct mark.
pub const Row = extern struct {
    /// 0 = free; else an owner token (pid and a counter), claimed by CAS.
    owner: u64 align(64),
    /// 0 = awake; else the waiter to ring (encoding of wake.zig, with an epoch).
    sleeping: u64,
    /// One bit for each word of the bitmap: "look there". In the line of `sleeping`, which whoever
    /// sets a bit here looks at next.
    summary: [constants.row_summary_words]u64,
    /// One mark without a bit: how many there have been << 32 | the slot. By CAS, once `taken` says
    /// that the last one has been seen.
    direct: u64,
    /// How many of those the owner has taken. Written by the owner alone.
    taken: u64,
    // followed by slot_count / 8 bytes of bits, padded to a cache line
};

/// Offsets of an arena with this many slots: computed by each party from what the *monitor* told
/// it, never read from the arena.
pub const ArenaLayout = struct {
    slot_count: u32,
    rows_offset: u64,
    row_stride: u64,
    slots_offset: u64,
    /// The first bytes of every ring, side by side: all that thousands of quiet connections touch,
    /// so neither page tables nor the file's index grow with the size of their rings, and several
    /// rings share a page.
    hot_offset: u64,
    rings_offset: u64,
    total_bytes: u64,

    pub fn init(slot_count: u32) ArenaLayout {
        assert(slot_count >= 8 and slot_count <= constants.arena_slots_max);
        const bits = std.mem.alignForward(u64, slot_count / 8, constants.cache_line);
        const stride = @sizeOf(Row) + bits;
        const rows_offset = constants.page_bytes;
        const slots_offset = std.mem.alignForward(
            u64,
            rows_offset + 2 * constants.ready_rows * stride,
            constants.page_bytes,
        );
        const hot_offset = std.mem.alignForward(
            u64,
            slots_offset + @as(u64, slot_count) * @sizeOf(Slot),
            constants.page_bytes,
        );
        const rings_offset = hot_offset + @as(u64, slot_count) * 2 * constants.hot_window_bytes;
        return .{
            .slot_count = slot_count,
            .rows_offset = rows_offset,
            .row_stride = stride,
            .slots_offset = slots_offset,
            .hot_offset = hot_offset,
            .rings_offset = rings_offset,
            .total_bytes = rings_offset + @as(u64, slot_count) * 2 * constants.ring_bytes,
        };
    }

    pub fn slotOffset(layout: *const ArenaLayout, slot: u32) u64 {
        assert(slot < layout.slot_count);
        return layout.slots_offset + @as(u64, slot) * @sizeOf(Slot);
    }

    /// Ring bytes [0, hot_window_bytes).
    pub fn hotOffset(layout: *const ArenaLayout, slot: u32, direction: u1) u64 {
        assert(slot < layout.slot_count);
        return layout.hot_offset + (@as(u64, slot) * 2 + direction) * constants.hot_window_bytes;
    }

    /// Ring byte 0, had the ring no hot window: its bytes from there on lie where this says.
    pub fn ringOffset(layout: *const ArenaLayout, slot: u32, direction: u1) u64 {
        assert(slot < layout.slot_count);
        return layout.rings_offset + (@as(u64, slot) * 2 + direction) * constants.ring_bytes;
    }

    pub fn rowOffset(layout: *const ArenaLayout, side: u1, row: u32) u64 {
        assert(row < constants.ready_rows);
        return layout.rows_offset +
            (@as(u64, side) * constants.ready_rows + row) * layout.row_stride;
    }
};

// ---------------------------------------------------------------------------------------------
// Registry (monitor writes, everybody reads)

pub const registry_magic: u64 = 0x31_67_65_72_72_64_73_00; // "\0sdrreg1"

pub const RegistryHeader = extern struct {
    magic: u64,
    abi_version: u32,
    /// bit 0: draining (no new offers).
    flags: u32,
    /// Differs at every start of the monitor.
    generation: u64,
    /// Sequence lock over `listeners`: odd while the monitor writes.
    listeners_seq: u64,
    listener_count: u32,
    monitor_pid: u32,
    pad: [3]u64,
};

pub const registry_flag_draining: u32 = 1;

pub const RegistryListener = extern struct {
    /// 0 = empty; listener groups count from 1.
    group: u32,
    uid: u32,
    netns: u64,
    /// Address may be all zero (any).
    endpoint: Endpoint,
    pad: [3]u64,
};

pub const Registry = extern struct {
    header: RegistryHeader align(64),
    /// Indexed by the process number in WELCOME; bumped when its control socket has something.
    process_seq: [constants.registry_processes]u64 align(64),
    /// Open addressing by `registryHash`, linear probing, never more than half full.
    listeners: [constants.registry_listeners]RegistryListener align(64),
};

/// Home place of a listener in `Registry.listeners`: by port alone, so that one probe sequence
/// meets the exact and the any-address entry.
pub fn registryHash(port: u16) u32 {
    const h: u32 = @as(u32, port) *% 0x9e3779b1;
    return (h >> 16) & (constants.registry_listeners - 1);
}

// ---------------------------------------------------------------------------------------------
// End table (one process's connections)

pub const end_table_magic: u64 = 0x31_73_64_6e_65_64_73_00; // "\0sdends1"

/// What one direction of one end, or of many, has carried.
pub const Counters = extern struct {
    ring_bytes: u64 = 0,
    ring_messages: u64 = 0,
    tcp_bytes: u64 = 0,
    tcp_messages: u64 = 0,
};

pub const EndTableHeader = extern struct {
    magic: u64,
    abi_version: u32,
    capacity: u32,
    pid: u32,
    /// Highest index ever used, plus one.
    used: u32,
    start_ns: u64,
    /// Handlers put off until their thread had left the library.
    signals_deferred: u64,
    pad: [3]u64,
    /// Sums over connections that are gone, and how many.
    closed_tx: Counters align(64),
    closed_rx: Counters,
    closed_count: u64 align(64),
    /// Connections that ever rode a ring, in either direction.
    accelerated_count: u64,
    offers_made: u64,
    offers_adopted: u64,
    moves_to_ring: u64,
    moves_to_tcp: u64,
    sleeps: u64,
    wakeups_sent: u64,
    /// Connections that the guard has moved to TCP.
    guard_verdicts: u64,
    /// Times that waits stopped watching because their threads had to queue for a cpu.
    crowded: u64,
    /// Connections that ended with this reason, by `Reason` number.
    closed_by_reason: [64]u64 align(64),
};

pub const Carrier = enum(u32) { tcp = 0, ring = 1 };

/// Sending state of one end, shared by the processes that hold it. All but `lock` under `lock`.
/// What a message touches is in the first line.
pub const TxEnd = extern struct {
    /// 0 or the holder (lock.zig).
    lock: u64 align(64),
    carrier: u32,
    /// Highest ring index ever written (what cleaning must zero), in units of bytes.
    high_water: u32,
    cached_tail: u64,
    populated: u32,
    flags: u32,
    ring_bytes: u64,
    ring_messages: u64,
    /// Bytes that earlier ring intervals carried: kernel position + this = stream position.
    carried: u64,
    /// Position of entry of the current interval.
    entered: u64,

    /// attn values for which the doorbell has been rung.
    rang: [constants.wait_words]u64 align(64),
    tcp_bytes: u64,
    tcp_messages: u64,
    pad: [2]u64,

    pub const counters = countersOf;
};

/// Receiving state of one end. All but `lock` under `lock`. What a message touches is in the first
/// line.
pub const RxEnd = extern struct {
    lock: u64 align(64),
    carrier: u32,
    flags: u32,
    /// Absolute position of the next byte (valid in the ring).
    position: u64,
    /// The producer's `head`, and its `base` and `mask`, as they were at the last look: where the
    /// bytes before `seen_head` lie (receiver.zig, `look`).
    seen_head: u64,
    seen_base: u64,
    seen_mask: u64,
    ring_bytes: u64,
    ring_messages: u64,

    rang: [constants.wait_words]u64 align(64),
    tcp_bytes: u64,
    tcp_messages: u64,
    carried: u64,
    entered: u64,

    pub const counters = countersOf;
};

fn countersOf(end: anytype) Counters {
    return .{
        .ring_bytes = end.ring_bytes,
        .ring_messages = end.ring_messages,
        .tcp_bytes = end.tcp_bytes,
        .tcp_messages = end.tcp_messages,
    };
}

pub const EndState = enum(u32) {
    free = 0,
    /// Tracked, on TCP, may still move.
    undecided = 1,
    /// Has a slot that the other side has not adopted yet.
    offered = 2,
    /// Has a slot, both sides.
    attached = 3,
    /// On TCP for good.
    plain = 4,
    _,
};

pub const Role = enum(u32) { client = 0, server = 1 };

pub const End = extern struct {
    tx: TxEnd align(64),
    rx: RxEnd align(64),
    /// `EndState`.
    state: u32 align(64),
    reason: u32,
    role: u32,
    fd: i32,
    /// Who last attached or opened it.
    pid: u32,
    /// Processes that hold it. After a SIGKILL too high: costs speed, nothing else.
    holders: u32,
    arena_id: u64,
    slot: u32,
    generation: u32,
    netns: u64,
    cookie: u64,
    opened_ns: u64,
    local: Endpoint,
    peer: Endpoint,
    /// Process ids of those that hold it, so that a block can be taken back from the dead
    /// (preload/holders.zig); not zero in `holders_crowded`: there are more than fit.
    holder_pids: [7]u32,
    holders_crowded: u32,
    /// Held on TCP (`flag_held`): how often that began, and when first (preload/outsiders.zig).
    holds: u64,
    held_since_ns: u64,
    /// Counts changes of the descriptor's modes (O_NONBLOCK, timeouts), which forked siblings share.
    modes_changed: u32,
    /// The socket's error (negative errno), taken by a look of whichever process, to be reported
    /// after the ring's bytes. 0: none.
    saved_error: i32,
    pad: [11]u64,
};

pub const EndTable = extern struct {
    header: EndTableHeader align(64),
    pad: [4096 - @sizeOf(EndTableHeader)]u8,
    ends: [constants.end_capacity]End align(64),
};

comptime {
    assert(@sizeOf(ArenaHeader) == 4032);
    assert(@sizeOf(ArenaHeader) <= constants.page_bytes);
    assert(@sizeOf(Direction) == 320);
    assert(@sizeOf(Slot) == 768);
    assert(@sizeOf(Row) == 64);
    assert(@sizeOf(RegistryHeader) == 64);
    assert(@sizeOf(RegistryListener) == 64);
    assert(@sizeOf(TxEnd) == 128 and @offsetOf(TxEnd, "rang") == 64);
    assert(@sizeOf(RxEnd) == 128 and @offsetOf(RxEnd, "rang") == 64);
    assert(@sizeOf(End) == 512);
    assert(@sizeOf(EndTableHeader) <= 1024);
    assert(@offsetOf(EndTable, "ends") == 4096);
}

test "an arena's parts do not overlap and are page-aligned" {
    for ([_]u32{ 64, 256, 1024, 16384 }) |slots| {
        const layout = ArenaLayout.init(slots);
        try std.testing.expect(layout.rows_offset >= @sizeOf(ArenaHeader));
        try std.testing.expectEqual(0, layout.rings_offset % constants.page_bytes);
        const last_row = layout.rowOffset(1, constants.ready_rows - 1);
        try std.testing.expect(last_row + layout.row_stride <= layout.slots_offset);
        try std.testing.expect(layout.slotOffset(slots - 1) + @sizeOf(Slot) <= layout.hot_offset);
        try std.testing.expectEqual(0, layout.hot_offset % constants.page_bytes);
        const last_hot = layout.hotOffset(slots - 1, 1);
        try std.testing.expect(last_hot + constants.hot_window_bytes <= layout.rings_offset);
        try std.testing.expectEqual(
            layout.total_bytes,
            layout.ringOffset(slots - 1, 1) + constants.ring_bytes,
        );
    }
}

test "connections opened one after the other lie side by side, and every place is in the arena" {
    for ([_]u32{ 8, 64, 1024, 16384 }) |slots| {
        for (0..400) |n| {
            const tuple: Tuple = .{ .client = .{ .port = @intCast(32768 + n) }, .server = .{ .port = 80 } };
            for (0..constants.offer_probe_max) |step| {
                try std.testing.expect(tuple.places(slots).at(@intCast(step)) < slots);
            }
        }
        var first: Tuple = .{ .client = .{ .port = 32768 }, .server = .{ .port = 80 } };
        const home = first.places(slots).at(0);
        for (0..Places.block_slots) |n| {
            first.client.port = @intCast(32768 + 2 * n);
            try std.testing.expectEqual(home + n, first.places(slots).at(0));
        }
    }
}

test "of ports as the kernel gives them, hardly one in a hundred finds no place in an arena nine tenths full" {
    const slots = constants.arena_slots_max;
    var taken: [slots]bool = @splat(false);
    var left_out: u32 = 0;
    for (0..slots * 9 / 10) |n| {
        // The kernel gives even ports in turn, then odd ones, from a place of its own.
        const half = 14116;
        const port: u16 = @intCast(32768 + 2 * ((n + 5000) % half) + n / half);
        const tuple: Tuple = .{ .client = .{ .port = port }, .server = .{ .port = 80 } };
        const places = tuple.places(slots);
        for (0..constants.offer_probe_max) |step| {
            const at = places.at(@intCast(step));
            if (taken[at]) continue;
            taken[at] = true;
            break;
        } else left_out += 1;
    }
    try std.testing.expect(left_out < slots / 80);
}
