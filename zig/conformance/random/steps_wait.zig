//! Steps that wait for several descriptors, and steps in which somebody sleeps in a call until
//! something happens: bytes, an end, a signal, a kill.

const std = @import("std");
const conductor = @import("conductor.zig");
const libc = @import("../libc.zig");
const stream = @import("steps_stream.zig");
const text = @import("../text.zig");
const waiting = @import("../calls_wait.zig");
const wire = @import("wire.zig");
const world = @import("world.zig");
const Step = @import("program.zig").Step;

const Command = wire.Command;
const Conductor = conductor.Conductor;
const Over = conductor.Over;
const World = world.World;

const SIGUSR1 = 10;
const SIGUSR2 = 12;

const patience_ms = 6;
const registrations_max = 3;

/// poll, ppoll or select of everything that a process has.
pub fn poll(c: *Conductor, step: *const Step) Over!void {
    const process = c.w.chooseProcess(step, 0);
    const actor = c.w.chooseActor(step, 1, process);
    const op = step.pick(2, wire.Op, &.{ .poll, .poll, .ppoll, .select });
    const masks = [_]u32{
        waiting.IN,               waiting.IN | waiting.OUT,                 waiting.OUT,
        waiting.IN | waiting.PRI, waiting.IN | waiting.RDHUP | waiting.OUT, waiting.RDHUP,
    };
    var command: Command = .{ .op = op, .a = if (step.chance(4, 6)) patience_ms else 0 };
    for (c.w.holders.slice()) |holder| {
        if (holder.process != process or command.entry_count == wire.entries_max) continue;
        const mask = masks[@intCast((step.dice[3] >> @intCast(command.entry_count)) % masks.len)];
        command.entries[command.entry_count] = .{ .fd = holder.fd, .events = mask, .data = conductor.dataOf(holder) };
        command.entry_count += 1;
    }
    try c.settleSide(c.w.processes.items[process].side);
    _ = try c.call(actor, &command, "{s}({d} descriptors, {d} ms)", .{ @tagName(op), command.entry_count, command.a });
}

// -- epoll ----------------------------------------------------------------------------------------

pub fn epollCreate(c: *Conductor, step: *const Step) Over!void {
    const process = c.w.chooseProcess(step, 0);
    if (c.w.epoll_count == 8) return epollWait(c, step);
    _ = try createIn(c, step, process);
}

fn createIn(c: *Conductor, step: *const Step, process: u8) Over!?world.EpollHolder {
    const actor = c.w.chooseActor(step, 1, process);
    const command: Command = .{ .op = .epoll_create };
    const reply = try c.call(actor, &command, "epoll_create", .{});
    if (reply.value < 0) return null;
    const made: world.EpollHolder = .{ .epoll = c.w.epoll_count, .process = process, .fd = @intCast(reply.value) };
    c.w.epoll_count += 1;
    _ = c.w.epolls.add(made);
    return made;
}

fn chooseEpoll(c: *Conductor, step: *const Step) ?world.EpollHolder {
    if (c.w.epolls.count == 0) return null;
    return c.w.epolls.items[@intCast(step.below(0, c.w.epolls.count))];
}

pub fn epollCtl(c: *Conductor, step: *const Step) Over!void {
    const ep = chooseEpoll(c, step) orelse return epollCreate(c, step);
    var count: usize = 0;
    for (c.w.holders.slice()) |holder| count += @intFromBool(holder.process == ep.process);
    var left = step.below(1, count);
    const holder = for (c.w.holders.slice()) |holder| {
        if (holder.process != ep.process) continue;
        if (left == 0) break holder;
        left -= 1;
    } else return;
    const op = step.pick(2, waiting.Operation, &.{ .ADD, .ADD, .ADD, .MOD, .MOD, .DEL });
    const interests = [_]u32{
        waiting.IN,                 waiting.IN,               waiting.IN | waiting.OUT,                 waiting.OUT,
        waiting.IN | waiting.RDHUP, waiting.IN | waiting.PRI, waiting.IN | waiting.OUT | waiting.RDHUP, 0,
    };
    const modes = [_]u32{ 0, 0, waiting.ET, waiting.ET, waiting.ONESHOT, waiting.ET | waiting.ONESHOT };
    const mode = step.pick(4, u32, &modes);
    var events = step.pick(3, u32, &interests) | mode;
    // An edge of OUT is told once more when the connection moves: a listed difference.
    if (mode & waiting.ET != 0) events &= ~@as(u32, waiting.OUT);
    // In more than four instances (`blocked` makes one) a connection leaves the ring, for which its
    // peer may have to send again: listed (epoll_shared, recall_timeout).
    if (op == .ADD and c.w.end(holder.end).registrations >= registrations_max) return;
    // Adding looks at once.
    try c.settle(holder.end);
    try controlIn(c, step, ep, op, holder, events);
}

fn controlIn(
    c: *Conductor,
    step: *const Step,
    ep: world.EpollHolder,
    op: waiting.Operation,
    holder: world.Holder,
    events: u32,
) Over!void {
    var command: Command = .{ .op = .epoll_ctl, .fd = ep.fd, .flags = @backingInt(op), .entry_count = 1 };
    command.entries[0] = .{ .fd = holder.fd, .events = events, .data = conductor.dataOf(holder) };
    const actor = c.w.chooseActor(step, 5, ep.process);
    const reply = try c.call(actor, &command, "epoll_ctl(ep{d}@{d}, {s}, {f}, {f})", .{
        ep.epoll, ep.fd, @tagName(op), conductor.name(holder), text.events(events),
    });
    if (op == .ADD and reply.value == 0) {
        c.w.noteRegistered(holder);
        c.w.end(holder.end).registrations += 1;
    }
    if (op == .DEL and reply.value == 0) c.w.end(holder.end).registrations -|= 1;
    const edges = events & (waiting.ET | waiting.ONESHOT) != 0 and events & waiting.OUT != 0;
    if (op != .DEL and edges) c.w.end(holder.end).edges_of_out = true;
    if (op != .DEL and events & waiting.ET != 0) c.w.end(holder.end).edges_of_in = true;
}

pub fn epollWait(c: *Conductor, step: *const Step) Over!void {
    const ep = chooseEpoll(c, step) orelse return poll(c, step);
    const actor = c.w.chooseActor(step, 1, ep.process);
    try c.settleSide(c.w.processes.items[ep.process].side);
    const command: Command = .{ .op = .epoll_wait, .fd = ep.fd, .a = if (step.chance(2, 6)) patience_ms else 0 };
    _ = try c.call(actor, &command, "epoll_wait(ep{d}@{d}, {d} ms)", .{ ep.epoll, ep.fd, command.a });
}

// -- somebody sleeps ------------------------------------------------------------------------------

/// What ends a sleep.
const Event = enum { bytes, two_pieces, half_close, close, signal, signal_then_bytes, handler_sends, own_shutdown };

pub fn blocked(c: *Conductor, step: *const Step) Over!void {
    const index = c.w.chooseEnd(step, 0, {}, mayWait) orelse return stream.receive(c, step);
    const holder = c.w.chooseHolder(step, 1, index) orelse return;
    const actor = c.w.chooseActor(step, 2, holder.process);
    const event = step.pick(3, Event, &.{
        .bytes,             .bytes,         .bytes, .bytes,  .two_pieces,    .half_close,   .close, .signal,
        .signal_then_bytes, .handler_sends, .bytes, .signal, .handler_sends, .own_shutdown, .bytes, .bytes,
    });
    var sleep = Sleep.choose(c, step, index, holder);
    try c.settle(index);
    if (sleep.needs_epoll) try sleep.makeEpoll(c, step);
    if (event == .handler_sends) try armHandler(c, step, actor, index, holder);
    try c.begin(actor, &sleep.command);
    const slept = try c.untilAsleep(actor);
    if (slept) try happen(c, step, &sleep, actor, event);
    var reply: wire.Reply = .{};
    try c.hear(actor, @tagName(sleep.command.op), &reply);
    c.tell(actor, &reply, "{s}({f}, {d}, {f}) {s} {s}", .{
        @tagName(sleep.command.op),
        conductor.name(holder),
        sleep.command.count,
        text.messageFlags(sleep.command.flags),
        if (slept) "slept until" else "did not sleep before",
        @tagName(event),
    });
    if (reply.handler_value > 0) stream.sent(c, index, reply.handler_value);
    const receives = sleep.command.entry_count == 0 and !sleep.needs_epoll;
    if (receives and reply.value > 0) c.w.end(index).received += @intCast(reply.value);
    if (sleep.needs_epoll) try sleep.closeEpoll(c, step);
}

fn mayWait(_: void, w: *World, index: u8) bool {
    const e = w.end(index);
    // Linux wakes a receiver that has taken some bytes already only when SO_RCVLOWAT further ones
    // have come: none at all must be there.
    if (e.low_water > 1 and w.waiting(index) > 0) return false;
    return !e.nonblocking and !e.has_timeout and w.wouldWait(index, 1 << 20);
}

const Sleep = struct {
    index: u8,
    holder: world.Holder,
    command: Command,
    needs_epoll: bool = false,
    epoll: world.EpollHolder = undefined,
    /// Bytes that must come before the call returns.
    missing: u64,

    fn choose(c: *Conductor, step: *const Step, index: u8, holder: world.Holder) Sleep {
        const e = c.w.end(index);
        const there = c.w.waiting(index);
        var sleep: Sleep = .{
            .index = index,
            .holder = holder,
            .command = .{ .op = .recv, .fd = holder.fd, .stream = index ^ 1, .position = e.received },
            .missing = e.low_water - there,
        };
        sleep.command.count = e.low_water + step.size(4, 3000);
        switch (step.below(4, 8)) {
            0, 1 => {},
            2 => sleep.command.op = .read,
            3 => sleep.command.op = .recvmsg,
            4 => if (e.low_water == 1) {
                sleep.command.flags = libc.MSG_WAITALL;
                sleep.missing = sleep.command.count - there;
            },
            5 => {
                sleep.command.op = step.pick(5, wire.Op, &.{ .poll, .ppoll });
                sleep.wait(waiting.IN);
            },
            6 => {
                sleep.command.op = .select;
                sleep.wait(waiting.IN);
            },
            else => sleep.needs_epoll = true,
        }
        return sleep;
    }

    fn wait(sleep: *Sleep, events: u32) void {
        sleep.command.entries[0] = .{
            .fd = sleep.holder.fd,
            .events = events,
            .data = conductor.dataOf(sleep.holder),
        };
        sleep.command.entry_count = 1;
        sleep.command.count = 0;
        sleep.command.a = -1;
    }

    /// An instance for this sleep only: nothing else wakes it.
    fn makeEpoll(sleep: *Sleep, c: *Conductor, step: *const Step) Over!void {
        sleep.epoll = try createIn(c, step, sleep.holder.process) orelse return c.over("no epoll", .{});
        const events = step.pick(5, u32, &.{ waiting.IN, waiting.IN | waiting.ET, waiting.IN | waiting.RDHUP | waiting.ONESHOT });
        try controlIn(c, step, sleep.epoll, .ADD, sleep.holder, events);
        sleep.command = .{ .op = .epoll_wait, .fd = sleep.epoll.fd, .a = -1 };
    }

    fn closeEpoll(sleep: *Sleep, c: *Conductor, step: *const Step) Over!void {
        const actor = c.w.chooseActor(step, 5, sleep.holder.process);
        const command: Command = .{ .op = .close, .fd = sleep.epoll.fd };
        _ = try c.call(actor, &command, "close(ep{d})", .{sleep.epoll.epoll});
        c.w.epoll_count -= 1;
        c.w.epolls.count -= 1;
        c.w.end(sleep.index).registrations -|= 1;
    }

    fn isRestarted(sleep: *const Sleep) bool {
        return sleep.command.entry_count == 0 and !sleep.needs_epoll;
    }
};

/// The handler of the sleeper's next signal sends on the very connection that it waits on.
fn armHandler(c: *Conductor, step: *const Step, actor: *world.Actor, index: u8, holder: world.Holder) Over!void {
    var command: Command = .{ .op = .arm_handler, .fd = holder.fd, .count = 1 + step.below(5, 60) };
    command.stream = index;
    command.position = c.w.end(index).sent;
    var reply: wire.Reply = .{};
    try c.ask(actor, &command, &reply);
}

fn happen(c: *Conductor, step: *const Step, sleep: *Sleep, actor: *world.Actor, event: Event) Over!void {
    const peer = sleep.index ^ 1;
    switch (event) {
        .bytes => try sendFrom(c, step, peer, sleep.missing + step.below(5, 5000)),
        .two_pieces => {
            // A receiver that wakes for the first piece, as Linux's may, would take it and then wait
            // for SO_RCVLOWAT further bytes (see `mayWait`).
            const first = if (c.w.end(sleep.index).low_water > 1) 0 else sleep.missing / 2;
            if (first > 0) {
                try sendFrom(c, step, peer, first);
                _ = libc.nanosleep(&.{ .sec = 0, .nsec = 1_000_000 }, null);
            }
            try sendFrom(c, step, peer, sleep.missing - first);
        },
        .half_close => {
            if (c.w.hasEdgesElsewhere(peer)) return sendFrom(c, step, peer, sleep.missing);
            const holder = c.w.chooseHolder(step, 5, peer).?;
            const command: Command = .{ .op = .shutdown, .fd = holder.fd, .flags = libc.SHUT_WR };
            _ = try c.call(c.w.chooseActor(step, 5, holder.process), &command, "shutdown({f}, WR)", .{conductor.name(holder)});
            stream.isShut(c, peer, libc.SHUT_WR);
        },
        .close => {
            try c.settle(peer);
            while (c.w.chooseHolder(step, 5, peer)) |holder| try stream.closeHolder(c, step, holder);
        },
        .signal => try c.signal(actor, SIGUSR1),
        .signal_then_bytes, .handler_sends => {
            try c.signal(actor, SIGUSR2);
            if (!sleep.isRestarted()) return;
            if (!try c.untilAsleep(actor)) return;
            try sendFrom(c, step, peer, sleep.missing);
        },
        .own_shutdown => {
            const other = c.w.otherActor(sleep.holder.process, actor) orelse
                return sendFrom(c, step, peer, sleep.missing);
            if (c.w.hasEdgesElsewhere(sleep.index)) return sendFrom(c, step, peer, sleep.missing);
            const command: Command = .{ .op = .shutdown, .fd = sleep.holder.fd, .flags = libc.SHUT_RD };
            _ = try c.call(other, &command, "shutdown({f}, RD)", .{conductor.name(sleep.holder)});
            stream.isShut(c, sleep.index, libc.SHUT_RD);
        },
    }
}

fn sendFrom(c: *Conductor, step: *const Step, index: u8, count: u64) Over!void {
    const holder = c.w.chooseHolder(step, 5, index).?;
    var command: Command = .{ .op = .send, .fd = holder.fd, .count = @max(1, count), .flags = libc.MSG_NOSIGNAL };
    command.stream = index;
    command.position = c.w.end(index).sent;
    const actor = c.w.chooseActor(step, 5, holder.process);
    const reply = try c.call(actor, &command, "send({f}, {d}, NOSIGNAL)", .{ conductor.name(holder), command.count });
    stream.sent(c, index, reply.value);
}
