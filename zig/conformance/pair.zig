//! Runs both sides of a case and says what they said: transcripts, how each ended, who was where
//! when the deadline came, what was left behind. One JSON object on stdout.
//!
//! The two sides are this program again, started by fork and exec, each in a process group of its
//! own and with its own additions to the environment: that is where LD_PRELOAD comes in. This
//! process itself is never preloaded.

const std = @import("std");
const case_module = @import("case.zig");
const libc = @import("libc.zig");
const transcript_module = @import("transcript.zig");
const Role = @import("side.zig").Role;

const Case = case_module.Case;
const Transcript = transcript_module.Transcript;

const deadline_s_default = 20;
const leftovers_wait_ms = 2000;
const env_max = 16;

pub const ring_variable = "SDCONFORM_RING";

pub const Options = struct {
    deadline_s: u32 = deadline_s_default,
    env: [2][env_max]?[*:0]const u8 = @splat(@splat(null)),
    env_count: [2]usize = @splat(0),

    pub fn addEnv(options: *Options, role: Role, entry: [*:0]const u8) bool {
        const count = &options.env_count[@backingInt(role)];
        if (count.* == env_max) return false;
        options.env[@backingInt(role)][count.*] = entry;
        count.* += 1;
        return true;
    }
};

const Ending = struct {
    pid: c_int = 0,
    /// What waitpid gave; null: still there at the deadline.
    status: ?c_int = null,
};

/// How it went, as one JSON object.
const Report = struct {
    case: []const u8,
    server: []const u8,
    client: []const u8,
    /// "stage: line", sorted by stage.
    lines: []const []const u8,
    /// At the deadline: who was in which call.
    waiting: []const []const u8,
    leftovers: bool,
    pids: []const i32,
};

/// Returns false when the machinery itself failed.
pub fn run(case: *const Case, options: *const Options) bool {
    _ = libc.prctl(libc.PR_SET_CHILD_SUBREAPER, @as(c_ulong, 1));
    const memory = Transcript.create();
    const transcript = if (memory < 0) null else Transcript.map(memory);
    var channel: [2]c_int = undefined;
    if (transcript == null) return false;
    if (libc.socketpair(libc.AF_UNIX, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0, &channel) != 0) return false;

    var endings = [_]Ending{ .{}, .{} };
    for (&endings, [_]Role{ .server, .client }, channel) |*ending, role, line| {
        ending.pid = start(case, options, role, memory, line);
        if (ending.pid < 0) return false;
    }
    for (channel) |line| _ = libc.close(line);
    waitForBoth(&endings, options.deadline_s);
    const late = endings[0].status == null or endings[1].status == null;
    // Before anybody is ended: the other side would wake up and say that its peer is gone.
    const seen = std.heap.c_allocator.create(Transcript) catch return false;
    if (late) seen.* = transcript.?.*;
    var left = false;
    for (&endings) |*ending| left = endGroup(ending, late) or left;
    return print(case, if (late) seen else transcript.?, &endings, late, left);
}

/// The calling process becomes a side in the child.
fn start(case: *const Case, options: *const Options, role: Role, memory: c_int, channel: c_int) c_int {
    const parent = libc.getpid();
    const pid = libc.fork();
    if (pid != 0) {
        // Here too, so that it holds before the child has run.
        if (pid > 0) _ = libc.setpgid(pid, pid);
        return pid;
    }
    _ = libc.setpgid(0, 0);
    _ = libc.prctl(libc.PR_SET_PDEATHSIG, @as(c_ulong, libc.SIGKILL));
    if (libc.getppid() != parent) libc._exit(127);
    // Whoever started us may ignore it, and exec would hand that on.
    _ = libc.signal(libc.SIGPIPE, null);
    if (libc.dup2(memory, transcript_module.memory_fd) < 0) libc._exit(127);
    if (libc.dup2(channel, transcript_module.channel_fd) < 0) libc._exit(127);
    for (options.env[@backingInt(role)][0..options.env_count[@backingInt(role)]]) |entry| {
        putEnv(entry.?);
    }
    var name: [128]u8 = undefined;
    const path = std.fmt.bufPrintSentinel(&name, "{s}/{s}", .{ case.topic, case.name }, 0) catch
        libc._exit(127);
    const argv = [_:null]?[*:0]const u8{ "sdconform", @tagName(role), path };
    _ = libc.execv("/proc/self/exe", &argv);
    libc._exit(127);
}

pub fn putEnv(entry: [*:0]const u8) void {
    const text = std.mem.span(entry);
    const equals = std.mem.findScalar(u8, text, '=') orelse return;
    var name: [128]u8 = @splat(0);
    if (equals >= name.len) return;
    @memcpy(name[0..equals], text[0..equals]);
    _ = libc.setenv(@ptrCast(&name), entry + equals + 1, 1);
}

fn waitForBoth(endings: *[2]Ending, deadline_s: u32) void {
    const end_ms = nowMs() + @as(i64, deadline_s) * 1000;
    while (nowMs() < end_ms) {
        for (endings) |*ending| look(ending);
        if (endings[0].status != null and endings[1].status != null) return;
        _ = libc.nanosleep(&.{ .sec = 0, .nsec = 500_000 }, null);
    }
}

fn look(ending: *Ending) void {
    if (ending.status != null) return;
    var status: c_int = 0;
    if (libc.waitpid(ending.pid, &status, libc.WNOHANG) == ending.pid) ending.status = status;
}

/// Ends what a side has left in its process group; true if there was something to end. (Whoever it
/// forked is our child now.)
fn endGroup(ending: *Ending, at_once: bool) bool {
    const end_ms = nowMs() + leftovers_wait_ms;
    while (!at_once and nowMs() < end_ms) {
        const pid = libc.waitpid(-ending.pid, null, libc.WNOHANG);
        if (pid < 0) return false;
        if (pid == 0) _ = libc.nanosleep(&.{ .sec = 0, .nsec = 500_000 }, null);
    }
    _ = libc.kill(-ending.pid, libc.SIGKILL);
    while (libc.waitpid(-ending.pid, null, 0) > 0) {}
    return !at_once;
}

fn nowMs() i64 {
    var time: libc.timespec = undefined;
    _ = libc.clock_gettime(libc.CLOCK_MONOTONIC, &time);
    return time.sec * 1000 + @divFloor(time.nsec, 1_000_000);
}

// -- the report ---------------------------------------------------------------------------------

fn print(
    case: *const Case,
    transcript: *const Transcript,
    endings: *const [2]Ending,
    late: bool,
    left: bool,
) bool {
    var arena = std.heap.ArenaAllocator.init(std.heap.c_allocator);
    defer arena.deinit();
    const allocator = arena.allocator();
    const pid_count = @min(transcript.pid_count, transcript.pids.len);
    const report: Report = .{
        .case = std.fmt.allocPrint(allocator, "{s}/{s}", .{ case.topic, case.name }) catch return false,
        .server = endingText(allocator, &endings[0]) catch return false,
        .client = endingText(allocator, &endings[1]) catch return false,
        .lines = linesOf(allocator, transcript) catch return false,
        .waiting = if (late) waitingOf(allocator, transcript) catch return false else &.{},
        .leftovers = left,
        .pids = transcript.pids[0..pid_count],
    };
    const json = std.json.Stringify.valueAlloc(allocator, report, .{}) catch return false;
    return writeAll(json) and writeAll("\n");
}

fn endingText(allocator: std.mem.Allocator, ending: *const Ending) ![]const u8 {
    const status = ending.status orelse return "was still there at the deadline";
    const signal = status & 0x7f;
    if (signal != 0) return std.fmt.allocPrint(allocator, "signal {d}", .{signal});
    return std.fmt.allocPrint(allocator, "exit {d}", .{(status >> 8) & 0xff});
}

fn linesOf(allocator: std.mem.Allocator, transcript: *const Transcript) ![]const []const u8 {
    var found: std.ArrayList([]const u8) = .empty;
    const names = try allocator.alloc([]const u8, transcript.stagesUsed().len);
    for (names, transcript.stagesUsed()) |*name, *stage| name.* = transcript_module.stageName(stage);
    std.mem.sort([]const u8, names, {}, lessThan);
    for (names) |name| {
        var lines = transcript.lines();
        while (lines.next()) |line| {
            if (!std.mem.eql(u8, transcript_module.stageName(line.stage), name)) continue;
            try found.append(allocator, try std.fmt.allocPrint(allocator, "{s}: {s}", .{ name, line.text }));
        }
    }
    return found.items;
}

fn lessThan(_: void, a: []const u8, b: []const u8) bool {
    return std.mem.lessThan(u8, a, b);
}

fn waitingOf(allocator: std.mem.Allocator, transcript: *const Transcript) ![]const []const u8 {
    var found: std.ArrayList([]const u8) = .empty;
    for (transcript.stagesUsed()) |*stage| {
        const name = transcript_module.stageName(stage);
        const line = if (@atomicLoad(u32, &stage.busy, .acquire) == 0)
            try std.fmt.allocPrint(allocator, "{s} is between two calls, or has ended", .{name})
        else
            try std.fmt.allocPrint(allocator, "{s} waits in: {s}", .{ name, stage.text[0..stage.text_length] });
        try found.append(allocator, line);
    }
    return found.items;
}

pub fn writeAll(bytes: []const u8) bool {
    var done: usize = 0;
    while (done < bytes.len) {
        const n = libc.write(1, bytes.ptr + done, bytes.len - done);
        if (n < 0 and libc.errno() != libc.EINTR) return false;
        if (n > 0) done += @intCast(n);
    }
    return true;
}
