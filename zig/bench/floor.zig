//! What this machine charges for the things that no socket library can avoid, or that it avoids:
//! a system call, a look at the clock, ringing an eventfd, a descriptor, a socket, a fresh page,
//! moving a cache line between cpus and back, and waking a process through the kernel and being
//! woken by it (an eventfd, a unix socket; both cpus and one).

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const duo = @import("duo.zig");
const Options = @import("options.zig").Options;

/// Repetitions of the fast things and of those that wake a process.
const fast_count = 1_000_000;
const wake_count = 20_000;
const open_count = 50_000;
const page_count = 4096;
/// Hand-overs of a cache line in a row, and rows for a look in passing (some 10 ms).
const row_count = 1000;
const quick_rows = 50;

const Floor = struct {
    mode: []const u8 = "floor",
    cpus: usize,
    clock_ns: f64,
    syscall_ns: f64,
    eventfd_write_ns: f64,
    yield_ns: f64,
    /// A descriptor's number alone, and with a TCP socket behind it.
    dup_close_ns: f64,
    socket_close_ns: f64,
    /// First touch of a page of fresh shared memory.
    page_touch_ns: f64,
    cache_line_round_trip_ns: f64,
    eventfd_round_trip_ns: f64,
    eventfd_round_trip_one_cpu_ns: f64,
    unix_socket_round_trip_ns: f64,
    unix_socket_round_trip_one_cpu_ns: f64,

    fn print(self: *const Floor) void {
        inline for (@typeInfo(Floor).@"struct".field_names) |name| {
            const value = @field(self, name);
            if (@TypeOf(value) == f64) {
                var line: [80]u8 = undefined;
                const text = std.fmt.bufPrint(&line, "{s:<36}{d:>10.1}\n", .{ name, value });
                system.writeAll(1, text catch unreachable); // names and numbers fit
            }
        }
    }
};

pub fn run(options: *const Options) void {
    const two = system.cpuCount() > 1;
    const result: Floor = .{
        .cpus = system.cpuCount(),
        .clock_ns = timed(fast_count, {}, readClock),
        .syscall_ns = timed(fast_count, {}, callKernel),
        .eventfd_write_ns = measureEventfd(),
        .yield_ns = timed(fast_count, {}, yield),
        .dup_close_ns = timed(open_count, {}, dupAndClose),
        .socket_close_ns = timed(open_count, {}, socketAndClose),
        .page_touch_ns = measurePageTouch(),
        .cache_line_round_trip_ns = if (two) measureCacheLine(row_count) else 0,
        .eventfd_round_trip_ns = if (two) measureWakeup(1, .eventfd) else 0,
        .eventfd_round_trip_one_cpu_ns = measureWakeup(0, .eventfd),
        .unix_socket_round_trip_ns = if (two) measureWakeup(1, .unix_socket) else 0,
        .unix_socket_round_trip_one_cpu_ns = measureWakeup(0, .unix_socket),
    };
    if (!options.json) return result.print();
    var buffer: [1024]u8 = undefined;
    const text = std.fmt.bufPrint(&buffer, "{f}\n", .{std.json.fmt(result, .{})});
    system.writeAll(1, text catch unreachable); // every field is a number of known width
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

fn yield(_: void) void {
    _ = libc.sched_yield();
}

fn dupAndClose(_: void) void {
    _ = libc.close(libc.dup(2));
}

fn socketAndClose(_: void) void {
    _ = libc.close(libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0));
}

fn measurePageTouch() f64 {
    const bytes = system.sharedMemory(page_count * 4096);
    defer _ = libc.munmap(bytes.ptr, bytes.len);
    const start = system.nowNs();
    for (0..page_count) |page| @as(*volatile u8, &bytes[page * 4096]).* = 1;
    return @as(f64, @floatFromInt(system.nowNs() - start)) / page_count;
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
    duo.endChild(child);
    return best;
}

const Turn = struct { word: *u64, mine: u64 };

fn handOver(turn: Turn) void {
    // Acquire and release as a ring's words have them; nothing else is shared.
    while (@atomicLoad(u64, turn.word, .acquire) != turn.mine) {}
    @atomicStore(u64, turn.word, 1 - turn.mine, .release);
}

/// How a process that sleeps in the kernel is woken.
const Bell = enum { eventfd, unix_socket };

/// One wakes the other and sleeps until it is woken itself.
fn measureWakeup(other_cpu: usize, bell: Bell) f64 {
    var pair: [2]c_int = undefined;
    const sides: [2]Side = switch (bell) {
        .eventfd => sides: {
            for (&pair) |*fd| fd.* = libc.eventfd(0, 0);
            if (pair[0] < 0 or pair[1] < 0) system.fail("eventfd: {s}", .{libc.errorText()});
            break :sides .{ .{ .out = pair[0], .in = pair[1] }, .{ .out = pair[1], .in = pair[0] } };
        },
        .unix_socket => sides: {
            if (libc.socketpair(libc.AF_UNIX, libc.SOCK_STREAM, 0, &pair) != 0) {
                system.fail("socketpair: {s}", .{libc.errorText()});
            }
            break :sides .{ .{ .out = pair[0], .in = pair[0] }, .{ .out = pair[1], .in = pair[1] } };
        },
    };
    const child = system.forkOrFail("of the other side");
    if (child == 0) {
        _ = system.pinToCpu(other_cpu);
        while (sides[1].wait()) sides[1].ring();
        libc._exit(0);
    }
    _ = system.pinToCpu(0);
    const ns = timed(wake_count, &sides[0], ringAndWait);
    duo.endChild(child);
    for (pair) |fd| _ = libc.close(fd);
    return ns;
}

const Side = struct {
    out: c_int,
    in: c_int,

    /// Eight bytes are what an eventfd takes and gives; a socket does not mind.
    fn ring(side: *const Side) void {
        const one: u64 = 1;
        _ = libc.write(side.out, std.mem.asBytes(&one), 8);
    }

    fn wait(side: *const Side) bool {
        var word: u64 = undefined;
        return libc.read(side.in, std.mem.asBytes(&word), 8) == 8;
    }
};

fn ringAndWait(side: *const Side) void {
    side.ring();
    _ = side.wait();
}
