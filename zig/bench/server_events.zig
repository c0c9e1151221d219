//! The event-driven server: one thread, many connections, non-blocking sockets, any kind of poller.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const net = @import("net.zig");
const options_module = @import("options.zig");
const pattern = @import("pattern.zig");
const transfer = @import("transfer.zig");
const server = @import("server.zig");
const Poller = @import("poller.zig").Poller;
const Interest = @import("poller.zig").Interest;
const Options = options_module.Options;
const ServerMode = options_module.ServerMode;

/// Reads of one level-triggered event before the others get their turn.
const rounds_max = 256;

/// Serves by `--threads` loops, each with its own poller; they all accept from one listener.
pub fn serve(options: *const Options, mode: ServerMode, listener: c_int) noreturn {
    net.setNonBlocking(listener);
    var job: LoopJob = .{ .options = options, .mode = mode, .listener = listener };
    for (1..options.threads) |_| _ = system.spawnThread(&LoopJob.entry, &job);
    job.run();
}

const LoopJob = struct {
    options: *const Options,
    mode: ServerMode,
    listener: c_int,

    fn entry(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
        const job: *LoopJob = @ptrCast(@alignCast(argument.?));
        job.run();
    }

    fn run(job: *const LoopJob) noreturn {
        runLoop(job.options, job.mode, job.listener);
    }
};

fn runLoop(options: *const Options, mode: ServerMode, listener: c_int) noreturn {
    var loop: Loop = .{
        .mode = mode,
        .listener = listener,
        .poller = Poller.initNested(options.io, options.epolls),
        .work = .{
            .message = system.allocBytes(options.size),
            .buffer = system.allocBytes(bufferBytes(options, mode)),
            .until_empty = options.io == .epoll_et,
            .rounds = if (options.io == .epoll_et) std.math.maxInt(usize) else rounds_max,
        },
    };
    loop.poller.add(listener, .{});
    while (true) loop.turn();
}

fn bufferBytes(options: *const Options, mode: ServerMode) usize {
    if (mode == .echo) return server.echo_buffer_bytes;
    return options.recvBytes();
}

const Loop = struct {
    mode: ServerMode,
    listener: c_int,
    poller: Poller,
    work: Work,
    /// By descriptor.
    connections: std.ArrayList(?*Connection) = .empty,

    fn turn(self: *Loop) void {
        var accept_waits = false;
        for (self.poller.wait(-1)) |event| {
            if (event.fd == self.listener) {
                accept_waits = true;
            } else if (self.connections.items[@intCast(event.fd)]) |connection| {
                self.advance(connection);
            }
        }
        // Last, so that no event of a closed connection meets a new one with the same number.
        if (accept_waits) self.acceptAll();
    }

    fn acceptAll(self: *Loop) void {
        while (net.acceptOn(self.listener)) |fd| {
            if (self.mode == .accept) {
                _ = libc.close(fd);
                continue;
            }
            net.setNonBlocking(fd);
            self.poller.add(fd, .{});
            self.remember(fd);
            // Edge-triggered registrations report what is there already, so nothing is missed.
        }
    }

    fn remember(self: *Loop, fd: c_int) void {
        const connection = system.allocator.create(Connection) catch
            system.fail("serve descriptor {d}: out of memory", .{fd});
        connection.* = .{
            .fd = fd,
            .job = switch (self.mode) {
                .echo => .{ .echo = .{} },
                .transfer => .{ .transfer = .{} },
                .accept => unreachable, // closed before it came here
            },
        };
        const index: usize = @intCast(fd);
        while (self.connections.items.len <= index) {
            self.connections.append(system.allocator, null) catch
                system.fail("serve descriptor {d}: out of memory", .{fd});
        }
        self.connections.items[index] = connection;
    }

    fn advance(self: *Loop, connection: *Connection) void {
        const outcome = switch (connection.job) {
            .echo => |*echo| echo.advance(connection.fd, self.work),
            .transfer => |*job| job.advance(connection.fd, self.work),
        };
        const waits_to_write = outcome orelse return self.forget(connection);
        const wanted = connection.wantedInterest(waits_to_write);
        if (!wanted.eql(connection.interest)) {
            connection.interest = wanted;
            self.poller.change(connection.fd, wanted);
        }
    }

    fn forget(self: *Loop, connection: *Connection) void {
        self.poller.remove(connection.fd);
        _ = libc.close(connection.fd);
        self.connections.items[@intCast(connection.fd)] = null;
        switch (connection.job) {
            .echo => |*echo| echo.unsent.deinit(system.allocator),
            .transfer => {},
        }
        system.allocator.destroy(connection);
    }
};

/// What all connections share, since one thread serves them in turn.
const Work = struct {
    /// What is sent next, and where received bytes go.
    message: []u8,
    buffer: []u8,
    /// Edge-triggered: an event is worked off until EAGAIN, or it would not come again.
    until_empty: bool,
    rounds: usize,
};

const Connection = struct {
    fd: c_int,
    interest: Interest = .{},
    job: union(enum) { echo: Echo, transfer: Transfer },

    fn wantedInterest(self: *const Connection, waits_to_write: bool) Interest {
        return .{
            .write = waits_to_write,
            .read = switch (self.job) {
                // Nothing more is read while something is unsent: the sender shall notice.
                .echo => !waits_to_write,
                .transfer => |*job| switch (job.stage) {
                    .request => true,
                    .streams => job.receiver.left > 0,
                    .verdict => false,
                },
            },
        };
    }
};

/// Sends back what comes; keeps what the socket does not take at once.
const Echo = struct {
    unsent: std.ArrayList(u8) = .empty,

    /// Does what can be done now. Returns whether it waits for room to write; null at the end.
    fn advance(self: *Echo, fd: c_int, work: Work) ?bool {
        for (0..work.rounds) |_| {
            if (!self.flush(fd)) return null;
            if (self.unsent.items.len > 0) return true;
            const n = libc.recv(fd, work.buffer.ptr, work.buffer.len, 0);
            if (n == 0) return null;
            if (n < 0) switch (libc.errno()) {
                libc.EAGAIN => return false,
                libc.EINTR => continue,
                else => return null,
            };
            const bytes = work.buffer[0..@intCast(n)];
            const sent = sendSome(fd, bytes) orelse return null;
            if (sent < bytes.len) self.keep(bytes[sent..]);
            if (!work.until_empty and bytes.len < work.buffer.len) break;
        }
        return self.unsent.items.len > 0;
    }

    fn flush(self: *Echo, fd: c_int) bool {
        if (self.unsent.items.len == 0) return true;
        const sent = sendSome(fd, self.unsent.items) orelse return false;
        self.unsent.replaceRangeAssumeCapacity(0, sent, &.{});
        return true;
    }

    fn keep(self: *Echo, bytes: []const u8) void {
        self.unsent.appendSlice(system.allocator, bytes) catch
            system.fail("keep {d} unsent bytes: out of memory", .{bytes.len});
    }
};

/// One transfer after the other: see transfer.zig.
const Transfer = struct {
    stage: enum { request, streams, verdict } = .request,
    /// Bytes of `request` or of `verdict` that have come or gone.
    done: usize = 0,
    request: transfer.Request = undefined,
    verdict: transfer.Verdict = undefined,
    sender: transfer.Sender = undefined,
    receiver: transfer.Receiver = undefined,

    /// Does what can be done now. Returns whether it waits for room to write; null at the end.
    fn advance(self: *Transfer, fd: c_int, work: Work) ?bool {
        while (true) {
            const step = switch (self.stage) {
                .request => self.takeRequest(fd, work),
                .streams => self.stream(fd, work.rounds),
                .verdict => self.sendVerdict(fd),
            };
            switch (step) {
                .go_on => {},
                .wait_readable => return false,
                .wait_writable => return true,
                .end => return null,
            }
        }
    }

    const Outcome = enum { go_on, wait_readable, wait_writable, end };

    fn takeRequest(self: *Transfer, fd: c_int, work: Work) Outcome {
        const bytes = std.mem.asBytes(&self.request);
        const n = libc.recv(fd, bytes[self.done..].ptr, bytes.len - self.done, 0);
        if (n == 0) return .end;
        if (n < 0) return switch (libc.errno()) {
            libc.EAGAIN => .wait_readable,
            libc.EINTR => .go_on,
            else => .end,
        };
        self.done += @intCast(n);
        if (self.done < bytes.len) return .go_on;
        return if (self.request.valid()) self.begin(work) else .end;
    }

    fn begin(self: *Transfer, work: Work) Outcome {
        self.stage = .streams;
        self.done = 0;
        self.sender = .{
            .left = self.request.to_client_bytes,
            .seed = pattern.seed_to_client,
            .checksum = self.request.isChecked(),
            .message = work.message,
        };
        self.receiver = .{
            .left = self.request.to_server_bytes,
            .seed = pattern.seed_to_server,
            .checksum = self.request.isChecked(),
            .buffer = work.buffer,
        };
        return .go_on;
    }

    fn stream(self: *Transfer, fd: c_int, rounds: usize) Outcome {
        for (0..rounds) |_| {
            const received = self.receiver.step(fd);
            const sent = self.sender.step(fd);
            if (received == .closed or sent == .closed) return .end;
            if (received == .moved or sent == .moved) continue;
            if (received == .blocked or sent == .blocked) {
                return if (sent == .blocked) .wait_writable else .wait_readable;
            }
            self.stage = .verdict;
            self.verdict = self.receiver.verdict();
            return .go_on;
        }
        if (self.sender.left > 0) return .wait_writable;
        return if (self.receiver.left > 0) .wait_readable else .go_on;
    }

    fn sendVerdict(self: *Transfer, fd: c_int) Outcome {
        const bytes = std.mem.asBytes(&self.verdict);
        self.done += sendSome(fd, bytes[self.done..]) orelse return .end;
        if (self.done < bytes.len) return .wait_writable;
        self.stage = .request;
        self.done = 0;
        return .go_on;
    }
};

/// How many bytes went: 0 if the socket is full. Null: the connection is gone.
fn sendSome(fd: c_int, bytes: []const u8) ?usize {
    const n = libc.send(fd, bytes.ptr, bytes.len, libc.MSG_NOSIGNAL);
    if (n >= 0) return @intCast(n);
    return switch (libc.errno()) {
        libc.EAGAIN, libc.EINTR => 0,
        else => null,
    };
}
