//! What the two sides of a case say and where they are, in memory that they share with the process
//! that watches them: nothing of it is lost when a side crashes or hangs.
//!
//! Every thread or process that talks has a _stage_: its name, and the call that it is in. Lines are
//! appended by one atomic add of their length, so that any thread or forked child may add some at
//! any time. Whoever reads sorts them by stage: within a stage they are in order, between stages no
//! order means anything.

const std = @import("std");
const libc = @import("libc.zig");

pub const stage_max = 32;
const log_bytes = 1 << 20;
const line_bytes_max = 1024;

/// Where the watching process leaves the transcript's memory and the side channel: numbers that
/// neither an ordinary program nor the library under test comes near.
pub const memory_fd = 200;
pub const channel_fd = 201;

/// A thread or process that talks.
pub const Stage = extern struct {
    name: [40]u8,
    /// The call or step that it is in, as it will stand in the transcript.
    text: [704]u8,
    text_length: u32,
    /// 0 between calls.
    busy: u32,
};

pub const Transcript = extern struct {
    stage_count: u32,
    pid_count: u32,
    pids: [64]i32,
    log_used: u64,
    stages: [stage_max]Stage,
    log: [log_bytes]u8,

    /// Makes the memory; the descriptor goes to both sides.
    pub fn create() c_int {
        const fd = libc.memfd_create("transcript", 0);
        if (fd < 0 or libc.ftruncate(fd, @sizeOf(Transcript)) != 0) return -1;
        return fd;
    }

    pub fn map(fd: c_int) ?*Transcript {
        const length = @sizeOf(Transcript);
        const memory = libc.mmap(null, length, libc.PROT_READ_WRITE, libc.MAP_SHARED, fd, 0);
        if (@intFromPtr(memory) == std.math.maxInt(usize)) return null;
        return @ptrCast(@alignCast(memory));
    }

    /// A new stage; null when there are too many.
    pub fn addStage(transcript: *Transcript, name: []const u8) ?*Stage {
        const index = @atomicRmw(u32, &transcript.stage_count, .Add, 1, .monotonic);
        if (index >= stage_max) return null;
        const stage = &transcript.stages[index];
        const length = @min(name.len, stage.name.len - 1);
        @memcpy(stage.name[0..length], name[0..length]);
        return stage;
    }

    /// Notes a process whose connections belong to the case.
    pub fn addPid(transcript: *Transcript, pid: c_int) void {
        const index = @atomicRmw(u32, &transcript.pid_count, .Add, 1, .monotonic);
        if (index < transcript.pids.len) transcript.pids[index] = pid;
    }

    /// Appends a line of this stage. What does not fit is cut off.
    pub fn addLine(transcript: *Transcript, stage: *const Stage, line: []const u8) void {
        const length = @min(line.len, line_bytes_max);
        const start = @atomicRmw(u64, &transcript.log_used, .Add, length + 2, .monotonic);
        if (start + length + 2 > log_bytes) return;
        const room = transcript.log[start..][0 .. length + 2];
        room[0] = @intCast(1 + transcript.indexOf(stage));
        @memcpy(room[1..][0..length], line[0..length]);
        room[length + 1] = '\n';
    }

    fn indexOf(transcript: *const Transcript, stage: *const Stage) usize {
        return (@intFromPtr(stage) - @intFromPtr(&transcript.stages)) / @sizeOf(Stage);
    }

    /// All lines, for the reader: `next` gives one after the other.
    pub fn lines(transcript: *const Transcript) Lines {
        const used = @min(@atomicLoad(u64, &transcript.log_used, .acquire), log_bytes);
        return .{ .transcript = transcript, .rest = transcript.log[0..used] };
    }

    pub fn stagesUsed(transcript: *const Transcript) []const Stage {
        const count = @atomicLoad(u32, &transcript.stage_count, .acquire);
        return transcript.stages[0..@min(count, stage_max)];
    }
};

pub const Line = struct { stage: *const Stage, text: []const u8 };

pub const Lines = struct {
    transcript: *const Transcript,
    rest: []const u8,

    pub fn next(self: *Lines) ?Line {
        while (self.rest.len > 0) {
            // A side that was killed between reserving and writing leaves zeros.
            const index = self.rest[0];
            if (index == 0 or index > stage_max) {
                self.rest = self.rest[1..];
                continue;
            }
            // From 1 on: the index may have the newline's number.
            const end = std.mem.findScalarPos(u8, self.rest, 1, '\n') orelse self.rest.len;
            const text = self.rest[1..end];
            self.rest = self.rest[@min(end + 1, self.rest.len)..];
            return .{ .stage = &self.transcript.stages[index - 1], .text = text };
        }
        return null;
    }
};

pub fn stageName(stage: *const Stage) []const u8 {
    return std.mem.sliceTo(&stage.name, 0);
}

test "lines come back in order, with their stages" {
    const memory = try std.testing.allocator.create(Transcript);
    defer std.testing.allocator.destroy(memory);
    @memset(std.mem.asBytes(memory), 0);
    const server = memory.addStage("server").?;
    for (0..8) |_| _ = memory.addStage("other");
    const client = memory.addStage("client").?; // its lines begin with byte 10, as '\n'
    memory.addLine(server, "one");
    memory.addLine(client, "two");
    memory.log_used += 3; // somebody was killed here
    memory.addLine(server, "three");
    var lines = memory.lines();
    for ([_][]const u8{ "server", "client", "server" }, [_][]const u8{ "one", "two", "three" }) |name, text| {
        const line = lines.next().?;
        try std.testing.expectEqualStrings(name, stageName(line.stage));
        try std.testing.expectEqualStrings(text, line.text);
    }
    try std.testing.expectEqual(null, lines.next());
}
