//! sdconform: small plain clients and servers that do what Linux promises about sockets, and write
//! down what they saw.
//!
//! Nothing of SocksDirect is linked in. tests/conformance runs each case over kernel TCP and in
//! every combination of preloaded and plain sides, and compares the transcripts.
//! Read order: case.zig (what a case is), cases/stream.zig (the simplest ones), side.zig (what a
//! case is written with), pair.zig (how both sides are run).

const std = @import("std");
const case_module = @import("case.zig");
const libc = @import("libc.zig");
const pair = @import("pair.zig");
const random = @import("random/episode.zig");
const random_actor = @import("random/actor.zig");
const side_module = @import("side.zig");
const transcript_module = @import("transcript.zig");

const help =
    \\sdconform: conformance cases for TCP sockets
    \\
    \\  sdconform list                print every case as JSON
    \\  sdconform pair CASE [option]  run both sides of a case and print what they saw as JSON
    \\
    \\  --server-env NAME=VALUE       add to the server's environment (LD_PRELOAD=...)
    \\  --client-env NAME=VALUE       add to the client's
    \\  --deadline SECONDS            say who waits for what after so long (20)
    \\
    \\  sdconform random [option]     run random programs (random/) and print what they saw, a line of
    \\                                JSON each
    \\
    \\  sdconform random-kinds        print the kinds of steps, as reports count them
    \\
    \\  --seed N                      the first die (1)
    \\  --episode N, --episodes N     the first program (0), and how many (1)
    \\  --steps N                     steps of each program (100)
    \\  --keep LIST                   only these steps: 0-4,7,12-
    \\  --print                       say on stderr what happens, as it does
    \\  --server-env, --client-env    as above, for side A and side B
    \\
    \\CASE is topic/name. `pair` starts `sdconform server|client CASE` itself.
    \\Exit: 0 the pair ran (whatever it saw), 1 it could not, 2 wrong use.
    \\
;

/// A C main and not Zig's, so that nothing runs before it but libc and what is preloaded.
pub export fn main(argc: c_int, argv: [*]const [*:0]const u8) c_int {
    const words = argv[0..@intCast(argc)];
    const command = if (words.len > 1) std.mem.span(words[1]) else "help";
    if (std.mem.eql(u8, command, "list")) return if (printList()) 0 else 1;
    if (std.mem.eql(u8, command, "random-kinds")) return if (random.printKinds()) 0 else 1;
    if (std.mem.eql(u8, command, "random")) return runRandom(words[2..]);
    if (std.mem.eql(u8, command, "actor")) return random_actor.run();
    if (words.len < 3) {
        _ = pair.writeAll(help);
        return if (std.mem.eql(u8, command, "help")) 0 else 2;
    }
    const case = case_module.find(std.mem.span(words[2])) orelse
        return usage("no such case; `sdconform list` prints all");
    if (std.mem.eql(u8, command, "pair")) return runPair(case, words[3..]);
    inline for (.{ side_module.Role.server, side_module.Role.client }) |role| {
        if (std.mem.eql(u8, command, @tagName(role))) return runSide(case, role);
    }
    return usage("no such command; `sdconform help` lists them");
}

fn usage(text: []const u8) c_int {
    for ([_][]const u8{ "sdconform: ", text, "\n" }) |part| _ = libc.write(2, part.ptr, part.len);
    return 2;
}

fn runPair(case: *const case_module.Case, words: []const [*:0]const u8) c_int {
    var options: pair.Options = .{};
    var i: usize = 0;
    while (i + 1 < words.len) : (i += 2) {
        const option = std.mem.span(words[i]);
        const value = words[i + 1];
        if (std.mem.eql(u8, option, "--server-env")) {
            if (!options.addEnv(.server, value)) return usage("too many --server-env");
        } else if (std.mem.eql(u8, option, "--client-env")) {
            if (!options.addEnv(.client, value)) return usage("too many --client-env");
        } else if (std.mem.eql(u8, option, "--deadline")) {
            options.deadline_s = std.fmt.parseInt(u32, std.mem.span(value), 10) catch
                return usage("--deadline wants a number of seconds");
        } else return usage("no such option; `sdconform help` lists them");
    }
    if (i != words.len) return usage("an option lacks its value");
    return if (pair.run(case, &options)) 0 else 1;
}

fn runRandom(words: []const [*:0]const u8) c_int {
    var options: random.Options = .{};
    var i: usize = 0;
    while (i < words.len) : (i += 2) {
        const option = std.mem.span(words[i]);
        if (std.mem.eql(u8, option, "--print")) {
            options.conductor.print = true;
            i -%= 1;
            continue;
        }
        if (i + 1 == words.len) return usage("an option lacks its value");
        if (!takeRandomOption(&options, option, words[i + 1])) {
            return usage("no such option, or no such value; `sdconform help` lists them");
        }
    }
    return if (random.runAll(&options)) 0 else 1;
}

fn takeRandomOption(options: *random.Options, option: []const u8, value: [*:0]const u8) bool {
    for ([_][]const u8{ "--server-env", "--client-env" }, 0..) |name, side| {
        if (!std.mem.eql(u8, option, name)) continue;
        return options.conductor.addEnv(side, value);
    }
    if (std.mem.eql(u8, option, "--keep")) {
        options.kept = .{ .list = std.mem.span(value) };
        return true;
    }
    const number = std.fmt.parseInt(u64, std.mem.span(value), 10) catch return false;
    if (std.mem.eql(u8, option, "--seed")) {
        options.seed = number;
    } else if (std.mem.eql(u8, option, "--episode")) {
        options.first = number;
    } else if (std.mem.eql(u8, option, "--episodes")) {
        options.episodes = number;
    } else if (std.mem.eql(u8, option, "--steps")) {
        options.steps = number;
    } else return false;
    return true;
}

fn runSide(case: *const case_module.Case, role: side_module.Role) c_int {
    const transcript = transcript_module.Transcript.map(transcript_module.memory_fd) orelse
        return usage("no transcript to write to; `sdconform pair` starts the sides");
    var side: side_module.Side = .{
        .transcript = transcript,
        .stage = transcript.addStage(@tagName(role)) orelse return 1,
        .role = role,
        .expect_ring = libc.getenv(pair.ring_variable) != null,
    };
    transcript.addPid(libc.getpid());
    const body = switch (role) {
        .server => case.server,
        .client => case.client,
    };
    body(&side);
    // Nobody ends before both are done: an exit closes everything.
    side.sync("the end of the case");
    return 0;
}

fn printList() bool {
    const Listed = struct {
        topic: []const u8,
        name: []const u8,
        summary: []const u8,
        carrier: case_module.Carrier,
        reasons: []const []const u8,
        differs: ?[]const u8,
    };
    _ = pair.writeAll("[\n");
    for (case_module.all, 0..) |case, index| {
        const listed: Listed = .{
            .topic = case.topic,
            .name = case.name,
            .summary = case.summary,
            .carrier = case.carrier,
            .reasons = case.reasons,
            .differs = case.differs,
        };
        const json = std.json.Stringify.valueAlloc(std.heap.c_allocator, listed, .{}) catch return false;
        if (!pair.writeAll(json)) return false;
        if (!pair.writeAll(if (index + 1 < case_module.all.len) ",\n" else "\n")) return false;
    }
    return pair.writeAll("]\n");
}
