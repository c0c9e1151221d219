//! Registrations of sockets in epoll instances from before they were connected: nginx, netty and
//! others add a socket first and connect it then. The kernel keeps such a registration across
//! connect, so the library has to know it too, or nobody would be told about bytes in the ring.
//!
//! A record is made when an unconnected TCP socket is added, follows its changes, and becomes a
//! registration of the connection when connect has started. Descriptor numbers lead to records as
//! they lead to connections (fds.zig). `mutex` orders the two: a thread that adds the socket while
//! another connects it finds either no connection yet (and connect finds the record) or the
//! connection.

const std = @import("std");
const addr = @import("addr.zig");
const conn_module = @import("conn.zig");
const epoll = @import("epoll.zig");
const fds = @import("fds.zig");
const interest = @import("interest.zig");
const lock = @import("lock.zig");
const sys = @import("sys.zig");
const Pool = @import("pool.zig").Pool;

/// One descriptor in one instance.
const Record = struct {
    next_free: ?*Record = null,
    /// Of the same descriptor, in another instance.
    next: ?*Record align(8),
    epoll: *epoll.Epoll,
    event: sys.EpollEvent,
};

var pool: Pool(Record, 64) = .{};
var mutex: lock.Mutex = .{};

/// The kernel has done this for a descriptor that is no tracked connection. False: it has become
/// one meanwhile.
pub fn changed(e: *epoll.Epoll, op: c_int, fd: c_int, event: ?*const sys.EpollEvent) bool {
    if (fds.kindOf(fd) == .none and (op != sys.EPOLL_CTL_ADD or !mayConnect(fd))) return true;
    const guard = mutex.lock();
    if (!guard.ok()) return true;
    defer guard.unlock();
    switch (fds.kindOf(fd)) {
        .none, .early => {},
        .conn => return false,
        else => return true,
    }
    const at = placeOf(e, fd);
    if (op == sys.EPOLL_CTL_DEL) {
        if (at) |record| remove(fd, record);
        return true;
    }
    const wanted = event orelse return true;
    const record = at orelse add(e, fd) orelse return true;
    record.event = wanted.*;
    return true;
}

/// A TCP socket that does not listen.
fn mayConnect(fd: c_int) bool {
    const protocol = sys.getSockopt(fd, sys.SOL_SOCKET, sys.SO_PROTOCOL, i32) orelse return false;
    if (protocol != sys.IPPROTO_TCP) return false;
    const listens = sys.getSockopt(fd, sys.SOL_SOCKET, sys.SO_ACCEPTCONN, i32) orelse return false;
    return listens == 0 and addr.peer(fd) == null;
}

fn placeOf(e: *epoll.Epoll, fd: c_int) ?*Record {
    var at = fds.lookup(.early, Record, fd);
    while (at) |record| : (at = record.next) if (record.epoll == e) return record;
    return null;
}

fn add(e: *epoll.Epoll, fd: c_int) ?*Record {
    const record = pool.take() orelse return null;
    record.next = fds.lookup(.early, Record, fd);
    record.epoll = e;
    if (fds.set(.early, fd, record)) return record;
    pool.give(record);
    return null;
}

fn remove(fd: c_int, record: *Record) void {
    const first = fds.lookup(.early, Record, fd) orelse return;
    if (first == record) {
        if (record.next) |next| _ = fds.set(.early, fd, next) else fds.clear(fd);
    } else {
        var at = first;
        while (at.next != record) at = at.next orelse return;
        at.next = record.next;
    }
    pool.give(record);
}

/// connect has started: the connection is tracked, and its early registrations are its own.
pub fn trackConnected(fd: c_int) void {
    var first: ?*Record = null;
    {
        const guard = mutex.lock();
        defer guard.unlock();
        if (guard.ok()) first = fds.lookup(.early, Record, fd);
        if (first != null) fds.clear(fd);
        _ = conn_module.track(fd, .client, false);
    }
    while (first) |record| {
        first = record.next;
        if (conn_module.find(fd)) |c| interest.registered(record.epoll, c, fd, &record.event);
        pool.give(record);
    }
}

/// The descriptor is closed, or has become something else.
pub fn forget(fd: c_int) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    while (fds.lookup(.early, Record, fd)) |record| remove(fd, record);
}

/// The instance is closed.
pub fn forgetInstance(e: *epoll.Epoll) void {
    const guard = mutex.lock();
    if (!guard.ok()) return;
    defer guard.unlock();
    var fd: c_int = 0;
    while (fd < fds.used) : (fd += 1) if (placeOf(e, fd)) |record| remove(fd, record);
}
