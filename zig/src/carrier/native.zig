//! The environment of the real library: memory operations are the machine's, nothing is faulty.
//!
//! The carrier code (gate, wake, sender, receiver) takes such an environment as a comptime
//! parameter. The interleaving test passes another one, in which every operation is a scheduling
//! point and stores sit in a store buffer first; both instantiate the same source.

const builtin = @import("builtin");
const constants = @import("../constants.zig");
const copy_module = @import("copy.zig");
const membarrier = @import("../preload/membarrier.zig");

pub const Native = struct {
    pub const ring_bytes: u64 = constants.ring_bytes;
    pub const ring_bytes_initial: u64 = constants.ring_bytes_initial;
    pub const hot_window_bytes: u64 = constants.hot_window_bytes;
    pub const window_bytes: u64 = constants.page_bytes;
    pub const bulk_bytes: u64 = constants.bulk_bytes;
    pub const faults: Faults = .{};

    pub const Order = enum { relaxed, acquire_or_release };

    pub inline fn load(comptime order: Order, word: *const u64) u64 {
        return switch (order) {
            .relaxed => @atomicLoad(u64, word, .monotonic),
            .acquire_or_release => @atomicLoad(u64, word, .acquire),
        };
    }

    pub inline fn store(comptime order: Order, word: *u64, value: u64) void {
        switch (order) {
            .relaxed => @atomicStore(u64, word, value, .monotonic),
            .acquire_or_release => @atomicStore(u64, word, value, .release),
        }
    }

    /// Null when `word` was `expected` and now is `new`; else what it was.
    pub inline fn cas(word: *u64, expected: u64, new: u64) ?u64 {
        return @cmpxchgStrong(u64, word, expected, new, .acq_rel, .acquire);
    }

    pub inline fn exchange(word: *u64, new: u64) u64 {
        return @atomicRmw(u64, word, .Xchg, new, .acq_rel);
    }

    pub inline fn bitOr(word: *u64, bits: u64) u64 {
        return @atomicRmw(u64, word, .Or, bits, .acq_rel);
    }

    /// Full barrier: no later load may be satisfied before earlier stores are visible.
    pub inline fn fence() void {
        switch (builtin.cpu.arch) {
            // A locked no-op on the own stack: 3 ns where mfence takes 21.
            .x86_64 => asm volatile ("lock orl $0, -8(%%rsp)" ::: .{ .memory = true }),
            .aarch64 => asm volatile ("dmb ish" ::: .{ .memory = true }),
            else => @compileError("name this architecture's full barrier"),
        }
    }

    /// No store behind it and no load before it in the program as compiled; the cpu may.
    pub inline fn compilerFence() void {
        asm volatile ("" ::: .{ .memory = true });
    }

    /// This process has a barrier whenever another one calls `fenceEverywhere`.
    pub inline fn hasBarrierFromAfar() bool {
        return membarrier.registered;
    }

    /// A full barrier here, and on each cpu that runs a process of which the above is true.
    pub fn fenceEverywhere() void {
        membarrier.everywhere();
    }

    /// `fence` right behind a read-modify-write: on x86 that was one already.
    pub inline fn fenceAfterRmw() void {
        if (builtin.cpu.arch != .x86_64) fence();
    }

    /// Brings a line into the cache that will be written. (`@prefetch` makes a mere read of it for a
    /// cpu of the first kind; the instruction is older than all of them, or does nothing.)
    pub inline fn prefetchWrite(line: *const anyopaque) void {
        if (builtin.cpu.arch == .x86_64) {
            asm volatile ("prefetchw (%[line])"
                :
                : [line] "r" (line),
            );
        } else @prefetch(@as(*const u8, @ptrCast(line)), .{ .rw = .write });
    }

    /// One ring's memory: its first window lies apart from the rest (layout.zig, `hot_offset`).
    pub const Ring = extern struct {
        hot: [*]u8,
        /// Byte i of the ring, from the end of the hot window on, is `cold[i]`.
        cold: [*]u8,
    };

    pub inline fn at(ring: Ring, index: u64) [*]u8 {
        return (if (index < hot_window_bytes) ring.hot else ring.cold) + index;
    }

    /// How many of `len` bytes from `index` on lie in one piece, in a ring of `size`.
    pub inline fn contiguous(index: u64, len: u64, size: u64) u64 {
        return @min(len, (if (index < hot_window_bytes) hot_window_bytes else size) - index);
    }

    /// At most `contiguous` bytes. False: the application's memory is not accessible.
    pub inline fn copyIn(ring: Ring, index: u64, source: []const u8) bool {
        return copy_module.copy(at(ring, index), source.ptr, source.len);
    }

    pub inline fn copyOut(ring: Ring, index: u64, target: []u8) bool {
        return copy_module.copy(target.ptr, at(ring, index), target.len);
    }
};

/// The known-bad variants of the models in PROTOCOL.md, switched on only in the interleaving test,
/// which must find each of them.
pub const Faults = struct {
    /// Leave the ring before the receiver has acknowledged the switch (m1 NO_ACK).
    no_ack: bool = false,
    /// "Ring empty and recv() == 0, so EOF" without looking again (m1 NAIVE_EOF).
    naive_eof: bool = false,
    /// Jump to the ring at SWITCH(p ahead) when TCP ended (m1 NO_GAP).
    no_gap: bool = false,
    /// Giving ring bytes back does not look at `attn` (m1 NO_GBWAKE).
    no_give_back_wake: bool = false,
    /// The sender ignores RDHUP (m1 NO_RDHUP).
    no_rdhup: bool = false,
    /// The thread that offers or adopts does not ring local sleepers (m1 NOKICK).
    no_kick: bool = false,
    /// No barrier between publishing WANT and reading head (m2 NOMB).
    no_recall_barrier: bool = false,
    /// Leave without waiting for the re-send (m2 NOWAIT).
    no_recall_wait: bool = false,
    /// A full kernel leaves bytes of the current call in the ring (m2 NOROLL).
    no_unpublish: bool = false,
    /// Take a recall back without CAS (m2 NOCAS).
    no_cancel_cas: bool = false,
    /// End a hold on TCP without asking whether the sender has left the ring.
    lift_blindly: bool = false,
    /// No barrier between publishing and reading `attn` (m3).
    no_producer_fence: bool = false,
    /// No barrier between arming and the second look (m3).
    no_consumer_fence: bool = false,
    /// No barrier everywhere between arming and the second look, though the mode is light.
    no_far_barrier: bool = false,
    /// Full again before the barrier everywhere.
    full_at_once: bool = false,
    /// A light spell has the epoch of the one before it.
    same_epoch: bool = false,
    /// Load base before head (m4 BASEFIRST).
    base_before_head: bool = false,
    /// Rewind without looking at tail (m4 EAGER).
    eager_rewind: bool = false,
    /// The short way does not ask for space.
    put_blindly: bool = false,
    /// A larger ring is announced before its new base (m4 MASKFIRST).
    mask_before_base: bool = false,
    /// The producer clears the sleeper's word, then rings (m5 PCLR).
    producer_clears: bool = false,
    /// Publish before the copy (m5 HEADFIRST).
    head_first: bool = false,
    /// A ready bit that is set already: its summary bit is taken to be set, too.
    bit_without_summary: bool = false,
    /// A direct mark is made although the last one has not been taken.
    direct_untaken: bool = false,
    /// A ready row's summary is set before its bit.
    summary_before_bit: bool = false,
    /// No barrier behind the setting, or the taking, of a ready bit or summary bit.
    no_mark_fence: bool = false,
    no_take_fence: bool = false,
    /// A survivor takes a dead holder's lock over and goes on without `recover`.
    no_recover: bool = false,
};
