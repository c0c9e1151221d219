//! Scenario M5: one sending end shared by two processes after a fork, under a lock that survives its
//! holder's death, and a sleeping receiver. Either or both senders may be killed between any two
//! operations. What send() has accepted must arrive, and nobody may be silenced by a death.

const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const ring_bytes = 2;
const stream_bytes = 3;

const Env = env.SimEnv(.{ .ring_bytes = ring_bytes, .hot_window_bytes = 2 });
const Sender = carrier.Sender(Env);
const Receiver = carrier.Receiver(Env);
const Wake = carrier.Wake(Env);
const Kernel = kernel_module.Kernel;
const Bells = kernel_module.Bells;

const receiver_process: u8 = 2;
const receiver_bell = 0;
const unlocked = 0;

const World = extern struct {
    direction: layout.Direction,
    ring: [8]u8,
    tx: layout.TxEnd,
    rx: layout.RxEnd,
    kernel: Kernel,
    rung: [kernel_module.bells_max]bool,
    accepted: u64,
    epoch: u32,
    /// 0, or the holder's process + 1.
    lock: u8,
    over: [2]bool,
    dead: [2]bool,
};

pub fn scenario(comptime name: []const u8, comptime order: machine.MemoryOrder) explorer.Scenario {
    return .{
        .name = name,
        .order = order,
        .setUp = &setUp,
        .events = &possibleKills,
        .apply = &kill,
        .eventName = &killName,
        .describe = &trace.describer(World),
    };
}

fn setUp() void {
    machine.world_bytes = @sizeOf(World);
    const w = world();
    w.ring = @splat(0xee);
    w.direction.down = layout.Direction.open_ended;
    w.direction.gate = carrier.Gate.of(.ring, 0).word();
    w.tx.carrier = @backingInt(layout.Carrier.ring);
    w.rx.carrier = @backingInt(layout.Carrier.ring);
    machine.spawnMortal("parent", 0, &Parent.step);
    machine.spawnMortal("child", 1, &Child.step);
    machine.spawn("receiver", receiver_process, &receiverStep);
}

fn world() *World {
    return machine.world(World);
}

// -- the senders ----------------------------------------------------------------------------------

const Parent = SenderOf(0);
const Child = SenderOf(1);

fn SenderOf(comptime process: u8) type {
    return struct {
        fn step() machine.Next {
            const w = world();
            machine.wait("lock", &isLockable, 0);
            const owner_died = w.lock != unlocked;
            w.lock = process + 1;
            var s = Sender.init(&w.direction, &w.tx, &w.ring);
            // Nothing is rolled back after a death; the wake-up may be missing.
            if (owner_died) Wake.notifyOfBytes(&w.direction, &w.tx.rang, bellsOf(w));
            if (s.head == stream_bytes) return end(w);
            const free = s.space(1) orelse {
                machine.fail("corrupt, though nobody lied", .{});
                return .done;
            };
            const position = s.head;
            if (free != 0) {
                _ = s.append(&.{@intCast(position)});
                s.publish(bellsOf(w));
            }
            machine.call("unlock");
            w.lock = unlocked;
            if (free == 0) {
                machine.wait("wait for space", &hasSpace, 0);
            } else {
                w.accepted = @max(w.accepted, position + 1); // send() returns
            }
            return .again;
        }

        fn end(w: *World) machine.Next {
            machine.call("unlock and close");
            w.lock = unlocked;
            w.over[process] = true;
            w.kernel.fin = w.over[0] and w.over[1];
            return .done;
        }
    };
}

fn isLockable(_: usize) bool {
    const w = world();
    return w.lock == unlocked or w.dead[w.lock - 1];
}

fn hasSpace(_: usize) bool {
    const direction = &world().direction;
    return direction.head == stream_bytes or direction.head - direction.tail < ring_bytes;
}

fn bellsOf(w: *World) Bells {
    return .{ .rung = &w.rung };
}

// -- the receiver ---------------------------------------------------------------------------------

fn receiverStep() machine.Next {
    const w = world();
    var r: Receiver = .{ .direction = &w.direction, .end = &w.rx, .ring = &w.ring };
    switch (r.sourceFor(1, &w.kernel)) {
        .ring => {
            var byte: [1]u8 = undefined;
            _ = r.copy(0, &byte);
            if (byte[0] != w.rx.position) {
                machine.fail("byte {d} arrives at position {d}", .{ byte[0], w.rx.position });
            }
            r.consume(1, bellsOf(w));
            return .again;
        },
        .ring_empty => switch (w.kernel.peek()) {
            .end, .reset => return if (r.ended(&w.kernel)) receiverEnd(w) else .again,
            .byte, .nothing => {},
        },
        .kernel, .corrupt => machine.fail("left the ring, though nobody asked", .{}),
    }
    const value = kernel_module.waitValue(.thread, receiver_bell, &w.epoch);
    const index = Wake.armForBytes(&w.direction, value).?;
    if (!r.pending(&w.kernel)) machine.wait("sleep for data", &receiverWakes, 0);
    w.rung[receiver_bell] = false;
    Wake.disarm(&w.direction.attn, index);
    return .again;
}

fn receiverEnd(w: *World) machine.Next {
    const read = w.rx.position;
    if (read < w.accepted) {
        machine.fail("end of stream at {d} of {d} bytes", .{ read, w.accepted });
    }
    const survivor = !w.dead[0] or !w.dead[1];
    if (survivor and read != stream_bytes) machine.fail("a survivor did not send the rest", .{});
    return .done;
}

fn receiverWakes(_: usize) bool {
    return world().rung[receiver_bell] or world().kernel.readable();
}

fn possibleKills() u8 {
    const w = world();
    var events: u8 = 0;
    for (0..2) |process| {
        if (!w.over[process]) events |= @as(u8, 1) << @intCast(process);
    }
    return events;
}

/// The kernel sends FIN when the last holder is gone.
fn kill(event: u3) void {
    const w = world();
    machine.kill(event);
    w.dead[event] = true;
    w.over[event] = true;
    w.kernel.fin = w.over[0] and w.over[1];
}

fn killName(event: u3) []const u8 {
    return if (event == 0) "SIGKILL for the parent" else "SIGKILL for the child";
}
