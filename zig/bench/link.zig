//! A client's connection: send all, receive so much, in the manner of the chosen `--io`.
//!
//! The manners are those of real programs. Blocking: send and recv. Level-triggered epoll, poll and
//! select: wait, then one recv (as redis and memcached do). Edge-triggered: recv until EAGAIN, and
//! only then wait (as the manual page says).

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const net = @import("net.zig");
const Io = @import("options.zig").Io;
const Poller = @import("poller.zig").Poller;
const Interest = @import("poller.zig").Interest;

pub const Link = struct {
    fd: c_int,
    /// Null: blocking.
    poller: ?*Poller,
    /// Edge-triggered: no EAGAIN since the last event.
    readable: bool = false,
    interest: Interest = .{},

    /// Connects. `poller` is the caller's, may be shared by several links; null means blocking.
    pub fn connect(address: *const net.Address, poller: ?*Poller) Link {
        const events = poller orelse return .{ .fd = net.connectTo(address), .poller = null };
        const fd = net.openSocket(address);
        net.setNonBlocking(fd);
        const complete = net.startConnect(fd, address);
        var self: Link = .{ .fd = fd, .poller = events };
        events.add(fd, self.interest);
        if (!complete) self.waitFor(.{ .read = false, .write = true });
        self.rest();
        return self;
    }

    pub fn close(self: *Link) void {
        if (self.poller) |poller| poller.remove(self.fd);
        _ = libc.close(self.fd);
    }

    pub fn sendAll(self: *Link, bytes: []const u8) void {
        var done: usize = 0;
        while (done < bytes.len) {
            const n = libc.send(self.fd, bytes.ptr + done, bytes.len - done, libc.MSG_NOSIGNAL);
            if (n >= 0) {
                done += @intCast(n);
            } else switch (libc.errno()) {
                libc.EINTR => {},
                libc.EAGAIN => self.waitFor(.{ .read = false, .write = true }),
                else => system.fail("send of {d} bytes: {s}", .{ bytes.len, libc.errorText() }),
            }
        }
        self.rest();
    }

    /// Receives at least one byte; 0 means the peer has closed.
    pub fn recvSome(self: *Link, buffer: []u8) usize {
        while (true) {
            if (self.poller != null and !self.readable) self.waitFor(.{});
            const n = libc.recv(self.fd, buffer.ptr, buffer.len, 0);
            if (n >= 0) {
                // Level-triggered kinds ask the kernel again before every recv.
                self.readable = self.isEdgeTriggered();
                return @intCast(n);
            }
            switch (libc.errno()) {
                libc.EINTR => {},
                libc.EAGAIN => self.readable = false,
                else => failRecv(buffer.len),
            }
        }
    }

    /// Fills the whole buffer.
    pub fn recvAll(self: *Link, buffer: []u8) void {
        var have: usize = 0;
        while (have < buffer.len) {
            const n = self.recvSome(buffer[have..]);
            if (n == 0) {
                system.fail("the server closed after {d} of {d} bytes", .{ have, buffer.len });
            }
            have += n;
        }
    }

    /// Waits until one of the two can be done.
    pub fn waitFor(self: *Link, wanted: Interest) void {
        const poller = self.poller orelse return;
        self.setInterest(wanted);
        while (true) {
            var ready = false;
            for (poller.wait(-1)) |event| {
                if (event.fd != self.fd) continue;
                if (event.readable and self.isEdgeTriggered()) self.readable = true;
                if (event.readable and wanted.read) ready = true;
                if (event.writable and wanted.write) ready = true;
            }
            if (ready) return;
        }
    }

    /// Back to waiting for reading only.
    pub fn rest(self: *Link) void {
        self.setInterest(.{});
    }

    pub fn isEdgeTriggered(self: *const Link) bool {
        return if (self.poller) |poller| poller.kind == .epoll_et else false;
    }

    /// Level-triggered waits are asked for what is wanted now and for nothing else.
    pub fn setInterest(self: *Link, wanted: Interest) void {
        if (self.interest.eql(wanted)) return;
        self.interest = wanted;
        if (self.poller) |poller| poller.change(self.fd, wanted);
    }
};

pub fn failRecv(wanted: usize) noreturn {
    system.fail("recv of up to {d} bytes: {s}", .{ wanted, libc.errorText() });
}
