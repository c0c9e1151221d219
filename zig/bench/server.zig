//! The server side: listens, says `listening on PORT` on stdout, and serves until it is told to
//! stop (SIGTERM) or its parent dies. This file has the servers that block: one connection after
//! the other, a thread for each, a child for each, two threads on one. Event loops are in
//! server_events.zig.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const net = @import("net.zig");
const options_module = @import("options.zig");
const pattern = @import("pattern.zig");
const transfer = @import("transfer.zig");
const turns = @import("turns.zig");
const events = @import("server_events.zig");
const workers = @import("workers.zig");
const Options = options_module.Options;
const ServerMode = options_module.ServerMode;

/// Bytes that an echoing server asks for at once.
pub const echo_buffer_bytes = 64 * 1024;

pub fn run(options: *const Options) noreturn {
    const mode = options_module.parseEnum(
        ServerMode,
        "mode",
        if (options.mode.len == 0) "echo" else options.mode,
    );
    _ = system.raiseFdLimit();
    _ = libc.signal(libc.SIGTERM, @ptrCast(&onTerminate));
    if (options.serverCpu()) |cpu| _ = system.pinToCpu(cpu);
    const listener = net.listenOn(&net.Address.parse(options.address, options.port));
    announce(net.portOf(listener));
    if (options.workers > 0) workers.become(options.workers);

    if (options.io.isEventDriven()) events.serve(options, mode, listener);
    var server: Server = .{
        .options = options,
        .mode = mode,
        .listener = listener,
        .until_fork = options.fork_after,
    };
    server.acceptLoop();
}

fn announce(port: u16) void {
    var line: [64]u8 = undefined;
    system.writeAll(1, std.fmt.bufPrint(&line, "listening on {d}\n", .{port}) catch unreachable);
}

/// Children that serve connections end when their connections do; waiting for them here puts their
/// CPU time into what the parent of this process is told.
fn onTerminate(_: c_int) callconv(.c) void {
    workers.terminate();
    while (libc.waitpid(-1, null, 0) > 0) {}
    libc._exit(0);
}

const Server = struct {
    options: *const Options,
    mode: ServerMode,
    listener: c_int,
    /// Echoes left until the fork that `--fork-after` asks for; 0: none to come.
    until_fork: u64,
    /// Made by such a fork: serves its one connection.
    is_child: bool = false,

    fn acceptLoop(self: *Server) noreturn {
        while (true) {
            const fd = net.acceptOn(self.listener) orelse continue;
            switch (self.options.io) {
                .threads => self.serveOnThread(fd),
                .fork => self.serveInChild(fd),
                .blocking, .two_threads => self.serve(fd),
                .poll, .select, .epoll_lt, .epoll_et => unreachable, // run() sent these elsewhere
            }
        }
    }

    fn serveOnThread(self: *Server, fd: c_int) void {
        const job = system.allocator.create(Job) catch
            system.fail("start a thread: out of memory", .{});
        job.* = .{ .server = self, .fd = fd };
        _ = libc.pthread_detach(system.spawnThread(&Job.entry, job));
    }

    fn serveInChild(self: *Server, fd: c_int) void {
        if (system.forkOrFail("to serve a connection") == 0) {
            _ = libc.signal(libc.SIGTERM, null);
            _ = libc.close(self.listener);
            self.serve(fd);
            libc._exit(0);
        }
        _ = libc.close(fd);
        while (libc.waitpid(-1, null, libc.WNOHANG) > 0) {}
    }

    /// Serves one connection to its end and closes it.
    fn serve(self: *Server, fd: c_int) void {
        switch (self.mode) {
            .accept => {},
            .echo => if (self.options.io == .two_threads) echoInTurns(fd) else self.echo(fd),
            .transfer => while (transferOnce(self.options, fd)) {},
        }
        _ = libc.close(fd);
        if (self.is_child) libc._exit(0);
    }

    fn echo(self: *Server, fd: c_int) void {
        const buffer = system.allocBytes(echo_buffer_bytes);
        defer system.allocator.free(buffer);
        while (echoOnce(fd, buffer)) {
            if (self.until_fork == 0) continue;
            self.until_fork -= 1;
            if (self.until_fork > 0) continue;
            // The child serves on; the parent, by returning, closes its copy and accepts others.
            if (system.forkOrFail("to serve on in the child") > 0) return;
            self.is_child = true;
        }
    }
};

/// A connection that a thread serves.
const Job = struct {
    server: *Server,
    fd: c_int,

    fn entry(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
        const job: *Job = @ptrCast(@alignCast(argument.?));
        job.server.serve(job.fd);
        system.allocator.destroy(job);
        return null;
    }
};

/// One recv, and everything it brought sent back. False at the end of the connection.
fn echoOnce(fd: c_int, buffer: []u8) bool {
    const n = libc.recv(fd, buffer.ptr, buffer.len, 0);
    if (n < 0) return libc.errno() == libc.EINTR;
    if (n == 0) return false;
    return sendAll(fd, buffer[0..@intCast(n)]);
}

fn sendAll(fd: c_int, bytes: []const u8) bool {
    var done: usize = 0;
    while (done < bytes.len) {
        const n = libc.send(fd, bytes.ptr + done, bytes.len - done, libc.MSG_NOSIGNAL);
        if (n > 0) {
            done += @intCast(n);
        } else if (libc.errno() != libc.EINTR) return false;
    }
    return true;
}

// -- two threads on one connection --------------------------------------------------------------

const SharedEcho = struct { fd: c_int, buffer: []u8 };

fn echoInTurns(fd: c_int) void {
    var shared: SharedEcho = .{ .fd = fd, .buffer = system.allocBytes(echo_buffer_bytes) };
    defer system.allocator.free(shared.buffer);
    turns.take(&shared, &echoInTurnsBatch);
}

fn echoInTurnsBatch(context: *anyopaque) bool {
    const shared: *SharedEcho = @ptrCast(@alignCast(context));
    for (0..turns.batch_messages) |_| if (!echoOnce(shared.fd, shared.buffer)) return false;
    return true;
}

// -- transfers ----------------------------------------------------------------------------------

/// One transfer on a blocking socket. False at the end of the connection.
fn transferOnce(options: *const Options, fd: c_int) bool {
    var request: transfer.Request = undefined;
    if (!recvAll(fd, std.mem.asBytes(&request)) or !request.valid()) return false;
    const message = system.allocBytes(options.size);
    defer system.allocator.free(message);
    const buffer = system.allocBytes(options.recvBytes());
    defer system.allocator.free(buffer);

    var sender: BlockingSender = .{ .fd = fd, .sender = .{
        .left = request.to_client_bytes,
        .seed = pattern.seed_to_client,
        .checksum = request.isChecked(),
        .message = message,
    } };
    var receiver: transfer.Receiver = .{
        .left = request.to_server_bytes,
        .seed = pattern.seed_to_server,
        .checksum = request.isChecked(),
        .buffer = buffer,
    };
    // Both directions at once need a second thread, or both ends could wait for the other to read.
    const both = sender.sender.left > 0 and receiver.left > 0;
    const thread = if (both) system.spawnThread(&BlockingSender.entry, &sender) else null;
    while (receiver.step(fd) == .moved) {}
    if (thread) |running| _ = libc.pthread_join(running, null) else sender.runToEnd();

    if (receiver.left > 0 or sender.sender.left > 0) return false;
    return sendAll(fd, std.mem.asBytes(&receiver.verdict()));
}

/// A sender on a blocking socket, to be run by itself or by a thread.
pub const BlockingSender = struct {
    fd: c_int,
    sender: transfer.Sender,

    pub fn runToEnd(self: *BlockingSender) void {
        while (self.sender.step(self.fd) == .moved) {}
    }

    pub fn entry(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
        const self: *BlockingSender = @ptrCast(@alignCast(argument.?));
        self.runToEnd();
        return null;
    }
};

fn recvAll(fd: c_int, buffer: []u8) bool {
    var have: usize = 0;
    while (have < buffer.len) {
        const n = libc.recv(fd, buffer.ptr + have, buffer.len - have, 0);
        if (n > 0) {
            have += @intCast(n);
        } else if (n == 0 or libc.errno() != libc.EINTR) return false;
    }
    return true;
}
