//! A random program: what an episode does, step by step, from a seed alone.
//!
//! A step is a kind and some random numbers. What it comes to (which connection, how many bytes) is
//! decided when it is reached, from these numbers and what has happened so far: so any step makes
//! sense anywhere, and a program from which steps are taken away is a program still. That is how
//! failures shrink.

const std = @import("std");

pub const Kind = enum {
    send,
    receive,
    drain,
    poll,
    epoll_create,
    epoll_ctl,
    epoll_wait,
    ask,
    option,
    duplicate,
    close_one,
    shutdown,
    close_end,
    reset_end,
    connect,
    thread,
    fork,
    end_child,
    kill_child,
    kill_side,
    blocked,
    bulk,
    move,
};

/// How often each kind comes, in a thousand.
const weights = std.enums.EnumFieldStruct(Kind, u32, null){
    .send = 225,
    .receive = 185,
    .drain = 40,
    .poll = 75,
    .epoll_create = 14,
    .epoll_ctl = 85,
    .epoll_wait = 95,
    .ask = 35,
    .option = 30,
    .duplicate = 20,
    .close_one = 15,
    .shutdown = 8,
    .close_end = 8,
    .reset_end = 4,
    .connect = 22,
    .thread = 8,
    .fork = 10,
    .end_child = 6,
    .kill_child = 5,
    .kill_side = 2,
    .blocked = 85,
    .bulk = 10,
    .move = 13,
};

comptime {
    var sum: u32 = 0;
    for (std.enums.values(Kind)) |kind| sum += @field(weights, @tagName(kind));
    std.debug.assert(sum == 1000);
}

pub const Step = struct {
    kind: Kind,
    /// For whatever is to be decided.
    dice: [6]u64,

    /// A number below `limit`, from one of the dice.
    pub fn below(step: *const Step, die: usize, limit: u64) u64 {
        return if (limit == 0) 0 else step.dice[die] % limit;
    }

    /// One of several.
    pub fn pick(step: *const Step, die: usize, comptime T: type, choices: []const T) T {
        return choices[@intCast(step.below(die, choices.len))];
    }

    /// True in `part` of 100 cases.
    pub fn chance(step: *const Step, die: usize, part: u64) bool {
        return (step.dice[die] >> 32) % 100 < part;
    }

    /// A number of bytes: often small, seldom as large as the limit allows.
    pub fn size(step: *const Step, die: usize, limit: u64) u64 {
        const range: u64 = switch ((step.dice[die] >> 48) % 8) {
            0 => 1,
            1, 2 => 16,
            3, 4 => 300,
            5, 6 => 4200,
            else => limit,
        };
        return 1 + step.below(die, @max(1, @min(range, limit)));
    }
};

/// Which steps of the program are taken; all, until a failure is shrunk.
pub const Kept = struct {
    /// "0-4,7,12-"
    list: ?[]const u8 = null,

    pub fn has(kept: Kept, index: usize) bool {
        const list = kept.list orelse return true;
        var parts = std.mem.tokenizeScalar(u8, list, ',');
        while (parts.next()) |part| {
            const dash = std.mem.findScalar(u8, part, '-');
            const first = std.fmt.parseInt(usize, part[0 .. dash orelse part.len], 10) catch continue;
            const last = if (dash) |at|
                std.fmt.parseInt(usize, part[at + 1 ..], 10) catch std.math.maxInt(usize)
            else
                first;
            if (index >= first and index <= last) return true;
        }
        return false;
    }
};

pub const Program = struct {
    random: std.Random.SplitMix64,

    pub fn init(seed: u64, episode: u64) Program {
        var mixed = std.Random.SplitMix64.init(seed);
        return .{ .random = .init(mixed.next() ^ (episode *% 0x9e3779b97f4a7c15)) };
    }

    pub fn next(program: *Program) Step {
        var at = program.random.next() % 1000;
        const kind = for (std.enums.values(Kind)) |kind| {
            const weight = weightOf(kind);
            if (at < weight) break kind;
            at -= weight;
        } else unreachable; // the weights' sum is 1000
        var step: Step = .{ .kind = kind, .dice = undefined };
        for (&step.dice) |*die| die.* = program.random.next();
        return step;
    }
};

fn weightOf(kind: Kind) u32 {
    return switch (kind) {
        inline else => |known| @field(weights, @tagName(known)),
    };
}

test "a program depends on its seed and episode only" {
    var one = Program.init(7, 3);
    var two = Program.init(7, 3);
    var other = Program.init(7, 4);
    try std.testing.expectEqual(one.next(), two.next());
    try std.testing.expect(one.next().dice[0] != other.next().dice[0]);
}

test "a list says which steps are kept" {
    const kept: Kept = .{ .list = "0-2,5,9-" };
    for ([_]usize{ 0, 2, 5, 9, 1000 }) |index| try std.testing.expect(kept.has(index));
    for ([_]usize{ 3, 4, 6, 8 }) |index| try std.testing.expect(!kept.has(index));
    try std.testing.expect((Kept{}).has(77));
}
