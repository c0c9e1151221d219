//! Control messages: library <-> monitor over a Unix SOCK_SEQPACKET socket, and library <->
//! library over the channel (a SEQPACKET pair) of a link. One message is one packet: a `Header`,
//! then the body struct of its type. Descriptors travel as SCM_RIGHTS of the same packet. Little
//! endian, no padding surprises: extern structs whose sizes are asserted here and exported to
//! TypeScript by layout_export.zig.
//!
//! Conversation of a process with the monitor:
//!
//!   HELLO (+ end table memfd)             ->
//!                                         <- WELCOME (+ registry memfd)
//!   LISTEN (+ the listening socket,       ->            the monitor asks the kernel, closes it
//!           or an accepted one)
//!                                         <- LISTENING
//!   CONNECT                               ->            "an arena to this listener, please"
//!                                         <- ARENA to the client (+ arena memfd), side 0
//!                                         <- LINK to the client for each worker (+ channel)
//!                                         <- ARENA to each worker (+ arena memfd, channel), side 1
//!   BORROW_DIAG                           ->            only from who may not make one itself
//!                                         <- DIAG (+ socket of sock_diag)
//!
//! Order matters once: the monitor hands a LINK to the client's socket before it hands the arena
//! to that worker. So a client that meets an unknown link number in shared memory finds the message
//! that explains it in its own receive queue, without waiting for the monitor.
//!
//! The monitor bumps `Registry.process_seq[process_index]` after each message it sends that was not
//! an answer the process waits for, so that a library looks at its socket only when there is
//! something to read.

const std = @import("std");
const layout = @import("layout.zig");
const assert = std.debug.assert;

pub const magic: u32 = 0x316d4453; // "SDm1"

pub const Type = enum(u16) {
    // library -> monitor
    hello = 1,
    listen = 2,
    unlisten = 3,
    connect = 4,
    ping = 5,
    borrow_diag = 6,
    // monitor -> library
    welcome = 101,
    listening = 102,
    arena = 103,
    link = 104,
    refused = 105,
    pong = 106,
    diag = 107,
    // library -> library, over a channel
    doorbell = 201,
    new_link = 202,
    wake = 203,
    _,
};

pub const Header = extern struct {
    magic: u32 = magic,
    type: u16,
    /// Bytes of the whole packet, header included.
    size: u16,
    /// Chosen by the asker, echoed in the answer.
    sequence: u32,
    reserved: u32 = 0,
};

/// SCM_RIGHTS: the end table's memfd (sealed against shrinking and growing).
pub const Hello = extern struct {
    header: Header,
    abi_version: u32,
    /// In the sender's own pid namespace; for display. SO_PEERCRED is what counts.
    pid: u32,
    netns: u64,
    /// Bytes of the end table.
    end_table_bytes: u64,
    /// Nonzero: a forked child of this (own-namespace) pid.
    parent_pid: u32,
    flags: u32,
};

/// SCM_RIGHTS: the registry's memfd, read-only.
pub const Welcome = extern struct {
    header: Header,
    abi_version: u32,
    /// Index of this process in `Registry.process_seq`.
    process_index: u32,
    generation: u64,
    registry_bytes: u64,
};

/// SCM_RIGHTS: the listening socket itself, or an accepted connection: then the sender joins the
/// group of the listener that it came from, as a forked child does that serves one connection.
/// Such a member never makes a group, and does not keep one: it ends with its last listening
/// socket, and LISTENING is `no_listener` when there is none. Each LISTEN that got a group counts,
/// and is taken back by one UNLISTEN: of accepted connections first when a sender has both kinds.
pub const Listen = extern struct {
    header: Header,
    /// The library's own number for the listener, echoed in LISTENING.
    token: u32,
    reserved: u32,
};

pub const Listening = extern struct {
    header: Header,
    token: u32,
    /// Group joined, or 0.
    group: u32,
    /// `Reason` when group is 0.
    reason: u32,
    reserved: u32,
};

pub const Unlisten = extern struct {
    header: Header,
    group: u32,
    reserved: u32,
};

pub const Connect = extern struct {
    header: Header,
    group: u32,
    slots_wanted: u32,
};

/// To the client (side 0): SCM_RIGHTS = arena memfd. To a worker (side 1): arena memfd, channel.
pub const Arena = extern struct {
    header: Header,
    arena_id: u64,
    total_bytes: u64,
    slot_count: u32,
    /// 0 client, 1 server.
    side: u32,
    /// The receiver's own link number on its side.
    link: u32,
    group: u32,
    /// Other side's credentials, as the kernel told the monitor.
    peer_pid: u32,
    peer_uid: u32,
};

/// To the client: a worker has this arena too. SCM_RIGHTS = channel to it.
pub const Link = extern struct {
    header: Header,
    arena_id: u64,
    link: u32,
    peer_pid: u32,
};

pub const Refused = extern struct {
    header: Header,
    group: u32,
    reason: u32,
};

pub const Ping = extern struct {
    header: Header,
    payload: u64,
};

/// "I cannot make a socket of sock_diag: lend me one." The monitor does, unless the process is in
/// another network namespace; then there is no answer.
pub const BorrowDiag = extern struct { header: Header };

/// SCM_RIGHTS: a socket of sock_diag that answers exact questions only.
pub const Diag = extern struct { header: Header };

/// Over a channel: "my waiter `waiter` (of link `link`) hears this". SCM_RIGHTS = a stream socket
/// to ring.
pub const Doorbell = extern struct {
    header: Header,
    arena_id: u64,
    link: u32,
    waiter: u32,
};

/// Over a channel inherited by fork, or to a forked child's name: "I am a further process on my
/// side". SCM_RIGHTS = channel.
pub const NewLink = extern struct {
    header: Header,
    arena_id: u64,
    link: u32,
    pid: u32,
    /// The arena's: a name can be written to by anybody.
    secret: u64,
};

/// Over a channel, when a doorbell is not at hand: "pass this on to your waiter".
pub const Wake = extern struct {
    header: Header,
    arena_id: u64,
    link: u32,
    waiter: u32,
};

comptime {
    assert(@sizeOf(Header) == 16);
    assert(@sizeOf(Hello) == 48);
    assert(@sizeOf(Welcome) == 40);
    assert(@sizeOf(Listen) == 24);
    assert(@sizeOf(Listening) == 32);
    assert(@sizeOf(Connect) == 24);
    assert(@sizeOf(Arena) == 56);
    assert(@sizeOf(Link) == 32);
    assert(@sizeOf(Refused) == 24);
    assert(@sizeOf(Ping) == 24);
    assert(@sizeOf(BorrowDiag) == 16);
    assert(@sizeOf(Diag) == 16);
    assert(@sizeOf(Doorbell) == 32);
    assert(@sizeOf(NewLink) == 40);
    assert(@sizeOf(Wake) == 32);
}
