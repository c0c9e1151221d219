//! Scenario M3b: two rings, one epoll instance that waits for both through one row of ready bits.
//! Its words stay armed while it drains, or are disarmed and armed again. Nothing but the doorbell
//! can wake it, so a lost wake-up leaves it stuck.
//!
//! The rings' bits lie in one word of the row; or in two, with a summary bit each; or both rings have
//! one bit, as the two directions of a connection and the processes that share an end have, and one
//! of those who set it may be killed at any moment. These know of no direct marks, which would make
//! them too large; others do, where bits are set while a direct mark has not been taken.

const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const ring_bytes = 4;
/// What each ring carries; a mortal sender's sends one.
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
    to_send: u64,
    sent: u64,
    received: u64,
    armed: u64,
};

const World = extern struct {
    rings: [2]Ring,
    row: layout.Row,
    bits: [2]u64,
    slots: [2]u32,
    /// The sleep that each sender's process has rung.
    rung_by: [2]u64,
    rung: [kernel_module.bells_max]bool,
    epoch: u32,
    is_mortal: bool,
    is_killed: bool,
    marks_directly: bool,
    one_process: bool,
};

/// `one_process`: the senders are two threads. `alone`: one ring has nothing to send and the other a
/// byte more, so that it publishes after a mark that was taken in vain.
pub const Bits = enum { one_word, two_words, one_bit, alone, one_process, direct, direct_one_bit, direct_one_process };

pub fn scenario(
    comptime name: []const u8,
    comptime order: machine.MemoryOrder,
    comptime bits: Bits,
) explorer.Scenario {
    return .{
        .name = name,
        .order = order,
        .setUp = &Variant(bits).setUp,
        .events = &possibleKill,
        .apply = &kill,
        .eventName = &killName,
        .describe = &trace.describer(World),
    };
}

fn Variant(comptime bits: Bits) type {
    return struct {
        fn setUp() void {
            world().slots = switch (bits) {
                .one_word, .alone, .one_process, .direct, .direct_one_process => .{ 0, 1 },
                .two_words => .{ 0, 64 },
                .one_bit, .direct_one_bit => .{ 1, 1 },
            };
            world().is_mortal = bits == .one_bit or bits == .direct_one_bit;
            world().marks_directly = switch (bits) {
                .direct, .direct_one_bit, .direct_one_process => true,
                .one_word, .two_words, .one_bit, .alone, .one_process => false,
            };
            world().one_process = bits == .one_process or bits == .direct_one_process;
            spawnAll();
            if (bits == .direct or bits == .direct_one_process) world().rings[1].to_send = 1;
            if (bits == .alone) {
                world().rings[0].to_send = stream_bytes + 1;
                world().rings[1].to_send = 0;
            }
        }
    };
}

fn spawnAll() void {
    machine.world_bytes = @sizeOf(World);
    for (&world().rings, 0..) |*ring, index| {
        ring.to_send = if (world().is_mortal and index == 0) 1 else stream_bytes;
        ring.bytes = @splat(0xee);
        ring.direction.down = layout.Direction.open_ended;
        ring.direction.gate = carrier.Gate.of(.ring, 0).word();
        ring.tx.carrier = @backingInt(layout.Carrier.ring);
        ring.rx.carrier = @backingInt(layout.Carrier.ring);
        ring.direction.attn[0] = wanted;
    }
    const spawn = if (world().is_mortal) &machine.spawnMortal else &machine.spawn;
    spawn("sender 0", 0, &FirstSender.step);
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

fn SenderOf(comptime index: u32) type {
    return struct {
        fn step() machine.Next {
            const w = world();
            const ring = &w.rings[index];
            if (ring.sent == ring.to_send) return .done;
            var s = Sender.init(&ring.direction, &ring.tx, &ring.bytes);
            _ = s.append(&.{@intCast(ring.sent)});
            const rung = &w.rung_by[if (w.one_process) 0 else index];
            s.publish(Bells{ .rung = &w.rung, .row = .{ .mark = &markReady, .rung = rung, .slot = w.slots[index] } });
            ring.sent += 1;
            return .again;
        }
    };
}

fn markReady(slot: u32, rung: *u64, bells: Bells) void {
    const w = world();
    if (w.marks_directly) return Rows.markReady(&w.row, &w.bits, slot, rung, bells);
    Rows.markByBit(&w.row, &w.bits, slot, rung, bells);
}

const Taken = struct {
    slots: [4]u32 = undefined,
    count: u32 = 0,

    pub fn marked(taken: *Taken, slot: u32) void {
        taken.slots[taken.count] = slot;
        taken.count += 1;
    }

    fn has(taken: *const Taken, slot: u32) bool {
        for (taken.slots[0..taken.count]) |one| if (one == slot) return true;
        return false;
    }
};

/// All marks are taken, then the rings that had one are looked at.
fn waiterStep() machine.Next {
    const w = world();
    if (isFinished(&w.rings[0], w.is_killed) and isFinished(&w.rings[1], false)) return .done;
    var taken: Taken = .{};
    if (w.marks_directly) Rows.take(&w.row, &w.bits, &taken) else Rows.takeBits(&w.row, &w.bits, &taken);
    if (taken.count == 0) return waiterSleeps(w);
    const disarms = machine.choose("disarm while draining", 2) == 1;
    for (&w.rings, w.slots) |*ring, slot| {
        if (taken.has(slot)) drain(w, ring, disarms);
    }
    return .again;
}

fn isFinished(ring: *const Ring, is_killed: bool) bool {
    return ring.received == ring.to_send or is_killed;
}

fn drain(w: *World, ring: *Ring, disarms: bool) void {
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
    _ = Wake.armForBytes(&ring.direction, wanted);
    if (r.ringBytes() != 0) drain(w, ring, false);
}

fn waiterSleeps(w: *World) machine.Next {
    const value = kernel_module.waitValue(.thread, waiter_bell, &w.epoch);
    Rows.sleepBegin(&w.row, value);
    if (!(if (w.marks_directly) Rows.anyReady(&w.row, &w.bits) else Rows.anyBit(&w.row, &w.bits))) {
        machine.wait("sleep in epoll_wait", &isRung, 0);
    }
    w.rung[waiter_bell] = false;
    Rows.sleepEnd(&w.row);
    return .again;
}

/// The kernel tells of a death, which ends the wait when nothing else is to come.
fn isRung(_: usize) bool {
    const w = world();
    return w.rung[waiter_bell] or (w.is_killed and isFinished(&w.rings[1], false));
}

fn possibleKill() u8 {
    const w = world();
    return @intFromBool(w.is_mortal and !w.is_killed and w.rings[0].sent != w.rings[0].to_send);
}

fn kill(_: u3) void {
    world().is_killed = true;
    machine.kill(0);
}

fn killName(_: u3) []const u8 {
    return "SIGKILL for sender 0";
}
