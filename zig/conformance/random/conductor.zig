//! Starts the two sides' processes, tells their actors what to do, one after the other, and writes
//! down what came of it.
//!
//! The conductor is never preloaded; the actors are when the environment for them says so. What a
//! call returns must not depend on how fast bytes travel, so before a call that looks, `settle`
//! waits until what is on its way has come.

const std = @import("std");
const libc = @import("../libc.zig");
const pair = @import("../pair.zig");
const text = @import("../text.zig");
const wire = @import("wire.zig");
const world = @import("world.zig");

const Actor = world.Actor;
const Command = wire.Command;
const Reply = wire.Reply;
const SYS = std.os.linux.SYS;

const answer_ms_max = 15_000;
const asleep_looks_max = 20_000;

pub const Options = struct {
    env: [2][16]?[*:0]const u8 = @splat(@splat(null)),
    env_count: [2]usize = @splat(0),
    print: bool = false,

    pub fn addEnv(options: *Options, side: usize, entry: [*:0]const u8) bool {
        const count = &options.env_count[side];
        if (count.* == options.env[side].len) return false;
        options.env[side][count.*] = entry;
        count.* += 1;
        return true;
    }
};

/// The episode is over before its program is: the last line says why.
pub const Over = error{Over};

pub const Conductor = struct {
    options: *const Options,
    arena: std.mem.Allocator,
    w: world.World = .{},
    lines: std.ArrayList([]const u8) = .empty,
    /// The step that is being made.
    step: usize = 0,
    shared: [2]*wire.Shared = undefined,
    memory: [2]c_int = @splat(-1),
    /// Our ends of the channels, by root process.
    channels: [8][wire.channels]c_int = @splat(@splat(-1)),
    roots: usize = 0,
    root_of_channels: [8]u8 = @splat(0),
    generation: [2]u32 = @splat(0),
    pids: std.ArrayList(c_int) = .empty,

    // -- processes ----------------------------------------------------------------------------

    /// A fresh process for a side, listening.
    pub fn startSide(c: *Conductor, side: u1) Over!void {
        if (c.roots == c.channels.len) return c.over("too many processes", .{});
        const memory = libc.memfd_create("actors", 0);
        if (memory < 0 or libc.ftruncate(memory, 4096) != 0) return c.over("no memory for actors", .{});
        c.memory[side] = memory;
        c.shared[side] = wire.Shared.map(memory) orelse return c.over("no memory for actors", .{});
        var theirs: [wire.channels]c_int = undefined;
        for (&c.channels[c.roots], &theirs) |*ours, *their| {
            var both: [2]c_int = undefined;
            if (libc.socketpair(libc.AF_UNIX, libc.SOCK_SEQPACKET | libc.SOCK_CLOEXEC, 0, &both) != 0) {
                return c.over("no channel for an actor", .{});
            }
            ours.* = both[0];
            their.* = both[1];
        }
        const pid = c.spawn(side, memory, &theirs);
        for (theirs) |fd| _ = libc.close(fd);
        if (pid < 0) return c.over("no process for an actor", .{});
        const number: u8 = @intCast(c.w.processes.count);
        c.root_of_channels[c.roots] = number;
        c.roots += 1;
        c.generation[side] += 1;
        var process: world.Process = .{ .side = side, .root = number, .parent = null, .pid = pid };
        _ = if (c.generation[side] == 1)
            std.fmt.bufPrint(&process.name, "{c}", .{nameOfSide(side)}) catch unreachable
        else
            std.fmt.bufPrint(&process.name, "{c}{d}", .{ nameOfSide(side), c.generation[side] }) catch unreachable;
        try c.addProcess(process);
        _ = try c.addActor(number, 0, "");
        var reply: Reply = .{};
        const command: Command = .{ .op = .listen };
        try c.ask(c.w.mainActor(number), &command, &reply);
        if (reply.value < 0) return c.over("no listener: {f}", .{text.errno(reply.errno)});
        c.w.processes.items[number].listener = @intCast(reply.value);
        c.w.processes.items[number].port = @intCast(reply.a);
    }

    fn nameOfSide(side: u1) u8 {
        return if (side == 0) 'A' else 'B';
    }

    pub fn addProcess(c: *Conductor, process: world.Process) Over!void {
        var copy = process;
        copy.pidfd = @intCast(libc.syscall(@backingInt(SYS.pidfd_open), @as(c_long, process.pid), @as(c_long, 0)));
        c.pids.append(c.arena, process.pid) catch return error.Over;
        if (!c.w.processes.add(copy)) return c.over("too many processes", .{});
    }

    /// Waits for its first word.
    pub fn addActor(c: *Conductor, process: u8, place: usize, suffix: []const u8) Over!*Actor {
        const root = c.w.processes.items[process].root;
        const channel = for (c.root_of_channels[0..c.roots], 0..) |number, i| {
            if (number == root) break c.channels[i][place];
        } else return c.over("no channel", .{});
        var actor: Actor = .{ .process = process, .place = place, .channel = channel, .tid = 0 };
        _ = std.fmt.bufPrint(&actor.name, "{s}{s}", .{
            std.mem.sliceTo(&c.w.processes.items[process].name, 0), suffix,
        }) catch unreachable;
        if (!c.w.actors.add(actor)) return c.over("too many actors", .{});
        const added = &c.w.actors.slice()[c.w.actors.count - 1];
        var hello: Reply = .{};
        try c.hear(added, "its first word", &hello);
        added.tid = @intCast(hello.a);
        return added;
    }

    fn spawn(c: *Conductor, side: u1, memory: c_int, theirs: []const c_int) c_int {
        const parent = libc.getpid();
        const pid = libc.fork();
        if (pid != 0) return pid;
        _ = libc.setpgid(0, 0);
        _ = libc.prctl(libc.PR_SET_PDEATHSIG, @as(c_ulong, libc.SIGKILL));
        if (libc.getppid() != parent) libc._exit(127);
        if (libc.dup2(memory, wire.memory_fd) < 0) libc._exit(127);
        for (theirs, 0..) |fd, i| {
            if (libc.dup2(fd, wire.channel_fd + @as(c_int, @intCast(i))) < 0) libc._exit(127);
        }
        for (3..wire.memory_fd) |fd| _ = libc.close(@intCast(fd));
        for (c.options.env[side][0..c.options.env_count[side]]) |entry| pair.putEnv(entry.?);
        const argv = [_:null]?[*:0]const u8{ "sdconform", "actor" };
        _ = libc.execv("/proc/self/exe", &argv);
        libc._exit(127);
    }

    /// Kills a process and waits until it is gone.
    pub fn kill(c: *Conductor, process: u8) void {
        const p = &c.w.processes.items[process];
        _ = libc.kill(p.pid, libc.SIGKILL);
        c.untilGone(process);
    }

    pub fn untilGone(c: *Conductor, process: u8) void {
        var polled = [_]libc.pollfd{.{ .fd = c.w.processes.items[process].pidfd, .events = libc.POLLIN }};
        _ = libc.poll(&polled, 1, answer_ms_max);
        c.reap();
    }

    pub fn reap(_: *Conductor) void {
        while (libc.waitpid(-1, null, libc.WNOHANG) > 0) {}
    }

    /// Ends everything.
    pub fn end(c: *Conductor) void {
        for (c.w.processes.slice()) |p| {
            if (p.alive) _ = libc.kill(p.pid, libc.SIGKILL);
        }
        for (c.w.processes.slice()) |p| {
            var polled = [_]libc.pollfd{.{ .fd = p.pidfd, .events = libc.POLLIN }};
            _ = libc.poll(&polled, 1, answer_ms_max);
            _ = libc.close(p.pidfd);
        }
        c.reap();
        for (c.channels[0..c.roots]) |row| for (row) |fd| {
            _ = libc.close(fd);
        };
        for (c.memory) |fd| if (fd >= 0) {
            _ = libc.close(fd);
        };
    }

    // -- commands -----------------------------------------------------------------------------

    pub fn ask(c: *Conductor, actor: *Actor, command: *const Command, reply: *Reply) Over!void {
        try c.begin(actor, command);
        try c.hear(actor, @tagName(command.op), reply);
    }

    /// Tells it what to do, and does not wait.
    pub fn begin(c: *Conductor, actor: *Actor, command: *const Command) Over!void {
        if (!wire.sendMessage(actor.channel, command)) {
            return c.over("{s} is gone before {s}", .{ nameOf(actor), @tagName(command.op) });
        }
    }

    pub fn hear(c: *Conductor, actor: *Actor, what: []const u8, reply: *Reply) Over!void {
        const p = &c.w.processes.items[actor.process];
        var polled = [_]libc.pollfd{
            .{ .fd = actor.channel, .events = libc.POLLIN },
            .{ .fd = p.pidfd, .events = libc.POLLIN },
        };
        const n = libc.poll(&polled, 2, answer_ms_max);
        if (n == 0) return c.over("deadline: {s} waits in {s}", .{ nameOf(actor), what });
        if (polled[0].revents & libc.POLLIN == 0) {
            var status: c_int = 0;
            _ = libc.waitpid(p.pid, &status, 0);
            return c.over("{s} died in {s}: status 0x{x}", .{ nameOf(actor), what, status });
        }
        if (!wire.receiveMessage(actor.channel, reply)) {
            return c.over("{s} is gone in {s}", .{ nameOf(actor), what });
        }
    }

    /// Waits until the actor sleeps inside its call. False: it has answered already.
    pub fn untilAsleep(c: *Conductor, actor: *Actor) Over!bool {
        const p = &c.w.processes.items[actor.process];
        const busy = &c.shared[p.side].busy[actor.place];
        var seen: u32 = 0;
        for (0..asleep_looks_max) |_| {
            var polled = [_]libc.pollfd{.{ .fd = actor.channel, .events = libc.POLLIN }};
            if (libc.poll(&polled, 1, 0) == 1) return false;
            const asleep = @atomicLoad(u32, busy, .acquire) == 1 and isAsleep(p.pid, actor.tid);
            seen = if (asleep) seen + 1 else 0;
            if (seen == 3) return true;
            _ = libc.nanosleep(&.{ .sec = 0, .nsec = 200_000 }, null);
        }
        return c.over("{s} neither sleeps nor answers", .{nameOf(actor)});
    }

    fn isAsleep(pid: c_int, tid: c_int) bool {
        var path: [64]u8 = undefined;
        const file = std.fmt.bufPrintSentinel(&path, "/proc/{d}/task/{d}/stat", .{ pid, tid }, 0) catch return false;
        const fd = libc.open(file, libc.O_RDONLY);
        if (fd < 0) return false;
        defer _ = libc.close(fd);
        var buffer: [512]u8 = undefined;
        const n = libc.read(fd, &buffer, buffer.len);
        if (n <= 0) return false;
        const said = buffer[0..@intCast(n)];
        const at = std.mem.findScalarLast(u8, said, ')') orelse return false;
        return at + 2 < said.len and said[at + 2] == 'S';
    }

    /// A signal for this very thread; returns when the handler has run.
    pub fn signal(c: *Conductor, actor: *Actor, number: c_int) Over!void {
        const p = &c.w.processes.items[actor.process];
        const handled = &c.shared[p.side].handled;
        const before = @atomicLoad(u32, handled, .acquire);
        _ = libc.syscall(@backingInt(SYS.tgkill), @as(c_long, p.pid), @as(c_long, actor.tid), @as(c_long, number));
        for (0..asleep_looks_max) |_| {
            if (@atomicLoad(u32, handled, .acquire) != before) return;
            _ = libc.nanosleep(&.{ .sec = 0, .nsec = 100_000 }, null);
        }
        return c.over("{s} has not run its handler", .{nameOf(actor)});
    }

    // -- settling -----------------------------------------------------------------------------

    /// The same, as this process sees it.
    pub fn settleIn(c: *Conductor, process: u8, end_index: u8) Over!void {
        var wanted: [world.ends_max]bool = @splat(false);
        wanted[end_index] = true;
        try c.settleBy(process, &wanted);
    }

    /// Everything on its way to this end has come.
    pub fn settle(c: *Conductor, end_index: u8) Over!void {
        var wanted: [world.ends_max]bool = @splat(false);
        wanted[end_index] = true;
        try c.settleThese(&wanted);
    }

    /// The same for all ends that anybody of this side has.
    pub fn settleSide(c: *Conductor, side: u1) Over!void {
        var wanted: [world.ends_max]bool = @splat(false);
        for (c.w.holders.slice()) |holder| {
            if (c.w.processes.items[holder.process].side == side) wanted[holder.end] = true;
        }
        try c.settleThese(&wanted);
    }

    fn settleThese(c: *Conductor, wanted: *[world.ends_max]bool) Over!void {
        for (c.w.processes.slice(), 0..) |p, number| {
            if (p.alive) try c.settleBy(@intCast(number), wanted);
        }
    }

    /// Those of them that this process has.
    fn settleBy(c: *Conductor, process: u8, wanted: *[world.ends_max]bool) Over!void {
        var command: Command = .{ .op = .settle };
        for (c.w.holders.slice()) |holder| {
            if (holder.process != process or !wanted[holder.end]) continue;
            if (command.entry_count == wire.entries_max) break;
            wanted[holder.end] = false;
            command.entries[command.entry_count] = c.expected(holder);
            command.entry_count += 1;
        }
        if (command.entry_count == 0) return;
        var reply: Reply = .{};
        try c.ask(c.w.mainActor(process), &command, &reply);
        if (reply.value == 0) return;
        const end_index: u8 = @intCast(reply.entries[0].data);
        return c.over("{f} does not settle: FIONREAD {d}, poll {f}; expected {d} bytes{s}{s}", .{
            endName(end_index),
            reply.a,
            text.events(reply.entries[0].events),
            c.w.waiting(end_index),
            if (c.w.endsFor(end_index)) ", the end" else "",
            if (c.w.end(end_index).reset) ", a reset" else "",
        });
    }

    fn expected(c: *Conductor, holder: world.Holder) wire.Entry {
        const e = c.w.end(holder.end);
        var events: u32 = 0;
        if (c.w.endsFor(holder.end)) events |= libc.POLLRDHUP;
        if (e.reset) events |= libc.POLLHUP;
        return .{
            .fd = holder.fd,
            .data = holder.end,
            .events = events,
            .queued = if (e.reset) -1 else @intCast(c.w.waiting(holder.end)),
        };
    }

    // -- the transcript -----------------------------------------------------------------------

    pub fn say(c: *Conductor, comptime format: []const u8, args: anytype) void {
        const line = std.fmt.allocPrint(c.arena, "{d}: " ++ format, .{c.step} ++ args) catch return;
        c.lines.append(c.arena, line) catch return;
        if (c.options.print) {
            _ = libc.write(2, line.ptr, line.len);
            _ = libc.write(2, "\n", 1);
        }
    }

    pub fn over(c: *Conductor, comptime format: []const u8, args: anytype) Over {
        c.say("OVER: " ++ format, args);
        return error.Over;
    }

    /// Makes a call and writes it down.
    pub fn call(
        c: *Conductor,
        actor: *Actor,
        command: *const Command,
        comptime format: []const u8,
        args: anytype,
    ) Over!Reply {
        var reply: Reply = .{};
        try c.ask(actor, command, &reply);
        c.tell(actor, &reply, format, args);
        return reply;
    }

    /// Writes down a call whose answer has come.
    pub fn tell(c: *Conductor, actor: *const Actor, reply: *const Reply, comptime format: []const u8, args: anytype) void {
        var buffer: [1024]u8 = undefined;
        var out: std.Io.Writer = .fixed(&buffer);
        out.print(" = {d}", .{reply.value}) catch {};
        if (reply.value < 0) out.print(" {f}", .{text.errno(reply.errno)}) catch {};
        if (reply.wrong_at >= 0) out.print(", WRONG BYTE at {d}", .{reply.wrong_at}) catch {};
        for (reply.entries[0..reply.entry_count]) |entry| {
            out.print(" {f}:{f}", .{ entryName(entry.data), text.events(entry.events) }) catch {};
        }
        if (reply.pipes > 0) out.print(", SIGPIPE {d} times", .{reply.pipes}) catch {};
        if (reply.handled > 0) out.print(", handler ran {d} times", .{reply.handled}) catch {};
        if (reply.handler_value != 0) {
            out.print(" and sent {d} {f}", .{ reply.handler_value, text.errno(reply.handler_errno) }) catch {};
        }
        c.say("{s} " ++ format ++ "{s}", .{nameOf(actor)} ++ args ++ .{out.buffered()});
    }
};

pub fn nameOf(actor: *const Actor) []const u8 {
    return std.mem.sliceTo(&actor.name, 0);
}

/// "0c" and "0s" are the two ends of connection 0.
pub const EndName = struct {
    index: u8,

    pub fn format(self: EndName, w: *std.Io.Writer) std.Io.Writer.Error!void {
        try w.print("{d}{c}", .{ self.index / 2, @as(u8, if (self.index % 2 == 0) 'c' else 's') });
    }
};

pub fn endName(index: u8) EndName {
    return .{ .index = index };
}

/// With the descriptor by which it is used: "0c@5".
pub const HolderName = struct {
    holder: world.Holder,

    pub fn format(self: HolderName, w: *std.Io.Writer) std.Io.Writer.Error!void {
        try w.print("{f}@{d}", .{ endName(self.holder.end), self.holder.fd });
    }
};

pub fn name(holder: world.Holder) HolderName {
    return .{ .holder = holder };
}

/// What polls and epolls carry for a descriptor: the end and its number.
pub fn dataOf(holder: world.Holder) u64 {
    return @as(u64, holder.end) << 32 | @as(u32, @intCast(holder.fd));
}

fn entryName(data: u64) HolderName {
    return name(.{ .end = @intCast(data >> 32), .process = 0, .fd = @intCast(data & 0xffff_ffff) });
}
