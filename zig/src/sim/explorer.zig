//! Visits every state that a scenario can reach, each once, and checks three things:
//!
//!   nothing is violated   no thread, and no check of the scenario, called `machine.fail`
//!   nobody is stuck       where no thread can go on, everybody has finished
//!   nobody spins for ever there is no set of states that threads circle in without a way out
//!
//! Depth first with Tarjan's strongly connected components for the third (`prove`); breadth first
//! for a short way to a fault (`hunt`). Events (a SIGKILL) are never counted on: a thread that only
//! somebody's death would wake is stuck.

const std = @import("std");
const machine = @import("machine.zig");
const snapshot = @import("snapshot.zig");
const visited_module = @import("visited.zig");

const keyOf = visited_module.keyOf;
const Visited = visited_module.Visited;

pub const events_max = 8;
const choices_max = 128;
/// Random walks that learn who touches what, so that the search seldom starts again.
const warm_up_walks = 200;
const warm_up_steps = 1500;

pub const Scenario = struct {
    name: []const u8,
    order: machine.MemoryOrder = .tso,
    /// Fills the world and spawns the threads.
    setUp: *const fn () void,
    /// Which events may happen now, one bit each.
    events: *const fn () u8 = &noEvents,
    apply: *const fn (event: u3) void = &noEvent,
    eventName: *const fn (event: u3) []const u8 = &noEventName,
    /// Everybody has finished: last checks.
    finish: *const fn () void = &noFinish,
    /// The world's field at this offset, for traces.
    describe: *const fn (offset: u16, value: u64, writer: *std.Io.Writer) std.Io.Writer.Error!void,
};

pub const Limits = struct {
    states: u32 = 30_000_000,
    bytes: usize = 2 << 30,
};

pub const Transition = packed struct(u16) {
    kind: enum(u2) { run, flush, event },
    thread: u6 = 0,
    detail: u8 = 0,
};

pub const Verdict = union(enum) {
    holds,
    violated: []const u8,
    too_large,
};

pub const Result = struct {
    verdict: Verdict,
    states: u64,
    transitions: u64,
    /// From the start to the violation. Owned by the caller's allocator.
    path: []Transition = &.{},
};

/// Every state, depth first. Holds, or the first violation met.
pub fn prove(allocator: std.mem.Allocator, scenario: *const Scenario, limits: Limits) !Result {
    warmUp(scenario);
    while (true) {
        var search = try DepthFirst.init(allocator, scenario, limits);
        defer search.deinit();
        machine.knowledge_grew = false;
        return search.run() catch |problem| switch (problem) {
            error.KnowledgeGrew => continue,
            else => return problem,
        };
    }
}

/// Breadth first: a violation on a shortest path. Does not look for endless circles.
pub fn hunt(allocator: std.mem.Allocator, scenario: *const Scenario, limits: Limits) !Result {
    warmUp(scenario);
    while (true) {
        var search = try BreadthFirst.init(allocator, scenario, limits);
        defer search.deinit();
        machine.knowledge_grew = false;
        return search.run() catch |problem| switch (problem) {
            error.KnowledgeGrew => continue,
            else => return problem,
        };
    }
}

pub fn begin(scenario: *const Scenario) void {
    machine.reset();
    machine.order = scenario.order;
    scenario.setUp();
}

pub fn perform(scenario: *const Scenario, transition: Transition) void {
    switch (transition.kind) {
        .run => machine.resumeThread(transition.thread, transition.detail),
        .flush => machine.flush(transition.thread, transition.detail),
        .event => scenario.apply(@intCast(transition.detail)),
    }
}

/// What can happen in the machine's present state.
const Choices = struct {
    list: [choices_max]Transition = undefined,
    len: usize = 0,
    /// Some of them are threads' own steps.
    steps: bool = false,

    fn find(scenario: *const Scenario) Choices {
        var choices: Choices = .{};
        for (0..machine.thread_count) |index| {
            const thread: u6 = @intCast(index);
            for (0..machine.threads[index].buffered) |entry| {
                if (!machine.canFlush(index, entry)) continue;
                choices.add(.{ .kind = .flush, .thread = thread, .detail = @intCast(entry) });
            }
            for (0..machine.branchesOf(index)) |branch| {
                choices.add(.{ .kind = .run, .thread = thread, .detail = @intCast(branch) });
            }
        }
        choices.steps = choices.len != 0;
        const events = scenario.events();
        for (0..events_max) |event| {
            if (events >> @intCast(event) & 1 == 0) continue;
            choices.add(.{ .kind = .event, .detail = @intCast(event) });
        }
        return choices;
    }

    fn add(choices: *Choices, transition: Transition) void {
        choices.list[choices.len] = transition;
        choices.len += 1;
    }
};

/// Nothing can go on by itself: fine only if everybody has finished.
fn checkEnd(scenario: *const Scenario) void {
    for (machine.threads[0..machine.thread_count]) |*thread| {
        if (!thread.finished()) return machine.fail("{s} is stuck for ever", .{thread.name});
    }
    scenario.finish();
}

fn warmUp(scenario: *const Scenario) void {
    machine.forget();
    var prng = std.Random.DefaultPrng.init(0x5d);
    const random = prng.random();
    for (0..warm_up_walks) |_| {
        begin(scenario);
        for (0..warm_up_steps) |_| {
            const choices = Choices.find(scenario);
            if (choices.len == 0) break;
            perform(scenario, choices.list[random.uintLessThan(usize, choices.len)]);
            if (machine.failure != null) break;
        }
    }
}

var scratch: [snapshot.bytes_max]u8 = undefined;

const DepthFirst = struct {
    allocator: std.mem.Allocator,
    scenario: *const Scenario,
    limits: Limits,
    visited: Visited,
    frames: std.ArrayList(Frame) = .empty,
    snapshots: std.ArrayList(u8) = .empty,
    choices: std.ArrayList(Transition) = .empty,
    /// Tarjan's stack: numbers of states whose component is not complete yet.
    open: std.ArrayList(u32) = .empty,
    /// By number: the component is complete. (Apart from `visited`, whose places are far apart.)
    closed: std.DynamicBitSetUnmanaged = .{},
    states: u32 = 0,
    transitions: u64 = 0,

    const Frame = struct {
        snapshot_start: usize,
        choice_start: usize,
        choice_next: usize,
        open_start: usize,
        /// Order of discovery, and the least one reachable.
        number: u32,
        low: u32,
        /// A thread's step leads out of the component, or nothing leads anywhere.
        exits: bool,
    };

    fn init(allocator: std.mem.Allocator, scenario: *const Scenario, limits: Limits) !DepthFirst {
        return .{
            .allocator = allocator,
            .scenario = scenario,
            .limits = limits,
            .visited = try .init(allocator),
        };
    }

    fn deinit(search: *DepthFirst) void {
        search.visited.deinit();
        search.frames.deinit(search.allocator);
        search.snapshots.deinit(search.allocator);
        search.choices.deinit(search.allocator);
        search.open.deinit(search.allocator);
        search.closed.deinit(search.allocator);
    }

    fn run(search: *DepthFirst) !Result {
        begin(search.scenario);
        try search.discover();
        var present = search.states;
        while (search.frames.items.len != 0) {
            if (machine.failure != null) return search.violation();
            const frame = &search.frames.items[search.frames.items.len - 1];
            if (frame.choice_next == search.choices.items.len) {
                search.close();
                if (machine.failure != null) return search.violation();
                continue;
            }
            const transition = search.choices.items[frame.choice_next];
            frame.choice_next += 1;
            if (present != frame.number) {
                snapshot.restore(search.snapshots.items[frame.snapshot_start..]);
            }
            perform(search.scenario, transition);
            present = 0;
            search.transitions += 1;
            if (machine.knowledge_grew) return error.KnowledgeGrew;
            if (machine.failure != null) return search.violation();
            const number = search.states;
            try search.arrive(transition);
            if (search.states != number) present = search.states;
            if (search.overLimit()) return search.result(.too_large);
        }
        return search.result(.holds);
    }

    /// The machine is in a state that the top frame's transition led to.
    fn arrive(search: *DepthFirst, transition: Transition) !void {
        const bytes = scratch[0..snapshot.capture(&scratch)];
        const entry = try search.visited.place(keyOf(bytes));
        if (entry.number == 0) {
            entry.number = search.states + 1;
            return search.enter(bytes);
        }
        const frame = &search.frames.items[search.frames.items.len - 1];
        if (!search.closed.isSet(entry.number)) {
            frame.low = @min(frame.low, entry.number);
        } else if (transition.kind != .event) {
            frame.exits = true;
        }
    }

    fn discover(search: *DepthFirst) !void {
        const bytes = scratch[0..snapshot.capture(&scratch)];
        (try search.visited.place(keyOf(bytes))).number = 1;
        try search.enter(bytes);
    }

    fn enter(search: *DepthFirst, bytes: []const u8) !void {
        search.states += 1;
        if (search.states >= search.closed.bit_length) {
            const bits = @max(1 << 14, 2 * search.closed.bit_length);
            try search.closed.resize(search.allocator, bits, false);
        }
        const found = Choices.find(search.scenario);
        try search.frames.append(search.allocator, .{
            .snapshot_start = search.snapshots.items.len,
            .choice_start = search.choices.items.len,
            .choice_next = search.choices.items.len,
            .open_start = search.open.items.len,
            .number = search.states,
            .low = search.states,
            .exits = !found.steps,
        });
        try search.snapshots.appendSlice(search.allocator, bytes);
        try search.choices.appendSlice(search.allocator, found.list[0..found.len]);
        try search.open.append(search.allocator, search.states);
        if (!found.steps) checkEnd(search.scenario);
    }

    /// The top frame has no more choices.
    fn close(search: *DepthFirst) void {
        const frame = search.frames.pop().?;
        search.snapshots.items.len = frame.snapshot_start;
        search.choices.items.len = frame.choice_start;
        const is_root = frame.low == frame.number;
        if (is_root) {
            if (!frame.exits) machine.fail("threads circle for ever without getting anywhere", .{});
            for (search.open.items[frame.open_start..]) |number| search.closed.set(number);
            search.open.items.len = frame.open_start;
        }
        if (search.frames.items.len == 0) return;
        const parent = &search.frames.items[search.frames.items.len - 1];
        parent.low = @min(parent.low, frame.low);
        const by = search.choices.items[parent.choice_next - 1];
        if (!is_root) {
            parent.exits = parent.exits or frame.exits;
        } else if (by.kind != .event) {
            parent.exits = true;
        }
    }

    fn overLimit(search: *const DepthFirst) bool {
        const bytes = search.visited.bytes() + search.snapshots.capacity +
            search.frames.capacity * @sizeOf(Frame) + search.open.capacity * @sizeOf(u32);
        return search.states >= search.limits.states or bytes > search.limits.bytes;
    }

    fn violation(search: *DepthFirst) !Result {
        var outcome = search.result(.{ .violated = machine.failure.? });
        var path: std.ArrayList(Transition) = .empty;
        for (search.frames.items) |*frame| {
            if (frame.choice_next == frame.choice_start) break; // violated on arrival
            try path.append(search.allocator, search.choices.items[frame.choice_next - 1]);
        }
        outcome.path = try path.toOwnedSlice(search.allocator);
        return outcome;
    }

    fn result(search: *const DepthFirst, verdict: Verdict) Result {
        return .{ .verdict = verdict, .states = search.states, .transitions = search.transitions };
    }
};

const BreadthFirst = struct {
    allocator: std.mem.Allocator,
    scenario: *const Scenario,
    limits: Limits,
    visited: Visited,
    /// How each state was reached, by its number (the first state has none).
    origins: std.ArrayList(Origin) = .empty,
    level: Level = .{},
    next_level: Level = .{},
    transitions: u64 = 0,

    const Origin = struct { parent: u32, transition: Transition };

    /// States of one distance from the start: their snapshots, one after another.
    const Level = struct {
        bytes: std.ArrayList(u8) = .empty,
        starts: std.ArrayList(usize) = .empty,
        first_number: u32 = 0,

        fn clear(level: *Level) void {
            level.bytes.clearRetainingCapacity();
            level.starts.clearRetainingCapacity();
        }
        fn deinit(level: *Level, allocator: std.mem.Allocator) void {
            level.bytes.deinit(allocator);
            level.starts.deinit(allocator);
        }
    };

    fn init(allocator: std.mem.Allocator, scenario: *const Scenario, limits: Limits) !BreadthFirst {
        return .{
            .allocator = allocator,
            .scenario = scenario,
            .limits = limits,
            .visited = try .init(allocator),
        };
    }

    fn deinit(search: *BreadthFirst) void {
        search.visited.deinit();
        search.origins.deinit(search.allocator);
        search.level.deinit(search.allocator);
        search.next_level.deinit(search.allocator);
    }

    fn run(search: *BreadthFirst) !Result {
        begin(search.scenario);
        search.next_level.first_number = 1;
        try search.arrive(0, .{ .kind = .run });
        while (search.next_level.starts.items.len != 0) {
            std.mem.swap(Level, &search.level, &search.next_level);
            search.next_level.clear();
            search.next_level.first_number = @intCast(search.origins.items.len + 1);
            for (search.level.starts.items, search.level.first_number..) |start, number| {
                if (try search.expand(start, @intCast(number))) |outcome| return outcome;
            }
        }
        return search.result(.holds);
    }

    fn expand(search: *BreadthFirst, start: usize, number: u32) !?Result {
        const state = search.level.bytes.items[start..];
        snapshot.restore(state);
        const found = Choices.find(search.scenario);
        if (!found.steps) {
            checkEnd(search.scenario);
            if (machine.failure != null) return try search.violation(number, null);
        }
        for (found.list[0..found.len], 0..) |transition, i| {
            if (i != 0) snapshot.restore(state);
            perform(search.scenario, transition);
            search.transitions += 1;
            if (machine.knowledge_grew) return error.KnowledgeGrew;
            if (machine.failure != null) return try search.violation(number, transition);
            try search.arrive(number, transition);
        }
        const bytes = search.visited.bytes() + search.level.bytes.capacity +
            search.next_level.bytes.capacity + search.origins.capacity * @sizeOf(Origin);
        if (search.origins.items.len >= search.limits.states or bytes > search.limits.bytes) {
            return search.result(.too_large);
        }
        return null;
    }

    fn arrive(search: *BreadthFirst, parent: u32, transition: Transition) !void {
        const bytes = scratch[0..snapshot.capture(&scratch)];
        const entry = try search.visited.place(keyOf(bytes));
        if (entry.number != 0) return;
        const origin: Origin = .{ .parent = parent, .transition = transition };
        try search.origins.append(search.allocator, origin);
        entry.number = @intCast(search.origins.items.len);
        try search.next_level.starts.append(search.allocator, search.next_level.bytes.items.len);
        try search.next_level.bytes.appendSlice(search.allocator, bytes);
    }

    fn violation(search: *BreadthFirst, number: u32, last: ?Transition) !Result {
        var outcome = search.result(.{ .violated = machine.failure.? });
        var path: std.ArrayList(Transition) = .empty;
        if (last) |transition| try path.append(search.allocator, transition);
        var at = number;
        while (at > 1) {
            const origin = search.origins.items[at - 1];
            try path.append(search.allocator, origin.transition);
            at = origin.parent;
        }
        std.mem.reverse(Transition, path.items);
        outcome.path = try path.toOwnedSlice(search.allocator);
        return outcome;
    }

    fn result(search: *const BreadthFirst, verdict: Verdict) Result {
        return .{
            .verdict = verdict,
            .states = search.origins.items.len,
            .transitions = search.transitions,
        };
    }
};

fn noEvents() u8 {
    return 0;
}
fn noEvent(_: u3) void {}
fn noEventName(_: u3) []const u8 {
    return "";
}
fn noFinish() void {}
