//! An actor: a thread or process that makes the calls it is told to make, one at a time, and tells
//! what came of them. It knows nothing of programs, connections or what should happen.
//!
//! An actor process gets its channels at the start: one for its main thread, the others for the
//! threads and children that it is told to make. Signal handlers count, and send a few bytes where
//! the conductor asked for it.

const std = @import("std");
const connection = @import("../connection.zig");
const libc = @import("../libc.zig");
const rights = @import("../rights.zig");
const wait = @import("actor_wait.zig");
const wire = @import("wire.zig");

const Command = wire.Command;
const Reply = wire.Reply;

const SIGUSR1 = 10;
const SIGUSR2 = 12;

extern "c" fn gettid() c_int;
extern "c" fn unsetenv(name: [*:0]const u8) c_int;
extern "c" fn system(command: [*:0]const u8) c_int;

var shared: *wire.Shared = undefined;
/// Since the last reply of whoever replies next.
var pipes: u32 = 0;
var handled: u32 = 0;
var handler_task: Command = .{ .op = .arm_handler };
var handler_value: i64 = 0;
var handler_errno: c_int = 0;

/// The process's main thread; returns its exit code.
pub fn run() c_int {
    shared = wire.Shared.map(wire.memory_fd) orelse return 3;
    // Without SA_RESTART, and with it.
    catchSignal(SIGUSR1, &onSignal, 0);
    catchSignal(SIGUSR2, &onSignal, libc.SA_RESTART);
    catchSignal(libc.SIGPIPE, &onPipe, libc.SA_RESTART);
    serve(0);
    return 0;
}

fn catchSignal(number: c_int, handler: *const anyopaque, flags: c_int) void {
    _ = libc.sigaction(number, &.{ .handler = handler, .flags = flags }, null);
}

fn onPipe(_: c_int) callconv(.c) void {
    _ = @atomicRmw(u32, &pipes, .Add, 1, .monotonic);
}

fn onSignal(_: c_int) callconv(.c) void {
    const errno = libc.errno();
    const task = handler_task;
    if (task.fd >= 0) {
        handler_task.fd = -1;
        var buffer: [64]u8 = undefined;
        const bytes = buffer[0..@min(buffer.len, task.count)];
        wire.fill(bytes, task.stream, task.position);
        handler_value = libc.send(task.fd, bytes.ptr, bytes.len, libc.MSG_NOSIGNAL);
        handler_errno = if (handler_value < 0) libc.errno() else 0;
    }
    _ = @atomicRmw(u32, &handled, .Add, 1, .monotonic);
    _ = @atomicRmw(u32, &shared.handled, .Add, 1, .release);
    libc.setErrno(errno);
}

/// Until the conductor closes the channel.
fn serve(channel: usize) void {
    const fd = wire.channel_fd + @as(c_int, @intCast(channel));
    var hello: Reply = .{ .value = libc.getpid(), .a = gettid() };
    if (!wire.sendMessage(fd, &hello)) return;
    const command = std.heap.c_allocator.create(Command) catch return;
    while (wire.receiveMessage(fd, command)) {
        @atomicStore(u32, &shared.busy[channel], 1, .release);
        var reply: Reply = .{};
        libc.setErrno(0);
        perform(command, &reply);
        if (reply.value < 0 and reply.errno == 0) reply.errno = libc.errno();
        @atomicStore(u32, &shared.busy[channel], 0, .release);
        reply.pipes = @atomicRmw(u32, &pipes, .Xchg, 0, .monotonic);
        reply.handled = @atomicRmw(u32, &handled, .Xchg, 0, .monotonic);
        if (reply.handled > 0) {
            reply.handler_value = handler_value;
            reply.handler_errno = handler_errno;
            handler_value = 0;
            handler_errno = 0;
        }
        if (!wire.sendMessage(fd, &reply)) return;
    }
}

fn perform(command: *const Command, reply: *Reply) void {
    const c = command;
    reply.value = switch (c.op) {
        .send, .write, .writev, .sendmsg, .sendfile, .send_all, .dprintf, .program_writes => sends(c),
        .recv, .read, .readv, .recvmsg, .recv_all => receives(c, reply),
        .shutdown => libc.shutdown(c.fd, c.flags),
        .poll, .ppoll => wait.poll(c, reply),
        .select => wait.selectMany(c, reply),
        .epoll_create => wait.epollCreate(),
        .epoll_ctl => wait.epollCtl(c),
        .epoll_wait => wait.epollWait(c, reply),
        .settle => wait.settle(c, reply),
        .fionread => ask(c.fd, reply),
        .bytes_received => bytesReceived(c.fd, reply),
        .getsockopt => getOption(c, reply),
        .setsockopt => setOption(c, &@as(c_int, @intCast(c.a)), @sizeOf(c_int)),
        .set_linger => setOption(c, &[2]c_int{ @intFromBool(c.a >= 0), @intCast(@max(0, c.a)) }, 8),
        .set_timeout => setOption(c, &libc.timeval{ .sec = 0, .usec = c.a * 1000 }, @sizeOf(libc.timeval)),
        .set_nonblock => setNonBlocking(c.fd, c.a != 0),
        .dup => libc.dup(c.fd),
        .dup2 => libc.dup2(c.fd, c.flags),
        .fcntl_dup => libc.fcntl(c.fd, libc.F_DUPFD, @as(c_int, 40)),
        .pass_to_self => rights.passToSelf(c.fd),
        .close => libc.close(c.fd),
        .listen => listen(reply),
        .connect, .connect_nonblock => connect(c),
        .accept => libc.accept4(c.fd, null, null, c.flags),
        .fork => forkChild(c, reply),
        .exit => libc._exit(@intCast(c.a)),
        .wait_child => waitChild(c, reply),
        .thread => startThread(c),
        .system => system("exit 3"),
        .arm_handler => armHandler(c),
    };
}

fn armHandler(c: *const Command) i64 {
    handler_task = c.*;
    return 0;
}

// -- streams --------------------------------------------------------------------------------------

fn sends(c: *const Command) i64 {
    const buffer = std.heap.c_allocator.allocSentinel(u8, c.count, 0) catch return -1;
    defer std.heap.c_allocator.free(buffer);
    wire.fill(buffer, c.stream, c.position);
    return switch (c.op) {
        .send => libc.send(c.fd, buffer.ptr, buffer.len, c.flags),
        .write => libc.write(c.fd, buffer.ptr, buffer.len),
        .writev, .sendmsg => sendParts(c, buffer),
        .sendfile => sendFile(c, buffer),
        .dprintf => libc.dprintf(c.fd, "%s", buffer.ptr),
        .program_writes => programWrites(c, buffer),
        else => sendAll(c, buffer),
    };
}

fn sendParts(c: *const Command, buffer: []u8) i64 {
    var vectors: [5]libc.iovec = undefined;
    const count = cut(buffer, &vectors);
    if (c.op == .writev) return libc.writev(c.fd, &vectors, @intCast(count));
    return libc.sendmsg(c.fd, &.{ .vectors = &vectors, .count = count }, c.flags);
}

/// Into pieces of very different sizes, one of them empty.
fn cut(buffer: []u8, vectors: *[5]libc.iovec) usize {
    const cuts = [_]usize{ 0, buffer.len / 7, buffer.len / 7, buffer.len / 2, buffer.len - buffer.len / 5, buffer.len };
    for (vectors, cuts[0..5], cuts[1..]) |*vector, from, to| {
        vector.* = .{ .base = buffer.ptr + from, .length = to - from };
    }
    return vectors.len;
}

fn sendFile(c: *const Command, buffer: []const u8) i64 {
    const file = libc.memfd_create("file", 0);
    if (file < 0) return -1;
    defer closeQuietly(file);
    if (libc.write(file, buffer.ptr, buffer.len) != buffer.len) return -1;
    var offset: c_long = 0;
    return libc.sendfile(c.fd, file, &offset, buffer.len);
}

fn closeQuietly(fd: c_int) void {
    const errno = libc.errno();
    _ = libc.close(fd);
    libc.setErrno(errno);
}

/// A forked child becomes another program with the connection as its standard output, as inetd's
/// children do; with the library and without. The value is what it sent, if it ended well.
fn programWrites(c: *const Command, text: [:0]const u8) i64 {
    const pid = libc.fork();
    if (pid == 0) {
        _ = libc.dup2(c.fd, 1);
        if (c.a != 0) _ = unsetenv("LD_PRELOAD");
        _ = libc.execv("/usr/bin/printf", &[_:null]?[*:0]const u8{ "printf", "%s", text.ptr });
        libc._exit(127);
    }
    var status: c_int = 0;
    if (pid < 0 or libc.waitpid(pid, &status, 0) != pid or status != 0) return -1;
    return @intCast(text.len);
}

/// How far it came; an error only if that is nothing.
fn sendAll(c: *const Command, buffer: []const u8) i64 {
    var done: usize = 0;
    const piece: usize = if (c.a > 0) @intCast(c.a) else buffer.len;
    while (done < buffer.len) {
        const n = libc.send(c.fd, buffer.ptr + done, @min(piece, buffer.len - done), libc.MSG_NOSIGNAL | c.flags);
        if (n < 0 and libc.errno() == libc.EAGAIN) {
            waitFor(c.fd, libc.POLLOUT);
        } else if (n < 0) {
            break;
        } else done += @intCast(n);
    }
    return if (done > 0 or buffer.len == 0) @intCast(done) else -1;
}

fn waitFor(fd: c_int, events: c_short) void {
    var polled = [_]libc.pollfd{.{ .fd = fd, .events = events }};
    _ = libc.poll(&polled, 1, -1);
}

fn receives(c: *const Command, reply: *Reply) i64 {
    const buffer = std.heap.c_allocator.alloc(u8, c.count) catch return -1;
    defer std.heap.c_allocator.free(buffer);
    @memset(buffer, 0);
    const n: i64 = switch (c.op) {
        .recv => libc.recv(c.fd, buffer.ptr, buffer.len, c.flags),
        .read => libc.read(c.fd, buffer.ptr, buffer.len),
        .readv, .recvmsg => receiveParts(c, buffer),
        else => receiveAll(c, buffer),
    };
    if (n <= 0) return n;
    const discarded = c.flags & libc.MSG_TRUNC != 0;
    const filled = if (discarded) 0 else @min(buffer.len, @as(usize, @intCast(n)));
    reply.wrong_at = wire.firstWrong(buffer[0..filled], c.stream, c.position);
    return n;
}

fn receiveParts(c: *const Command, buffer: []u8) i64 {
    var vectors: [5]libc.iovec = undefined;
    const count = cut(buffer, &vectors);
    if (c.op == .readv) return libc.readv(c.fd, &vectors, @intCast(count));
    var header: libc.msghdr = .{ .vectors = &vectors, .count = count };
    return libc.recvmsg(c.fd, &header, c.flags);
}

fn receiveAll(c: *const Command, buffer: []u8) i64 {
    if (c.a > 0) _ = libc.nanosleep(&.{ .sec = 0, .nsec = c.a * 1_000_000 }, null);
    var done: usize = 0;
    while (done < buffer.len) {
        const n = libc.recv(c.fd, buffer.ptr + done, buffer.len - done, 0);
        if (n < 0 and libc.errno() == libc.EAGAIN) {
            waitFor(c.fd, libc.POLLIN);
        } else if (n <= 0) {
            break;
        } else done += @intCast(n);
    }
    return @intCast(done);
}

// -- questions and options ------------------------------------------------------------------------

fn ask(fd: c_int, reply: *Reply) i64 {
    var count: c_int = -1;
    const code = libc.ioctl(fd, libc.FIONREAD, @intFromPtr(&count));
    reply.a = count;
    return code;
}

fn bytesReceived(fd: c_int, reply: *Reply) i64 {
    var info: [256]u8 align(8) = @splat(0);
    var length: u32 = info.len;
    const code = libc.getsockopt(fd, libc.IPPROTO_TCP, libc.TCP_INFO, &info, &length);
    const bytes_received_at = 128;
    reply.a = @intCast(std.mem.readInt(u64, info[bytes_received_at..][0..8], .native));
    return code;
}

fn getOption(c: *const Command, reply: *Reply) i64 {
    var value: c_int = 0;
    var length: u32 = @sizeOf(c_int);
    const code = libc.getsockopt(c.fd, @intCast(c.b), c.flags, &value, &length);
    reply.a = value;
    return code;
}

fn setOption(c: *const Command, value: *const anyopaque, length: u32) i64 {
    return libc.setsockopt(c.fd, @intCast(c.b), c.flags, value, length);
}

fn setNonBlocking(fd: c_int, on: bool) i64 {
    const flags = libc.fcntl(fd, libc.F_GETFL);
    if (flags < 0) return -1;
    const wanted = if (on) flags | libc.O_NONBLOCK else flags & ~@as(c_int, libc.O_NONBLOCK);
    return libc.fcntl(fd, libc.F_SETFL, wanted);
}

// -- connections ----------------------------------------------------------------------------------

/// A listener for both families; its port is the answer.
fn listen(reply: *Reply) i64 {
    const fd = libc.socket(libc.AF_INET6, libc.SOCK_STREAM, 0);
    var address = connection.Address.loopback(.v6_any, 0);
    if (fd < 0 or libc.bind(fd, &address.storage, address.length) != 0 or libc.listen(fd, 16) != 0) return -1;
    if (libc.getsockname(fd, &address.storage, &address.length) != 0) return -1;
    reply.a = address.port();
    return fd;
}

fn connect(c: *const Command) i64 {
    const family: c_int = if (c.a == 0) libc.AF_INET else libc.AF_INET6;
    const kind: c_int = if (c.op == .connect_nonblock) libc.SOCK_STREAM | libc.SOCK_NONBLOCK else libc.SOCK_STREAM;
    const fd = libc.socket(family, kind, 0);
    if (fd < 0) return -1;
    const one: c_int = 1;
    _ = libc.setsockopt(fd, libc.IPPROTO_TCP, 1, &one, @sizeOf(c_int));
    const address = connection.Address.loopback(if (c.a == 0) .v4 else .v6, @intCast(c.b));
    if (libc.connect(fd, &address.storage, address.length) == 0) return fd;
    if (libc.errno() != libc.EINPROGRESS) return -1;
    waitFor(fd, libc.POLLOUT);
    return fd;
}

// -- processes ------------------------------------------------------------------------------------

fn forkChild(c: *const Command, reply: *Reply) i64 {
    const pid = libc.fork();
    if (pid == 0) {
        serve(@intCast(c.a));
        libc._exit(0);
    }
    reply.a = pid;
    return pid;
}

fn waitChild(c: *const Command, reply: *Reply) i64 {
    var status: c_int = 0;
    const pid = libc.waitpid(@intCast(c.a), &status, 0);
    reply.a = status;
    return if (pid == c.a) 0 else -1;
}

fn startThread(c: *const Command) i64 {
    var handle: usize = 0;
    return libc.pthread_create(&handle, null, &threadMain, @ptrFromInt(@as(usize, @intCast(c.a))));
}

fn threadMain(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
    serve(@intFromPtr(argument.?));
    return null;
}
