//! One episode: a random program from its first step to its last, from fresh processes on. And many
//! of them, one JSON object a line on stdout.

const std = @import("std");
const Conductor = @import("conductor.zig").Conductor;
const libc = @import("../libc.zig");
const life = @import("steps_life.zig");
const pair = @import("../pair.zig");
const program_module = @import("program.zig");
const stream = @import("steps_stream.zig");
const waiting = @import("steps_wait.zig");

pub const Options = struct {
    seed: u64 = 1,
    first: u64 = 0,
    episodes: u64 = 1,
    steps: usize = 100,
    kept: program_module.Kept = .{},
    conductor: @import("conductor.zig").Options = .{},
};

const Report = struct {
    seed: u64,
    episode: u64,
    /// Steps that came to something, by kind.
    steps: []const u32,
    /// "step: who did what = what came of it"
    lines: []const []const u8,
    /// It came to its end.
    whole: bool,
    pids: []const c_int,
};

const kinds = std.enums.values(program_module.Kind);

/// The kinds' names, in the order in which reports count them.
pub fn printKinds() bool {
    for (kinds) |kind| if (!pair.writeAll(@tagName(kind)) or !pair.writeAll("\n")) return false;
    return true;
}

/// Programs begin with connections.
const connects_first = 2;

/// False: the machinery itself failed.
pub fn runAll(options: *const Options) bool {
    _ = libc.prctl(libc.PR_SET_CHILD_SUBREAPER, @as(c_ulong, 1));
    _ = libc.signal(libc.SIGPIPE, null);
    for (0..options.episodes) |i| {
        if (!runOne(options, options.first + i)) return false;
    }
    return true;
}

fn runOne(options: *const Options, episode: u64) bool {
    var arena = std.heap.ArenaAllocator.init(std.heap.c_allocator);
    defer arena.deinit();
    const allocator = arena.allocator();
    const c = allocator.create(Conductor) catch return false;
    c.* = .{ .options = &options.conductor, .arena = allocator };
    var steps: [kinds.len]u32 = @splat(0);
    const whole = if (play(c, options, episode, &steps)) |_| true else |_| false;
    c.end();
    const report: Report = .{
        .seed = options.seed,
        .episode = episode,
        .steps = &steps,
        .lines = c.lines.items,
        .whole = whole,
        .pids = c.pids.items,
    };
    const json = std.json.Stringify.valueAlloc(allocator, report, .{}) catch return false;
    return pair.writeAll(json) and pair.writeAll("\n");
}

fn play(c: *Conductor, options: *const Options, episode: u64, steps: *[kinds.len]u32) !void {
    try c.startSide(0);
    try c.startSide(1);
    var program = program_module.Program.init(options.seed, episode);
    for (0..options.steps) |index| {
        var step = program.next();
        if (index < connects_first) step.kind = .connect;
        if (!options.kept.has(index)) continue;
        c.step = index;
        const before = c.lines.items.len;
        try make(c, &step);
        steps[@backingInt(step.kind)] += @intFromBool(c.lines.items.len > before);
    }
    c.step = options.steps;
    try c.settleSide(0);
    try c.settleSide(1);
}

fn make(c: *Conductor, step: *const program_module.Step) !void {
    switch (step.kind) {
        .send => try stream.send(c, step),
        .receive => try stream.receive(c, step),
        .drain => try stream.drain(c, step),
        .poll => try waiting.poll(c, step),
        .epoll_create => try waiting.epollCreate(c, step),
        .epoll_ctl => try waiting.epollCtl(c, step),
        .epoll_wait => try waiting.epollWait(c, step),
        .ask => try stream.ask(c, step),
        .option => try stream.option(c, step),
        .duplicate => try life.duplicate(c, step),
        .close_one => try life.closeOne(c, step),
        .shutdown => try stream.shutdown(c, step),
        .close_end => try stream.closeEnd(c, step, false),
        .reset_end => try stream.closeEnd(c, step, true),
        .connect => try life.connect(c, step),
        .thread => try life.thread(c, step),
        .fork => try life.fork(c, step),
        .end_child => try life.endChild(c, step, false),
        .kill_child => try life.endChild(c, step, true),
        .kill_side => try life.killSide(c, step),
        .blocked => try waiting.blocked(c, step),
        .bulk => try stream.bulk(c, step),
        .move => try life.move(c, step),
    }
}
