//! The checker itself: small programs whose possible outcomes are textbook knowledge. What a
//! machine with store buffers can do must be found; what it cannot do must not.

const std = @import("std");
const fiber = @import("fiber.zig");
const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");

const World = extern struct {
    x: u64,
    y: u64,
    seen: [2]u64,
    finished: [2]bool,
    bell: bool,
};

fn world() *World {
    return machine.world(World);
}

/// Two threads from an initial world of zeros.
fn program(
    comptime order: machine.MemoryOrder,
    comptime first: fn () machine.Next,
    comptime second: fn () machine.Next,
    comptime finish: fn () void,
) explorer.Scenario {
    const Setup = struct {
        fn setUp() void {
            machine.world_bytes = @sizeOf(World);
            machine.spawn("first", 0, &first);
            machine.spawn("second", 1, &second);
        }
    };
    return .{
        .name = "litmus",
        .order = order,
        .setUp = &Setup.setUp,
        .finish = &finish,
        .describe = &trace.describer(World),
    };
}

/// Both searches agree.
fn expectHolds(scenario: explorer.Scenario) !void {
    if (!fiber.supported) return error.SkipZigTest;
    const proved = try explorer.prove(std.testing.allocator, &scenario, .{});
    defer std.testing.allocator.free(proved.path);
    try std.testing.expectEqual(.holds, std.meta.activeTag(proved.verdict));
    const hunted = try explorer.hunt(std.testing.allocator, &scenario, .{});
    try std.testing.expectEqual(.holds, std.meta.activeTag(hunted.verdict));
    try std.testing.expectEqual(proved.states, hunted.states);
}

fn expectViolated(scenario: explorer.Scenario, text: []const u8) !void {
    if (!fiber.supported) return error.SkipZigTest;
    const proved = try explorer.prove(std.testing.allocator, &scenario, .{});
    defer std.testing.allocator.free(proved.path);
    try std.testing.expectEqualStrings(text, proved.verdict.violated);
    const hunted = try explorer.hunt(std.testing.allocator, &scenario, .{});
    defer std.testing.allocator.free(hunted.path);
    try std.testing.expectEqualStrings(text, hunted.verdict.violated);
    try std.testing.expect(hunted.path.len <= proved.path.len);
}

/// Sets its own flag, then looks at the other's.
fn Dekker(comptime index: usize, comptime fenced: bool) type {
    return struct {
        fn step() machine.Next {
            const w = world();
            const flags = [2]*u64{ &w.x, &w.y };
            machine.store(u64, flags[index], 1, true);
            if (fenced) machine.fence();
            w.seen[index] = machine.load(u64, flags[1 - index]);
            return .done;
        }
    };
}

fn notBothZero() void {
    const w = world();
    if (w.seen[0] == 0 and w.seen[1] == 0) machine.fail("both saw zero", .{});
}

test "store buffering: without fences two threads can miss each other's store" {
    const scenario = program(.tso, Dekker(0, false).step, Dekker(1, false).step, notBothZero);
    try expectViolated(scenario, "both saw zero");
}

test "store buffering: one fence of two is not enough" {
    const scenario = program(.tso, Dekker(0, true).step, Dekker(1, false).step, notBothZero);
    try expectViolated(scenario, "both saw zero");
}

test "store buffering: with both fences it cannot happen, in either memory order" {
    try expectHolds(program(.tso, Dekker(0, true).step, Dekker(1, true).step, notBothZero));
    try expectHolds(program(.weak, Dekker(0, true).step, Dekker(1, true).step, notBothZero));
}

/// A read-modify-write where the fence was.
fn DekkerExchange(comptime index: usize) type {
    return struct {
        fn step() machine.Next {
            const w = world();
            const flags = [2]*u64{ &w.x, &w.y };
            _ = machine.modify(flags[index], .{ .exchange = 1 });
            w.seen[index] = machine.load(u64, flags[1 - index]);
            return .done;
        }
    };
}

test "an exchange is a full barrier under tso and none in the weak order" {
    const a = DekkerExchange(0).step;
    const b = DekkerExchange(1).step;
    try expectHolds(program(.tso, a, b, notBothZero));
    try expectViolated(program(.weak, a, b, notBothZero), "both saw zero");
}

/// Data, then a flag.
fn Publish(comptime release: bool) type {
    return struct {
        fn step() machine.Next {
            machine.store(u64, &world().x, 7, false);
            machine.store(u64, &world().y, 1, release);
            return .done;
        }
    };
}

fn consume() machine.Next {
    const w = world();
    w.seen[0] = machine.load(u64, &w.y);
    w.seen[1] = machine.load(u64, &w.x);
    return .done;
}

fn noFlagWithoutData() void {
    if (world().seen[0] == 1 and world().seen[1] != 7) machine.fail("flag without data", .{});
}

test "message passing: plain stores stay in order under tso, and overtake in the weak order" {
    try expectHolds(program(.tso, Publish(false).step, consume, noFlagWithoutData));
    const weak = program(.weak, Publish(false).step, consume, noFlagWithoutData);
    try expectViolated(weak, "flag without data");
}

test "message passing: a release store waits for the data in the weak order" {
    try expectHolds(program(.weak, Publish(true).step, consume, noFlagWithoutData));
}

fn increment() machine.Next {
    const w = world();
    const value = machine.load(u64, &w.x);
    machine.store(u64, &w.x, value + 1, true);
    return .done;
}

fn incrementByCas() machine.Next {
    const w = world();
    const value = machine.load(u64, &w.x);
    const old = machine.modify(&w.x, .{ .cas = .{ .expected = value, .new = value + 1 } });
    return if (old == value) .done else .again;
}

fn isTwo() void {
    if (world().x != 2) machine.fail("an increment was lost", .{});
}

test "a load and a store lose an increment, compare-and-swap does not" {
    try expectViolated(program(.tso, increment, increment, isTwo), "an increment was lost");
    try expectHolds(program(.tso, incrementByCas, incrementByCas, isTwo));
    try expectHolds(program(.weak, incrementByCas, incrementByCas, isTwo));
}

/// Announces itself, looks once more, sleeps.
fn Sleeper(comptime looks_again: bool) type {
    return struct {
        fn step() machine.Next {
            const w = world();
            if (machine.load(u64, &w.x) != 0) return .done;
            _ = machine.modify(&w.y, .{ .exchange = 1 });
            machine.fence();
            if (looks_again and machine.load(u64, &w.x) != 0) return .done;
            machine.wait("sleep", &isRung, 0);
            return .again;
        }
    };
}

fn waker() machine.Next {
    const w = world();
    machine.store(u64, &w.x, 1, true);
    machine.fence();
    if (machine.load(u64, &w.y) != 0) {
        machine.call("ring");
        w.bell = true;
    }
    return .done;
}

fn isRung(_: usize) bool {
    return world().bell;
}

fn nothing() void {}

test "a sleeper who does not look again misses its wake-up, one who does never" {
    const careless = program(.tso, Sleeper(false).step, waker, nothing);
    try expectViolated(careless, "first is stuck for ever");
    try expectHolds(program(.tso, Sleeper(true).step, waker, nothing));
    try expectHolds(program(.weak, Sleeper(true).step, waker, nothing));
}

/// Waits politely for the other, who does the same.
fn Polite(comptime index: usize) type {
    return struct {
        fn step() machine.Next {
            const flags = [2]*u64{ &world().x, &world().y };
            const taken: machine.Change = .{ .cas = .{ .expected = 1, .new = 2 } };
            return if (machine.modify(flags[1 - index], taken) == 1) .done else .again;
        }
    };
}

fn setX() machine.Next {
    machine.store(u64, &world().x, 1, true);
    return .done;
}

test "threads that circle for ever are found, threads that circle until another comes are not" {
    if (!fiber.supported) return error.SkipZigTest;
    const both = program(.tso, Polite(0).step, Polite(1).step, nothing);
    const result = try explorer.prove(std.testing.allocator, &both, .{});
    defer std.testing.allocator.free(result.path);
    const text = "threads circle for ever without getting anywhere";
    try std.testing.expectEqualStrings(text, result.verdict.violated);
    try expectHolds(program(.tso, setX, Polite(1).step, nothing));
}

fn touchOutside() machine.Next {
    const outside: *u64 = @ptrFromInt(@intFromPtr(world()) + 2 * @sizeOf(World));
    return if (machine.load(u64, outside) == 0) .done else .again;
}

fn rest() machine.Next {
    return .done;
}

test "an access outside the shared memory is a violation" {
    const text = "touches memory outside the shared mapping";
    try expectViolated(program(.tso, touchOutside, rest, nothing), text);
}

test "a kill is tried between two stores, and what was not executed never appears" {
    if (!fiber.supported) return error.SkipZigTest;
    const Kill = struct {
        fn possible() u8 {
            const thread = &machine.threads[0];
            return @intFromBool(!thread.dead and (!thread.done or thread.buffered != 0));
        }
        fn apply(_: u3) void {
            machine.kill(0);
        }
        fn dataWithoutFlagOnly() void {
            const w = world();
            if (w.y == 1 and w.x != 7) machine.fail("second store without the first", .{});
            if (w.x == 7 and w.y == 0) half_seen = true;
        }
        var half_seen: bool = false;
    };
    var scenario = program(.tso, Publish(true).step, consume, Kill.dataWithoutFlagOnly);
    scenario.events = &Kill.possible;
    scenario.apply = &Kill.apply;
    Kill.half_seen = false;
    try expectHolds(scenario);
    try std.testing.expect(Kill.half_seen);
}

test "a trace names the threads, the words and the end of the story" {
    if (!fiber.supported) return error.SkipZigTest;
    const scenario = program(.tso, Dekker(0, false).step, Dekker(1, false).step, notBothZero);
    const result = try explorer.hunt(std.testing.allocator, &scenario, .{});
    defer std.testing.allocator.free(result.path);
    var buffer: [4096]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&buffer);
    try trace.print(&writer, &scenario, result.path);
    const text = writer.buffered();
    try std.testing.expect(std.mem.find(u8, text, "first: loads y = 0") != null);
    try std.testing.expect(std.mem.find(u8, text, "memory receives x = 1") != null);
}
