//! Steps in the life of connections, descriptors and processes: connect, dup, fork, exit, kill, and
//! what makes a connection leave its ring.

const std = @import("std");
const conductor = @import("conductor.zig");
const libc = @import("../libc.zig");
const stream = @import("steps_stream.zig");
const wire = @import("wire.zig");
const world = @import("world.zig");
const Step = @import("program.zig").Step;

const Command = wire.Command;
const Conductor = conductor.Conductor;
const Over = conductor.Over;
const World = world.World;

const processes_a_side_max = 4;
const warm_up_bytes = 8;

// -- connections ----------------------------------------------------------------------------------

/// A new connection and a few exchanges on it, after which it is where it wants to be.
pub fn connect(c: *Conductor, step: *const Step) Over!void {
    if (c.w.ends.count + 2 > world.ends_max) return;
    const client = c.w.chooseProcess(step, 0);
    const server_root = c.w.rootOf(c.w.processes.items[client].side ^ 1);
    const server = chooseOfSide(c, step, c.w.processes.items[server_root].side);
    const root = c.w.processes.items[server_root];
    const nonblocking = step.chance(2, 25);
    var open: Command = .{ .op = if (nonblocking) .connect_nonblock else .connect, .a = @intCast(step.below(3, 2)) };
    open.b = root.port;
    const opener = c.w.chooseActor(step, 4, client);
    const opened = try c.call(opener, &open, "{s}({s}, v{d})", .{
        @tagName(open.op), nameOfProcess(c, server_root), @as(u8, if (open.a == 0) 4 else 6),
    });
    if (opened.value < 0) return c.over("connect failed", .{});
    const flags = step.pick(5, c_int, &.{ 0, 0, 0, libc.SOCK_NONBLOCK });
    const accept: Command = .{ .op = .accept, .fd = root.listener, .flags = flags };
    const acceptor = c.w.chooseActor(step, 5, server);
    const accepted = try c.call(acceptor, &accept, "accept4({d}, 0x{x})", .{ root.listener, flags });
    if (accepted.value < 0) return c.over("accept failed", .{});
    const index: u8 = @intCast(c.w.ends.count);
    _ = c.w.ends.add(.{ .nonblocking = nonblocking });
    _ = c.w.ends.add(.{ .nonblocking = flags != 0 });
    _ = c.w.holders.add(.{ .end = index, .process = client, .fd = @intCast(opened.value) });
    _ = c.w.holders.add(.{ .end = index + 1, .process = server, .fd = @intCast(accepted.value) });
    const delay: Command = .{ .op = .setsockopt, .fd = @intCast(accepted.value), .b = libc.IPPROTO_TCP, .flags = 1, .a = 1 };
    var reply: wire.Reply = .{};
    try c.ask(acceptor, &delay, &reply);
    if (step.chance(1, 10)) return;
    for (0..3) |_| {
        try exchange(c, step, index);
        try exchange(c, step, index + 1);
    }
}

fn exchange(c: *Conductor, step: *const Step, index: u8) Over!void {
    const from = c.w.chooseHolder(step, 1, index).?;
    const to = c.w.chooseHolder(step, 1, index ^ 1).?;
    var put: Command = .{ .op = .send_all, .fd = from.fd, .count = warm_up_bytes, .stream = index };
    put.position = c.w.end(index).sent;
    var reply: wire.Reply = .{};
    try c.ask(c.w.chooseActor(step, 4, from.process), &put, &reply);
    stream.sent(c, index, reply.value);
    var get: Command = .{ .op = .recv_all, .fd = to.fd, .count = warm_up_bytes, .stream = index };
    get.position = c.w.peerOf(index).received;
    try c.ask(c.w.chooseActor(step, 5, to.process), &get, &reply);
    if (reply.value > 0) c.w.peerOf(index).received += @intCast(reply.value);
    if (reply.value != warm_up_bytes or reply.wrong_at >= 0) {
        c.say("the warm-up of {f} received {d}, wrong at {d}", .{ conductor.endName(index ^ 1), reply.value, reply.wrong_at });
    }
}

fn chooseOfSide(c: *Conductor, step: *const Step, side: u1) u8 {
    var left = step.below(1, countOfSide(c, side));
    for (c.w.processes.slice(), 0..) |p, i| {
        if (!p.alive or p.side != side) continue;
        if (left == 0) return @intCast(i);
        left -= 1;
    }
    unreachable; // both sides always have a process
}

fn countOfSide(c: *Conductor, side: u1) u64 {
    var count: u64 = 0;
    for (c.w.processes.slice()) |p| count += @intFromBool(p.alive and p.side == side);
    return count;
}

fn nameOfProcess(c: *Conductor, process: u8) []const u8 {
    return std.mem.sliceTo(&c.w.processes.items[process].name, 0);
}

// -- descriptors ----------------------------------------------------------------------------------

pub fn duplicate(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, World.any) orelse return connect(c, step);
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    if (c.w.holderCount(index) > 6) return closeOne(c, step);
    const op = step.pick(3, wire.Op, &.{ .dup, .dup2, .dup2, .fcntl_dup });
    var command: Command = .{ .op = op, .fd = holder.fd };
    if (op == .dup2) command.flags = 60 + @as(c_int, @intCast(step.below(4, 6)));
    const replaced = heldAt(c, holder.process, command.flags);
    if (op == .dup2) if (replaced) |other| {
        if (!c.w.mayClose(other)) return;
        try c.settle(other.end);
    };
    const actor = c.w.chooseActor(step, 2, holder.process);
    const reply = try c.call(actor, &command, "{s}({f}, {d})", .{ @tagName(op), conductor.name(holder), command.flags });
    if (reply.value < 0 or reply.value == holder.fd) return;
    if (op == .dup2) if (replaced) |other| c.w.drop(other);
    _ = c.w.holders.add(.{ .end = index, .process = holder.process, .fd = @intCast(reply.value) });
}

fn heldAt(c: *Conductor, process: u8, fd: c_int) ?world.Holder {
    for (c.w.holders.slice()) |holder| {
        if (holder.process == process and holder.fd == fd) return holder;
    }
    return null;
}

pub fn closeOne(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, isShared) orelse return duplicate(c, step);
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    if (!c.w.mayClose(holder)) return;
    try c.settle(index);
    try stream.closeHolder(c, step, holder);
}

fn isShared(_: void, w: *World, index: u8) bool {
    return w.holderCount(index) > 1;
}

// -- processes ------------------------------------------------------------------------------------

pub fn thread(c: *Conductor, step: *const Step) Over!void {
    const process = c.w.chooseProcess(step, 0);
    const p = c.w.processes.items[process];
    const place = c.w.freePlace(p.root, wire.channels) orelse return;
    const actor = c.w.chooseActor(step, 1, process);
    const command: Command = .{ .op = .thread, .a = @intCast(place) };
    _ = try c.call(actor, &command, "pthread_create", .{});
    var suffix: [8]u8 = undefined;
    const text = std.fmt.bufPrint(&suffix, "/t{d}", .{place}) catch unreachable;
    _ = try c.addActor(process, place, text);
}

pub fn fork(c: *Conductor, step: *const Step) Over!void {
    const process = c.w.chooseProcess(step, 0);
    const p = c.w.processes.items[process];
    if (countOfSide(c, p.side) >= processes_a_side_max) return endChild(c, step, false);
    const place = c.w.freePlace(p.root, wire.channels) orelse return endChild(c, step, false);
    const actor = c.w.chooseActor(step, 1, process);
    const command: Command = .{ .op = .fork, .a = @intCast(place) };
    var reply: wire.Reply = .{};
    try c.ask(actor, &command, &reply);
    if (reply.value < 0) return c.over("fork failed", .{});
    c.w.children_made += 1;
    var child: world.Process = .{ .side = p.side, .root = p.root, .parent = process, .pid = @intCast(reply.a) };
    const name = std.fmt.bufPrint(&child.name, "{c}.c{d}", .{ p.name[0], c.w.children_made }) catch unreachable;
    c.say("{s} fork = {s}", .{ conductor.nameOf(actor), name });
    const number: u8 = @intCast(c.w.processes.count);
    try c.addProcess(child);
    c.w.inherit(process, number);
    _ = try c.addActor(number, place, "");
}

/// A child ends by itself, or is killed; sometimes while it sleeps in a call.
pub fn endChild(c: *Conductor, step: *const Step, killed: bool) Over!void {
    const number = chooseChild(c, step) orelse return connect(c, step);
    const p = c.w.processes.items[number];
    try readFirst(c, step, p.side);
    try c.settleSide(p.side);
    const actor = c.w.mainActor(number);
    if (killed) {
        try sleepFirst(c, step, number);
        c.say("{s} is killed", .{nameOfProcess(c, number)});
        c.kill(number);
    } else {
        c.say("{s} _exit(5)", .{nameOfProcess(c, number)});
        try c.begin(actor, &.{ .op = .exit, .a = 5 });
        c.untilGone(number);
    }
    c.w.bury(number);
    const parent = p.parent.?;
    if (!c.w.processes.items[parent].alive) return c.reap();
    const wait: Command = .{ .op = .wait_child, .a = p.pid };
    var reply: wire.Reply = .{};
    const waiter = c.w.mainActor(parent);
    try c.ask(waiter, &wait, &reply);
    c.tell(waiter, &reply, "waitpid({s}): status 0x{x}", .{ nameOfProcess(c, number), reply.a });
}

fn chooseChild(c: *Conductor, step: *const Step) ?u8 {
    var found: [64]u8 = undefined;
    var count: usize = 0;
    for (c.w.processes.slice(), 0..) |p, i| {
        if (!p.alive or p.parent == null) continue;
        found[count] = @intCast(i);
        count += 1;
    }
    return if (count == 0) null else found[@intCast(step.below(0, count))];
}

/// Linux resets a connection of a killed process that has not read all. With bytes on both carriers
/// on their way to the survivor that comes late (a listed difference): he reads his first.
fn readFirst(c: *Conductor, step: *const Step, side: u1) Over!void {
    for (0..c.w.ends.count) |i| {
        const index: u8 = @intCast(i);
        if (c.w.end(index).closed or c.w.waiting(index ^ 1) == 0) continue;
        const holder = c.w.chooseHolder(step, 1, index) orelse continue;
        if (c.w.processes.items[holder.process].side == side) continue;
        try stream.drainEnd(c, step, index);
        // The library knows nothing of descriptors that came by SCM_RIGHTS, and does not tell how the
        // peer ended where one of the two had shut down (listed, too).
        const shut = c.w.end(index).shut_write or c.w.end(index ^ 1).shut_write;
        if (c.w.end(index).passed or shut) try stream.drainEnd(c, step, index ^ 1);
    }
}

/// In half of the cases its main thread is in the middle of a call when it is killed.
fn sleepFirst(c: *Conductor, step: *const Step, process: u8) Over!void {
    if (step.chance(1, 50)) return;
    for (c.w.holders.slice()) |holder| {
        const e = c.w.end(holder.end);
        if (holder.process != process or e.nonblocking or e.has_timeout) continue;
        if (!c.w.wouldWait(holder.end, 1 << 20)) continue;
        const command: Command = .{ .op = .recv, .fd = holder.fd, .count = 1 << 20, .flags = libc.MSG_WAITALL };
        // Bytes that it has taken by then would be gone with it.
        if (c.w.waiting(holder.end) > 0) continue;
        const actor = c.w.mainActor(process);
        try c.begin(actor, &command);
        const slept = try c.untilAsleep(actor);
        c.say("{s} {s} in recv({f})", .{
            conductor.nameOf(actor), if (slept) "sleeps" else "does not sleep", conductor.name(holder),
        });
        return;
    }
}

/// All processes of a side are killed, and a new one takes its place.
pub fn killSide(c: *Conductor, step: *const Step) Over!void {
    const side: u1 = @intCast(step.below(0, 2));
    try readFirst(c, step, side);
    try c.settleSide(side);
    try sleepFirst(c, step, c.w.rootOf(side));
    c.say("all of {c} is killed", .{@as(u8, if (side == 0) 'A' else 'B')});
    for (0..c.w.processes.count) |number| {
        const p = c.w.processes.items[number];
        if (!p.alive or p.side != side) continue;
        c.kill(@intCast(number));
        c.w.bury(@intCast(number));
    }
    try c.startSide(side);
    try connect(c, step);
}

// -- away from the ring ---------------------------------------------------------------------------

/// What sends the connection to kernel TCP, for a while or for good.
pub fn move(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, maySend) orelse return connect(c, step);
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    const called = conductor.name(holder);
    // Bytes that lie in a ring have to be sent again by the peer's process, which sleeps here until
    // it gets its turn; that is a listed difference (recall_timeout), so none may be there.
    try drainProcess(c, step, holder.process);
    var command: Command = .{ .op = .dprintf, .fd = holder.fd, .count = 1 + step.below(4, 200) };
    command.stream = index;
    command.position = c.w.end(index).sent;
    switch (step.below(3, 10)) {
        0, 1, 2, 3 => {
            command.op = .system;
            _ = try c.call(actor, &command, "system(\"exit 3\")", .{});
        },
        4, 5 => {
            command.op = .program_writes;
            command.a = @intCast(step.below(5, 2));
            const reply = try c.call(actor, &command, "an executed program ({s}) writes({f}, {d})", .{
                if (command.a == 0) "as we are" else "plain", called, command.count,
            });
            stream.sent(c, index, reply.value);
        },
        6 => {
            const reply = try c.call(actor, &command, "dprintf({f}, {d})", .{ called, command.count });
            stream.sent(c, index, reply.value);
        },
        7 => {
            command.op = .pass_to_self;
            const reply = try c.call(actor, &command, "SCM_RIGHTS({f})", .{called});
            if (reply.value < 0) return;
            c.w.end(index).passed = true;
            _ = c.w.holders.add(.{ .end = index, .process = holder.process, .fd = @intCast(reply.value) });
        },
        else => try urgent(c, step, index, holder),
    }
}

fn drainProcess(c: *Conductor, step: *const Step, process: u8) Over!void {
    for (0..c.w.holders.count) |i| {
        const holder = c.w.holders.items[i];
        if (holder.process != process) continue;
        if (c.w.waiting(holder.end) > 0) try stream.drainEnd(c, step, holder.end);
        // Bytes in a ring that the peer has not entered, because the kernel has others for it, are
        // sent again over TCP: an edge that it is told once more, a listed difference.
        const peer = holder.end ^ 1;
        if (!c.w.end(peer).closed and c.w.end(peer).edges_of_in) try stream.drainEnd(c, step, peer);
    }
}

fn maySend(_: void, w: *World, index: u8) bool {
    const e = w.end(index);
    const peer = w.peerOf(index);
    return !e.shut_write and !e.reset and !peer.closed and w.waiting(index ^ 1) < 20_000;
}

/// An urgent byte, when nothing else is on its way, and its receipt; it is not in the stream.
fn urgent(c: *Conductor, step: *const Step, index: u8, holder: world.Holder) Over!void {
    const other = index ^ 1;
    if (c.w.waiting(other) > 0 or c.w.end(other).shut_read or c.w.endsFor(other)) return;
    const to = c.w.chooseHolder(step, 4, other) orelse return;
    const put: Command = .{ .op = .send, .fd = holder.fd, .count = 1, .flags = libc.MSG_OOB };
    const sender = c.w.chooseActor(step, 2, holder.process);
    const sent = try c.call(sender, &put, "send({f}, 1, OOB)", .{conductor.name(holder)});
    if (sent.value != 1) return;
    const receiver = c.w.chooseActor(step, 5, to.process);
    var settle: Command = .{ .op = .settle, .entry_count = 1 };
    settle.entries[0] = .{ .fd = to.fd, .events = libc.POLLPRI, .data = other };
    var reply: wire.Reply = .{};
    try c.ask(receiver, &settle, &reply);
    if (reply.value != 0) return c.over("{f} is not told of the urgent byte", .{conductor.endName(other)});
    var get: Command = .{ .op = .recv, .fd = to.fd, .count = 1, .flags = libc.MSG_OOB };
    get.stream = 0;
    get.position = 0;
    _ = try c.call(receiver, &get, "recv({f}, 1, OOB)", .{conductor.name(to)});
    get.flags = libc.MSG_DONTWAIT;
    _ = try c.call(receiver, &get, "recv({f}, 1, DONTWAIT)", .{conductor.name(to)});
}
