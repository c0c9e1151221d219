//! Scenario M2: the receiver leaves the ring for good, because a program without the library takes
//! its place, while the sender is busy, asleep, idle for ever in user code, or dies. The new program
//! reads the kernel only: nothing may be left in the ring for it. When the sender does not answer in
//! time the receiver takes its recall back and stays a reader of the ring. In the "lift" scenarios the
//! new program ends while the connection goes on: the receiver reads with the library again.

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
const Bells = kernel_module.Bells;

const sender_process: u8 = 0;
const receiver_process: u8 = 1;
const receiver_bell = 0;
const sender_bell = 1;

const Phase = enum(u8) { library, recalling, taking_back, plain, lifting };

const World = extern struct {
    direction: layout.Direction,
    accepted: u64,
    ring: [8]u8,
    tx: layout.TxEnd,
    rx: layout.RxEnd,
    kernel: kernel_module.Kernel,
    rung: [kernel_module.bells_max]bool,
    sent: u64,
    received: u64,
    sender_epoch: u32,
    receiver_epoch: u32,
    phase: Phase,
    may_leave: bool,
    may_lift: bool,
    killed: bool,
    sender_done: bool,
    receiver_done: bool,
};

const Other = enum { stays, ends, stays_light };

pub fn scenario(comptime name: []const u8, comptime order: machine.MemoryOrder, comptime other: Other) explorer.Scenario {
    return .{
        .name = name,
        .order = order,
        .setUp = switch (other) {
            .stays => &setUp,
            .ends => &setUpLift,
            .stays_light => &setUpLight,
        },
        .events = &possibleKills,
        .apply = &kill,
        .eventName = &killName,
        .finish = &finish,
        .describe = &trace.describer(World),
    };
}

/// Both are in the ring, at position 0.
fn setUp() void {
    machine.world_bytes = @sizeOf(World);
    const w = world();
    w.ring = @splat(0xee);
    w.kernel.capacity = 1;
    w.may_leave = true;
    w.direction.down = layout.Direction.open_ended;
    w.direction.gate = carrier.Gate.of(.ring, 0).word();
    w.tx.carrier = @backingInt(layout.Carrier.ring);
    w.rx.carrier = @backingInt(layout.Carrier.ring);
    machine.spawn("sender", sender_process, &senderStep);
    machine.spawn("receiver", receiver_process, &receiverStep);
}

fn setUpLift() void {
    setUp();
    world().may_lift = true;
}

/// The sender leaves its barrier out.
fn setUpLight() void {
    setUp();
    world().direction.barrier = @bitCast(carrier.BarrierState{ .mode = .light, .epoch = 1 });
}

fn world() *World {
    return machine.world(World);
}

fn bellsOf(w: *World) Bells {
    return .{ .rung = &w.rung };
}

// -- the sender -----------------------------------------------------------------------------------

/// One call of the application into the library.
fn senderStep() machine.Next {
    const w = world();
    var s = Sender.init(&w.direction, &w.tx, &w.ring);
    const asked = s.inRing() and s.flags() & layout.attn_flag_want != 0;
    if (w.sent == stream_bytes and !asked) return senderEnd(w);
    if (machine.choose("stay in user code for ever", 2) == 1) machine.idle();
    if (asked) {
        senderGivesBack(w, &s);
    } else if (s.inRing()) {
        const free = s.space(1) orelse return corrupt();
        if (free == 0) sleepForSpace(w, &s) else sendByRing(w, &s, free);
    } else if (w.phase == .library and !w.may_leave and s.enter(&w.kernel)) {
        return .again; // only the lift lets it
    } else {
        machine.wait("sleep until tcp takes bytes", &isWritable, 0);
        if (w.kernel.trySend(&.{@intCast(w.sent)}, 1) == null) return senderEnd(w);
        w.sent += 1;
        machine.ghost(&w.accepted, w.sent);
    }
    return .again;
}

/// A send of one or two bytes, published at once.
fn sendByRing(w: *World, s: *Sender, free: u64) void {
    const start = w.sent;
    const two = free > 1 and stream_bytes - start > 1 and machine.choose("send two bytes", 2) == 1;
    const bytes = [2]u8{ @intCast(start), @intCast(start + 1) };
    const message = bytes[0..if (two) 2 else 1];
    if (start % 2 == 1 and s.put(message, ring_bytes)) {
        Wake.notifyOfBytes(&w.direction, &w.tx.rang, bellsOf(w));
    } else {
        _ = s.append(message);
        s.publish(bellsOf(w));
    }
    w.sent = s.head;
    if (s.flags() & layout.attn_flag_want != 0) senderGivesBack(w, s);
    machine.ghost(&w.accepted, w.sent);
}

/// The receiver wants its bytes over TCP; this socket does not block, so bytes of the present call
/// that do not fit are not sent after all.
fn senderGivesBack(w: *World, s: *Sender) void {
    switch (s.leave(&w.kernel, bellsOf(w))) {
        .tcp, .kernel_full => w.sent = s.head,
        .corrupt => _ = corrupt(),
    }
    if (s.inRing()) machine.wait("sleep until tcp takes bytes", &isWritable, 0);
    if (w.kernel.receiver_gone) machine.idle();
}

fn sleepForSpace(w: *World, s: *Sender) void {
    Env.store(.relaxed, &w.direction.psleep_mark, s.head - ring_bytes + 1);
    const value = kernel_module.waitValue(.thread, sender_bell, &w.sender_epoch);
    const index = Wake.arm(&w.direction.psleep, value).?;
    const asked = s.flags() & layout.attn_flag_want != 0;
    if (!asked and s.space(1) == 0) machine.wait("sleep for space", &senderWakes, 0);
    w.rung[sender_bell] = false;
    Wake.disarm(&w.direction.psleep, index);
    if (w.kernel.receiver_gone) machine.idle();
}

fn senderEnd(w: *World) machine.Next {
    w.kernel.shutdown();
    w.sender_done = true;
    return .done;
}

fn isWritable(_: usize) bool {
    return world().kernel.writable();
}

fn senderWakes(_: usize) bool {
    return world().rung[sender_bell] or world().kernel.receiver_gone;
}

fn corrupt() machine.Next {
    machine.fail("corrupt, though nobody lied", .{});
    return .done;
}

// -- the receiver ---------------------------------------------------------------------------------

fn receiverStep() machine.Next {
    const w = world();
    var r: Receiver = .{ .direction = &w.direction, .end = &w.rx, .ring = &w.ring };
    switch (w.phase) {
        .library => {
            if (w.may_leave and machine.choose("leave for good", 2) == 1) return recall(w, &r);
            return receive(w, &r);
        },
        .recalling => {
            const time_is_up = machine.choose("time is up", 2) == 1;
            machine.call("poll for the end of the stream");
            if (r.recallDone()) {
                w.phase = .plain;
            } else if (time_is_up or w.kernel.fin or w.kernel.reset) {
                w.phase = .taking_back;
            }
        },
        .taking_back => return takeBack(w, &r),
        .plain => {
            if (w.may_lift and machine.choose("the plain program ends", 2) == 1) {
                w.may_lift = false;
                w.phase = .lifting;
                return .again;
            }
            return receivePlain(w);
        },
        .lifting => {
            if (!r.recallLift()) return receive(w, &r);
            w.phase = .library;
        },
    }
    return .again;
}

fn recall(w: *World, r: *Receiver) machine.Next {
    w.may_leave = false;
    w.phase = switch (r.recall(&w.kernel, bellsOf(w))) {
        .left => .plain,
        .waiting => .recalling,
        .corrupt => return corrupt(),
    };
    return .again;
}

/// The sender did not answer in time, or has ended.
fn takeBack(w: *World, r: *Receiver) machine.Next {
    if (r.recallDone()) {
        w.phase = .plain;
        return .again;
    }
    if (r.recallCancel()) {
        w.phase = .library;
        return .again;
    }
    // It is moving the bytes right now (or died in the middle): what it has moved can be read.
    switch (w.kernel.receive()) {
        .byte => |byte| return received(w, byte),
        .end, .reset => {
            if (r.ended(&w.kernel)) return receiverEnd(w);
            w.phase = .library;
        },
        .nothing => machine.waitQuietly("wait for the moving sender", &isMoved, 0),
    }
    return .again;
}

fn receive(w: *World, r: *Receiver) machine.Next {
    switch (r.sourceFor(1, &w.kernel)) {
        .ring => {
            var byte: [1]u8 = undefined;
            _ = r.copy(0, &byte);
            const next = received(w, byte[0]);
            r.consume(1, bellsOf(w));
            return next;
        },
        .ring_empty => switch (w.kernel.peek()) {
            .end, .reset => return if (r.ended(&w.kernel)) receiverEnd(w) else .again,
            .byte, .nothing => {},
        },
        .kernel => switch (w.kernel.receive()) {
            .byte => |byte| return received(w, byte),
            .end, .reset => return if (r.ended(&w.kernel)) receiverEnd(w) else .again,
            .nothing => {},
        },
        .corrupt => return corrupt(),
    }
    const value = kernel_module.waitValue(.thread, receiver_bell, &w.receiver_epoch);
    const index = Wake.armForBytes(&w.direction, value).?;
    if (!r.pending(&w.kernel)) machine.waitQuietly("sleep for data", &receiverWakes, 0);
    w.rung[receiver_bell] = false;
    Wake.disarm(&w.direction.attn, index);
    return .again;
}

/// The program without the library: it knows the kernel only.
fn receivePlain(w: *World) machine.Next {
    machine.waitQuietly("plain program reads", &isReadable, 0);
    return switch (w.kernel.receive()) {
        .byte => |byte| received(w, byte),
        .end, .reset => receiverEnd(w),
        .nothing => .again,
    };
}

fn received(w: *World, byte: u8) machine.Next {
    if (byte != w.received) machine.fail("byte {d} arrives at position {d}", .{ byte, w.received });
    w.received += 1;
    return .again;
}

fn receiverEnd(w: *World) machine.Next {
    if (w.received < w.accepted) {
        machine.fail("end of stream at {d} of {d} bytes", .{ w.received, w.accepted });
    }
    w.receiver_done = true;
    return .done;
}

fn receiverWakes(_: usize) bool {
    return world().rung[receiver_bell] or world().kernel.readable();
}

fn isReadable(_: usize) bool {
    return world().kernel.readable();
}

fn isMoved(_: usize) bool {
    return world().kernel.readable() or gateKind(world()) != .busy;
}

fn gateKind(w: *World) carrier.GateTag {
    return carrier.Gate.from(w.direction.gate).kind();
}

// -- the end --------------------------------------------------------------------------------------

/// Nothing moves any more: a receiver may sleep only if it has all that send() has accepted.
fn finish() void {
    const w = world();
    if (!machine.alive(receiver_process)) return;
    if (w.received < w.accepted) {
        machine.fail("the receiver sleeps, {d} of {d} bytes read", .{ w.received, w.accepted });
    }
    if (w.kernel.fin and !w.receiver_done) machine.fail("the receiver never saw the end", .{});
}

fn possibleKills() u8 {
    const w = world();
    if (w.killed or w.sender_done) return 0;
    return 0b11;
}

fn kill(event: u3) void {
    const w = world();
    w.killed = true;
    machine.kill(if (event == 0) sender_process else receiver_process);
    if (event == 0) w.kernel.killSender(false) else w.kernel.killReceiver();
}

fn killName(event: u3) []const u8 {
    return if (event == 0) "SIGKILL for the sender" else "SIGKILL for the receiver";
}
