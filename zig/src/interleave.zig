//! The exhaustive interleaving test of the carriers: the code of carrier/*.zig, the same source
//! that libsd.so is built from, on a simulated machine (sim/machine.zig) whose every interleaving
//! is visited (sim/explorer.zig). docs/VERIFICATION.md says what that proves and what not.
//!
//!   interleave                  everything: what must hold, and each fault, which must be found
//!   interleave --quick          the short ones
//!   interleave --trace          also print the way to each fault
//!   interleave NAME...          only tests whose name contains one of these
//!   interleave --jobs N         so many at a time (one for each cpu, but no more than two: each may
//!                               take 2 GB)
//!
//! One line a test, 'N passed, N failed' at the end, exit code 0 only if none failed.

const std = @import("std");
const fiber = @import("sim/fiber.zig");
const machine = @import("sim/machine.zig");
const explorer = @import("sim/explorer.zig");
const trace = @import("sim/trace.zig");
const env = @import("sim/env.zig");
const stream = @import("sim/stream.zig");
const recall = @import("sim/recall.zig");
const ready_rows = @import("sim/ready_rows.zig");
const rewind = @import("sim/rewind.zig");
const shared_end = @import("sim/shared_end.zig");
const inherit = @import("sim/inherit.zig");
const light = @import("sim/light.zig");
const hostile = @import("sim/hostile.zig");

const Test = struct {
    scenario: explorer.Scenario,
    /// Null: must hold. Else this fault is switched in and must be found.
    fault: ?std.meta.FieldEnum(env.Faults) = null,
    /// Takes seconds: left out by --quick.
    long: bool = false,
};

const c2s = stream.Options{ .direction = .client_to_server, .bytes = 2, .leaves = 1 };
const s2c = stream.Options{ .direction = .server_to_client, .bytes = 2, .leaves = 1 };
const three_bytes = stream.Options{ .direction = .client_to_server, .bytes = 3, .leaves = 1 };
const moves = stream.Options{
    .direction = .client_to_server,
    .bytes = 3,
    .leaves = 2,
    .kills = false,
    .attached = true,
};
const sleeps = stream.Options{
    .direction = .client_to_server,
    .bytes = 3,
    .kills = false,
    .attached = true,
    .silent_end = true,
};

const tests = [_]Test{
    .{ .scenario = stream.scenario("stream client to server", .tso, c2s), .long = true },
    .{ .scenario = stream.scenario("stream server to client", .tso, s2c), .long = true },
    .{ .scenario = stream.scenario("stream client to server, weak", .weak, c2s), .long = true },
    .{ .scenario = stream.scenario("moves there and back", .tso, moves) },
    .{ .scenario = stream.scenario("moves there and back, weak", .weak, moves) },
    .{ .scenario = stream.scenario("sleep and wake", .tso, sleeps) },
    .{ .scenario = stream.scenario("sleep and wake, weak", .weak, sleeps) },
    .{ .scenario = recall.scenario("recall", .tso, .stays) },
    .{ .scenario = recall.scenario("recall, weak", .weak, .stays) },
    .{ .scenario = recall.scenario("recall from a light barrier", .tso, .stays_light) },
    .{ .scenario = recall.scenario("recall and lift", .tso, .ends) },
    .{ .scenario = recall.scenario("recall and lift, weak", .weak, .ends) },
    .{ .scenario = ready_rows.scenario("ready rows", .tso, .one_word), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, weak", .weak, .one_word), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, two words", .tso, .two_words), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, two words, weak", .weak, .two_words), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, one bit", .tso, .one_bit), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, one bit, weak", .weak, .one_bit), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, alone", .weak, .alone) },
    .{ .scenario = ready_rows.scenario("direct marks", .tso, .direct), .long = true },
    .{ .scenario = ready_rows.scenario("direct marks, weak", .weak, .direct), .long = true },
    .{ .scenario = ready_rows.scenario("direct marks, one bit", .tso, .direct_one_bit), .long = true },
    .{ .scenario = ready_rows.scenario("direct marks, one bit, weak", .weak, .direct_one_bit), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, one process", .tso, .one_process), .long = true },
    .{ .scenario = ready_rows.scenario("ready rows, one process, weak", .weak, .one_process), .long = true },
    .{ .scenario = ready_rows.scenario("direct marks, one process", .tso, .direct_one_process), .long = true },
    .{ .scenario = ready_rows.scenario("direct marks, one process, weak", .weak, .direct_one_process), .long = true },
    .{ .scenario = rewind.fixed.scenario("rewind", .tso) },
    .{ .scenario = rewind.fixed.scenario("rewind, weak", .weak) },
    .{ .scenario = rewind.growing.scenario("grow", .tso) },
    .{ .scenario = rewind.growing.scenario("grow, weak", .weak) },
    .{ .scenario = shared_end.scenario("shared end", .tso), .long = true },
    .{ .scenario = shared_end.scenario("shared end, weak", .weak), .long = true },
    .{ .scenario = inherit.peaceful("moves in a ring of two", .tso), .long = true },
    .{ .scenario = inherit.peaceful("moves in a ring of two, weak", .weak), .long = true },
    .{ .scenario = inherit.sender("inherited sender", .tso), .long = true },
    .{ .scenario = inherit.sender("inherited sender, weak", .weak), .long = true },
    .{ .scenario = inherit.receiver("inherited receiver", .tso), .long = true },
    .{ .scenario = inherit.receiver("inherited receiver, weak", .weak), .long = true },
    .{ .scenario = light.scenario("light barrier", .tso, .{}) },
    .{ .scenario = light.scenario("light barrier, twice", .tso, .{ .spells = 2 }), .long = true },
    .{ .scenario = light.scenario("light barrier, weak", .weak, .{}) },
    .{ .scenario = light.scenario("light barrier, one killed", .tso, .{ .kills = true }), .long = true },
    .{ .scenario = hostile.sender("liar against a sender on tcp", .tcp) },
    .{ .scenario = hostile.sender("liar against a sender not acknowledged", .switching) },
    .{ .scenario = hostile.sender("liar against a sender in the ring", .ring) },
    .{ .scenario = hostile.receiver("liar against a receiver on tcp", .tcp), .long = true },
    .{ .scenario = hostile.receiver("liar against a receiver outside", .switching), .long = true },
    .{ .scenario = hostile.receiver("liar against a receiver in the ring", .ring), .long = true },

    .{ .fault = .no_ack, .scenario = stream.scenario("stream", .tso, c2s) },
    .{ .fault = .naive_eof, .scenario = stream.scenario("stream", .tso, c2s) },
    .{ .fault = .no_gap, .scenario = stream.scenario("stream", .tso, c2s) },
    .{ .fault = .no_rdhup, .scenario = stream.scenario("stream", .tso, c2s) },
    .{ .fault = .no_kick, .scenario = stream.scenario("stream", .tso, c2s) },
    .{ .fault = .no_give_back_wake, .scenario = stream.scenario("stream", .tso, three_bytes) },
    .{ .fault = .no_recall_barrier, .scenario = recall.scenario("recall, weak", .weak, .stays) },
    .{ .fault = .no_recall_wait, .scenario = recall.scenario("recall", .tso, .stays) },
    .{ .fault = .no_unpublish, .scenario = recall.scenario("recall", .tso, .stays) },
    .{ .fault = .no_cancel_cas, .scenario = recall.scenario("recall", .tso, .stays) },
    .{ .fault = .lift_blindly, .scenario = recall.scenario("recall and lift", .tso, .ends) },
    .{ .fault = .no_producer_fence, .scenario = stream.scenario("sleep", .tso, sleeps) },
    .{ .fault = .no_consumer_fence, .scenario = stream.scenario("sleep, weak", .weak, sleeps) },
    .{ .fault = .no_consumer_fence, .scenario = ready_rows.scenario("ready rows", .tso, .one_word) },
    .{ .fault = .bit_without_summary, .scenario = ready_rows.scenario("ready rows, one bit", .tso, .one_bit) },
    .{ .fault = .direct_untaken, .scenario = ready_rows.scenario("direct marks", .tso, .direct) },
    .{ .fault = .summary_before_bit, .scenario = ready_rows.scenario("ready rows", .tso, .one_word) },
    .{ .fault = .no_mark_fence, .scenario = ready_rows.scenario("ready rows, weak", .weak, .one_word) },
    .{ .fault = .no_take_fence, .scenario = ready_rows.scenario("ready rows, alone", .weak, .alone) },
    .{ .fault = .no_far_barrier, .scenario = light.scenario("light barrier", .tso, .{}) },
    .{ .fault = .full_at_once, .scenario = light.scenario("light barrier", .tso, .{}) },
    .{ .fault = .same_epoch, .scenario = light.scenario("light barrier, twice", .tso, .{ .spells = 2, .bytes = 3 }) },
    .{ .fault = .base_before_head, .scenario = rewind.fixed.scenario("rewind", .tso) },
    .{ .fault = .eager_rewind, .scenario = rewind.fixed.scenario("rewind", .tso) },
    .{ .fault = .put_blindly, .scenario = rewind.fixed.scenario("rewind", .tso) },
    .{ .fault = .mask_before_base, .scenario = rewind.growing.scenario("grow", .tso) },
    .{ .fault = .producer_clears, .scenario = shared_end.scenario("shared end", .tso) },
    .{ .fault = .head_first, .scenario = shared_end.scenario("shared end", .tso) },
    .{ .fault = .no_recover, .scenario = inherit.sender("inherited sender", .tso) },
    .{ .fault = .no_recover, .scenario = inherit.receiver("inherited receiver", .tso) },
};

comptime {
    @setEvalBranchQuota(10_000);
    for (std.enums.values(std.meta.FieldEnum(env.Faults))) |fault| {
        for (tests) |t| {
            if (t.fault == fault) break;
        } else @compileError("no test looks for the fault " ++ @tagName(fault));
    }
}

/// A search that breadth cannot finish goes on in depth, which needs less memory.
const hunt_limits: explorer.Limits = .{ .states = 6_000_000, .bytes = 2 << 30 };
const allocator = std.heap.c_allocator;

const Arguments = struct {
    quick: bool = false,
    trace: bool = false,
    jobs: usize = 0,
    names: [16][]const u8 = undefined,
    name_count: usize = 0,

    fn parse(given: std.process.Args) Arguments {
        var arguments: Arguments = .{};
        var iterator = given.iterate();
        _ = iterator.skip();
        while (iterator.next()) |argument| {
            if (std.mem.eql(u8, argument, "--quick")) {
                arguments.quick = true;
            } else if (std.mem.eql(u8, argument, "--trace")) {
                arguments.trace = true;
            } else if (std.mem.eql(u8, argument, "--jobs")) {
                arguments.jobs = std.fmt.parseInt(usize, iterator.next() orelse "", 10) catch 1;
            } else if (arguments.name_count < arguments.names.len) {
                arguments.names[arguments.name_count] = argument;
                arguments.name_count += 1;
            }
        }
        return arguments;
    }

    fn selects(arguments: *const Arguments, t: *const Test, name: []const u8) bool {
        if (arguments.quick and t.long) return false;
        for (arguments.names[0..arguments.name_count]) |part| {
            if (std.mem.find(u8, name, part) != null) return true;
        }
        return arguments.name_count == 0;
    }
};

/// Shared by the workers, which are processes, as what a test switches in is global.
const Board = struct {
    /// The next test that nobody has taken.
    next: u32 = 0,
    passed: u32 = 0,
    failed: u32 = 0,
    /// One prints.
    printing: u32 = 0,

    fn create() !*Board {
        const bytes = try std.posix.mmap(
            null,
            @sizeOf(Board),
            .{ .READ = true, .WRITE = true },
            .{ .TYPE = .SHARED, .ANONYMOUS = true },
            -1,
            0,
        );
        const board: *Board = @ptrCast(bytes.ptr);
        board.* = .{};
        return board;
    }

    fn print(board: *Board, text: []const u8) void {
        while (@cmpxchgWeak(u32, &board.printing, 0, 1, .acquire, .monotonic) != null) _ = std.c.sched_yield();
        defer @atomicStore(u32, &board.printing, 0, .release);
        var rest = text;
        while (rest.len > 0) {
            const n = std.c.write(1, rest.ptr, rest.len);
            if (n <= 0) std.c._exit(1);
            rest = rest[@intCast(n)..];
        }
    }
};

pub fn main(init: std.process.Init.Minimal) !u8 {
    const board: *Board = try .create();
    if (!fiber.supported) {
        board.print("skip  the fibers of the interleaving test know x86-64 Linux only\n0 passed, 0 failed\n");
        return 0;
    }
    const arguments: Arguments = .parse(init.args);
    const cpus = std.Thread.getCpuCount() catch 1;
    const jobs = if (arguments.jobs > 0) arguments.jobs else @min(cpus, 2);
    for (1..jobs) |_| if (std.c.fork() == 0) {
        work(board, &arguments) catch std.c._exit(1);
        std.c._exit(0);
    };
    try work(board, &arguments);
    for (1..jobs) |_| {
        var status: c_int = 0;
        if (std.c.waitpid(-1, &status, 0) < 0 or status != 0) board.failed += 1;
    }
    const sum = board.passed + board.failed;
    if (sum == 0) board.print("no test has such a name\n");
    var line: [64]u8 = undefined;
    board.print(try std.fmt.bufPrint(&line, "{d} passed, {d} failed\n", .{ board.passed, board.failed }));
    return if (board.failed == 0 and sum != 0) 0 else 1;
}

/// Takes tests until none is left.
fn work(board: *Board, arguments: *const Arguments) !void {
    while (true) {
        const index = @atomicRmw(u32, &board.next, .Add, 1, .monotonic);
        if (index >= tests.len) return;
        const t = &tests[index];
        var name_buffer: [128]u8 = undefined;
        const name = try testName(t, &name_buffer);
        if (!arguments.selects(t, name)) continue;
        var text: std.Io.Writer.Allocating = .init(allocator);
        defer text.deinit();
        const ok = try run(t, name, arguments.trace, &text.writer);
        _ = @atomicRmw(u32, if (ok) &board.passed else &board.failed, .Add, 1, .monotonic);
        board.print(text.written());
    }
}

fn testName(t: *const Test, buffer: []u8) ![]const u8 {
    const fault = t.fault orelse return std.fmt.bufPrint(buffer, "holds: {s}", .{t.scenario.name});
    return std.fmt.bufPrint(buffer, "finds: {t} in {s}", .{ fault, t.scenario.name });
}

/// True when the test passed.
fn run(t: *const Test, name: []const u8, show_trace: bool, out: *std.Io.Writer) !bool {
    setFault(t.fault);
    const started = nowSeconds();
    const must_hold = t.fault == null;
    const result = try if (must_hold) explorer.prove(allocator, &t.scenario, .{}) else hunt(t);
    defer allocator.free(result.path);
    const seconds = nowSeconds() - started;
    const violated = result.verdict == .violated;
    const ok = if (must_hold) result.verdict == .holds else violated;
    try out.print("{s:<7} {s:<46} {d:>9} states {d:>6.1}s", .{
        if (ok) "ok" else "FAILED",
        name,
        result.states,
        seconds,
    });
    if (violated) {
        const steps = result.path.len;
        try out.print("  after {d} steps: {s}", .{ steps, result.verdict.violated });
    }
    if (!ok and !violated) try out.print("  {t}", .{result.verdict});
    try out.print("\n", .{});
    if (violated and (show_trace or !ok)) try trace.print(out, &t.scenario, result.path);
    return ok;
}

fn hunt(t: *const Test) !explorer.Result {
    const result = try explorer.hunt(allocator, &t.scenario, hunt_limits);
    if (result.verdict == .violated) return result;
    return explorer.prove(allocator, &t.scenario, .{});
}

fn setFault(fault: ?std.meta.FieldEnum(env.Faults)) void {
    env.active = .{};
    const wanted = fault orelse return;
    inline for (@typeInfo(env.Faults).@"struct".field_names) |name| {
        if (std.mem.eql(u8, name, @tagName(wanted))) @field(env.active, name) = true;
    }
}

fn nowSeconds() f64 {
    var time: std.os.linux.timespec = undefined;
    _ = std.os.linux.clock_gettime(.MONOTONIC, &time);
    return @as(f64, @floatFromInt(time.sec)) + @as(f64, @floatFromInt(time.nsec)) / 1e9;
}

/// A panic of the code under test (an overflow, an index out of bounds) is a violation.
pub const panic = std.debug.FullPanic(onPanic);

fn onPanic(message: []const u8, return_address: ?usize) noreturn {
    if (machine.isOnFiber()) machine.failWith(message);
    std.debug.defaultPanic(message, return_address);
}
