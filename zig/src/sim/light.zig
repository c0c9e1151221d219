//! Scenario: publishers that leave their barrier out (carrier/barrier.zig). One sender streams; two
//! threads of the receiver's side, of two processes, want to be told of all that arrives and sleep in
//! between, and the receiver makes the sender's barrier light at any moment, more than once. One of
//! the two may be killed between any two operations. Nobody may sleep on while there is something.

const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const ring_bytes = 4;

const Env = env.SimEnv(.{ .ring_bytes = ring_bytes, .hot_window_bytes = 4 });
const Sender = carrier.Sender(Env);
const Wake = carrier.Wake(Env);
const Barrier = carrier.Barrier(Env);
const Bells = kernel_module.Bells;

const sender_process: u8 = 2;

pub const Options = struct {
    bytes: u64 = 2,
    /// How often the receiver makes the barrier light.
    spells: u8 = 1,
    kills: bool = false,
};

const World = extern struct {
    direction: layout.Direction,
    ring: [8]u8,
    tx: layout.TxEnd,
    rung: [kernel_module.bells_max]bool,
    /// What each sleeper has been told of.
    told: [2]u64,
    epoch: [2]u32,
    spells: u8,
    dead: bool,
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
        .events = &possibleKills,
        .apply = &kill,
        .eventName = &killName,
        .describe = &trace.describer(World),
    };
}

fn build() void {
    machine.world_bytes = @sizeOf(World);
    const w = world();
    w.direction.down = layout.Direction.open_ended;
    w.direction.gate = carrier.Gate.of(.ring, 0).word();
    w.tx.carrier = @backingInt(layout.Carrier.ring);
    w.spells = options.spells;
    machine.spawn("sender", sender_process, &senderStep);
    machine.spawn("receiver", 0, &receiverStep);
    if (options.kills) {
        machine.spawnMortal("sleeper", 0, &Sleeper(0).step);
    } else machine.spawn("sleeper", 0, &Sleeper(0).step);
    machine.spawn("sleeper of another process", 1, &Sleeper(1).step);
}

fn world() *World {
    return machine.world(World);
}

fn senderStep() machine.Next {
    const w = world();
    var s = Sender.init(&w.direction, &w.tx, &w.ring);
    if (s.head == options.bytes) return .done;
    _ = s.space(1);
    _ = s.append(&.{@intCast(s.head)});
    const bells: Bells = .{ .rung = &w.rung };
    s.publish(bells);
    return .again;
}

fn receiverStep() machine.Next {
    const w = world();
    if (w.spells == 0) return .done;
    w.spells -= 1;
    Barrier.relax(&w.direction);
    return .again;
}

fn Sleeper(comptime index: u8) type {
    return struct {
        fn step() machine.Next {
            const w = world();
            if (w.told[index] == options.bytes) return .done;
            if (takeNews(w)) return .again;
            const value = kernel_module.waitValue(.thread, index, &w.epoch[index]);
            const armed = Wake.armForBytes(&w.direction, value).?;
            if (!takeNews(w)) machine.wait("sleep for data", &isRung, index);
            w.rung[index] = false;
            Wake.disarm(&w.direction.attn, armed);
            return .again;
        }

        fn takeNews(w: *World) bool {
            const head = Env.load(.acquire_or_release, &w.direction.head);
            if (head == w.told[index]) return false;
            w.told[index] = head;
            return true;
        }
    };
}

fn isRung(index: usize) bool {
    return world().rung[index];
}

fn possibleKills() u8 {
    const w = world();
    return if (options.kills and !w.dead) 1 else 0;
}

fn kill(_: u3) void {
    world().dead = true;
    machine.kill(0);
}

fn killName(_: u3) []const u8 {
    return "SIGKILL for the receiver and its sleeper";
}
