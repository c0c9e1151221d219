//! Scenario M5, moving: one end is held by two processes after a fork, and the one that is killed
//! dies in the middle of anything: entering the ring, leaving it, moving bytes back to TCP, copying
//! out, acknowledging. The survivor takes the lock over, recovers, and goes on with the same stream.

const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const ring_bytes = 2;

const Env = env.SimEnv(.{ .ring_bytes = ring_bytes, .hot_window_bytes = 1 });
const Sender = carrier.Sender(Env);
const Receiver = carrier.Receiver(Env);
const Wake = carrier.Wake(Env);
const Bells = kernel_module.Bells;

const sender_process: u8 = 0;
const receiver_process: u8 = 1;
const heir_process: u8 = 2;
const receiver_bell = 0;
const heir_bell = 1;
const sender_bell = 2;

const World = extern struct {
    direction: layout.Direction,
    ring: [8]u8,
    tx: layout.TxEnd,
    rx: layout.RxEnd,
    kernel: kernel_module.Kernel,
    rung: [kernel_module.bells_max]bool,
    accepted: u64,
    epoch: u32,
    sender_epoch: u32,
    leaves: u8,
    killed: bool,
    mortal_done: bool,
    recovered: bool,
};

pub fn sender(comptime name: []const u8, comptime order: machine.MemoryOrder) explorer.Scenario {
    return scenario(name, order, .sender, 2);
}

pub fn receiver(comptime name: []const u8, comptime order: machine.MemoryOrder) explorer.Scenario {
    return scenario(name, order, .receiver, 2);
}

/// Nobody dies, and the stream is longer: moves in a ring that holds more than the kernel.
pub fn peaceful(comptime name: []const u8, comptime order: machine.MemoryOrder) explorer.Scenario {
    return scenario(name, order, .nobody, 4);
}

fn scenario(
    comptime name: []const u8,
    comptime order: machine.MemoryOrder,
    comptime mortal: enum { nobody, sender, receiver },
    comptime bytes: u64,
) explorer.Scenario {
    const Variant = struct {
        fn setUp() void {
            machine.world_bytes = @sizeOf(World);
            const w = world();
            w.ring = @splat(0xee);
            w.kernel.capacity = 1;
            w.leaves = 1;
            goal = bytes;
            switch (mortal) {
                .nobody => {
                    machine.spawn("sender", sender_process, &senderStep);
                    machine.spawn("receiver", receiver_process, &receiverStep);
                },
                .sender => {
                    machine.spawnMortal("sender", sender_process, &mortalSenderStep);
                    machine.spawn("receiver", receiver_process, &receiverStep);
                    machine.spawn("heir", heir_process, &heirSenderStep);
                },
                .receiver => {
                    machine.spawn("sender", sender_process, &senderStep);
                    machine.spawnMortal("receiver", receiver_process, &mortalReceiverStep);
                    machine.spawn("heir", heir_process, &heirReceiverStep);
                },
            }
        }
        fn kill(_: u3) void {
            world().killed = true;
            machine.kill(if (mortal == .sender) sender_process else receiver_process);
        }
        fn killName(_: u3) []const u8 {
            return "SIGKILL for the " ++ @tagName(mortal);
        }
    };
    return .{
        .name = name,
        .order = order,
        .setUp = &Variant.setUp,
        .events = if (mortal == .nobody) &noKills else &possibleKills,
        .apply = &Variant.kill,
        .eventName = &Variant.killName,
        .describe = &trace.describer(World),
    };
}

/// Bytes to send.
var goal: u64 = 0;

fn world() *World {
    return machine.world(World);
}

fn bellsOf(w: *World) Bells {
    return .{ .rung = &w.rung };
}

fn noKills() u8 {
    return 0;
}

fn possibleKills() u8 {
    return @intFromBool(!world().killed and !world().mortal_done);
}

fn isInherited(_: usize) bool {
    return world().killed or world().mortal_done;
}

fn corrupt() machine.Next {
    machine.fail("corrupt, though nobody lied", .{});
    return .done;
}

// -- the sending end ------------------------------------------------------------------------------

fn mortalSenderStep() machine.Next {
    const next = sendStep();
    if (next == .done) world().mortal_done = true;
    return next;
}

fn heirSenderStep() machine.Next {
    const w = world();
    if (!w.recovered) {
        machine.wait("wait for the lock", &isInherited, 0);
        w.recovered = true;
        var s = Sender.init(&w.direction, &w.tx, &w.ring);
        const recovers = w.killed and !env.active.no_recover;
        if (recovers and !s.recover(&w.kernel, bellsOf(w))) return corrupt();
    }
    return senderStep();
}

/// A sender that ends the stream when everything is sent.
fn senderStep() machine.Next {
    const next = sendStep();
    if (next == .done) world().kernel.shutdown();
    return next;
}

/// One call under the lock. What comes next is read from the end, never remembered.
fn sendStep() machine.Next {
    const w = world();
    var s = Sender.init(&w.direction, &w.tx, &w.ring);
    if (!s.inRing()) return sendByTcp(w, &s);
    if (s.head >= goal) return .done;
    if (w.leaves != 0 and machine.choose("leave of its own accord", 2) == 1) {
        w.leaves -= 1;
        return if (s.leave(&w.kernel, bellsOf(w)) == .corrupt) corrupt() else .again;
    }
    const free = s.space(1) orelse return corrupt();
    if (free == 0) return sleepForSpace(w, &s);
    const position = s.head;
    _ = s.append(&.{@intCast(position)});
    s.publish(bellsOf(w));
    w.accepted = position + 1;
    return .again;
}

fn sendByTcp(w: *World, s: *Sender) machine.Next {
    const position = w.kernel.taken + w.tx.carried;
    if (position >= goal) return .done;
    if (machine.choose("enter the ring", 2) == 1 and s.enter(&w.kernel)) return .again;
    machine.wait("sleep until tcp takes bytes", &isWritable, 0);
    if (w.kernel.trySend(&.{@intCast(position)}, 1) == null) return corrupt();
    w.accepted = position + 1;
    return .again;
}

fn sleepForSpace(w: *World, s: *Sender) machine.Next {
    Env.store(.relaxed, &w.direction.psleep_mark, s.head - ring_bytes + 1);
    const value = kernel_module.waitValue(.thread, sender_bell, &w.sender_epoch);
    const index = Wake.arm(&w.direction.psleep, value) orelse return corrupt();
    const free = s.space(1) orelse return corrupt();
    if (free == 0) machine.wait("sleep for space", &isSenderRung, 0);
    w.rung[sender_bell] = false;
    Wake.disarm(&w.direction.psleep, index);
    return .again;
}

fn isWritable(_: usize) bool {
    return world().kernel.writable();
}

fn isSenderRung(_: usize) bool {
    return world().rung[sender_bell];
}

// -- the receiving end ----------------------------------------------------------------------------

fn receiverStep() machine.Next {
    return receiveStep(receiver_bell);
}

fn mortalReceiverStep() machine.Next {
    const next = receiveStep(receiver_bell);
    if (next == .done) world().mortal_done = true;
    return next;
}

fn heirReceiverStep() machine.Next {
    const w = world();
    if (!w.recovered) {
        machine.wait("wait for the lock", &isInherited, 0);
        w.recovered = true;
        if (w.mortal_done) return .done;
        var r: Receiver = .{ .direction = &w.direction, .end = &w.rx, .ring = &w.ring };
        const recovers = !env.active.no_recover;
        if (recovers and !r.recover(&w.kernel, bellsOf(w))) return corrupt();
    }
    return receiveStep(heir_bell);
}

fn receiveStep(bell: u16) machine.Next {
    const w = world();
    var r: Receiver = .{ .direction = &w.direction, .end = &w.rx, .ring = &w.ring };
    switch (r.sourceFor(1, &w.kernel)) {
        .ring => {
            var byte: [1]u8 = undefined;
            _ = r.copy(0, &byte);
            check(byte[0], w.rx.position);
            r.consume(1, bellsOf(w));
            return .again;
        },
        .ring_empty => switch (w.kernel.peek()) {
            .byte => return .again,
            .end, .reset => return if (r.ended(&w.kernel)) end(w, &r) else .again,
            .nothing => {},
        },
        .kernel => {
            const position = w.kernel.given + w.rx.carried;
            switch (w.kernel.receive()) {
                .byte => |byte| {
                    check(byte, position);
                    return .again;
                },
                .end, .reset => return if (r.ended(&w.kernel)) end(w, &r) else .again,
                .nothing => {},
            }
        },
        .corrupt => return corrupt(),
    }
    const value = kernel_module.waitValue(.thread, bell, &w.epoch);
    const index = Wake.armForBytes(&w.direction, value) orelse return corrupt();
    if (!r.pending(&w.kernel)) machine.wait("sleep for data", &receiverWakes, bell);
    w.rung[bell] = false;
    Wake.disarm(&w.direction.attn, index);
    return .again;
}

fn check(byte: u8, position: u64) void {
    if (byte != position) machine.fail("byte {d} arrives at position {d}", .{ byte, position });
}

fn end(w: *World, r: *Receiver) machine.Next {
    const read = if (r.inRing()) w.rx.position else w.kernel.given + w.rx.carried;
    if (read != goal) {
        machine.fail("end of stream at {d} of {d} bytes", .{ read, goal });
    }
    return .done;
}

fn receiverWakes(bell: usize) bool {
    return world().rung[bell] or world().kernel.readable();
}
