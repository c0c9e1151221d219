//! Scenario M3b: two rings, one epoll instance that waits for both through one row of ready bits.
//! Its words stay armed while it drains, or are disarmed and armed again. Nothing but the doorbell
//! can wake it, so a lost wake-up leaves it stuck.

const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const ring_bytes = 4;
const stream_bytes = 2;

const Env = env.SimEnv(.{ .ring_bytes = ring_bytes, .hot_window_bytes = 2 });
const Sender = carrier.Sender(Env);
const Receiver = carrier.Receiver(Env);
const Wake = carrier.Wake(Env);
const Rows = carrier.Rows(Env);
const Bells = kernel_module.Bells;

const waiter_process: u8 = 2;
const waiter_bell = 0;

const Ring = extern struct {
    direction: layout.Direction,
    bytes: [8]u8,
    tx: layout.TxEnd,
    rx: layout.RxEnd,
    sent: u64,
    received: u64,
    armed: u64,
};

const World = extern struct {
    rings: [2]Ring,
    row: layout.Row,
    bits: u64,
    rung: [kernel_module.bells_max]bool,
    epoch: u32,
};

pub fn scenario(comptime name: []const u8, comptime order: machine.MemoryOrder) explorer.Scenario {
    return .{ .name = name, .order = order, .setUp = &setUp, .describe = &trace.describer(World) };
}

fn setUp() void {
    machine.world_bytes = @sizeOf(World);
    for (&world().rings) |*ring| {
        ring.bytes = @splat(0xee);
        ring.direction.down = layout.Direction.open_ended;
        ring.direction.gate = carrier.Gate.of(.ring, 0).word();
        ring.tx.carrier = @backingInt(layout.Carrier.ring);
        ring.rx.carrier = @backingInt(layout.Carrier.ring);
        ring.direction.attn[0] = wanted;
    }
    machine.spawn("sender 0", 0, &FirstSender.step);
    machine.spawn("sender 1", 1, &SecondSender.step);
    machine.spawn("waiter", waiter_process, &waiterStep);
}

/// "Set my ready bit": the same word in each ring, whatever row it is.
const wanted = (carrier.Attention{ .kind = 2, .epoch = 1 }).word();

fn world() *World {
    return machine.world(World);
}

const FirstSender = SenderOf(0);
const SecondSender = SenderOf(1);

fn SenderOf(comptime slot: u32) type {
    return struct {
        fn step() machine.Next {
            const w = world();
            const ring = &w.rings[slot];
            if (ring.sent == stream_bytes) return .done;
            var s = Sender.init(&ring.direction, &ring.tx, &ring.bytes);
            _ = s.append(&.{@intCast(ring.sent)});
            s.publish(Bells{ .rung = &w.rung, .row = .{ .mark = &markReady, .slot = slot } });
            ring.sent += 1;
            return .again;
        }
    };
}

fn markReady(slot: u32, rung: *u64, bells: Bells) void {
    const w = world();
    Rows.markReady(&w.row, @ptrCast(&w.bits), slot, rung, bells);
}

fn waiterStep() machine.Next {
    const w = world();
    const all = w.rings[0].received == stream_bytes and w.rings[1].received == stream_bytes;
    if (all) return .done;
    const taken = Rows.take(&w.bits);
    if (taken == 0) return waiterSleeps(w);
    const disarms = machine.choose("disarm while draining", 2) == 1;
    for (&w.rings, 0..) |*ring, slot| {
        if (taken >> @intCast(slot) & 1 != 0) drain(w, ring, @intCast(slot), disarms);
    }
    return .again;
}

fn drain(w: *World, ring: *Ring, slot: u6, disarms: bool) void {
    var r: Receiver = .{ .direction = &ring.direction, .end = &ring.rx, .ring = &ring.bytes };
    if (disarms) Wake.disarm(&ring.direction.attn, 0);
    while (r.ringBytes() != 0) {
        var byte: [1]u8 = undefined;
        _ = r.copy(0, &byte);
        if (byte[0] != ring.received) {
            machine.fail("byte {d} arrives at position {d}", .{ byte[0], ring.received });
        }
        ring.received += 1;
        r.consume(1, Bells{ .rung = &w.rung });
    }
    if (!disarms) return;
    _ = Wake.arm(&ring.direction.attn, wanted);
    if (r.ringBytes() != 0) _ = Env.bitOr(&w.bits, @as(u64, 1) << slot);
}

fn waiterSleeps(w: *World) machine.Next {
    const value = kernel_module.waitValue(.thread, waiter_bell, &w.epoch);
    Rows.sleepBegin(&w.row, value);
    if (!Rows.anyReady(@as(*const [1]u64, &w.bits))) {
        machine.wait("sleep in epoll_wait", &isRung, 0);
    }
    w.rung[waiter_bell] = false;
    Rows.sleepEnd(&w.row);
    return .again;
}

fn isRung(_: usize) bool {
    return world().rung[waiter_bell];
}
