//! The line to the monitor: register this process and its listeners, ask for arenas, take what it
//! sends. Nothing here waits: requests go out at once, answers are picked up when the registry's
//! sequence word says that there are any, and without a monitor everything stays on TCP.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const protocol = @import("../protocol.zig");
const Reason = @import("../reason.zig").Reason;
const arena_module = @import("arena.zig");
const addr = @import("addr.zig");
const carrier = @import("../carrier/carrier.zig");
const clock = @import("clock.zig");
const diag = @import("diag.zig");
const ends = @import("ends.zig");
const links = @import("links.zig");
const listeners = @import("listeners.zig");
const log = @import("log.zig");
const packet = @import("packet.zig");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;

/// Between two attempts to reach a monitor that was not there.
const retry_ns = 100_000_000;
/// Between two requests for an arena that was refused.
const ask_again_ns = 1_000_000_000;
/// Listener groups remembered as asked for.
const asked_max = 256;

var mutex: Mutex = .{};
var fd: i32 = -1;
var hello_sent = false;
var registry: ?*const layout.Registry = null;
var process_index: u32 = 0;
var seen_seq: u64 = 0;
var retry_at: u64 = 0;
/// The absence of a monitor is told once, not at every attempt.
var told_absent = false;
var netns: u64 = 0;
/// This process is a forked child, and the session in which it joined its parent's group.
var forked = false;
var joined_session: u32 = 0;
/// Counts (re)connections: listeners and requests belong to one of them.
pub var session: u32 = 0;
pub var path_buffer: [108]u8 = @splat(0);
pub var path_len: usize = 0;
pub var disabled = false;

const Asked = struct { group: u32 = 0, session: u32 = 0, reason: Reason = .arena_pending, arenas: u32 = 0, ask_again: u64 = 0 };
var asked: [asked_max]Asked = @splat(.{});

/// Tells the monitor that a program with the library started, by a datagram that it takes when it is
/// awake anyway. If some ten lie there unread, on a line that wakes it. Both are closed at once: most
/// programs never use TCP, and those that look at their descriptors find none of ours.
pub fn startupPing() void {
    if (disabled) return;
    _ = pingBy(sys.SOCK_DGRAM, ".ping") or pingBy(sys.SOCK_SEQPACKET, "");
}

fn pingBy(kind: u32, suffix: []const u8) bool {
    const line: i32 = @intCast(sys.call(.socket, .{ sys.AF_UNIX, kind | sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC, 0 }));
    if (line < 0) return false;
    defer _ = sys.call(.close, .{line});
    if (!connectTo(line, suffix)) return false;
    var ping: protocol.Ping = undefined;
    ping.payload = @intCast(sys.call(.getpid, .{}));
    return packet.send(line, .ping, ping, &.{}) > 0;
}

pub fn isMember() bool {
    return @atomicLoad(i32, &fd, .monotonic) >= 0 and hello_sent;
}

/// Registers this process if that has not happened. True: a line is open (WELCOME may be pending).
pub fn ensure() bool {
    if (disabled) return false;
    if (fd >= 0 and hello_sent) return true;
    const guard = mutex.lock();
    if (!guard.ok()) return false;
    defer guard.unlock();
    return ensureLocked();
}

fn ensureLocked() bool {
    if (fd >= 0 and hello_sent) return true;
    if (fd < 0 and !open()) return false;
    if (!ends.init()) return false;
    if (netns == 0) netns = netnsCookie();
    const hello: protocol.Hello = .{
        .header = undefined,
        .abi_version = constants.abi_version,
        .pid = @intCast(sys.call(.getpid, .{})),
        .netns = netns,
        .end_table_bytes = @sizeOf(layout.EndTable),
        .parent_pid = if (forked) @intCast(sys.call(.getppid, .{})) else 0,
        .flags = 0,
    };
    if (packet.send(fd, .hello, hello, &.{ends.memfd}) < 0) {
        closeLine();
        return false;
    }
    hello_sent = true;
    return true;
}

fn open() bool {
    if (fd >= 0) return true;
    const now = clock.ticks();
    if (retry_at != 0 and now < retry_at) return false;
    retry_at = now + clock.fromNs(retry_ns);
    const kind = sys.SOCK_SEQPACKET | sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC;
    const line = sys.ownFd(sys.call(.socket, .{ sys.AF_UNIX, kind, 0 })) orelse return false;
    if (!connectTo(line, "")) {
        sys.close(line);
        if (!told_absent) log.info("no monitor answers; connections stay on kernel TCP until one does", .{});
        told_absent = true;
        return false;
    }
    told_absent = false;
    fd = line;
    hello_sent = false;
    session += 1;
    retry_at = 0;
    links.watch(line, 0);
    log.info("line to the monitor open, control socket {s}", .{
        if (path_len > 0) path_buffer[0..path_len] else "by default",
    });
    return true;
}

/// `suffix`: of the name of the monitor's socket that is meant.
fn connectTo(line: i32, suffix: []const u8) bool {
    if (path_len > 0) return tryPath(line, path_buffer[0..path_len], suffix);
    // No path was given: the system-wide monitor if one runs, else the user's own.
    if (tryPath(line, "/run/socksdirect/control.sock", suffix)) return true;
    var buffer: [108]u8 = undefined;
    if (std.c.getenv("XDG_RUNTIME_DIR")) |dir| {
        const text = std.mem.span(dir);
        if (text.len > 0) {
            const path = std.fmt.bufPrint(&buffer, "{s}/socksdirect/control.sock", .{text}) catch return false;
            return tryPath(line, path, suffix);
        }
    }
    const uid = sys.call(.getuid, .{});
    const path = std.fmt.bufPrint(&buffer, "/tmp/socksdirect-{d}/control.sock", .{uid}) catch return false;
    return tryPath(line, path, suffix);
}

fn tryPath(line: i32, path: []const u8, suffix: []const u8) bool {
    var address: [110]u8 = @splat(0);
    std.mem.writeInt(u16, address[0..2], sys.AF_UNIX, .little);
    const len = path.len + suffix.len;
    if (len > 107) return false;
    @memcpy(address[2..][0..path.len], path);
    @memcpy(address[2 + path.len ..][0..suffix.len], suffix);
    return sys.call(.connect, .{ line, &address, len + 3 }) == 0;
}

fn netnsCookie() u64 {
    const sample = sys.call(.socket, .{ sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC, 0 });
    if (sample < 0) return 0;
    defer sys.close(@intCast(sample));
    return sys.getSockopt(@intCast(sample), sys.SOL_SOCKET, sys.SO_NETNS_COOKIE, u64) orelse 0;
}

fn closeLine() void {
    if (fd < 0) return;
    links.unwatch(fd);
    sys.close(fd);
    lineClosed();
}

fn lineClosed() void {
    fd = -1;
    hello_sent = false;
    retry_at = 0;
    // A new session: listeners register again, requests are made again. The old mapping stays (other
    // threads may be reading it); it is a few hundred KiB for each death of a monitor.
    session += 1;
    @atomicStore(?*const layout.Registry, &registry, null, .release);
    log.info("monitor gone: new connections stay on kernel TCP until it is back", .{});
}

// ---------------------------------------------------------------------------------------------
// Taking messages

/// Cheap: is there anything to read? One load while registered; a system call until WELCOME.
pub inline fn poll() void {
    if (registry) |r| {
        if (@atomicLoad(u64, &r.process_seq[process_index], .acquire) == seen_seq) return;
    } else if (fd < 0) return;
    process();
}

/// Sleeps until the monitor says something, at most so long, and takes it.
pub fn awaitMessage(timeout_ns: u64) void {
    const line = @atomicLoad(i32, &fd, .monotonic);
    var p = [_]sys.PollFd{.{ .fd = line, .events = sys.POLLIN }};
    _ = sys.poll(&p, timeout_ns, null);
    process();
}

var line_looked: u64 = 0;

/// A dead monitor's registry looks alive for ever, so the line itself is looked at where connections
/// begin (connect, listen, accept), not more often than every millisecond, and in every sleep.
pub fn checkLine() void {
    const line = @atomicLoad(i32, &fd, .monotonic);
    if (line < 0) return;
    const now = clock.ticks();
    if (now -% @atomicLoad(u64, &line_looked, .monotonic) < clock.fromNs(constants.line_look_ns)) return;
    @atomicStore(u64, &line_looked, now, .monotonic);
    var byte: u8 = 0;
    const flags = sys.MSG_PEEK | sys.MSG_DONTWAIT;
    const n = sys.call(.recvfrom, .{ line, &byte, 1, flags, 0, 0 });
    if (n == sys.neg(.AGAIN)) return;
    process();
}

/// Reads what the monitor and, over their channels, peers have sent.
pub fn process() void {
    {
        const guard = links.mutex.lock();
        if (!guard.ok()) return;
        defer guard.unlock();
        links.drain(null);
    }
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    processLocked();
    const arenas = arena_module.mutex.lock();
    defer arenas.unlock();
    arena_module.sweep();
}

fn processLocked() void {
    if (registry) |r| seen_seq = @atomicLoad(u64, &r.process_seq[process_index], .acquire);
    var p: packet.Received = .{};
    while (fd >= 0) {
        switch (packet.receive(fd, &p)) {
            .none => return,
            .gone => {
                closeLine();
                if (ensureLocked()) listeners.registerAll(fd);
                return;
            },
            .garbage => log.warn("garbage from the monitor ignored", .{}),
            .packet => handle(&p),
        }
        p.closeRest();
    }
}

fn handle(p: *packet.Received) void {
    switch (p.kind()) {
        .welcome => handleWelcome(p),
        .listening => {
            const m = p.as(protocol.Listening) orelse return;
            listeners.confirmed(m.token, m.group, @enumFromInt(m.reason));
        },
        .arena => handleArena(p),
        .link => {
            const m = p.as(protocol.Link) orelse return;
            const a = arena_module.find(m.arena_id, 0) orelse return;
            const channel = p.take(0) orelse return;
            const guard = links.mutex.lock();
            defer guard.unlock();
            links.add(a, @truncate(m.link), channel, false);
        },
        .diag => if (p.take(0)) |borrowed| diag.lend(borrowed),
        .refused => {
            const m = p.as(protocol.Refused) orelse return;
            if (askedEntry(m.group)) |entry| entry.reason = @enumFromInt(m.reason);
        },
        else => {},
    }
}

fn handleWelcome(p: *packet.Received) void {
    const m = p.as(protocol.Welcome) orelse return;
    const memfd = p.take(0) orelse return;
    defer sys.close(memfd);
    const fits = m.abi_version == constants.abi_version and
        m.registry_bytes == @sizeOf(layout.Registry) and
        m.process_index < constants.registry_processes;
    if (!fits) {
        log.warn("monitor speaks version {d}, this library {d}: staying on TCP", .{ m.abi_version, constants.abi_version });
        disabled = true;
        return;
    }
    const memory = sys.mapShared(memfd, @sizeOf(layout.Registry), false) orelse return;
    process_index = m.process_index;
    @atomicStore(?*const layout.Registry, &registry, @ptrCast(@alignCast(memory)), .release);
    // seen_seq stays behind: the next poll reads once more, and nothing is missed.
    seen_seq = std.math.maxInt(u64);
    clock.calibrate();
}

fn handleArena(p: *packet.Received) void {
    const m = p.as(protocol.Arena) orelse return;
    const entry = if (m.side == 0) askedEntry(m.group) else null;
    const wanted: usize = if (m.side == 0) 1 else 2;
    // Descriptors that did not fit under our limit are cut off by the kernel.
    if (p.fd_count < wanted) return arenaLost(entry, .no_fds);
    if (arena_module.find(m.arena_id, @intCast(m.side & 1)) != null) return; // has it already
    const memfd = p.take(0) orelse return arenaLost(entry, .no_fds);
    const a = arena_module.add(m, memfd) orelse return arenaLost(entry, .no_memory);
    serving_reason = .not_adopted;
    if (entry) |e| {
        e.reason = .none;
        e.arenas += 1;
    }
    log.info("arena {d}: {d} slots, {s} side, peer pid {d}", .{
        a.id, a.layout.slot_count, if (a.side == 0) "client" else "server", a.peer_pid,
    });
    if (a.side == 0) return;
    const channel = p.take(1) orelse return;
    const guard = links.mutex.lock();
    defer guard.unlock();
    links.add(a, 0, channel, false);
}

fn arenaLost(entry: ?*Asked, reason: Reason) void {
    log.info("an arena could not be taken: {s}", .{reason.name()});
    if (entry) |e| {
        e.reason = reason;
        return;
    }
    serving_reason = reason;
    rejoin_at = clock.ticks() + clock.fromNs(ask_again_ns);
}

/// A server that could not take an arena (memory, descriptors) is given it again when it registers
/// anew. After a while, at a data call.
pub fn rejoinIfShort() void {
    if (rejoin_at == 0 or clock.ticks() < rejoin_at) return;
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    rejoin_at = 0;
    serving_reason = .not_adopted;
    closeLine();
    if (ensureLocked()) listeners.registerAll(fd);
}

var rejoin_at: u64 = 0;

/// Why this process, as a server, has not adopted a connection.
pub fn servingReason() Reason {
    return serving_reason;
}

var serving_reason: Reason = .not_adopted;

// ---------------------------------------------------------------------------------------------
// Asking

/// The monitor wants no new offers.
pub fn isDraining() bool {
    const r = registry orelse return false;
    return @atomicLoad(u32, &r.header.flags, .acquire) & layout.registry_flag_draining != 0;
}

/// The listener group at this address, by the registry; 0: none, null: not known yet.
pub fn lookup(server: *const layout.Endpoint) ?u32 {
    const r = registry orelse return null;
    for (0..8) |_| {
        const before = @atomicLoad(u64, &r.header.listeners_seq, .acquire);
        if (before & 1 != 0) continue;
        const group = probe(r, server);
        // Pairs with the writer's release: the loads above are done before the second look. (The
        // mapping is read-only, so no locked operation; a barrier does it.)
        carrier.Native.fence();
        if (before == @atomicLoad(u64, &r.header.listeners_seq, .monotonic)) return group;
    }
    return null;
}

fn probe(r: *const layout.Registry, server: *const layout.Endpoint) u32 {
    var any: u32 = 0;
    var at = layout.registryHash(server.port);
    for (0..constants.registry_listeners) |_| {
        const entry = r.listeners[at];
        if (entry.group == 0) break;
        if (entry.endpoint.port == server.port and (entry.netns == netns or entry.netns == 0 or netns == 0)) {
            if (std.mem.eql(u8, &entry.endpoint.address, &server.address)) return entry.group;
            if (addr.isAny(&entry.endpoint)) any = entry.group;
        }
        at = (at + 1) & (constants.registry_listeners - 1);
    }
    return any;
}

/// An arena to `group`; asked for once (and again, larger, when those there are full).
pub fn requestArena(group: u32, more: bool) Reason {
    const guard = mutex.lock();
    if (!guard.ok()) return .undecided;
    defer guard.unlock();
    if (!ensureLocked()) return .no_monitor;
    const entry = askedEntry(group) orelse takeEntry(group) orelse return .quota;
    if (entry.session == session and entry.reason == .arena_pending) return .arena_pending;
    // Refusals (policy, quota, draining) can become untrue: ask again after a while.
    const now = clock.ticks();
    if (entry.session == session and !more and entry.reason != .none and now < entry.ask_again) return entry.reason;
    entry.ask_again = now + clock.fromNs(ask_again_ns);
    var slots: u32 = constants.arena_slots_min;
    for (0..@min(entry.arenas, 8)) |_| slots *|= 4;
    const ask: protocol.Connect = .{
        .header = undefined,
        .group = group,
        .slots_wanted = @min(slots, constants.arena_slots_max),
    };
    const sent = packet.send(fd, .connect, ask, &.{});
    if (sent == sys.neg(.AGAIN)) return .undecided; // the monitor is busy: at a later call
    if (sent < 0) {
        closeLine();
        return .no_monitor;
    }
    entry.session = session;
    entry.reason = .arena_pending;
    return .arena_pending;
}

fn askedEntry(group: u32) ?*Asked {
    for (&asked) |*entry| {
        if (entry.group == group and entry.session == session) return entry;
    }
    return null;
}

fn takeEntry(group: u32) ?*Asked {
    for (&asked) |*entry| {
        if (entry.group != 0 and entry.session == session) continue;
        entry.* = .{ .group = group, .session = 0 };
        return entry;
    }
    return null;
}

/// True once WELCOME has come: the monitor lives and reads.
pub fn isWelcomed() bool {
    return registry != null;
}

/// A forked child that serves a connection its parent accepted is in no listener group: it joins by
/// showing the connection. The monitor holds that socket until it has read the packet, so this is
/// done once a session, and only when the monitor has just proven that it reads.
pub fn joinByConnection(connection_fd: i32) void {
    if (!forked or joined_session == session or !ensure() or !isWelcomed()) return;
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    joined_session = session;
    _ = sendListen(std.math.maxInt(u32), connection_fd);
}

/// This process may not make a sock_diag socket; asked for once a session.
pub fn borrowDiag() void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    if (!ensureLocked() or borrow_session == session) return;
    const ask: protocol.BorrowDiag = .{ .header = undefined };
    if (packet.send(fd, .borrow_diag, ask, &.{}) > 0) borrow_session = session;
}

pub fn hasAskedForDiag() bool {
    return borrow_session == session;
}

var borrow_session: @TypeOf(session) = 0;

pub fn sendListen(token: u32, listener_fd: i32) bool {
    const message: protocol.Listen = .{ .header = undefined, .token = token, .reserved = 0 };
    return packet.send(fd, .listen, message, &.{listener_fd}) > 0;
}

pub fn sendUnlisten(group: u32) void {
    if (fd < 0) return;
    const message: protocol.Unlisten = .{ .header = undefined, .group = group, .reserved = 0 };
    _ = packet.send(fd, .unlisten, message, &.{});
}

pub fn netnsOf() u64 {
    return netns;
}

/// A child has no line of its own yet; the inherited one is the parent's.
pub fn afterForkChild() void {
    mutex = .{};
    forked = true;
    if (fd >= 0) sys.close(fd);
    fd = -1;
    hello_sent = false;
    retry_at = 0;
    registry = null;
    for (&asked) |*entry| entry.* = .{};
    session += 1;
}

/// One of our descriptors has another number, or (-1) is gone: then the monitor is, for us.
pub fn ownFdMoved(old: i32, new: i32) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    if (fd != old) return;
    links.unwatch(old);
    if (new < 0) {
        return lineClosed();
    }
    fd = new;
    links.watch(new, 0);
}
