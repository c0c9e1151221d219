//! Small services of the benchmark around libc: giving up with a message, time, processes, memory.

const std = @import("std");
const libc = @import("libc.zig");

/// What this process is doing, for the message when its time runs out. Set before each wait that
/// could last for ever.
pub var stage: []const u8 = "starting";
/// Who speaks in messages.
pub var role: []const u8 = "sdbench";

pub const exit_failed = 1;
pub const exit_usage = 2;
pub const exit_timeout = 3;

/// Ends the process with one line on stderr.
pub fn fail(comptime format: []const u8, args: anytype) noreturn {
    say(format, args);
    libc.exit(exit_failed);
}

pub fn usage(comptime format: []const u8, args: anytype) noreturn {
    say(format ++ "; `sdbench help` lists what there is", args);
    libc.exit(exit_usage);
}

fn say(comptime format: []const u8, args: anytype) void {
    var buffer: [1024]u8 = undefined;
    const prefix = std.fmt.bufPrint(&buffer, "{s}: ", .{role}) catch unreachable;
    const text = std.fmt.bufPrint(buffer[prefix.len .. buffer.len - 1], format, args) catch
        "message too long";
    const length = prefix.len + text.len;
    buffer[length] = '\n';
    _ = libc.write(2, &buffer, length + 1);
}

pub fn writeAll(fd: c_int, bytes: []const u8) void {
    var done: usize = 0;
    while (done < bytes.len) {
        const n = libc.write(fd, bytes.ptr + done, bytes.len - done);
        if (n > 0) {
            done += @intCast(n);
        } else if (libc.errno() != libc.EINTR) {
            fail("write of {d} bytes to descriptor {d}: {s}", .{ bytes.len, fd, libc.errorText() });
        }
    }
}

// -- time ---------------------------------------------------------------------------------------

pub fn nowNs() u64 {
    return clockNs(libc.CLOCK_MONOTONIC);
}

fn clockNs(clock: c_int) u64 {
    var t: libc.timespec = undefined;
    if (libc.clock_gettime(clock, &t) != 0) return 0;
    return @as(u64, @intCast(t.sec)) * 1_000_000_000 + @as(u64, @intCast(t.nsec));
}

/// CPU time that a process, all its threads together, has used; 0 when it is gone.
pub fn cpuNs(pid: c_int) u64 {
    var clock: c_int = 0;
    if (libc.clock_getcpuclockid(pid, &clock) != 0) return 0;
    return clockNs(clock);
}

pub fn sleepNs(ns: u64) void {
    var left = libc.timespec{
        .sec = @intCast(ns / 1_000_000_000),
        .nsec = @intCast(ns % 1_000_000_000),
    };
    while (libc.nanosleep(&left, &left) != 0) {}
}

/// Sleeps end when they should and not up to 50 us later, as the kernel's default lets them.
pub fn sleepExactly() void {
    _ = libc.prctl(libc.PR_SET_TIMERSLACK, @as(c_ulong, 1));
}

/// Ends this process with a message if it has not finished in time: a benchmark that hangs must
/// say where.
pub fn setDeadline(seconds: u64) void {
    _ = libc.signal(libc.SIGALRM, @ptrCast(&onDeadline));
    _ = libc.alarm(@intCast(seconds));
}

fn onDeadline(_: c_int) callconv(.c) void {
    say("gave up: no progress while {s}", .{stage});
    libc._exit(exit_timeout);
}

// -- processes ----------------------------------------------------------------------------------

/// A fork whose child ends with its parent, so that a killed benchmark leaves nothing behind.
pub fn forkOrFail(comptime what: []const u8) c_int {
    const parent = libc.getpid();
    const pid = libc.fork();
    if (pid < 0) fail("fork " ++ what ++ ": {s}", .{libc.errorText()});
    if (pid == 0) dieWithParent(parent);
    return pid;
}

pub fn dieWithParent(parent: c_int) void {
    _ = libc.prctl(libc.PR_SET_PDEATHSIG, @as(c_ulong, libc.SIGKILL));
    if (libc.getppid() != parent) libc._exit(exit_failed);
}

/// The cpus that this program was started on, whatever it has pinned itself to since.
var allowed_cpus: ?libc.cpu_set = null;

fn allowedCpus() *const libc.cpu_set {
    if (allowed_cpus == null) {
        var set: libc.cpu_set = .{};
        if (libc.sched_getaffinity(0, @sizeOf(libc.cpu_set), &set) < 0) set.words[0] = 1;
        allowed_cpus = set;
    }
    return &allowed_cpus.?;
}

/// Moves the calling process to the n-th of the cpus it may use. False if there are fewer.
pub fn pinToCpu(n: usize) bool {
    var seen: usize = 0;
    for (allowedCpus().words, 0..) |word, i| {
        var left = word;
        while (left != 0) : (left &= left - 1) {
            if (seen == n) {
                var only: libc.cpu_set = .{};
                only.words[i] = @as(c_ulong, 1) << @intCast(@ctz(left));
                return libc.sched_setaffinity(0, @sizeOf(libc.cpu_set), &only) == 0;
            }
            seen += 1;
        }
    }
    return false;
}

pub fn cpuCount() usize {
    var count: usize = 0;
    for (allowedCpus().words) |word| count += @popCount(word);
    return @max(count, 1);
}

/// Enough for the largest number of connections that anybody asks for.
const fds_wanted = 65_536;

/// Allows as many descriptors as the hard limit does, and more where this process may raise that;
/// returns how many that is.
pub fn raiseFdLimit() u64 {
    var limit: libc.rlimit = undefined;
    if (libc.getrlimit(libc.RLIMIT_NOFILE, &limit) != 0) return 1024;
    if (limit.maximum < fds_wanted) {
        const more: libc.rlimit = .{ .current = fds_wanted, .maximum = fds_wanted };
        if (libc.setrlimit(libc.RLIMIT_NOFILE, &more) == 0) return fds_wanted;
    }
    limit.current = limit.maximum;
    _ = libc.setrlimit(libc.RLIMIT_NOFILE, &limit);
    _ = libc.getrlimit(libc.RLIMIT_NOFILE, &limit);
    return limit.current;
}

/// Starts `entry(argument)` on a thread of its own.
pub fn spawnThread(entry: libc.ThreadEntry, argument: ?*anyopaque) usize {
    var thread: usize = 0;
    const code = libc.pthread_create(&thread, null, entry, argument);
    if (code != 0) fail("pthread_create: {s}", .{std.mem.span(libc.strerror(code))});
    return thread;
}

// -- memory -------------------------------------------------------------------------------------

pub const allocator = std.heap.c_allocator;

pub fn allocBytes(count: usize) []align(64) u8 {
    const bytes = allocator.alignedAlloc(u8, .fromByteUnits(64), count) catch
        fail("allocate {d} bytes: out of memory", .{count});
    @memset(bytes, 0xa5);
    return bytes;
}

/// Zeroed memory that forked children share with this process.
pub fn sharedMemory(count: usize) []align(4096) u8 {
    const address = libc.mmap(null, count, libc.PROT_READ_WRITE, libc.MAP_SHARED_ANONYMOUS, -1, 0);
    if (@intFromPtr(address) == std.math.maxInt(usize)) {
        fail("map {d} shared bytes: {s}", .{ count, libc.errorText() });
    }
    return @as([*]align(4096) u8, @ptrCast(@alignCast(address)))[0..count];
}

/// A number after `key` in a file of "Key:  value kB" lines, such as /proc/PID/status; 0 if absent.
pub fn procValueKib(path: [:0]const u8, key: []const u8) u64 {
    const fd = libc.open(path, libc.O_RDONLY);
    if (fd < 0) return 0;
    defer _ = libc.close(fd);
    var buffer: [16384]u8 = undefined;
    var length: usize = 0;
    while (length < buffer.len) {
        const n = libc.read(fd, buffer[length..].ptr, buffer.len - length);
        if (n <= 0) break;
        length += @intCast(n);
    }
    return parseProcValue(buffer[0..length], key);
}

fn parseProcValue(text: []const u8, key: []const u8) u64 {
    var lines = std.mem.splitScalar(u8, text, '\n');
    while (lines.next()) |line| {
        const colon = std.mem.findScalar(u8, line, ':') orelse continue;
        if (!std.mem.eql(u8, line[0..colon], key)) continue;
        var words = std.mem.tokenizeAny(u8, line[colon + 1 ..], " \tkB");
        return std.fmt.parseInt(u64, words.next() orelse return 0, 10) catch 0;
    }
    return 0;
}

pub const Memory = struct { rss_kib: u64, pss_kib: u64 };

pub fn memoryOf(pid: c_int) Memory {
    var path: [64]u8 = undefined;
    const rollup = std.fmt.bufPrintSentinel(&path, "/proc/{d}/smaps_rollup", .{pid}, 0) catch
        unreachable; // 64 bytes hold any pid
    return .{
        .rss_kib = procValueKib(rollup, "Rss"),
        .pss_kib = procValueKib(rollup, "Pss"),
    };
}

pub fn shmemKib() u64 {
    return procValueKib("/proc/meminfo", "Shmem");
}

test "a proc value is found by its whole key" {
    const text = "Rss:   12 kB\nPss_Dirty:  9 kB\nPss:  7 kB\n";
    try std.testing.expectEqual(7, parseProcValue(text, "Pss"));
    try std.testing.expectEqual(12, parseProcValue(text, "Rss"));
    try std.testing.expectEqual(0, parseProcValue(text, "Swap"));
}
