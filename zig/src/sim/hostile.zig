//! Scenarios with a liar: the peer may write anything into any word of the shared mapping, at any
//! moment. Its victim must end the connection as corrupt or go on; it must never touch memory
//! outside the ring (env.zig checks every copy), overflow (this program is built with Zig's safety
//! checks, and a panic is a violation), or loop for ever.

const std = @import("std");
const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const ring_bytes = 4;

const Env = env.SimEnv(.{ .ring_bytes = ring_bytes, .hot_window_bytes = 2 });
const Sender = carrier.Sender(Env);
const Receiver = carrier.Receiver(Env);
const Wake = carrier.Wake(Env);
const Bells = kernel_module.Bells;
const Gate = carrier.Gate;

const victim_process: u8 = 0;
const liar_process: u8 = 1;
const lies = 2;
const calls = 3;

const World = extern struct {
    direction: layout.Direction,
    ring: [8]u8,
    tx: layout.TxEnd,
    rx: layout.RxEnd,
    kernel: kernel_module.Kernel,
    rung: [kernel_module.bells_max]bool,
    epoch: u32,
    lies: u8,
    calls: u8,
};

const Start = enum { tcp, switching, ring };

pub fn sender(comptime name: []const u8, comptime start: Start) explorer.Scenario {
    return scenario(name, start, "sender", &senderStep);
}

pub fn receiver(comptime name: []const u8, comptime start: Start) explorer.Scenario {
    return scenario(name, start, "receiver", &receiverStep);
}

fn scenario(
    comptime name: []const u8,
    comptime start: Start,
    comptime victim: []const u8,
    comptime step: *const fn () machine.Next,
) explorer.Scenario {
    const Variant = struct {
        fn setUp() void {
            machine.world_bytes = @sizeOf(World);
            build(world(), start);
            machine.spawn(victim, victim_process, step);
            machine.spawn("liar", liar_process, &liarStep);
        }
    };
    return .{ .name = name, .setUp = &Variant.setUp, .describe = &trace.describer(World) };
}

/// Two bytes went over TCP; in the ring there may be one more.
fn build(w: *World, start: Start) void {
    w.kernel.capacity = 2;
    w.kernel.taken = 2;
    w.kernel.given = 2;
    if (start == .tcp) {
        w.kernel.queued = 1;
        w.kernel.taken = 3;
        w.kernel.fin = true;
        return;
    }
    const direction = &w.direction;
    direction.down = layout.Direction.open_ended;
    direction.base = 2;
    direction.tail = 2;
    direction.head = 3;
    direction.gate = (if (start == .ring) Gate.of(.ring, 0) else Gate.of(.switching, 2)).word();
    w.tx.carrier = @backingInt(layout.Carrier.ring);
    w.tx.entered = 2;
    w.tx.cached_tail = 2;
    if (start == .switching) return;
    w.rx.carrier = @backingInt(layout.Carrier.ring);
    w.rx.entered = 2;
    w.rx.position = 2;
}

fn world() *World {
    return machine.world(World);
}

fn bellsOf(w: *World) Bells {
    return .{ .rung = &w.rung };
}

// -- the liar -------------------------------------------------------------------------------------

const numbers = [_]u64{
    0,       3,                        4,                    2 + ring_bytes, 3 + ring_bytes,
    1 << 60, std.math.maxInt(u64) - 1, std.math.maxInt(u64),
};

const gates = [_]u64{
    Gate.of(.tcp, 0).word(),
    Gate.of(.ring, 0).word(),
    Gate.of(.switching, 3).word(),
    Gate.of(.switching, std.math.maxInt(u60)).word(),
    Gate.of(.busy, 2).word(),
    Gate.of(.busy, std.math.maxInt(u60)).word(),
    Gate.wanted(3).word(),
    Gate.of(.tcp_final, 0).word(),
    7,
    std.math.maxInt(u64),
};

fn liarStep() machine.Next {
    const w = world();
    if (w.lies == lies) return .done;
    w.lies += 1;
    const d = &w.direction;
    const words = [_]*u64{
        &d.head,       &d.base,      &d.down,        &d.tail, &d.attn[0],
        &d.attn_flags, &d.psleep[0], &d.psleep_mark,
    };
    const which = machine.choose("lie", words.len * numbers.len + gates.len);
    if (which < words.len * numbers.len) {
        Env.store(.relaxed, words[which / numbers.len], numbers[which % numbers.len]);
    } else {
        Env.store(.relaxed, &d.gate, gates[which - words.len * numbers.len]);
    }
    Env.fence();
    return .again;
}

// -- its victims ----------------------------------------------------------------------------------

fn senderStep() machine.Next {
    const w = world();
    if (w.calls == calls) return .done;
    w.calls += 1;
    var s = Sender.init(&w.direction, &w.tx, &w.ring);
    if (!s.inRing()) {
        _ = s.enter(&w.kernel);
        return .again;
    }
    switch (machine.choose("send, leave, or recover", 3)) {
        0 => {},
        1 => return if (s.leave(&w.kernel, bellsOf(w)) == .corrupt) .done else .again,
        else => return if (s.recover(&w.kernel, bellsOf(w))) .again else .done,
    }
    const free = s.space(3) orelse return .done; // corrupt: the connection is reset
    if (free == 0) {
        const index = Wake.arm(&w.direction.psleep, kernel_module.waitValue(.thread, 1, &w.epoch));
        if (index) |i| Wake.disarm(&w.direction.psleep, i);
        return .again;
    }
    const bytes: [ring_bytes]u8 = @splat(0x55);
    if (s.reach(@min(free, 3)) > ring_bytes) machine.fail("reaches behind the ring", .{});
    _ = s.append(bytes[0..@min(free, 3)]);
    s.publish(bellsOf(w));
    return .again;
}

fn receiverStep() machine.Next {
    const w = world();
    if (w.calls == calls) return .done;
    w.calls += 1;
    var r: Receiver = .{ .direction = &w.direction, .end = &w.rx, .ring = &w.ring };
    switch (machine.choose("receive, sleep, recall, take that back, or recover", 5)) {
        0 => return receive(w, &r),
        1 => announceSleep(w, &r),
        2 => if (r.recall(&w.kernel, bellsOf(w)) == .corrupt) return .done,
        3 => if (!r.recallDone()) {
            _ = r.recallCancel();
        },
        else => if (!r.recover(&w.kernel, bellsOf(w))) return .done,
    }
    return .again;
}

fn receive(w: *World, r: *Receiver) machine.Next {
    switch (r.source(&w.kernel)) {
        .ring => |available| {
            var bytes: [ring_bytes]u8 = undefined;
            const n = @min(available, 3);
            _ = r.copy(0, bytes[0..n]);
            r.consume(n, bellsOf(w));
        },
        .ring_empty => switch (w.kernel.peek()) {
            .end, .reset => if (r.ended(&w.kernel)) return .done,
            .byte, .nothing => {},
        },
        .kernel => switch (w.kernel.receive()) {
            .end, .reset => if (r.ended(&w.kernel)) return .done,
            .byte, .nothing => {},
        },
        .corrupt => return .done, // the connection is reset
    }
    return .again;
}

fn announceSleep(w: *World, r: *Receiver) void {
    const value = kernel_module.waitValue(.thread, 0, &w.epoch);
    const index = Wake.armForBytes(&w.direction, value);
    _ = r.pending(&w.kernel);
    if (index) |i| Wake.disarm(&w.direction.attn, i);
}
