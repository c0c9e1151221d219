//! Listening sockets of this process: known to the monitor, so that clients can find out without a
//! system call that their connection may ride a ring. A forked worker that inherited a listener
//! registers it again, as itself, at its first accept.

const std = @import("std");
const layout = @import("../layout.zig");
const Reason = @import("../reason.zig").Reason;
const addr = @import("addr.zig");
const conn_module = @import("conn.zig");
const constants = @import("../constants.zig");
const control = @import("control.zig");
const ends = @import("ends.zig");
const fds = @import("fds.zig");
const log = @import("log.zig");
const sys = @import("sys.zig");
const Mutex = @import("lock.zig").Mutex;
const Pool = @import("pool.zig").Pool;

pub const Listener = struct {
    next_free: ?*Listener = null,
    fd: i32 align(64),
    token: u32,
    refs: u32,
    /// `control.session` it was last sent in; 0: never.
    session: u32,
    group: u32,
    reason: Reason,
    /// No descriptor is left; kept for connections that are still undecided.
    closed: bool = false,
};

var pool: Pool(Listener, 16) = .{};
var mutex: Mutex = .{};
var by_token: [256]?*Listener = @splat(null);

pub inline fn find(fd: c_int) ?*Listener {
    return fds.lookup(.listener, Listener, fd);
}

/// listen() succeeded on `fd`.
pub fn track(fd: c_int) void {
    if (find(fd) != null) return;
    const protocol_number = sys.getSockopt(fd, sys.SOL_SOCKET, sys.SO_PROTOCOL, i32) orelse return;
    if (protocol_number != sys.IPPROTO_TCP or addr.local(fd) == null) return;
    const l = pool.take() orelse return;
    const token = placeFor(l) orelse return pool.give(l);
    l.* = .{ .fd = fd, .token = token, .refs = 1, .session = 0, .group = 0, .reason = .undecided };
    if (!fds.set(.listener, fd, l)) return untrack(l, fd);
    ensureRegistered(l);
}

fn placeFor(l: *Listener) ?u32 {
    const guard = mutex.lock();
    if (!guard.ok()) return null;
    defer guard.unlock();
    for (&by_token, 0..) |*place, i| {
        if (place.* != null) continue;
        place.* = l;
        return @intCast(i);
    }
    return null;
}

/// Cheap when done: called before accept.
pub inline fn ensureRegistered(l: *Listener) void {
    if (l.session == control.session and l.session != 0) return;
    register(l);
}

noinline fn register(l: *Listener) void {
    control.checkLine();
    if (!control.ensure()) {
        l.reason = .no_monitor;
        return;
    }
    if (!control.sendListen(l.token, l.fd)) return;
    l.session = control.session;
}

/// After a new line to the monitor: every listener again. (Holds the control mutex.)
pub fn registerAll(line: i32) void {
    if (line < 0) return;
    for (by_token) |maybe| {
        const l = maybe orelse continue;
        if (l.closed) continue;
        if (control.sendListen(l.token, l.fd)) l.session = control.session;
    }
}

pub fn confirmed(token: u32, group: u32, reason: Reason) void {
    if (token >= by_token.len) return;
    const l = by_token[token] orelse return;
    l.group = group;
    l.reason = if (group != 0) .none else reason;
    log.info("listener fd {d}: {s}", .{ l.fd, if (group != 0) "registered" else reason.name() });
}

pub fn addDescriptor(l: *Listener, fd: c_int) void {
    if (fds.set(.listener, fd, l)) l.refs += 1;
}

pub fn dropDescriptor(l: *Listener, fd: c_int) void {
    fds.clear(fd);
    l.refs -= 1;
    if (l.refs == 0) {
        awaitVerdict(l);
        return untrack(l, fd);
    }
    if (l.fd != fd) return;
    var other: c_int = 0;
    while (other < fds.used) : (other += 1) if (find(other) == l) {
        l.fd = other;
    };
}

/// The monitor holds the listener's descriptor until it has answered: closed before that, the port
/// would stay bound and go on taking connections. Rare and short: only what is closed right after
/// listen is still on its way; and bounded, should the monitor not run.
fn awaitVerdict(l: *Listener) void {
    const deadline = sys.nowNs() + constants.verdict_wait_ns;
    while (isAsked(l)) {
        if (sys.nowNs() > deadline) return;
        control.awaitMessage(constants.verdict_look_ns);
    }
}

/// Sent to the monitor, which has not answered.
fn isAsked(l: *const Listener) bool {
    return l.session == control.session and l.reason == .undecided and l.group == 0;
}

/// A program that accepts once and closes its listener still wants that connection accelerated:
/// while connections of this process are undecided, its groups stay.
fn untrack(l: *Listener, fd: c_int) void {
    _ = fd;
    if (conn_module.anyUndecidedServer() and l.session == control.session) {
        l.closed = true;
        any_closed = true;
        return;
    }
    forget(l);
}

/// A connection has been decided or closed: groups that waited for that can go.
pub fn settle() void {
    if (!any_closed or conn_module.anyUndecidedServer()) return;
    any_closed = false;
    for (by_token) |maybe| {
        const l = maybe orelse continue;
        if (l.closed) forget(l);
    }
}

var any_closed = false;

fn forget(l: *Listener) void {
    if (l.group != 0 and l.session == control.session) control.sendUnlisten(l.group);
    const guard = mutex.lock();
    by_token[l.token] = null;
    guard.unlock();
    pool.give(l);
}

/// The monitor has yet to answer for one of this process's listeners.
pub fn isVerdictDue() bool {
    for (by_token) |maybe| if (maybe) |l| if (!l.closed and isAsked(l)) return true;
    return false;
}

/// A listener of this process is in that group.
pub fn serves(group: u32) bool {
    for (by_token) |maybe| if (maybe) |l| if (l.group == group and l.session == control.session) return true;
    return false;
}

/// The program ends.
pub fn awaitVerdicts() void {
    for (by_token) |maybe| if (maybe) |l| if (!l.closed) awaitVerdict(l);
}

pub fn afterForkChild() void {
    mutex = .{};
    for (by_token) |maybe| if (maybe) |l| {
        l.session = 0;
        l.group = 0;
        l.closed = false;
    };
}
