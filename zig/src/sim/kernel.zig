//! The simulated kernel: one direction of a TCP connection with tiny buffers, what the sender can
//! notice of the other direction, doorbells, and SIGKILL. A byte's value is its stream position, so
//! that order, loss and duplication show at once.

const machine = @import("machine.zig");
const carrier = @import("../carrier/carrier.zig");

pub const queue_bytes_max = 4;

pub const Kernel = extern struct {
    queue: [queue_bytes_max]u8 = @splat(0),
    queued: u8 = 0,
    capacity: u8 = 1,
    /// Behind the queue the receiver sees the end of the stream, or an error.
    fin: bool = false,
    reset: bool = false,
    /// The other direction, seen by the sender: the receiver's half close or end, or its reset.
    back_fin: bool = false,
    back_reset: bool = false,
    /// Bytes for the sender that it has not read: killing it resets the connection.
    back_unread: bool = false,
    receiver_gone: bool = false,
    /// Bytes the kernel has ever taken, and given out.
    taken: u64 = 0,
    given: u64 = 0,

    pub const Received = union(enum) { byte: u8, nothing, end, reset };

    /// What the carrier code asks of the sender's socket, and of the receiver's.
    pub fn ending(kernel: *Kernel) bool {
        machine.call("look for RDHUP, HUP, ERR");
        return kernel.back_fin or kernel.back_reset or kernel.receiver_gone;
    }

    pub fn sendPosition(kernel: *Kernel) ?u64 {
        return kernel.taken; // changed by the holder of the send lock only: no scheduling point
    }

    /// Counts no FIN.
    pub fn mayBeOneShort(_: *Kernel) bool {
        return false;
    }

    pub fn receivePosition(kernel: *Kernel) ?u64 {
        return kernel.given;
    }

    /// Bytes taken from `bytes`, null when full or broken.
    pub fn trySend(kernel: *Kernel, bytes: [*]const u8, len: u64) ?u64 {
        machine.call("send over tcp");
        const room = kernel.capacity - kernel.queued;
        if (room == 0 or kernel.receiver_gone) return null;
        const n: u8 = @intCast(@min(room, len));
        checkInside(@intFromPtr(bytes), n);
        for (bytes[0..n]) |byte| {
            kernel.queue[kernel.queued] = byte;
            kernel.queued += 1;
        }
        kernel.taken += n;
        return n;
    }

    pub fn receive(kernel: *Kernel) Received {
        machine.call("receive from tcp");
        if (kernel.queued != 0) {
            const byte = kernel.queue[0];
            for (1..kernel.queued) |i| kernel.queue[i - 1] = kernel.queue[i];
            kernel.queued -= 1;
            kernel.queue[kernel.queued] = 0;
            kernel.given += 1;
            return .{ .byte = byte };
        }
        if (kernel.reset) return .reset;
        return if (kernel.fin) .end else .nothing;
    }

    /// What `receive` would find, without taking it.
    pub fn peek(kernel: *Kernel) Received {
        machine.call("peek at tcp");
        if (kernel.queued != 0) return .{ .byte = kernel.queue[0] };
        if (kernel.reset) return .reset;
        return if (kernel.fin) .end else .nothing;
    }

    pub fn readable(kernel: *const Kernel) bool {
        return kernel.queued != 0 or kernel.fin or kernel.reset;
    }

    pub fn writable(kernel: *const Kernel) bool {
        return kernel.queued < kernel.capacity or kernel.receiver_gone;
    }

    pub fn shutdown(kernel: *Kernel) void {
        machine.call("shutdown for writing");
        kernel.fin = true;
    }

    /// The sender's process is gone. `dropped`: what the queue held went with a reset.
    pub fn killSender(kernel: *Kernel, dropped: bool) void {
        if (!kernel.back_unread) {
            kernel.fin = true;
            return;
        }
        kernel.reset = true;
        if (dropped) {
            kernel.queue = @splat(0);
            kernel.queued = 0;
        }
    }

    pub fn killReceiver(kernel: *Kernel) void {
        kernel.receiver_gone = true;
        kernel.back_fin = true;
        if (kernel.queued != 0) kernel.back_reset = true;
    }

    fn checkInside(address: usize, len: usize) void {
        const start = @intFromPtr(&machine.memory);
        if (address >= start and address + len <= start + machine.world_bytes) return;
        if (machine.isOnFiber() and !inSharedRange(address)) return; // a buffer on the own stack
        machine.fail("sends memory outside the shared mapping", .{});
    }

    fn inSharedRange(address: usize) bool {
        const start = @intFromPtr(&machine.memory);
        return address >= start and address < start + machine.memory_bytes_max;
    }
};

pub const bells_max = 4;

/// Doorbells: what `Wake.notify` rings. `Row` says how ready bits are set.
pub const Bells = struct {
    rung: *[bells_max]bool,
    row: ?Row = null,

    pub const Row = struct {
        mark: *const fn (slot: u32, rung: *u64, bells: Bells) void,
        /// Its process's, for this row.
        rung: *u64,
        slot: u32,
    };

    pub fn ring(bells: Bells, attention: carrier.Attention) bool {
        machine.call("ring the doorbell");
        if (attention.target >= bells_max) return false; // a peer's nonsense
        bells.rung[attention.target] = true;
        return true;
    }

    pub fn ready(bells: Bells, _: carrier.Attention) void {
        const row = bells.row orelse return;
        row.mark(row.slot, row.rung, bells);
    }
};

/// Epochs come round soon here, to keep the number of states finite and small.
pub fn nextEpoch(epoch: *u32) u30 {
    epoch.* = epoch.* % 7 + 1;
    return @intCast(epoch.*);
}

pub fn waitValue(kind: carrier.AttentionKind, target: u16, epoch: *u32) u64 {
    return (carrier.Attention{
        .kind = @backingInt(kind),
        .target = target,
        .epoch = nextEpoch(epoch),
    }).word();
}
