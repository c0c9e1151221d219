//! Why a connection is, or is not, on a ring: one code for each end, shown by `ctl connections` and
//! `ctl explain`. The numbers are ABI (they stand in shared memory and in metrics): append only.

pub const Reason = enum(u32) {
    /// Nothing to explain: both directions may ride the ring.
    none = 0,
    /// Too few data calls so far: a ring is asked for at the client's third one.
    undecided = 1,
    /// No monitor answers at the control socket.
    no_monitor = 2,
    /// The monitor runs, but has no accelerated listener at the peer's address.
    no_listener = 3,
    /// The peer's address is not on this host.
    peer_not_local = 4,
    /// Nobody adopted the offer: the accepting program runs without the library.
    not_adopted = 5,
    /// Policy of the monitor.
    policy = 6,
    /// The two ends are in different network namespaces.
    netns_differs = 7,
    /// The uid's quota of arenas, slots or bytes is used up.
    quota = 8,
    /// No free slot in any arena of this pair.
    arena_full = 9,
    /// Mapping or populating shared memory failed (ENOMEM, RLIMIT_AS).
    no_memory = 10,
    /// This process tracks as many connections as it can.
    end_table_full = 11,
    /// No file descriptor left for the library's own use (EMFILE).
    no_fds = 12,
    /// The two sides speak different versions of the library.
    version_mismatch = 13,
    /// The kernel did not confirm the offer (sock_diag: no such socket, other cookie, other uid).
    offer_unverified = 14,
    /// Moved back to TCP before exec, system, popen or posix_spawn of another program.
    exec = 15,
    /// Moved back to TCP because the descriptor was passed to another process (SCM_RIGHTS).
    fd_passed = 16,
    /// Moved back to TCP because libc itself reads or writes it (fdopen, dprintf).
    stdio = 17,
    /// The peer closed or half-closed: the kernel tells the rest.
    peer_closed = 18,
    /// The peer wrote impossible values into shared memory.
    peer_corrupt = 19,
    /// Several processes hold this undecided connection (fork).
    shared_by_fork = 20,
    /// Urgent data was used.
    urgent_data = 21,
    /// The ring stayed full for long; the kernel's larger buffers take over.
    ring_full = 22,
    /// Switched off by SOCKSDIRECT_DISABLE or by `ctl drain`.
    disabled = 23,
    /// An option that the ring does not carry (raw, repair, TLS offload, MPTCP, zero-copy receive).
    socket_option = 24,
    /// Waiting for the monitor's answer.
    arena_pending = 25,
    /// Offered; waiting for the accepting side to adopt.
    offered = 26,
    /// The consumer had to leave and its peer did not answer in time.
    recall_timeout = 27,
    /// The epoll instance is shared with another process.
    epoll_shared = 28,
    /// The listener is held by a program that did not register (or registration was refused).
    listener_unregistered = 29,
    /// Sending is on TCP for some exchanges, to compare.
    trying_tcp = 30,
    /// Exchanges were found to take longer by ring than by TCP.
    slower_by_ring = 31,
    _,

    /// Short machine name, e.g. for metrics labels.
    pub fn name(reason: Reason) []const u8 {
        inline for (@typeInfo(Reason).@"enum".field_names) |field_name| {
            if (reason == @field(Reason, field_name)) return field_name;
        }
        return "unknown";
    }
};
