//! fork: both processes hold every connection afterwards, and the child gets a consistent copy of
//! the tables with everything that is the parent's alone taken out.
//!
//! The handlers run by libc's pthread_atfork, so fork inside libc (daemon, forkpty) is seen too. The
//! calls are intercepted besides: only their result says that there is no child, and `_Fork` runs no
//! handlers.

const std = @import("std");
const arena = @import("arena.zig");
const conn = @import("conn.zig");
const control = @import("control.zig");
const crowding = @import("crowding.zig");
const diag = @import("diag.zig");
const ends = @import("ends.zig");
const epoll = @import("epoll.zig");
const fds = @import("fds.zig");
const foreign = @import("foreign.zig");
const holders = @import("holders.zig");
const layout = @import("../layout.zig");
const links = @import("links.zig");
const listeners = @import("listeners.zig");
const lock = @import("lock.zig");
const membarrier = @import("membarrier.zig");
const negotiate = @import("negotiate.zig");
const process = @import("process.zig");
const real = @import("real.zig");
const section = @import("section.zig");
const sharing = @import("sharing.zig");
const signals = @import("signals.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");

pub fn registerHandlers() void {
    const Handler = *const fn () callconv(.c) void;
    if (real.find("__register_atfork")) |address| {
        const register: *const fn (Handler, Handler, Handler, ?*anyopaque) callconv(.c) c_int =
            @ptrCast(@alignCast(address));
        _ = register(&before, &inParent, &inChild, null);
    } else if (real.find("pthread_atfork")) |address| {
        const register: *const fn (Handler, Handler, Handler) callconv(.c) c_int = @ptrCast(@alignCast(address));
        _ = register(&before, &inParent, &inChild);
    } else return;
    registered = true;
}

var registered = false;
/// Held from `before` to `inParent`; the forking thread's, as the two below.
var guards: [3]lock.Mutex.Guard = @splat(.{ .mutex = null });
/// How deep in sections the forking thread was, with that of the fork.
var depth: u32 = 0;
/// Under which the child finds its places reserved (holders.zig).
var forking_thread: u32 = 0;

/// Threads that make a connection each between every look and the next are not waited for.
const offers_tries_max = 16;

/// The child gets a consistent copy: nobody is in the middle of these tables, and what peers have
/// sent over channels so far is known to both.
fn before() callconv(.c) void {
    section.enter();
    depth = section.depthNow();
    for (0..offers_tries_max) |turn| {
        if (turn > 0) guards[0].unlock();
        foreign.settleOffers();
        epoll.beforeFork();
        guards[0] = arena.mutex.lock();
        if (!foreign.anyOffer()) break; // another thread's, meanwhile
    }
    guards[1] = links.mutex.lock();
    if (guards[1].ok()) links.drain(null);
    conn.beforeFork();
    guards[2] = crowding.mutex.lock();
    forking_thread = threadId();
    var held = Held{};
    while (held.next()) |end| holders.reserve(end, forking_thread);
}

fn inParent() callconv(.c) void {
    const held = guards;
    held[2].unlock();
    held[1].unlock();
    held[0].unlock();
    section.leave();
}

fn inChild() callconv(.c) void {
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    process.noteSelf();
    lock.forgetNames();
    var held = Held{};
    while (held.next()) |end| holders.claim(end, forking_thread, process.id());
    membarrier.register();
    control.afterForkChild();
    links.afterForkChild();
    waiters.afterForkChild();
    signals.afterForkChild();
    listeners.afterForkChild();
    diag.afterForkChild();
    negotiate.afterForkChild();
    ends.afterForkChild();
    sharing.afterForkChild();
    epoll.afterForkChild();
    conn.afterForkChild();
    section.afterFork(depth);
    section.leave();
}

/// What the parent learns from the call's result: the child's number, or that there is none.
pub fn finished(result: c_int) void {
    if (result == 0 or !registered) return;
    section.enter();
    defer section.leave();
    const thread = threadId();
    var held = Held{};
    while (held.next()) |end| {
        if (result > 0) {
            holders.claim(end, thread, @intCast(result));
        } else if (holders.cancel(end, thread)) {
            _ = @atomicRmw(u32, &end.holders, .Sub, 1, .acq_rel);
        }
    }
}

/// For a fork that runs no handlers.
pub fn around(call: *const fn () callconv(.c) c_int) c_int {
    if (!registered) return call();
    before();
    const result = call();
    if (result == 0) {
        inChild();
        return 0;
    }
    const saved = sys.errno().*;
    defer sys.errno().* = saved;
    inParent();
    finished(result);
    return result;
}

fn threadId() u32 {
    return @intCast(sys.call(.gettid, .{}));
}

/// The end blocks of this process's connections.
const Held = struct {
    fd: c_int = 0,

    fn next(held: *Held) ?*layout.End {
        while (held.fd < fds.used) {
            const fd = held.fd;
            held.fd += 1;
            const c = conn.find(fd) orelse continue;
            if (c.fd == fd) return c.end;
        }
        return null;
    }
};
