//! The receiving end of one direction: reads the ring, and follows the sender between carriers.
//!
//! A `Receiver` is a view made for one call, under the end's receive lock: its state lives in the
//! `RxEnd` (shared by the processes that hold this end) and in the `Direction` (shared with the
//! peer). Everything loaded from the `Direction` is hostile until checked.
//!
//! While both are in the ring, `head` only grows and the bytes before it stay where they are; so what
//! a look found (`seen_head`, with `seen_base` and `seen_mask`) is true until it is consumed. Not
//! looking again while it lasts spares a cache line that the sender writes for each message.
//!
//! Orderings: acquire of `head` before the bytes and before `base` (pairs with the sender's
//! release); bytes copied out before `tail` (release; pairs with the sender's acquire of tail);
//! `tail` before the look at `psleep` (full barrier, wake.zig); acquire of the gate before `head`.

const layout = @import("../layout.zig");
const gate_module = @import("gate.zig");
const barrier = @import("barrier.zig");
const wake = @import("wake.zig");

const Gate = gate_module.Gate;
const Direction = layout.Direction;
const RxEnd = layout.RxEnd;

pub fn Receiver(comptime Env: type) type {
    return struct {
        const Self = @This();

        direction: *Direction,
        end: *RxEnd,
        ring: Env.Ring,

        pub const Source = union(enum) {
            /// So many bytes lie in the ring.
            ring: u64,
            /// In the ring, which is empty: wait; only look at the kernel for its end.
            ring_empty,
            /// The kernel socket is to be read.
            kernel,
            /// The peer wrote what the protocol does not allow.
            corrupt,
        };

        pub fn inRing(self: *const Self) bool {
            return self.end.carrier == @intFromEnum(layout.Carrier.ring);
        }

        /// Where the next byte comes from, and all that is there. Follows the sender into the ring
        /// and out of it.
        pub inline fn source(self: *Self, kernel: anytype) Source {
            return self.sourceFor(Env.ring_bytes, kernel);
        }

        /// As `source`, but no new look while the last one showed `wanted` bytes.
        pub inline fn sourceFor(self: *Self, wanted: u64, kernel: anytype) Source {
            if (self.inRing()) {
                const available = self.ringBytesFor(wanted);
                if (available != 0) {
                    if (available > Env.ring_bytes) return .corrupt;
                    return .{ .ring = available };
                }
            }
            return self.sourceSlow(kernel);
        }

        /// Bytes published and not consumed, or as many of them as the last look found if these are
        /// `wanted` or more; nonsense above ring_bytes.
        pub inline fn ringBytesFor(self: *Self, wanted: u64) u64 {
            const seen = self.end.seen_head -% self.end.position;
            return if (seen >= wanted) seen else self.ringBytes();
        }

        /// Bytes published and not consumed; nonsense above ring_bytes.
        pub inline fn ringBytes(self: *Self) u64 {
            const early_base = if (Env.faults.base_before_head)
                Env.load(.relaxed, &self.direction.base)
            else
                0;
            const head = Env.load(.acquire_or_release, &self.direction.head);
            if (head != self.end.seen_head) {
                // `base` and `mask` after the acquire of `head` that shows the bytes, and `base`
                // after `mask` (acquire: pairs with the sender's release): a larger ring comes with
                // its base.
                const word = Env.load(.acquire_or_release, &self.direction.mask);
                self.end.seen_mask = Direction.maskOf(word, Env.ring_bytes_initial, Env.ring_bytes);
                self.end.seen_base = if (Env.faults.base_before_head)
                    early_base
                else
                    Env.load(.relaxed, &self.direction.base);
                self.end.seen_head = head;
            }
            return head -% self.end.position;
        }

        noinline fn sourceSlow(self: *Self, kernel: anytype) Source {
            while (true) {
                if (self.inRing()) {
                    const available = self.ringBytes();
                    if (available > Env.ring_bytes) return .corrupt;
                    if (available != 0) return .{ .ring = available };
                    const down = Env.load(.acquire_or_release, &self.direction.down);
                    if (down != self.end.position) return .ring_empty;
                    if (!self.leaveAt(.tcp)) return .corrupt;
                    continue;
                }
                if (!self.tryEnter(kernel)) return .kernel;
            }
        }

        /// Acknowledges SWITCH(p) when everything before p has been read. True: look again.
        fn tryEnter(self: *Self, kernel: anytype) bool {
            const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
            switch (now.kind()) {
                .tcp, .tcp_final, .busy, _ => return false,
                .switching => {
                    if (now.want) return false; // we left by recall: TCP from here on
                    const position = self.kernelPosition(kernel) orelse return false;
                    const one_short = now.position -% position == 1 and kernel.mayBeOneShort();
                    if (position != now.position and !one_short) return false;
                    const ring = Gate.of(.ring, 0).word();
                    if (Env.cas(&self.direction.gate, now.word(), ring) != null) return true;
                    self.enterAt(now.position);
                    return true;
                },
                // A holder of this end died between acknowledging and noting it.
                .ring => {
                    self.enterAt(Env.load(.acquire_or_release, &self.direction.tail));
                    return true;
                },
            }
        }

        fn enterAt(self: *Self, position: u64) void {
            self.end.position = position;
            self.end.entered = position;
            self.end.seen_head = position;
            self.end.carrier = @intFromEnum(layout.Carrier.ring);
        }

        fn leaveAt(self: *Self, tag: gate_module.Tag) bool {
            const ring = Gate.of(.ring, 0).word();
            if (Env.cas(&self.direction.gate, ring, Gate.of(tag, 0).word()) != null) return false;
            self.noteTcp();
            return true;
        }

        fn noteTcp(self: *Self) void {
            self.end.carried +%= self.end.position -% self.end.entered;
            self.end.carrier = @intFromEnum(layout.Carrier.tcp);
        }

        fn kernelPosition(self: *const Self, kernel: anytype) ?u64 {
            return (kernel.receivePosition() orelse return null) +% self.end.carried;
        }

        // -- reading -------------------------------------------------------------------------

        /// Copies `target.len` bytes, which `source` said are there, from `skip` bytes behind the
        /// read position on. False: `target` is not accessible.
        pub inline fn copy(self: *const Self, skip: u64, target: []u8) bool {
            const mask = self.end.seen_mask;
            const from = self.end.position +% skip -% self.end.seen_base;
            var done = Env.contiguous(from & mask, target.len, mask + 1);
            if (!Env.copyOut(self.ring, from & mask, target[0..done])) return false;
            while (done < target.len) {
                @branchHint(.unlikely);
                const index = (from +% done) & mask;
                const part = Env.contiguous(index, target.len - done, mask + 1);
                if (!Env.copyOut(self.ring, index, target[done..][0..part])) return false;
                done += part;
            }
            return true;
        }

        /// As `copy` of bytes that lie in one piece. False: they do not, or as there.
        pub inline fn copyPiece(self: *const Self, target: []u8) bool {
            const mask = self.end.seen_mask;
            const index = (self.end.position -% self.end.seen_base) & mask;
            if (Env.contiguous(index, target.len, mask + 1) != target.len) return false;
            return Env.copyOut(self.ring, index, target);
        }

        /// Frees `n` consumed bytes and rings a sender that sleeps for space.
        pub inline fn consume(self: *Self, n: u64, bells: anytype) void {
            const position = self.end.position +% n;
            self.end.position = position;
            // Release pairs with the sender's acquire of tail: our copy is done.
            Env.store(.acquire_or_release, &self.direction.tail, position);
            self.notifySpace(bells);
        }

        inline fn notifySpace(self: *Self, bells: anytype) void {
            Env.fence(); // pairs with the fence in `arm` of the sender's sleep
            var any: u64 = 0;
            inline for (&self.direction.psleep) |*word| any |= Env.load(.relaxed, word);
            if (any != 0) {
                @branchHint(.unlikely);
                self.notifySpaceArmed(bells);
            }
        }

        noinline fn notifySpaceArmed(self: *Self, bells: anytype) void {
            const mark = Env.load(.relaxed, &self.direction.psleep_mark);
            // Wrap-safe "tail < mark": a sender asks for a good piece of free ring, not each byte.
            if (@as(i64, @bitCast(self.end.position -% mark)) < 0) return;
            wake.Wake(Env).notify(&self.direction.psleep, &self.end.rang, bells);
        }

        // -- the end -------------------------------------------------------------------------

        /// The kernel says EOF or error. True: report it; false: look at `source` again, something
        /// remains. (PROTOCOL rule 6)
        pub fn ended(self: *Self, kernel: anytype) bool {
            if (Env.faults.naive_eof) return true;
            if (self.inRing()) {
                if (self.ringBytes() != 0) return false;
                return Env.load(.acquire_or_release, &self.direction.down) != self.end.position;
            }
            const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
            switch (now.kind()) {
                .tcp, .tcp_final, _ => return true,
                .ring => return false,
                .switching => {
                    if (now.want) {
                        // Nobody will answer the recall; what is left of it lies in the ring.
                        _ = self.recallCancel();
                        return false;
                    }
                    const position = self.kernelPosition(kernel) orelse return true;
                    if (Env.faults.no_gap and now.position > position) {
                        _ = Env.cas(&self.direction.gate, now.word(), Gate.of(.ring, 0).word());
                        self.enterAt(now.position);
                        return false;
                    }
                    // A gap before p was lost with the reset: TCP's error stands.
                    return now.position > position;
                },
                .busy => {
                    // The sender died while moving bytes back: those from here on are in the ring.
                    const position = self.kernelPosition(kernel) orelse return true;
                    if (now.position > position) return true;
                    const ring = Gate.of(.ring, 0).word();
                    if (Env.cas(&self.direction.gate, now.word(), ring) != null) return false;
                    Env.store(.acquire_or_release, &self.direction.tail, position);
                    self.enterAt(position);
                    return false;
                },
            }
        }

        // -- taking over ---------------------------------------------------------------------

        /// The lock's last holder died with it: makes this end and the direction agree again. What
        /// it had copied out went with it. False: the kernel socket does not answer. (PROTOCOL M5)
        pub fn recover(self: *Self, kernel: anytype, bells: anytype) bool {
            if (!self.inRing()) return true; // `source` completes a begun acknowledgement
            self.end.seen_head = self.end.position; // it may have been in the middle of a look
            const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
            if (now.kind() == .ring) {
                // Consumed, perhaps, and not announced: a sender may sleep for this space.
                self.consume(0, bells);
                return true;
            }
            // It had left the ring and not noted it.
            const kernel_position = kernel.receivePosition() orelse return false;
            self.end.carried = self.end.position -% kernel_position;
            self.end.carrier = @intFromEnum(layout.Carrier.tcp);
            return true;
        }

        // -- sleeping ------------------------------------------------------------------------

        /// After arming: is there a reason not to sleep? (The kernel's own events are polled.)
        pub fn pending(self: *Self, kernel: anytype) bool {
            return switch (self.source(kernel)) {
                .ring, .corrupt => true,
                .ring_empty, .kernel => false,
            };
        }

        // -- leaving for a program without the library (PROTOCOL M2) ------------------------------

        pub const Recall = enum {
            /// This end may go: everything not yet read is, or will be, in the kernel.
            left,
            /// The sender has to re-send from here: ring it and wait for `recallDone`.
            waiting,
            corrupt,
        };

        pub fn recall(self: *Self, kernel: anytype, bells: anytype) Recall {
            while (true) {
                const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
                switch (now.kind()) {
                    .tcp_final => return .left,
                    .tcp => {
                        const final = Gate.of(.tcp_final, 0).word();
                        if (Env.cas(&self.direction.gate, now.word(), final) == null) return .left;
                    },
                    .busy, _ => return if (now.kind() == .busy) .waiting else .corrupt,
                    .switching => {
                        // Asked before: the barrier of `recallAsk` has been, later bytes see WANT.
                        if (now.want) return self.recallOpen(now.position);
                        const wanted = Gate.wanted(now.position).word();
                        if (Env.cas(&self.direction.gate, now.word(), wanted) != null) continue;
                        return self.recallAsk(now.position, bells);
                    },
                    .ring => {
                        if (!self.inRing()) _ = self.tryEnter(kernel);
                        const position = self.end.position;
                        if (self.isLeft()) {
                            if (!self.leaveAt(.tcp)) return .corrupt;
                            continue;
                        }
                        const wanted = Gate.wanted(position).word();
                        if (Env.cas(&self.direction.gate, now.word(), wanted) != null) continue;
                        self.noteTcp();
                        return self.recallAsk(position, bells);
                    },
                }
            }
        }

        /// Read to its end, which the sender has left: nothing is to be recalled, and a recall would
        /// be answered by nobody.
        fn isLeft(self: *Self) bool {
            if (self.ringBytes() != 0) return false;
            return Env.load(.acquire_or_release, &self.direction.down) == self.end.position;
        }

        fn recallAsk(self: *Self, position: u64, bells: anytype) Recall {
            _ = Env.bitOr(&self.direction.attn_flags, layout.attn_flag_want);
            // Pairs with the sender's barrier between publishing and looking at `attn`: either we
            // see its bytes here, or it sees WANT and re-sends them.
            if (!Env.faults.no_recall_barrier) barrier.Barrier(Env).beforeLooking(self.direction);
            const open = self.recallOpen(position);
            if (open == .left) return .left;
            wake.Wake(Env).notify(&self.direction.psleep, &self.end.rang, bells);
            if (Env.faults.no_recall_wait) return .left;
            return open;
        }

        /// Is there anything for the sender to re-send?
        fn recallOpen(self: *const Self, position: u64) Recall {
            const head = Env.load(.acquire_or_release, &self.direction.head);
            return if (head == position) .left else .waiting;
        }

        /// The sender has re-sent everything: the kernel carries this direction for good.
        pub fn recallDone(self: *const Self) bool {
            const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
            return now.kind() == .tcp_final;
        }

        /// The program without the library has gone: this end reads with the library again, and the
        /// sender may enter the ring. False: it is moving bytes to TCP right now, ask again. (What
        /// the program has read is in the kernel's position, what it has not read is in the kernel,
        /// except where the sender has not seen the recall yet: then the ring goes on at R.)
        pub fn recallLift(self: *Self) bool {
            const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
            switch (now.kind()) {
                .tcp, .ring => return true,
                .switching => {
                    if (!now.want) return true;
                    if (!Env.faults.lift_blindly) return self.recallCancel();
                    Env.store(.acquire_or_release, &self.direction.gate, Gate.of(.tcp, 0).word());
                    return true;
                },
                .busy, _ => return false,
                .tcp_final => {
                    // The wish first: a sender that finds the gate open must not find it any more.
                    Env.store(.acquire_or_release, &self.direction.attn_flags, 0);
                    return Env.cas(&self.direction.gate, now.word(), Gate.of(.tcp, 0).word()) == null;
                },
            }
        }

        /// Time is up: stay a reader with the library. False: too late, the sender has begun to
        /// move. What it gave back may lie behind bytes that are still in the kernel, so this is an
        /// ordinary SWITCH again, which `source` follows when everything before it has been read.
        pub fn recallCancel(self: *Self) bool {
            const now = Gate.from(Env.load(.acquire_or_release, &self.direction.gate));
            if (now.kind() != .switching or !now.want) return false;
            const again = Gate.of(.switching, now.position).word();
            if (Env.faults.no_cancel_cas) {
                Env.store(.acquire_or_release, &self.direction.gate, again);
            } else if (Env.cas(&self.direction.gate, now.word(), again) != null) return false;
            Env.store(.acquire_or_release, &self.direction.attn_flags, 0);
            return true;
        }
    };
}
