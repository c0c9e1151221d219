//! One interface over the ways in which event-driven programs wait: poll, select, epoll
//! level-triggered and epoll edge-triggered. Used by the server's loop and by the client alike.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const Io = @import("options.zig").Io;

pub const Event = struct { fd: c_int, readable: bool, writable: bool };

pub const Interest = struct {
    read: bool = true,
    write: bool = false,

    pub fn eql(a: Interest, b: Interest) bool {
        return a.read == b.read and a.write == b.write;
    }
};

pub const Poller = struct {
    kind: Kind,
    epoll_fd: c_int = -1,
    /// epoll: instances that are nested in `epoll_fd` and hold the registrations; none: it does.
    nested: []c_int = &.{},
    /// poll and select: everything registered; `place` finds an fd in it.
    entries: std.ArrayList(libc.pollfd) = .empty,
    place: std.ArrayList(u32) = .empty,
    epoll_buffer: [events_max]libc.epoll_event = undefined,
    event_buffer: std.ArrayList(Event) = .empty,

    const events_max = 256;
    const Kind = enum { poll, select, epoll_lt, epoll_et };

    pub fn init(io: Io) Poller {
        const kind: Kind = switch (io) {
            .poll => .poll,
            .select => .select,
            .epoll_lt => .epoll_lt,
            .epoll_et => .epoll_et,
            .blocking, .threads, .fork, .two_threads => unreachable, // asked isEventDriven before
        };
        var self: Poller = .{ .kind = kind };
        if (kind == .epoll_lt or kind == .epoll_et) {
            self.epoll_fd = libc.epoll_create1(0);
            if (self.epoll_fd < 0) system.fail("epoll_create1: {s}", .{libc.errorText()});
        }
        return self;
    }

    /// As `init`, with registrations spread over so many epoll instances inside another one.
    pub fn initNested(io: Io, instances: u32) Poller {
        var self = Poller.init(io);
        if (instances == 1) return self;
        if (self.epoll_fd < 0) system.usage("--epolls {d}: only with --io epoll", .{instances});
        self.nested = system.allocator.alloc(c_int, instances) catch
            system.fail("make {d} epoll instances: out of memory", .{instances});
        for (self.nested) |*fd| {
            fd.* = libc.epoll_create1(0);
            if (fd.* < 0) system.fail("epoll_create1: {s}", .{libc.errorText()});
            var event: libc.epoll_event = .{ .events = libc.EPOLLIN, .data = @intCast(fd.*) };
            if (libc.epoll_ctl(self.epoll_fd, libc.EPOLL_CTL_ADD, fd.*, &event) != 0) {
                system.fail("epoll_ctl of a nested epoll: {s}", .{libc.errorText()});
            }
        }
        return self;
    }

    pub fn add(self: *Poller, fd: c_int, interest: Interest) void {
        switch (self.kind) {
            .epoll_lt, .epoll_et => self.control(libc.EPOLL_CTL_ADD, fd, interest),
            .poll, .select => self.addEntry(fd, interest),
        }
    }

    /// Edge-triggered registrations hear of everything from the start: nothing to change.
    pub fn change(self: *Poller, fd: c_int, interest: Interest) void {
        switch (self.kind) {
            .epoll_lt => self.control(libc.EPOLL_CTL_MOD, fd, interest),
            .epoll_et => {},
            .poll, .select => self.entries.items[self.place.items[@intCast(fd)]].events =
                pollEvents(interest),
        }
    }

    /// To be called before the descriptor is closed.
    pub fn remove(self: *Poller, fd: c_int) void {
        switch (self.kind) {
            .epoll_lt, .epoll_et => self.control(libc.EPOLL_CTL_DEL, fd, .{}),
            .poll, .select => self.removeEntry(fd),
        }
    }

    /// Waits until something happens or the time is over (-1: never). What it returns is valid
    /// until the next call.
    pub fn wait(self: *Poller, timeout_ms: c_int) []const Event {
        self.event_buffer.clearRetainingCapacity();
        switch (self.kind) {
            .poll => self.waitPoll(timeout_ms),
            .select => self.waitSelect(timeout_ms),
            .epoll_lt, .epoll_et => self.waitEpoll(timeout_ms),
        }
        return self.event_buffer.items;
    }

    fn waitEpoll(self: *Poller, timeout_ms: c_int) void {
        if (self.nested.len == 0) return self.takeEvents(self.epoll_fd, timeout_ms);
        var ready: [events_max]libc.epoll_event = undefined;
        const n = libc.epoll_wait(self.epoll_fd, &ready, ready.len, timeout_ms);
        if (n < 0) return checkInterrupted("epoll_wait");
        for (ready[0..@intCast(n)]) |*event| self.takeEvents(@intCast(event.data), 0);
    }

    fn takeEvents(self: *Poller, epoll_fd: c_int, timeout_ms: c_int) void {
        const n = libc.epoll_wait(epoll_fd, &self.epoll_buffer, events_max, timeout_ms);
        if (n < 0) return checkInterrupted("epoll_wait");
        for (self.epoll_buffer[0..@intCast(n)]) |*event| {
            const broken = event.events & (libc.EPOLLERR | libc.EPOLLHUP) != 0;
            self.push(.{
                .fd = @intCast(event.data),
                .readable = broken or event.events & libc.EPOLLIN != 0,
                .writable = broken or event.events & libc.EPOLLOUT != 0,
            });
        }
    }

    fn waitPoll(self: *Poller, timeout_ms: c_int) void {
        const n = libc.poll(self.entries.items.ptr, self.entries.items.len, timeout_ms);
        if (n < 0) return checkInterrupted("poll");
        var left = n;
        for (self.entries.items) |*entry| {
            if (left == 0) break;
            if (entry.revents == 0) continue;
            left -= 1;
            const broken = entry.revents & (libc.POLLERR | libc.POLLHUP) != 0;
            self.push(.{
                .fd = entry.fd,
                .readable = broken or entry.revents & libc.POLLIN != 0,
                .writable = broken or entry.revents & libc.POLLOUT != 0,
            });
        }
    }

    fn waitSelect(self: *Poller, timeout_ms: c_int) void {
        var reading: libc.fd_set = .{};
        var writing: libc.fd_set = .{};
        var limit: c_int = 0;
        for (self.entries.items) |*entry| {
            if (entry.events & libc.POLLIN != 0) reading.set(entry.fd);
            if (entry.events & libc.POLLOUT != 0) writing.set(entry.fd);
            limit = @max(limit, entry.fd + 1);
        }
        var time: libc.timeval = .{
            .sec = @divTrunc(timeout_ms, 1000),
            .usec = @rem(timeout_ms, 1000) * @as(c_long, 1000),
        };
        const n = libc.select(limit, &reading, &writing, null, if (timeout_ms < 0) null else &time);
        if (n < 0) return checkInterrupted("select");
        if (n == 0) return;
        for (self.entries.items) |*entry| {
            const event: Event = .{
                .fd = entry.fd,
                .readable = reading.has(entry.fd),
                .writable = writing.has(entry.fd),
            };
            if (event.readable or event.writable) self.push(event);
        }
    }

    fn push(self: *Poller, event: Event) void {
        self.event_buffer.append(system.allocator, event) catch
            system.fail("note {d} events: out of memory", .{self.event_buffer.items.len});
    }

    fn control(self: *Poller, op: c_int, fd: c_int, interest: Interest) void {
        var event: libc.epoll_event = .{ .events = 0, .data = @intCast(fd) };
        if (interest.read) event.events |= libc.EPOLLIN;
        if (interest.write) event.events |= libc.EPOLLOUT;
        if (self.kind == .epoll_et) event.events = libc.EPOLLIN | libc.EPOLLOUT | libc.EPOLLET;
        if (libc.epoll_ctl(self.epollOf(fd), op, fd, &event) != 0) {
            system.fail("epoll_ctl {d} of descriptor {d}: {s}", .{ op, fd, libc.errorText() });
        }
    }

    fn epollOf(self: *const Poller, fd: c_int) c_int {
        if (self.nested.len == 0) return self.epoll_fd;
        return self.nested[@as(usize, @intCast(fd)) % self.nested.len];
    }

    fn addEntry(self: *Poller, fd: c_int, interest: Interest) void {
        if (self.kind == .select and fd >= libc.fd_set.capacity) {
            system.fail(
                "select cannot watch descriptor {d}: its limit is {d}; use fewer --connections",
                .{ fd, libc.fd_set.capacity },
            );
        }
        const index: usize = @intCast(fd);
        while (self.place.items.len <= index) self.place.append(system.allocator, 0) catch
            system.fail("watch descriptor {d}: out of memory", .{fd});
        self.place.items[index] = @intCast(self.entries.items.len);
        self.entries.append(system.allocator, .{ .fd = fd, .events = pollEvents(interest) }) catch
            system.fail("watch descriptor {d}: out of memory", .{fd});
    }

    fn removeEntry(self: *Poller, fd: c_int) void {
        const index = self.place.items[@intCast(fd)];
        _ = self.entries.swapRemove(index);
        if (index < self.entries.items.len) {
            self.place.items[@intCast(self.entries.items[index].fd)] = index;
        }
    }

    fn checkInterrupted(comptime what: []const u8) void {
        if (libc.errno() != libc.EINTR) system.fail(what ++ ": {s}", .{libc.errorText()});
    }

    fn pollEvents(interest: Interest) c_short {
        return (if (interest.read) libc.POLLIN else 0) | (if (interest.write) libc.POLLOUT else 0);
    }
};

test "each kind reports a written pipe as readable and then forgets it" {
    const ways = [_]struct { Io, u32 }{
        .{ .poll, 1 },     .{ .select, 1 },   .{ .epoll_lt, 1 },
        .{ .epoll_et, 1 }, .{ .epoll_lt, 3 },
    };
    for (ways) |way| {
        var fds: [2]c_int = undefined;
        try std.testing.expectEqual(0, libc.pipe(&fds));
        var poller = Poller.initNested(way[0], way[1]);
        poller.add(fds[0], .{});
        try std.testing.expectEqual(0, poller.wait(0).len);
        try std.testing.expectEqual(1, libc.write(fds[1], "x", 1));
        const events = poller.wait(1000);
        try std.testing.expectEqual(1, events.len);
        try std.testing.expect(events[0].fd == fds[0] and events[0].readable);
        poller.remove(fds[0]);
        try std.testing.expectEqual(0, poller.wait(0).len);
        for (fds) |fd| _ = libc.close(fd);
    }
}
