//! What this machine charges for the things that no socket library can avoid, or that it avoids:
//! a system call, a look at the clock, ringing an eventfd, moving a cache line between cpus and
//! back, and waking a process through the kernel (a unix socket, both cpus and one).

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const Options = @import("options.zig").Options;

/// Repetitions of the fast things and of those that wake a process.
const fast_count = 1_000_000;
const wake_count = 20_000;
/// Hand-overs of a cache line in a row, and rows for a look in passing (some 10 ms).
const row_count = 1000;
const quick_rows = 50;

const Floor = struct {
    mode: []const u8 = "floor",
    cpus: usize,
    clock_ns: f64,
    syscall_ns: f64,
    eventfd_write_ns: f64,
    cache_line_round_trip_ns: f64,
    unix_socket_round_trip_ns: f64,
    unix_socket_round_trip_one_cpu_ns: f64,
};

pub fn run(options: *const Options) void {
    const two = system.cpuCount() > 1;
    const result: Floor = .{
        .cpus = system.cpuCount(),
        .clock_ns = timed(fast_count, {}, readClock),
        .syscall_ns = timed(fast_count, {}, callKernel),
        .eventfd_write_ns = measureEventfd(),
        .cache_line_round_trip_ns = if (two) measureCacheLine(row_count) else 0,
        .unix_socket_round_trip_ns = if (two) measureUnixSocket(1) else 0,
        .unix_socket_round_trip_one_cpu_ns = measureUnixSocket(0),
    };
    var buffer: [1024]u8 = undefined;
    const text = if (options.json)
        std.fmt.bufPrint(&buffer, "{f}\n", .{std.json.fmt(result, .{})})
    else
        std.fmt.bufPrint(
            &buffer,
            "floor on {d} cpus, ns: clock {d:.0}, system call {d:.0}, eventfd write {d:.0}, " ++
                "cache line there and back {d:.0}, " ++
                "unix socket there and back {d:.0} (one cpu {d:.0})\n",
            .{
                result.cpus,                              result.clock_ns,
                result.syscall_ns,                        result.eventfd_write_ns,
                result.cache_line_round_trip_ns,          result.unix_socket_round_trip_ns,
                result.unix_socket_round_trip_one_cpu_ns,
            },
        );
    system.writeAll(1, text catch unreachable);
}

/// Only the cache line's way: quick, to learn how far apart the two cpus are at the moment (a
/// hypervisor may move them from one part of the host to another: a factor of four).
pub fn runCacheLine(options: *const Options) void {
    if (system.cpuCount() < 2) system.fail("cache-line needs two cpus", .{});
    const ns = measureCacheLine(quick_rows);
    var buffer: [128]u8 = undefined;
    const text = if (options.json)
        std.fmt.bufPrint(&buffer, "{{\"mode\":\"cache-line\",\"ns\":{d:.1}}}\n", .{ns})
    else
        std.fmt.bufPrint(&buffer, "cache line there and back: {d:.0} ns\n", .{ns});
    system.writeAll(1, text catch unreachable);
}

/// Nanoseconds that one call takes.
fn timed(count: u64, context: anytype, comptime once: fn (@TypeOf(context)) void) f64 {
    const start = system.nowNs();
    for (0..count) |_| once(context);
    return @as(f64, @floatFromInt(system.nowNs() - start)) / @as(f64, @floatFromInt(count));
}

fn readClock(_: void) void {
    std.mem.doNotOptimizeAway(system.nowNs());
}

fn callKernel(_: void) void {
    _ = libc.getppid();
}

fn measureEventfd() f64 {
    const fd = libc.eventfd(0, 0);
    if (fd < 0) system.fail("eventfd: {s}", .{libc.errorText()});
    defer _ = libc.close(fd);
    return timed(fast_count, fd, ringEventfd);
}

fn ringEventfd(fd: c_int) void {
    const one: u64 = 1;
    _ = libc.write(fd, std.mem.asBytes(&one), 8);
}

/// Two processes on two cpus hand one word to and fro.
fn measureCacheLine(rows: u64) f64 {
    const word: *u64 = @ptrCast(system.sharedMemory(4096).ptr);
    const child = system.forkOrFail("of the other side");
    if (child == 0) {
        _ = system.pinToCpu(1);
        while (true) handOver(.{ .word = word, .mine = 1 });
    }
    _ = system.pinToCpu(0);
    // The best of many short rows: other processes on these cpus do not count.
    var best = timed(row_count, Turn{ .word = word, .mine = 0 }, handOver);
    for (1..rows) |_| {
        best = @min(best, timed(row_count, Turn{ .word = word, .mine = 0 }, handOver));
    }
    endChild(child);
    return best;
}

const Turn = struct { word: *u64, mine: u64 };

fn handOver(turn: Turn) void {
    // Acquire and release as a ring's words have them; nothing else is shared.
    while (@atomicLoad(u64, turn.word, .acquire) != turn.mine) {}
    @atomicStore(u64, turn.word, 1 - turn.mine, .release);
}

fn measureUnixSocket(other_cpu: usize) f64 {
    var fds: [2]c_int = undefined;
    if (libc.socketpair(libc.AF_UNIX, libc.SOCK_STREAM, 0, &fds) != 0) {
        system.fail("socketpair: {s}", .{libc.errorText()});
    }
    const child = system.forkOrFail("of the other side");
    if (child == 0) {
        _ = system.pinToCpu(other_cpu);
        var byte: [1]u8 = undefined;
        while (libc.read(fds[1], &byte, 1) == 1) _ = libc.write(fds[1], &byte, 1);
        libc._exit(0);
    }
    _ = system.pinToCpu(0);
    const ns = timed(wake_count, fds[0], pingOnce);
    endChild(child);
    for (fds) |fd| _ = libc.close(fd);
    return ns;
}

fn pingOnce(fd: c_int) void {
    var byte: [1]u8 = .{1};
    _ = libc.write(fd, &byte, 1);
    _ = libc.read(fd, &byte, 1);
}

fn endChild(pid: c_int) void {
    _ = libc.kill(pid, libc.SIGKILL);
    _ = libc.waitpid(pid, null, 0);
}
