//! What the C ABI of libsdffi.so passes to and from TypeScript besides the shared-memory layouts
//! and the control messages: plain extern structs, filled in by native code, read with the offsets
//! that layout_export.zig writes into ffi/layout.gen.ts.

const std = @import("std");
const layout = @import("../layout.zig");
const assert = std.debug.assert;

/// Descriptors one packet may carry; a packet with more loses the rest (`Packet.truncated`).
pub const packet_fds_max = 4;

/// Who connected, as the kernel says.
pub const Peer = extern struct {
    /// The accepted socket.
    fd: i32,
    /// Becomes readable when the process dies; -1 where the kernel could not give one.
    pidfd: i32,
    pid: u32,
    uid: u32,
    gid: u32,
    reserved: u32 = 0,
    /// Network namespace of the connecting socket; 0 where unknown.
    netns: u64,
};

/// One received packet: its length and the descriptors that came with it.
pub const Packet = extern struct {
    bytes: u32,
    fd_count: u32,
    /// 1: longer than the buffer; 2: more descriptors than `fds`, or no room for them here.
    truncated: u32,
    reserved: u32 = 0,
    fds: [packet_fds_max]i32,
};

pub const packet_truncated_bytes: u32 = 1;
pub const packet_truncated_fds: u32 = 2;

/// One ready descriptor: the tag it was registered with, and what it is ready for.
pub const Ready = extern struct {
    tag_kind: u32,
    tag_id: u32,
    events: u32,
    reserved: u32 = 0,
};

/// A TCP socket that listens, or one that was accepted, as the kernel describes it.
pub const ListenerFacts = extern struct {
    netns: u64,
    /// The socket's own end.
    endpoint: layout.Endpoint,
    /// Owner of the socket: who made or accepted it, whichever process holds it now.
    uid: u32,
    /// 1: listens; 0: is connected.
    listening: u32,
    /// 4 or 6: of the socket itself; one of 6 may have an IPv4 address.
    family: u32,
    reserved: u32 = 0,
};

/// Sums of one end table: connections that are gone plus those that are alive.
pub const TableTotals = extern struct {
    tx: layout.Counters,
    rx: layout.Counters,
    live_count: u64,
    closed_count: u64,
    accelerated_count: u64,
    offers_made: u64,
    offers_adopted: u64,
    moves_to_ring: u64,
    moves_to_tcp: u64,
    sleeps: u64,
    wakeups_sent: u64,
    guard_verdicts: u64,
    crowded: u64,
    signals_deferred: u64,
    closed_by_reason: [64]u64,
};

/// One live connection end, without the words that only its owner needs.
pub const EndRecord = extern struct {
    /// `layout.EndState`, `reason.Reason`, `layout.Role`; unknown numbers come through as they are.
    state: u32,
    reason: u32,
    role: u32,
    fd: i32,
    pid: u32,
    holders: u32,
    /// `layout.Carrier`.
    tx_carrier: u32,
    rx_carrier: u32,
    arena_id: u64,
    slot: u32,
    generation: u32,
    netns: u64,
    cookie: u64,
    opened_ns: u64,
    local: layout.Endpoint,
    peer: layout.Endpoint,
    tx: layout.Counters,
    rx: layout.Counters,
};

comptime {
    assert(@sizeOf(Peer) == 32);
    assert(@sizeOf(Packet) == 32);
    assert(@sizeOf(Ready) == 16);
    assert(@sizeOf(ListenerFacts) == 48);
    assert(@sizeOf(TableTotals) == 672);
    assert(@sizeOf(EndRecord) == 184);
}
