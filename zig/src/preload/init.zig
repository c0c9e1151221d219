//! Start-up. The constructor only reads the environment, finds a few libc objects and says
//! hello to the monitor; everything works, as plain TCP, before it has run.

const std = @import("std");
const clock = @import("clock.zig");
const conn = @import("conn.zig");
const control = @import("control.zig");
const fds = @import("fds.zig");
const fork = @import("fork.zig");
const guard = @import("guard.zig");
const listeners = @import("listeners.zig");
const lock = @import("lock.zig");
const log = @import("log.zig");
const membarrier = @import("membarrier.zig");
const negotiate = @import("negotiate.zig");
const process = @import("process.zig");
const profile = @import("profile.zig");
const real = @import("real.zig");
const section = @import("section.zig");
const spin = @import("spin.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");

pub fn constructor() callconv(.c) void {
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    section.enter();
    defer section.leave();
    clock.begin();
    if (std.c.getenv("SOCKSDIRECT_LOG")) |text| log.setLevel(std.mem.span(text));
    if (isSet("SOCKSDIRECT_DISABLE")) control.disabled = true;
    negotiate.eager = isSet("SOCKSDIRECT_EAGER");
    if (std.c.getenv("SOCKSDIRECT_JOIN_AFTER_MS")) |text| chooseJoin(std.mem.span(text));
    if (std.c.getenv("SOCKSDIRECT_PROFILE")) |text| chooseProfile(std.mem.span(text));
    if (std.c.getenv("SOCKSDIRECT_GUARD")) |text| guard.enabled = text[0] != '0';
    readSocketPath();
    chooseOwnFds();
    if (!fds.init()) control.disabled = true;
    if (control.disabled) return;
    process.noteSelf();
    membarrier.register();
    waiters.epoll_tag = (std.hash.int(clock.ticks() ^ @intFromPtr(&saved)) | 1 << 63) & 0xffff_ffff_0000_0000;
    lock.single_threaded = real.object(u8, "__libc_single_threaded");
    if (real.object(isize, "__rseq_offset")) |offset| {
        const size = real.object(u32, "__rseq_size");
        if (size != null and size.?.* > 0) spin.rseq_offset = offset.*;
    }
    spin.cpus = allowedCpus();
    fork.registerHandlers();
    control.startupPing();
}

pub fn destructor() callconv(.c) void {
    section.enter();
    defer section.leave();
    conn.finishAll();
    listeners.awaitVerdicts();
}

fn isSet(name: [*:0]const u8) bool {
    const text = std.c.getenv(name) orelse return false;
    return text[0] != 0 and text[0] != '0';
}

fn chooseJoin(text: []const u8) void {
    const ms = std.fmt.parseInt(u32, text, 10) catch return log.warn(
        "SOCKSDIRECT_JOIN_AFTER_MS is '{s}', which is no number of milliseconds: {d} is used",
        .{ text, negotiate.join_after_ns / 1_000_000 },
    );
    negotiate.join_after_ns = @as(u64, ms) * 1_000_000;
}

fn chooseProfile(text: []const u8) void {
    profile.chosen = profile.Choice.parse(text) orelse return log.warn(
        "SOCKSDIRECT_PROFILE is '{s}', which is no list of latency, balanced, frugal and " ++
            "PORT=PROFILE or PORT-PORT=PROFILE: balanced is used",
        .{text},
    );
}

fn readSocketPath() void {
    const text = std.c.getenv("SOCKSDIRECT_CTL_SOCKET") orelse return;
    const path = std.mem.span(text);
    if (path.len == 0 or path.len > 107) return;
    @memcpy(control.path_buffer[0..path.len], path);
    control.path_len = path.len;
}

/// Numbers of our own: high, but at most half of what a small RLIMIT_NOFILE allows.
fn chooseOwnFds() void {
    const RLIMIT_NOFILE = 7;
    var limits: [2]u64 = @splat(0);
    if (sys.call(.prlimit64, .{ 0, RLIMIT_NOFILE, 0, &limits }) < 0) return;
    const half: u64 = limits[0] / 2;
    if (half < @as(u64, @intCast(sys.own_fd_low))) sys.own_fd_low = @intCast(@max(half, 3));
}

fn allowedCpus() u32 {
    var mask: [16]u64 = @splat(0);
    const n = sys.call(.sched_getaffinity, .{ 0, @sizeOf(@TypeOf(mask)), &mask });
    if (n <= 0) return 1;
    var count: u32 = 0;
    for (mask) |word| count += @popCount(word);
    return count;
}
