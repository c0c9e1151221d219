//! Scenario M1: one direction of a connection in full. The client may offer, the server adopts at
//! its first data call (or another of its threads does), the sender enters the ring, leaves it of
//! its own accord or because the kernel reports the peer's end, enters again; both sleep and are
//! woken; the receiver may half-close the other direction; either process may be killed between any
//! two steps, with FIN or RST. The receiver must see every byte in order, and the end last.

const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const Env = env.SimEnv(.{ .ring_bytes = ring_bytes, .hot_window_bytes = 1 });
const Sender = carrier.Sender(Env);
const Receiver = carrier.Receiver(Env);
const Wake = carrier.Wake(Env);
const Kernel = kernel_module.Kernel;
const Bells = kernel_module.Bells;

const ring_bytes = 1;
const sender_process: u8 = 0;
const receiver_process: u8 = 1;
const receiver_bell = 0;
const sender_bell = 1;

pub const Options = struct {
    direction: enum { client_to_server, server_to_client },
    bytes: u64,
    /// Voluntary leaves of the sender; it may enter again after each.
    leaves: u8 = 0,
    kills: bool = true,
    /// The two are attached from the start, and the other direction does nothing.
    attached: bool = false,
    /// The stream never ends, so that no FIN wakes a sleeper whom the doorbell has missed.
    silent_end: bool = false,
};

const World = extern struct {
    direction: layout.Direction,
    slot_state: u64,
    /// In the receiver's process: a thread sleeps on the connection without knowing the slot.
    local_sleeper: u64,
    accepted: u64,
    ring: [8]u8,
    tx: layout.TxEnd,
    rx: layout.RxEnd,
    kernel: Kernel,
    rung: [kernel_module.bells_max]bool,
    sent: u64,
    received: u64,
    sender_epoch: u32,
    receiver_epoch: u32,
    leaves: u8,
    other_phase: u8,
    half_closed: bool,
    killed: bool,
    sender_done: bool,
    receiver_done: bool,
};

var options: Options = undefined;

pub fn scenario(
    comptime name: []const u8,
    comptime order: machine.MemoryOrder,
    comptime given: Options,
) explorer.Scenario {
    const Variant = struct {
        fn setUp() void {
            options = given;
            build();
        }
    };
    return .{
        .name = name,
        .order = order,
        .setUp = &Variant.setUp,
        .events = if (given.kills) &possibleKills else &noKills,
        .apply = &kill,
        .eventName = &killName,
        .describe = &trace.describer(World),
    };
}

fn build() void {
    machine.world_bytes = @sizeOf(World);
    const w = machine.world(World);
    w.leaves = options.leaves;
    w.ring = @splat(0xee);
    w.kernel.capacity = 1;
    machine.spawn("sender", sender_process, &senderStep);
    machine.spawn("receiver", receiver_process, &receiverStep);
    if (options.attached) {
        w.slot_state = adopted;
        return;
    }
    const client = if (options.direction == .client_to_server) sender_process else receiver_process;
    machine.spawn("offerer", client, &offererStep);
    machine.spawn("other thread", receiver_process, &otherStep);
}

fn world() *World {
    return machine.world(World);
}

// -- offer and adopt ------------------------------------------------------------------------------

const offered = @backingInt(layout.SlotTag.offered);
const adopted = @backingInt(layout.SlotTag.adopted);

fn offererStep() machine.Next {
    const w = world();
    if (machine.choose("offer", 2) == 0) return .done;
    _ = Env.cas(&w.slot_state, 0, offered);
    if (options.direction == .server_to_client) kickLocalSleeper(w);
    return .done;
}

fn adoptIfOffered(w: *World) void {
    if (Env.load(.acquire_or_release, &w.slot_state) != offered) return;
    if (Env.cas(&w.slot_state, offered, adopted) != null) return;
    if (options.direction == .client_to_server) kickLocalSleeper(w);
}

/// PROTOCOL rule 2: who sleeps in the kernel only must look at the connection again.
fn kickLocalSleeper(w: *World) void {
    if (env.active.no_kick) return;
    Env.fence(); // pairs with sleepUnattached
    if (Env.load(.relaxed, &w.local_sleeper) == 0) return;
    const waiter: carrier.Attention = .{ .kind = 1, .target = receiver_bell };
    _ = bellsOf(w).ring(waiter);
}

fn receiverAttached(w: *World) bool {
    const state = Env.load(.acquire_or_release, &w.slot_state);
    return state == adopted or (state == offered and options.direction == .server_to_client);
}

fn bellsOf(w: *World) Bells {
    return .{ .rung = &w.rung };
}

// -- the sender -----------------------------------------------------------------------------------

fn senderStep() machine.Next {
    const w = world();
    if (w.sent == options.bytes) return senderEnd(w);
    if (options.direction == .server_to_client) adoptIfOffered(w);
    var s = Sender.init(&w.direction, &w.tx, &w.ring);
    if (s.inRing()) return sendByRing(w, &s);
    if (Env.load(.acquire_or_release, &w.slot_state) == adopted) {
        if (machine.choose("enter the ring", 2) == 1 and s.enter(&w.kernel)) return .again;
    }
    machine.wait("sleep until tcp takes bytes", &isWritable, 0);
    const byte = [1]u8{@intCast(w.sent)};
    if (w.kernel.trySend(&byte, 1) == null) return senderEnd(w); // EPIPE
    return accepted(w);
}

fn sendByRing(w: *World, s: *Sender) machine.Next {
    if (env.active.no_rdhup) {
        if (peerDiedUnannounced(0)) return senderEnd(w);
    } else if (w.kernel.ending()) return senderLeaves(w, s, true);
    if (w.leaves != 0 and machine.choose("leave of its own accord", 2) == 1) {
        w.leaves -= 1;
        return senderLeaves(w, s, false);
    }
    // One byte by the long way, one by the short (preload/short.zig).
    if (w.sent % 2 == 1 and s.put(&.{@intCast(w.sent)}, ring_bytes)) {
        Wake.notifyOfBytes(&w.direction, &w.tx.rang, bellsOf(w));
        return accepted(w);
    }
    const free = s.space(1) orelse return corrupt();
    if (free == 0) return sleepForSpace(w, s);
    _ = s.append(&.{@intCast(w.sent)});
    s.publish(bellsOf(w));
    return accepted(w);
}

fn senderLeaves(w: *World, s: *Sender, must: bool) machine.Next {
    switch (s.leave(&w.kernel, bellsOf(w))) {
        .tcp => return .again,
        .corrupt => return corrupt(),
        .kernel_full => {
            if (must) machine.wait("sleep until tcp takes bytes", &isWritable, 0);
            machine.call("look for errors");
            return if (w.kernel.receiver_gone) senderEnd(w) else .again;
        },
    }
}

fn sleepForSpace(w: *World, s: *Sender) machine.Next {
    Env.store(.relaxed, &w.direction.psleep_mark, s.head - ring_bytes + 1);
    const value = kernel_module.waitValue(.thread, sender_bell, &w.sender_epoch);
    const index = Wake.arm(&w.direction.psleep, value) orelse return corrupt();
    const free = s.space(1) orelse return corrupt();
    if (free == 0) machine.wait("sleep for space", &senderWakes, 0);
    w.rung[sender_bell] = false;
    Wake.disarm(&w.direction.psleep, index);
    return .again;
}

fn accepted(w: *World) machine.Next {
    w.sent += 1;
    machine.ghost(&w.accepted, w.sent);
    return .again;
}

fn senderEnd(w: *World) machine.Next {
    if (!options.silent_end) w.kernel.shutdown();
    w.sender_done = true;
    return .done;
}

fn isWritable(_: usize) bool {
    return world().kernel.writable();
}

fn senderWakes(_: usize) bool {
    const w = world();
    if (w.rung[sender_bell]) return true;
    if (env.active.no_rdhup) return peerDiedUnannounced(0);
    return w.kernel.back_fin or w.kernel.back_reset or w.kernel.receiver_gone;
}

/// All that a sender which ignores RDHUP can go by: a FIN that no half close announced.
fn peerDiedUnannounced(_: usize) bool {
    return world().kernel.receiver_gone and !world().half_closed;
}

fn corrupt() machine.Next {
    machine.fail("corrupt, though nobody lied", .{});
    return .done;
}

// -- the receiver ---------------------------------------------------------------------------------

fn receiverStep() machine.Next {
    const w = world();
    if (options.direction == .client_to_server) adoptIfOffered(w);
    if (!receiverAttached(w)) return receiveUnattached(w);
    var r: Receiver = .{ .direction = &w.direction, .end = &w.rx, .ring = &w.ring };
    switch (r.sourceFor(1, &w.kernel)) {
        .ring => return receiveFromRing(w, &r),
        .ring_empty => switch (w.kernel.peek()) {
            // Bytes there: the sender has left the ring, and `source` must say so by now.
            .byte => return if (r.source(&w.kernel) == .ring_empty) overtaken() else .again,
            .end, .reset => return if (r.ended(&w.kernel)) receiverEnd(w, true) else .again,
            .nothing => {},
        },
        .kernel => switch (w.kernel.receive()) {
            .byte => |byte| return received(w, byte),
            .end, .reset => return if (r.ended(&w.kernel)) receiverEnd(w, r.inRing()) else .again,
            .nothing => {},
        },
        .corrupt => return corrupt(),
    }
    const value = kernel_module.waitValue(.thread, receiver_bell, &w.receiver_epoch);
    const index = Wake.armForBytes(&w.direction, value) orelse return corrupt();
    if (!r.pending(&w.kernel)) machine.wait("sleep for data", &receiverWakes, 0);
    w.rung[receiver_bell] = false;
    Wake.disarm(&w.direction.attn, index);
    return .again;
}

fn overtaken() machine.Next {
    machine.fail("tcp bytes arrive while the ring is still open", .{});
    return .done;
}

fn receiveFromRing(w: *World, r: *Receiver) machine.Next {
    var byte: [1]u8 = undefined;
    _ = r.copy(0, &byte);
    const next = received(w, byte[0]);
    r.consume(1, bellsOf(w));
    return next;
}

fn receiveUnattached(w: *World) machine.Next {
    switch (w.kernel.receive()) {
        .byte => |byte| return received(w, byte),
        .end, .reset => return if (receiverAttached(w)) .again else receiverEnd(w, false),
        .nothing => {},
    }
    Env.store(.relaxed, &w.local_sleeper, 1);
    Env.fence(); // pairs with kickLocalSleeper
    if (!receiverAttached(w)) machine.wait("sleep for data, unattached", &receiverWakes, 0);
    w.rung[receiver_bell] = false;
    Env.store(.acquire_or_release, &w.local_sleeper, 0);
    return .again;
}

fn received(w: *World, byte: u8) machine.Next {
    if (byte != w.received) machine.fail("byte {d} arrives at position {d}", .{ byte, w.received });
    w.received += 1;
    return if (options.silent_end and w.received == options.bytes) .done else .again;
}

fn receiverWakes(_: usize) bool {
    const w = world();
    return w.rung[receiver_bell] or w.kernel.readable();
}

/// The end is reported to the application.
fn receiverEnd(w: *World, in_ring: bool) machine.Next {
    const complete = w.received >= w.accepted;
    if (!complete and !w.kernel.reset) {
        machine.fail("end of stream at {d} of {d} bytes", .{ w.received, w.accepted });
    }
    // A reset may take what the kernel held, never ring bytes behind an unbroken prefix.
    if (!complete and in_ring and w.direction.down == layout.Direction.open_ended) {
        machine.fail("ring bytes lost: {d} of {d} received", .{ w.received, w.accepted });
    }
    w.receiver_done = true;
    return .done;
}

// -- the rest of the receiver's process, and the executioner --------------------------------------

/// All that the other direction can do to this one: adoption by another thread, bytes that the
/// sender's process leaves unread, a half close.
fn otherStep() machine.Next {
    const w = world();
    w.other_phase += 1;
    switch (w.other_phase) {
        1 => if (options.direction == .client_to_server) adoptIfOffered(w),
        2 => if (machine.choose("send bytes that nobody reads", 2) == 1) {
            machine.call("send over tcp");
            w.kernel.back_unread = true;
        },
        else => {
            if (machine.choose("half-close the other direction", 2) == 1) {
                machine.call("shutdown for writing");
                w.kernel.back_fin = true;
                w.half_closed = true;
            }
            return .done;
        },
    }
    return .again;
}

fn noKills() u8 {
    return 0;
}

fn possibleKills() u8 {
    const w = world();
    if (w.killed or (w.sender_done and w.receiver_done)) return 0;
    const drops = w.kernel.back_unread and w.kernel.queued != 0;
    return if (drops) 0b111 else 0b101;
}

fn kill(event: u3) void {
    const w = world();
    w.killed = true;
    if (event == 2) {
        machine.kill(receiver_process);
        w.kernel.killReceiver();
    } else {
        machine.kill(sender_process);
        w.kernel.killSender(event == 1);
    }
}

fn killName(event: u3) []const u8 {
    return switch (event) {
        0 => "SIGKILL for the sender",
        1 => "SIGKILL for the sender; its unsent bytes are dropped with the reset",
        else => "SIGKILL for the receiver",
    };
}
