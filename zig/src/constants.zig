//! Every limit of SocksDirect, in one place, each with the reason beside it.
//!
//! Sizes are in bytes and times in nanoseconds unless the name says otherwise. The relations
//! between limits are asserted at compile time at the end of the file; TypeScript gets the ones it
//! needs through `layout_export.zig`.

/// Version of everything two parties share: arena, registry, end table, control messages.
/// A party that meets another version stays on kernel TCP (reason `version_mismatch`).
pub const abi_version: u32 = 3;

/// One cache line. Words that different processes write never share one.
pub const cache_line = 64;

/// Page size assumed by the layouts; arenas are laid out in these units. (arm64 kernels with
/// larger pages only waste memory: nothing depends on it being the MMU's.)
pub const page_bytes = 4096;

/// Most bytes of one ring (one direction of one connection). Larger than a core's own cache, so that
/// bulk data passes through the shared one: 64 KiB messages go at 13 GB/s, and at 6 in 256 KiB.
/// Loopback's kernel buffers take about 4 MB unread, so what lies in a ring can be moved back to TCP
/// without waiting for the reader (PROTOCOL M2).
pub const ring_bytes = 1024 * 1024;

/// What a ring begins with. At its end it doubles, up to `ring_bytes`, when the reader is behind by
/// `bulk_bytes` there, or when going round has taken less than `lap_ns_max` for each initial size
/// (0.6 GB/s): traffic in smaller pieces that keeps up stays at the ring's start, in the cache.
pub const ring_bytes_initial = 64 * 1024;
pub const bulk_bytes = 16 * 1024;
pub const lap_ns_max = 100_000;

/// Ring memory beyond the initial size that one process may have written at once. Connections past
/// it keep small rings.
pub const grown_bytes_max = 512 * 1024 * 1024;

/// The first bytes of a ring, which lie beside those of other rings. An empty ring goes back to its
/// start when the next byte would leave them: request-response traffic then lives in a quarter of a
/// page a direction. (Thousands of connections would else need more pages than the processor keeps
/// addresses of.)
pub const hot_window_bytes = 1024;

/// A large write is published in pieces of this size so that the reader's copy overlaps the
/// writer's.
pub const publish_chunk_bytes = 32 * 1024;

/// Ring memory is populated (MADV_POPULATE_WRITE) this much ahead of first use, so that running out
/// of memory is an errno and never SIGBUS.
pub const populate_chunk_bytes = 64 * 1024;

/// Slots of a pair's first arena; each further arena of the same pair is four times as large, up to
/// the maximum.
pub const arena_slots_min = 64;
pub const arena_slots_max = 16384;

/// Places where an offer may lie, by the connection's addresses (`layout.Tuple.places`).
pub const offer_probe_max = 16;

/// Ready-bitmap rows of one side of an arena: epoll instances that may wait on it at once.
pub const ready_rows = 64;

/// A ready row's summary has a bit for each word of the bitmap of the largest arena.
pub const row_summary_words = arena_slots_max / 64 / 64;

/// Sleepers one direction can have armed at once (threads and epoll instances, over all processes
/// that share the end). One more than these sleeps with a bounded timeout instead.
pub const wait_words = 4;

/// Connections one process can track. One more stays on kernel TCP (`end_table_full`).
pub const end_capacity = 32768;

/// Listeners the registry holds, as a power of two; it is kept at most half full.
pub const registry_listeners = 4096;

/// Processes that can be registered at once; each has a sequence word in the registry.
pub const registry_processes = 4096;

/// Waiters (doorbells of one link) that one process keeps track of.
pub const waiters_max = 4096;

/// Link numbers below this are the monitor's to give (from 1); forked children of either side take
/// theirs from here on. A worker's number is given again only when all of them have been.
pub const monitor_links_max = 256;

/// Forked children of one side that may be linked to an arena at once: what fits beside the header
/// in its page. A number is taken again when its child has gone, after all others have been.
pub const fork_links_max = 15360;

/// Largest control message, header included.
pub const message_bytes_max = 256;

/// How long a consumer that leaves for a program without the library waits for its peer to send over
/// TCP what lies unread in the ring. A peer that is in any call of the library answers in
/// microseconds; one that computes, or sleeps by itself, at its next call. Where the other program
/// must see every byte the end of patience is a reset, so it is long; where this one can go on
/// reading the ring it is short.
pub const recall_timeout_must_ns = 1_000 * 1_000_000;
pub const recall_timeout_ns = 50 * 1_000_000;

/// How long the close of a listener waits for the monitor to give its copy back, and how often it
/// looks whether the line is still the same.
pub const verdict_wait_ns = 100 * 1_000_000;
pub const verdict_look_ns = 10 * 1_000_000;

/// SOCKSDIRECT_EAGER: how long a client waits for an arena, or for the monitor to register a listener
/// of its own process, and for another's that it may be about to register.
pub const eager_arena_wait_ns = 200 * 1_000_000;
pub const eager_listener_wait_ns = 25 * 1_000_000;

/// When a process joins the monitor: so long after it first had a connection. Joining and the first
/// ring cost some 5 ms of cpu (the process, its peer and the monitor together), 2 ms of a life on two
/// busy cpus: whenever a process ends, it has not lost a twentieth of its time with them.
pub const join_after_ns = 40 * 1_000_000;

/// Whether another program that held a connection has gone is looked up in /proc, which takes
/// milliseconds: first after so long, then each time after twice as long.
pub const hold_look_ns_min = 20 * 1_000_000;
pub const hold_look_ns_max = 10_000 * 1_000_000;

/// Marks, one for each epoll instance that a process has when it forks, that say whose it is; 16
/// bytes each. Instances beyond know kernel events only, from the fork on.
pub const epoll_claims_max = 4096;

/// A blocked producer whose full ring does not move for this long goes on over kernel TCP, whose
/// buffers are larger: programs that rely on them must not deadlock.
/// (Long enough that a reader who merely lost its core for some time slices does not cause it.)
pub const full_ring_spill_ns = 60 * 1_000_000;

/// A producer looks at the kernel socket (RDHUP, ERR) when its last look is older than this: the
/// kernel, not shared memory, says who is alive.
pub const kernel_look_tx_ns = 2 * 1_000_000;

/// With thousands of connections most have not been looked at for that long: then a process makes one
/// such look in so long, after so many in a row.
pub const kernel_look_tx_gap_ns = 100_000;
pub const kernel_looks_tx_in_a_row = 64;

/// A process that opens connections looks at its line to the monitor at most this often.
pub const line_look_ns = 1_000_000;

/// A reader that finds its ring empty without waiting looks at the kernel at most this often.
pub const kernel_look_rx_ns = 20_000;

/// epoll and poll calls that find ring events still look at kernel fds this often.
pub const kernel_look_poll_ns = 20_000;
/// An epoll instance with ring events at hand, whose looks have found nothing of the kernel's, looks
/// this seldom: a look brings its changed registrations to the kernel, a system call each.
pub const kernel_look_poll_ns_max = 80_000;

/// Longest spin before sleeping. It must outlast a peer's wake-up from the kernel (50-75 us in a
/// virtual machine): with less, two ends that answer at once would take turns sleeping for ever.
pub const spin_ns_max = 150_000;

/// The same under SOCKSDIRECT_PROFILE=latency: a peer may think for so long without falling asleep
/// on it; and what a wait watches at least, however often that was in vain.
pub const spin_ns_latency_max = 2_000_000;
pub const spin_ns_latency_min = 50_000;

/// Pauses of the processor (some 20 ns each) before a reader of a fast stream looks again.
pub const gather_pauses = 16;

/// Received messages after which the sender may leave its barrier out (carrier/barrier.zig). A receiver
/// that sleeps in between pays for it with some microseconds, at most once in so many.
pub const relax_every = 1024;

/// Data that came so soon after falling asleep would have been worth a full spin.
pub const short_sleep_ns = 150_000;

/// Two clock reads of one spin further apart than this: the cpu was taken away, so others want it.
pub const preempted_gap_ns = 150_000;

/// Longest time of giving the cpu to a peer that runs on the same one before sleeping.
pub const yield_ns_max = 60_000;

/// After a yield that took `preempted_gap_ns`, waits beside a peer on the same cpu sleep for so long.
pub const unyielding_ns = 300 * 1_000_000;

/// What falling asleep and being woken costs both ends together: no watch should take longer on
/// average while others want the cpu.
pub const sleep_cost_ns = 30_000;

/// Watches that took less than this in all are not judged, but for those of an end that was found to
/// watch in vain before.
pub const watched_ns_judged = 1_000_000;

/// After a preempted spin, or where watching was costly on crowded cpus, waits go straight to sleep
/// for this long.
pub const oversubscribed_ns = 30 * 1_000_000;

/// How often a thread asks the kernel how long it had to wait for a cpu (preload/crowding.zig).
pub const crowding_look_ns = 10 * 1_000_000;

/// More than one part in this many of the time that it wanted to run spent without a cpu is a crowd...
pub const crowding_share = 3;

/// ...if it wanted to run for so long since its last look.
pub const crowding_wanted_ns = 1_000_000;

/// The guard (preload/guard.zig): an exchange by ring that takes less than this cannot be slower than
/// TCP, whose reader has to be woken for it; a wait that is bounded by 1 or 2 ms takes longer.
pub const guard_slow_ns = 300_000;

/// Exchanges that a trial looks at first, and in each of its blocks after that; blocks in which TCP
/// has to be faster for a verdict, before there are so many in which it was not; how much one
/// exchange can count for; the longest time that a block may take. (The first is long, so that what
/// goes by TCP for a trial's sake is less than a hundredth.)
pub const guard_exchanges_first = 4096;
pub const guard_exchanges_recheck = 64;
pub const guard_exchanges = 12;
pub const guard_wins = 5;
pub const guard_losses = 2;
pub const guard_exchange_ns_max = 2_500_000;
pub const guard_block_first_ns_max = 60_000 * 1_000_000;
pub const guard_block_ns_max = 5_000 * 1_000_000;

/// Between two trials: twice as long after each, within these.
pub const guard_interval_ns_min = 1_000 * 1_000_000;
pub const guard_interval_ns_max = 600_000 * 1_000_000;

/// Our own descriptors are moved to numbers from here on where the limit allows.
pub const own_fd_min = 512;

comptime {
    const assert = @import("std").debug.assert;
    assert(@popCount(@as(u64, ring_bytes)) == 1);
    assert(page_bytes % hot_window_bytes == 0);
    assert(@popCount(@as(u64, ring_bytes_initial)) == 1);
    assert(hot_window_bytes < ring_bytes_initial);
    assert(ring_bytes_initial <= ring_bytes);
    assert(publish_chunk_bytes <= ring_bytes_initial / 2);
    assert(bulk_bytes < ring_bytes_initial);
    assert(populate_chunk_bytes % page_bytes == 0);
    assert(ring_bytes_initial % populate_chunk_bytes == 0);
    assert(@popCount(@as(u64, registry_listeners)) == 1);
    assert(@popCount(@as(u64, arena_slots_min)) == 1);
    assert(@popCount(@as(u64, arena_slots_max)) == 1);
    assert(offer_probe_max <= arena_slots_min);
    assert(wait_words * 8 <= cache_line - 16);
    assert(row_summary_words >= 1 and (2 + row_summary_words) * 8 <= cache_line);
    assert(monitor_links_max + fork_links_max <= 1 << 16 and waiters_max <= 1 << 16);
    assert(fork_links_max % 512 == 0); // whole cache lines
}
