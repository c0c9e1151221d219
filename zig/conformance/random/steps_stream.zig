//! Steps that send, receive, ask and end.

const std = @import("std");
const conductor = @import("conductor.zig");
const libc = @import("../libc.zig");
const text = @import("../text.zig");
const wire = @import("wire.zig");
const world = @import("world.zig");
const Step = @import("program.zig").Step;

const Command = wire.Command;
const Conductor = conductor.Conductor;
const Over = conductor.Over;
const World = world.World;

/// Bytes in flight in one direction beyond which steps do not send: less than half of the smallest
/// ring, and far from what the kernel holds. So nothing is ever full but where a step wants it.
const in_flight_max = 24_000;

const TCP_NODELAY = 1;
const TCP_QUICKACK = 12;
const SO_ERROR = 4;
const SO_KEEPALIVE = 9;
const SO_LINGER = 13;
const SO_RCVLOWAT = 18;
const SO_RCVTIMEO = 20;
const SO_TYPE = 3;

// -- sending --------------------------------------------------------------------------------------

pub fn send(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, World.any) orelse return;
    if (c.w.waiting(index ^ 1) >= in_flight_max and !c.w.peerOf(index).closed) return drainEnd(c, step, index ^ 1);
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    const e = c.w.end(index);
    if (c.w.endsFor(index) or e.reset) try c.settleIn(holder.process, index);
    const room = in_flight_max -| c.w.waiting(index ^ 1);
    const ops = [_]wire.Op{ .send, .send, .send, .send, .write, .writev, .sendmsg, .sendfile };
    const flag_choices = [_]c_int{ 0, 0, libc.MSG_NOSIGNAL, libc.MSG_DONTWAIT };
    var command: Command = .{ .op = step.pick(3, wire.Op, &ops), .fd = holder.fd };
    command.count = step.size(4, @max(1, room));
    command.stream = index;
    command.position = e.sent;
    const has_flags = command.op == .send or command.op == .sendmsg;
    if (has_flags) command.flags = step.pick(5, c_int, &flag_choices);
    const reply = try c.call(actor, &command, "{s}({f}, {d}, {f})", .{
        @tagName(command.op), conductor.name(holder), command.count, text.messageFlags(command.flags),
    });
    sent(c, index, reply.value);
}

/// Notes what has been sent from this end.
pub fn sent(c: *Conductor, index: u8, count: i64) void {
    if (count <= 0) return;
    const e = c.w.end(index);
    const peer = c.w.peerOf(index);
    e.sent += @intCast(count);
    // Nobody takes them: the other end answers with a reset, and has had one itself if it is open.
    if (peer.closed or (peer.shut_write and peer.shut_read)) {
        e.reset = true;
        peer.reset = true;
    }
}

// -- receiving ------------------------------------------------------------------------------------

pub fn receive(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, step, prefersData) orelse
        c.w.chooseEnd(step, 0, {}, World.any) orelse return;
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    const e = c.w.end(index);
    const waiting = c.w.waiting(index);
    const ops = [_]wire.Op{ .recv, .recv, .recv, .recv, .recv, .read, .readv, .recvmsg };
    const flag_choices = [_]c_int{
        0,                                    0,                 0,
        libc.MSG_DONTWAIT,                    libc.MSG_DONTWAIT, libc.MSG_PEEK,
        libc.MSG_PEEK | libc.MSG_DONTWAIT,    libc.MSG_WAITALL,  libc.MSG_WAITALL,
        libc.MSG_WAITALL | libc.MSG_PEEK,     libc.MSG_TRUNC,    libc.MSG_TRUNC | libc.MSG_DONTWAIT,
        libc.MSG_WAITALL | libc.MSG_DONTWAIT,
    };
    var command: Command = .{ .op = step.pick(3, wire.Op, &ops), .fd = holder.fd };
    command.count = switch (step.below(4, 4)) {
        0 => step.size(4, @max(1, waiting)),
        1 => @max(1, waiting),
        2 => waiting + 1 + step.dice[4] % 97,
        else => step.size(4, 40_000),
    };
    const has_flags = command.op == .recv or command.op == .recvmsg;
    if (has_flags) command.flags = step.pick(5, c_int, &flag_choices);
    if (command.op == .recvmsg) command.flags &= ~@as(c_int, libc.MSG_TRUNC);
    const all = command.flags & libc.MSG_WAITALL != 0;
    const blocks = !e.nonblocking and command.flags & libc.MSG_DONTWAIT == 0;
    const needed = if (all) command.count else @min(command.count, e.low_water);
    const short = needed > waiting and !c.w.endsFor(index) and !e.reset and !e.shut_read;
    if (blocks and short and !e.has_timeout) {
        if (!has_flags) command.op = .recv;
        command.flags |= libc.MSG_DONTWAIT;
    }
    command.stream = index ^ 1;
    command.position = e.received;
    // All that is waited for comes by itself: then nobody need look first.
    if (!all or short or needed > waiting or step.chance(5, 50)) try c.settle(index);
    const reply = try c.call(actor, &command, "{s}({f}, {d}, {f})", .{
        @tagName(command.op), conductor.name(holder), command.count, text.messageFlags(command.flags),
    });
    if (reply.value > 0 and command.flags & libc.MSG_PEEK == 0) e.received += @intCast(reply.value);
}

fn prefersData(step: *const Step, w: *World, index: u8) bool {
    return step.chance(0, 15) or w.waiting(index) > 0;
}

pub fn drain(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, hasData) orelse return receive(c, step);
    return drainEnd(c, step, index);
}

fn hasData(_: void, w: *World, index: u8) bool {
    return w.waiting(index) > 0;
}

/// Receives all that is on its way to this end.
pub fn drainEnd(c: *Conductor, step: *const Step, index: u8) Over!void {
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    const e = c.w.end(index);
    // What had not come before a reset never does.
    var command: Command = .{ .op = .recv_all, .fd = holder.fd, .count = c.w.waiting(index) };
    command.stream = index ^ 1;
    command.position = e.received;
    if (command.count == 0) return;
    if (e.has_timeout or e.low_water > 1) try c.settle(index);
    const reply = try c.call(actor, &command, "recv all({f}, {d})", .{ conductor.name(holder), command.count });
    if (reply.value > 0) e.received += @intCast(reply.value);
}

/// Much more than a ring holds, sent by one side while the other receives.
pub fn bulk(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, carriesBulk) orelse return send(c, step);
    const from = c.w.chooseHolder(step, 1, index) orelse return;
    const to = c.w.chooseHolder(step, 2, index ^ 1) orelse return;
    const sender = c.w.chooseActor(step, 1, from.process);
    const receiver = c.w.chooseActor(step, 2, to.process);
    const e = c.w.end(index);
    const peer = c.w.peerOf(index);
    var put: Command = .{ .op = .send_all, .fd = from.fd, .stream = index, .position = e.sent };
    put.count = 60_000 + step.below(3, 2_000_000);
    put.a = step.pick(4, i64, &.{ 0, 0, 0, 65_000, 10_000, 3_000 });
    put.flags = step.pick(5, c_int, &.{ 0, 0, libc.MSG_DONTWAIT });
    var get: Command = .{ .op = .recv_all, .fd = to.fd, .stream = index, .position = peer.received };
    get.count = c.w.waiting(index ^ 1) + put.count;
    // Sometimes so late that a full ring is left for the kernel's buffers.
    get.a = if (step.chance(5, 12)) 90 else 0;
    try c.begin(sender, &put);
    try c.begin(receiver, &get);
    var reply: wire.Reply = .{};
    try c.hear(receiver, "recv_all", &reply);
    c.tell(receiver, &reply, "recv all({f}, {d}), {d} ms late", .{ conductor.name(to), get.count, get.a });
    if (reply.value > 0) peer.received += @intCast(reply.value);
    var other: wire.Reply = .{};
    try c.hear(sender, "send_all", &other);
    c.tell(sender, &other, "send all({f}, {d}, {f}), {d} at a time", .{
        conductor.name(from), put.count, text.messageFlags(put.flags), put.a,
    });
    sent(c, index, other.value);
}

fn carriesBulk(_: void, w: *World, index: u8) bool {
    const e = w.end(index);
    const peer = w.peerOf(index);
    return !e.edges_of_out and !e.shut_write and !e.reset and !e.has_timeout and
        !peer.closed and !peer.shut_read and !peer.reset and !peer.has_timeout and peer.low_water == 1;
}

// -- questions ------------------------------------------------------------------------------------

pub fn ask(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, World.any) orelse return;
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    const e = c.w.end(index);
    try c.settle(index);
    var command: Command = .{ .op = .fionread, .fd = holder.fd };
    const called = conductor.name(holder);
    switch (step.below(3, 6)) {
        0, 1 => {
            var reply: wire.Reply = .{};
            try c.ask(actor, &command, &reply);
            c.tell(actor, &reply, "ioctl({f}, FIONREAD): {d}", .{ called, reply.a });
        },
        2 => {
            if (e.passed or e.reset) return;
            command.op = .bytes_received;
            var reply: wire.Reply = .{};
            try c.ask(actor, &command, &reply);
            c.tell(actor, &reply, "TCP_INFO({f}): {d} bytes received", .{ called, reply.a });
        },
        else => |which| {
            command.op = .getsockopt;
            command.b = libc.SOL_SOCKET;
            command.flags = ([_]c_int{ SO_ERROR, SO_RCVLOWAT, SO_TYPE })[@intCast(which - 3)];
            var reply: wire.Reply = .{};
            try c.ask(actor, &command, &reply);
            c.tell(actor, &reply, "getsockopt({f}, {d}): {d}", .{ called, command.flags, reply.a });
        },
    }
}

pub fn option(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, World.any) orelse return;
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    const e = c.w.end(index);
    const called = conductor.name(holder);
    if (c.w.endsFor(index) or e.reset) try c.settle(index);
    var command: Command = .{ .op = .setsockopt, .fd = holder.fd, .b = libc.SOL_SOCKET };
    switch (step.below(3, 8)) {
        0, 1 => {
            if (c.w.hasEdgesElsewhere(index)) return;
            command.flags = SO_RCVLOWAT;
            command.a = step.pick(4, i64, &.{ 1, 1, 1, 10, 500 });
            const reply = try c.call(actor, &command, "setsockopt({f}, SO_RCVLOWAT, {d})", .{ called, command.a });
            if (reply.value == 0) e.low_water = @intCast(command.a);
        },
        2 => {
            command.op = .set_timeout;
            command.flags = SO_RCVTIMEO;
            command.a = step.pick(4, i64, &.{ 0, 0, 8 });
            const reply = try c.call(actor, &command, "setsockopt({f}, SO_RCVTIMEO, {d} ms)", .{ called, command.a });
            if (reply.value == 0) e.has_timeout = command.a > 0;
        },
        3, 4, 5 => {
            command.op = .set_nonblock;
            command.a = @intCast(step.below(4, 2));
            const reply = try c.call(actor, &command, "fcntl({f}, O_NONBLOCK {d})", .{ called, command.a });
            if (reply.value == 0) e.nonblocking = command.a != 0;
        },
        6 => {
            command.flags = SO_KEEPALIVE;
            command.a = @intCast(step.below(4, 2));
            _ = try c.call(actor, &command, "setsockopt({f}, SO_KEEPALIVE, {d})", .{ called, command.a });
        },
        else => {
            command.b = libc.IPPROTO_TCP;
            command.flags = step.pick(4, c_int, &.{ TCP_NODELAY, TCP_QUICKACK });
            command.a = 1;
            _ = try c.call(actor, &command, "setsockopt({f}, TCP {d}, 1)", .{ called, command.flags });
        },
    }
}

// -- ends -----------------------------------------------------------------------------------------

pub fn shutdown(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, World.any) orelse return;
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    if (c.w.hasEdgesElsewhere(index)) return;
    const how = step.pick(3, c_int, &.{ libc.SHUT_WR, libc.SHUT_WR, libc.SHUT_WR, libc.SHUT_RD, libc.SHUT_RDWR });
    try c.settle(index);
    const command: Command = .{ .op = .shutdown, .fd = holder.fd, .flags = how };
    const reply = try c.call(actor, &command, "shutdown({f}, {s})", .{
        conductor.name(holder), ([_][]const u8{ "RD", "WR", "RDWR" })[@intCast(how)],
    });
    if (reply.value == 0) isShut(c, index, how);
}

pub fn isShut(c: *Conductor, index: u8, how: c_int) void {
    if (how != libc.SHUT_RD) c.w.end(index).shut_write = true;
    if (how != libc.SHUT_WR) c.w.end(index).shut_read = true;
}

/// Closes every descriptor of an end: with SO_LINGER of nothing, by a reset.
pub fn closeEnd(c: *Conductor, step: *const Step, resets: bool) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, World.any) orelse return;
    // What is on its way when it closes must have come, or not, but not perhaps.
    try c.settle(index);
    if (resets) {
        const holder = c.w.chooseHolder(step, 1, index) orelse return;
        const command: Command = .{ .op = .set_linger, .fd = holder.fd, .flags = SO_LINGER, .b = libc.SOL_SOCKET };
        const actor = c.w.chooseActor(step, 2, holder.process);
        const reply = try c.call(actor, &command, "setsockopt({f}, SO_LINGER, 0)", .{conductor.name(holder)});
        if (reply.value == 0) c.w.end(index).lingers_not = true;
    }
    while (c.w.chooseHolder(step, 3, index)) |holder| try closeHolder(c, step, holder);
}

pub fn closeHolder(c: *Conductor, step: *const Step, holder: world.Holder) Over!void {
    const actor = c.w.chooseActor(step, 2, holder.process);
    const command: Command = .{ .op = .close, .fd = holder.fd };
    _ = try c.call(actor, &command, "close({f})", .{conductor.name(holder)});
    c.w.drop(holder);
}
