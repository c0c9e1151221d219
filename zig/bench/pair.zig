//! `sdbench pair`: client and server in one command. The server is this program started again by
//! fork and exec, so that each side is a process of its own from its first instruction on, with its
//! own preload library; it ends with the run.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const options_module = @import("options.zig");
const client = @import("client.zig");
const report = @import("report.zig");
const Options = options_module.Options;
const Mode = options_module.Mode;

/// Messages after which after-fork and fork-both fork: a connection has its final carrier by then.
const fork_after_messages = 2000;

pub fn run(given: *const Options) void {
    const mode = given.clientMode();
    var options = given.*;
    applyPreset(mode, &options);
    if (options.transport == .unix) options.address = uniqueName();
    _ = system.raiseFdLimit();

    var server = startServer(mode, &options);
    options.port = server.port;
    options.server_pid = server.pid;
    var hogs: Hogs = .{};
    if (options.hogs) hogs.start();
    var result = client.run(&options, mode);
    hogs.stop();
    const whole_life_ns = server.stop();
    // Children that served do not count in the server's own clock.
    if (servesInChild(&options)) {
        result.cpu_seconds.server = report.nsToSeconds(whole_life_ns);
    }
    result.print(options.json);
    if (result.checksum_ok == false) libc.exit(system.exit_failed);
}

/// The modes that are ping-pong under some condition.
fn applyPreset(mode: Mode, options: *Options) void {
    switch (mode) {
        .hog => options.hogs = true,
        .two_threads => options.io = .two_threads,
        .after_fork, .fork_both => {
            options.io = .blocking;
            options.fork_after = fork_after_messages;
        },
        .rtt, .bursts, .stream, .source, .duplex, .fan_in, .fan_out, .connect, .idle => {},
    }
    if (options.server_io == null) options.server_io = options.io;
}

/// No other run has this name, and no file is left behind.
fn uniqueName() []const u8 {
    return std.fmt.allocPrint(system.allocator, "@sdbench-{d}", .{libc.getpid()}) catch
        system.fail("name a Unix socket: out of memory", .{});
}

fn servesInChild(options: *const Options) bool {
    return options.server_io.? == .fork or options.fork_after > 0 or options.workers > 0;
}

const Server = struct {
    pid: c_int,
    port: u16,

    /// Ends the server; returns the CPU time of its whole life, children included.
    fn stop(self: *Server) u64 {
        system.stage = "waiting for the server to end";
        _ = libc.kill(self.pid, libc.SIGTERM);
        var usage: libc.rusage = undefined;
        var status: c_int = 0;
        while (libc.wait4(self.pid, &status, 0, &usage) < 0) {
            if (libc.errno() != libc.EINTR) return 0;
        }
        if (status != 0) system.fail(
            "the server ended with wait status {d} (a signal, or a message above)",
            .{status},
        );
        return timeNs(usage.user) + timeNs(usage.system);
    }

    fn timeNs(time: libc.timeval) u64 {
        return @as(u64, @intCast(time.sec)) * 1_000_000_000 + @as(u64, @intCast(time.usec)) * 1000;
    }
};

fn startServer(mode: Mode, options: *const Options) Server {
    system.stage = "waiting for the server to listen";
    var fds: [2]c_int = undefined;
    if (libc.pipe(&fds) != 0) system.fail("pipe to the server: {s}", .{libc.errorText()});
    const parent = libc.getpid();
    const pid = libc.fork();
    if (pid < 0) system.fail("fork of the server: {s}", .{libc.errorText()});
    if (pid == 0) {
        system.dieWithParent(parent);
        _ = libc.dup2(fds[1], 1);
        for (fds) |fd| _ = libc.close(fd);
        execServer(mode, options);
    }
    _ = libc.close(fds[1]);
    defer _ = libc.close(fds[0]);
    return .{ .pid = pid, .port = readPort(fds[0]) };
}

fn execServer(mode: Mode, options: *const Options) noreturn {
    var path: [4096:0]u8 = undefined;
    const length = libc.readlink("/proc/self/exe", &path, path.len);
    if (length < 0) system.fail("find this program's own path: {s}", .{libc.errorText()});
    path[@intCast(length)] = 0;
    var words: Words = .{};
    words.add("sdbench", .{});
    words.add("server", .{});
    words.add("--mode={s}", .{options_module.spell(mode.serverMode(options))});
    words.add("--io={s}", .{options_module.spell(options.server_io.?)});
    words.add("--address={s}", .{options.address});
    words.add("--size={d}", .{options.size});
    words.add("--recv-bytes={d}", .{options.recv_bytes});
    words.add("--fork-after={d}", .{options.fork_after});
    words.add("--deadline={d}", .{options.deadlineSeconds() + 5});
    words.add("--threads={d}", .{options.threads});
    words.add("--connections={d}", .{options.threads}); // as many as --threads needs
    words.add("--epolls={d}", .{options.epolls});
    words.add("--workers={d}", .{options.workers});
    if (options.pin) words.add("--pin", .{});
    if (options.one_cpu) words.add("--one-cpu", .{});
    _ = libc.execv(&path, &words.list);
    system.fail("exec {s}: {s}", .{ path[0..@intCast(length)], libc.errorText() });
}

const Words = struct {
    list: [24:null]?[*:0]const u8 = @splat(null),
    count: usize = 0,

    fn add(self: *Words, comptime format: []const u8, arguments: anytype) void {
        const text = std.fmt.allocPrintSentinel(system.allocator, format, arguments, 0) catch
            system.fail("start the server: out of memory", .{});
        self.list[self.count] = text.ptr;
        self.count += 1;
    }
};

fn readPort(fd: c_int) u16 {
    var buffer: [64]u8 = undefined;
    var have: usize = 0;
    while (std.mem.findScalar(u8, buffer[0..have], '\n') == null) {
        const n = libc.read(fd, buffer[have..].ptr, buffer.len - have);
        if (n <= 0) system.fail("the server ended before it listened", .{});
        have += @intCast(n);
    }
    var words = std.mem.tokenizeAny(u8, buffer[0..have], " \n");
    var last: []const u8 = "";
    while (words.next()) |word| last = word;
    return std.fmt.parseInt(u16, last, 10) catch
        system.fail("the server said \"{s}\" in place of its port", .{buffer[0..have]});
}

/// One busy loop for each cpu: what a connection is worth on a machine that has other work.
const Hogs = struct {
    pids: [256]c_int = undefined,
    count: usize = 0,

    fn start(self: *Hogs) void {
        const wanted = @min(system.cpuCount(), self.pids.len);
        while (self.count < wanted) : (self.count += 1) {
            const pid = system.forkOrFail("of a busy loop");
            if (pid == 0) spinForEver();
            self.pids[self.count] = pid;
        }
    }

    fn spinForEver() noreturn {
        var turns: u64 = 0;
        while (true) {
            turns +%= 1;
            std.mem.doNotOptimizeAway(turns);
        }
    }

    fn stop(self: *Hogs) void {
        for (self.pids[0..self.count]) |pid| {
            _ = libc.kill(pid, libc.SIGKILL);
            _ = libc.waitpid(pid, null, 0);
        }
    }
};
