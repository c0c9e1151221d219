//! The sending end of one direction: writes the ring, and moves the direction between carriers.
//!
//! A `Sender` is a view made for one call, under the end's send lock: its state lives in the `TxEnd`
//! (shared by the processes that hold this end) and in the `Direction` (shared with the peer).
//!
//! Invariants, under the lock, while `carrier` is ring:
//!   tail <= head <= tail + ring_bytes          (tail is the peer's: a liar is found out)
//!   ring index of position x = (x - base) & mask; of every x in [tail, head) it stays the same
//!   (base changes while the ring is empty, or with mask: see `grow`)
//!   bytes in [entered, head) were accepted by the ring; [0, entered) went before
//!   kernel position + carried = stream position when carrier is tcp
//!
//! Orderings: data before `head` (release; pairs with the receiver's acquire of head); `base`
//! before `head` likewise; `head`, `tail`, `down` before the gate's SWITCH (CAS, release; pairs with
//! the receiver's acquire of the gate); `head` before the look at `attn` (full barrier, wake.zig).

const layout = @import("../layout.zig");
const gate_module = @import("gate.zig");
const wake = @import("wake.zig");

const Gate = gate_module.Gate;
const Direction = layout.Direction;
const TxEnd = layout.TxEnd;

pub fn Sender(comptime Env: type) type {
    return struct {
        const Self = @This();
        /// No honest stream carries more in one stay in the ring.
        const interval_bytes_max = 1 << 59;

        direction: *Direction,
        end: *TxEnd,
        ring: Env.Ring,
        /// End of appended bytes; published by `publish`.
        head: u64,
        /// `head` when this call began: a recall may take back what lies behind it.
        call_start: u64,
        /// The ring's size in use minus one. Loaded once: a liar may change the word at any time,
        /// and index and size must agree.
        mask: u64,
        /// Memory for twice the ring is there: at its end it may grow instead of going round.
        may_grow: bool = false,
        /// Go back at the end of the hot window, not only at that of its page: for what is answered. A
        /// one-way stream would look for its reader four times as often.
        stays_hot: bool = true,

        pub const Moved = enum {
            /// Now on TCP; nothing of ours is left in the ring.
            tcp,
            /// The kernel takes no more now; older bytes wait in the ring (given back).
            kernel_full,
            /// The peer wrote what the protocol does not allow.
            corrupt,
        };

        pub fn init(direction: *Direction, end: *TxEnd, ring: Env.Ring) Self {
            const head = Env.load(.relaxed, &direction.head);
            return .{
                .direction = direction,
                .end = end,
                .ring = ring,
                .head = head,
                .call_start = head,
                .mask = Direction.maskOf(
                    Env.load(.relaxed, &direction.mask),
                    Env.ring_bytes_initial,
                    Env.ring_bytes,
                ),
            };
        }

        pub inline fn inRing(self: *const Self) bool {
            return self.end.carrier == @intFromEnum(layout.Carrier.ring);
        }

        // -- writing -------------------------------------------------------------------------

        /// Bytes the ring holds at present.
        pub inline fn size(self: *const Self) u64 {
            return self.mask + 1;
        }

        /// Free bytes in the ring, at least `wanted` if there are so many; null when the peer's
        /// `tail` is impossible.
        pub inline fn space(self: *Self, wanted: u64) ?u64 {
            const all = self.size();
            var used = self.head -% self.end.cached_tail;
            // Saturating: `head` lies in shared memory, so a liar can make `used` anything.
            if (used +| wanted > all) {
                // Acquire pairs with the receiver's release of tail: its copy out is finished
                // before we overwrite.
                const tail = Env.load(.acquire_or_release, &self.direction.tail);
                used = self.head -% tail;
                if (used > all) return null;
                self.end.cached_tail = tail;
            }
            return all - used;
        }

        inline fn indexOf(self: *const Self, position: u64) u64 {
            return (position -% Env.load(.relaxed, &self.direction.base)) & self.mask;
        }

        /// The next byte goes to the ring's start, and did not begin there: a ring that has just been
        /// rewound has its end ahead.
        pub inline fn isAtEnd(self: *const Self) bool {
            if (self.head == Env.load(.relaxed, &self.direction.base)) return false;
            return self.indexOf(self.head) == 0;
        }

        /// An append of `len` would meet the ring's end, where it can grow.
        pub inline fn meetsEnd(self: *const Self, len: u64) bool {
            return self.indexOf(self.head) + len > self.size();
        }

        /// Highest ring index + 1 that an append of `len` would touch.
        pub inline fn reach(self: *const Self, len: u64) u64 {
            return @min(self.indexOf(self.head) + len, self.size());
        }

        /// Copies into the ring; the caller knows that there is space. Not visible until `publish`.
        /// False: `bytes` are not accessible, and nothing was appended.
        pub inline fn append(self: *Self, bytes: []const u8) bool {
            self.rewindIfEmpty(bytes.len);
            if (Env.faults.head_first) {
                Env.store(.acquire_or_release, &self.direction.head, self.head +% bytes.len);
            }
            const start = self.head;
            var rest = bytes;
            while (true) {
                if (self.may_grow) self.grow();
                const index = self.indexOf(self.head);
                const part = Env.contiguous(index, rest.len, self.size());
                // Before the copy: also what a copy that fails leaves there has to be cleaned one day.
                const top: u32 = @intCast(index + part);
                if (top > self.end.high_water) self.end.high_water = top;
                if (!Env.copyIn(self.ring, index, rest[0..part])) {
                    @branchHint(.cold);
                    self.head = start;
                    return false;
                }
                self.head +%= part;
                if (part == rest.len) {
                    @branchHint(.likely);
                    return true;
                }
                rest = rest[part..];
            }
        }

        /// The short way of `space`, `append` and the first half of `publish`, for a message that
        /// lies in one window, below `reach_max` (memory that is there), and for which the last look
        /// at `tail` has shown space: nothing rewinds, wraps or grows. The caller then rings as
        /// `publish` does. False: not such a message, or not accessible; nothing has happened.
        pub inline fn put(self: *Self, source: []const u8, reach_max: u64) bool {
            const index = self.indexOf(self.head);
            const top = index +% source.len;
            // With the byte before it, as in `rewindIfEmpty`.
            if (!isOneSide(index -| 1, top -% 1) or top > reach_max) return false;
            const used = self.head -% self.end.cached_tail;
            if (used +| source.len > self.size() and !Env.faults.put_blindly) return false;
            if (top > self.end.high_water) self.end.high_water = @intCast(top);
            if (!Env.copyIn(self.ring, index, source)) return false;
            self.head +%= source.len;
            // Release pairs with the receiver's acquire: the bytes come first.
            Env.store(.acquire_or_release, &self.direction.head, self.head);
            return true;
        }

        inline fn isOneSide(first: u64, last: u64) bool {
            return first / Env.window_bytes == last / Env.window_bytes and
                (first < Env.hot_window_bytes) == (last < Env.hot_window_bytes);
        }

        /// At the ring's end: goes on behind it, in a ring of twice the size, instead of at its
        /// start. What is in flight fills the ring's last bytes, [size - used, size): with the new
        /// base, position - base is exactly these, under the old mask and the new one. Under the
        /// new mask and the old base it need not be, so base is first (release; pairs with the
        /// receiver's acquire of mask). Killed in between, the ring is as before. (PROTOCOL M4)
        pub noinline fn grow(self: *Self) void {
            const all = self.size();
            if (all >= Env.ring_bytes or !self.isAtEnd()) return;
            self.may_grow = false;
            self.mask = 2 * all - 1;
            if (Env.faults.mask_before_base) {
                Env.store(.acquire_or_release, &self.direction.mask, self.mask);
            }
            Env.store(.relaxed, &self.direction.base, self.head -% all);
            Env.store(.acquire_or_release, &self.direction.mask, self.mask);
        }

        /// An empty ring goes back to its start when the next bytes would leave the hot window
        /// (`stays_hot`) or a page: one look at `tail` every KiB, or few KiB, keeps quiet connections
        /// where their neighbours are. Bulk goes on: a reader copies faster out of the shared cache
        /// than out of the writer's own, where bytes at the start would lie. (PROTOCOL M4)
        inline fn rewindIfEmpty(self: *Self, len: u64) void {
            if (len >= Env.bulk_bytes) return;
            const index = self.indexOf(self.head);
            // The byte before this one and the last new one in one window: nothing is left behind.
            if (index == 0 or self.isOneWindow(index - 1, index + len - 1)) return;
            if (self.head != Env.load(.relaxed, &self.direction.head)) return; // unpublished bytes
            if (!Env.faults.eager_rewind) {
                const tail = Env.load(.acquire_or_release, &self.direction.tail);
                if (tail != self.head) return;
            }
            // The ring is empty, so no one uses base until our release of head shows them new bytes.
            Env.store(.relaxed, &self.direction.base, self.head);
            // The size stays: callers have computed with it how much fits.
        }

        inline fn isOneWindow(self: *const Self, first: u64, last: u64) bool {
            if (!self.stays_hot) return first / Env.window_bytes == last / Env.window_bytes;
            return isOneSide(first, last);
        }

        /// The next `len` bytes are the first that do not lie in the hot window.
        pub inline fn leavesHot(self: *const Self, len: u64) bool {
            const index = self.indexOf(self.head);
            return index <= Env.hot_window_bytes and index + len > Env.hot_window_bytes;
        }

        /// Forgets what was appended behind `head`; none of it is published.
        pub fn unappend(self: *Self, head: u64) void {
            self.head = head;
        }

        /// Makes appended bytes visible and rings whoever sleeps for them.
        pub inline fn publish(self: *Self, bells: anytype) void {
            // Release pairs with the receiver's acquire: the bytes and `base` come first.
            Env.store(.acquire_or_release, &self.direction.head, self.head);
            wake.Wake(Env).notifyOfBytes(self.direction, &self.end.rang, bells);
        }

        /// The receiver asks for its bytes over TCP (recall), or has closed.
        pub inline fn flags(self: *const Self) u64 {
            return Env.load(.relaxed, &self.direction.attn_flags);
        }

        // -- moving --------------------------------------------------------------------------

        /// TCP to ring, at the position the kernel reports. False: not now (the receiver has not
        /// finished the previous interval, or this end is held on TCP).
        pub fn enter(self: *Self, kernel: anytype) bool {
            const direction = self.direction;
            const now = Gate.from(Env.load(.acquire_or_release, &direction.gate));
            if (now.kind() != .tcp) return false;
            if (!Env.faults.no_rdhup and kernel.ending()) return false;
            const position = (kernel.sendPosition() orelse return false) +% self.end.carried;
            Env.store(.relaxed, &direction.down, Direction.open_ended);
            Env.store(.relaxed, &direction.base, position);
            Env.store(.relaxed, &direction.tail, position);
            Env.store(.relaxed, &direction.head, position);
            // Release: a receiver that sees SWITCH sees the four words above.
            if (Env.cas(&direction.gate, now.word(), Gate.of(.switching, position).word()) != null) {
                return false;
            }
            self.head = position;
            self.call_start = position;
            self.end.entered = position;
            self.end.cached_tail = position;
            self.end.carrier = @intFromEnum(layout.Carrier.ring);
            return true;
        }

        /// Ring to TCP (PROTOCOL rule 7, and M2 rule 5 when the receiver wants its bytes back).
        /// Nothing appended may be unpublished.
        pub fn leave(self: *Self, kernel: anytype, bells: anytype) Moved {
            if (self.head -% self.end.entered > interval_bytes_max) return .corrupt;
            while (true) {
                const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
                switch (now.kind()) {
                    .ring => return self.leaveAcknowledged(),
                    .switching => {
                        if (Env.faults.no_ack and !now.want) return self.leaveAcknowledged();
                        const busy = Gate.of(.busy, now.position).word();
                        if (Env.cas(&self.direction.gate, now.word(), busy) != null) continue;
                        return self.moveBack(now, kernel, bells);
                    },
                    // In the ring only the receiver could have left, and it may not do so before
                    // `down`; `busy` is ours alone.
                    .tcp, .tcp_final, .busy, _ => return .corrupt,
                }
            }
        }

        fn leaveAcknowledged(self: *Self) Moved {
            // Release: who sees `down` sees all of [.., down) published.
            Env.store(.acquire_or_release, &self.direction.down, self.head);
            self.end.carried +%= self.head -% self.end.entered;
            self.toTcp();
            return .tcp;
        }

        /// Gate is BUSY: sends the ring's bytes over TCP, from the position where the receiver
        /// stands. When the kernel is full, what this call appended is taken back, and older bytes
        /// are given back to the ring.
        fn moveBack(self: *Self, was: Gate, kernel: anytype, bells: anytype) Moved {
            const start: u64 = was.position;
            if (self.head -% start > Env.ring_bytes or start -% self.end.entered > interval_bytes_max) {
                return .corrupt;
            }
            const sent_to = self.sendRange(start, kernel);
            if (sent_to != self.head and was.want and !Env.faults.no_unpublish) {
                self.head = @max(self.call_start, sent_to);
                Env.store(.acquire_or_release, &self.direction.head, self.head);
            }
            Env.store(.acquire_or_release, &self.direction.tail, sent_to);
            self.end.cached_tail = sent_to;
            const busy = Gate.of(.busy, start).word();
            if (sent_to == self.head) {
                const final = Gate.of(if (was.want) .tcp_final else .tcp, 0).word();
                if (Env.cas(&self.direction.gate, busy, final) != null) return .corrupt;
                self.noteMoved(start, sent_to);
                self.toTcp();
                return .tcp;
            }
            const back = if (was.want) Gate.wanted(sent_to) else Gate.of(.switching, sent_to);
            if (Env.cas(&self.direction.gate, busy, back.word()) != null) return .corrupt;
            self.noteMoved(start, sent_to);
            // Giving back is a publication: the receiver may sleep, having seen `busy`.
            if (!Env.faults.no_give_back_wake) {
                self.end.rang = @splat(0);
                wake.Wake(Env).notifyOfBytes(self.direction, &self.end.rang, bells);
            }
            return .kernel_full;
        }

        /// Only after the gate has left BUSY: until then `entered - carried` is the kernel's
        /// position before the move, which `recover` needs.
        fn noteMoved(self: *Self, start: u64, sent_to: u64) void {
            self.end.carried +%= start -% self.end.entered;
            self.end.entered = sent_to;
        }

        // -- taking over ---------------------------------------------------------------------

        /// The lock's last holder died with it: makes this end and the direction agree again.
        /// Nothing is rolled back; a move that was begun is finished or given back to the ring, and
        /// how far it got is what the kernel has taken. False: start over, or corrupt. (PROTOCOL M5)
        pub fn recover(self: *Self, kernel: anytype, bells: anytype) bool {
            const kernel_position = kernel.sendPosition() orelse return false;
            const end = self.end;
            const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
            switch (now.kind()) {
                .tcp, .tcp_final => if (self.inRing()) self.recoverLeft(kernel_position),
                .switching, .ring => {
                    const down = Env.load(.relaxed, &self.direction.down);
                    if (down != Direction.open_ended) {
                        if (self.inRing()) self.recoverLeft(kernel_position);
                    } else {
                        if (!self.inRing()) end.entered = self.head; // it had just entered
                        end.carried = end.entered -% kernel_position;
                        end.carrier = @intFromEnum(layout.Carrier.ring);
                    }
                },
                .busy => if (!self.recoverBusy(now, kernel_position)) return false,
                _ => return false,
            }
            // It may have published and not rung.
            end.rang = @splat(0);
            wake.Wake(Env).notifyOfBytes(self.direction, &end.rang, bells);
            return true;
        }

        fn recoverLeft(self: *Self, kernel_position: u64) void {
            self.end.carried = self.head -% kernel_position;
            self.toTcp();
        }

        /// Gives the ring the bytes that the dead holder had not moved yet.
        fn recoverBusy(self: *Self, now: Gate, kernel_position: u64) bool {
            const end = self.end;
            const moved = kernel_position -% (end.entered -% end.carried);
            const sent_to = now.position +% moved;
            if (self.head -% sent_to > Env.ring_bytes) return false;
            Env.store(.acquire_or_release, &self.direction.tail, sent_to);
            const asked = self.flags() & layout.attn_flag_want != 0;
            const back = if (asked) Gate.wanted(sent_to) else Gate.of(.switching, sent_to);
            if (Env.cas(&self.direction.gate, now.word(), back.word()) != null) return false;
            end.entered = sent_to;
            end.carried = sent_to -% kernel_position;
            end.carrier = @intFromEnum(layout.Carrier.ring);
            return true;
        }

        fn sendRange(self: *Self, start: u64, kernel: anytype) u64 {
            var at = start;
            while (at < self.head) {
                const index = self.indexOf(at);
                const len = Env.contiguous(index, self.head - at, self.size());
                const sent = kernel.trySend(Env.at(self.ring, index), len) orelse break;
                at += sent;
            }
            return at;
        }

        fn toTcp(self: *Self) void {
            self.end.carrier = @intFromEnum(layout.Carrier.tcp);
        }
    };
}
