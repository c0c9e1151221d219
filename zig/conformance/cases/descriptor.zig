//! A connection's descriptor: copies of it, its flags, what it is not, numbers that are used again,
//! stdio over it, system calls on it.

const std = @import("std");
const libc = @import("../libc.zig");
const rights = @import("../rights.zig");
const wait = @import("../calls_wait.zig");
const text = @import("../text.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

fn sink(t: *Side) void {
    const conn = t.accepted(.{});
    t.recvToEnd(conn, 1000);
    _ = t.send(conn, "bye", libc.MSG_NOSIGNAL);
    _ = t.close(conn);
}

pub const copies = struct {
    pub const summary = "a copy reads and writes the same stream; the last close ends it";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvAll(conn, 6);
        _ = t.send(conn, "abcdef", 0);
        t.sync("one closed");
        _ = t.recv(conn, 1, libc.MSG_DONTWAIT);
        t.sync("looked");
        t.recvAll(conn, 5);
        t.sync("still open");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const copy = t.dup(conn, "copy");
        _ = t.send(conn, "one", 0);
        _ = t.send(copy, "two", 0);
        _ = t.recv(copy, 3, libc.MSG_WAITALL);
        _ = t.recv(conn, 3, libc.MSG_WAITALL);
        _ = t.close(conn);
        t.sync("one closed");
        t.sync("looked");
        _ = t.send(copy, "three", 0);
        t.sync("still open");
        _ = t.close(copy);
        _ = t.send(copy, "x", 0);
    }
};

pub const copies_closed_in_reverse = struct {
    pub const summary = "of three copies, closed last to first, the original still works";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const second = t.dup(conn, "second");
        const third = t.dup(second, "third");
        _ = t.send(third, "3", 0);
        _ = t.close(third);
        _ = t.send(second, "2", 0);
        _ = t.close(second);
        _ = t.send(conn, "1", 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.recvToEnd(conn, 10);
        _ = t.close(conn);
    }
};

pub const copied_onto = struct {
    pub const summary = "dup2 onto another connection closes that one";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        const second = t.acceptFrom(listener, .{ .label = "second" });
        t.recvToEnd(second, 10);
        t.recvAll(first, 11);
        t.recvToEnd(first, 10);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        const second = t.connectTo(port, .{ .label = "second" });
        _ = t.send(second, "last", 0);
        _ = t.dup2(first, second, "second as first");
        _ = t.send(second, "first", 0);
        _ = t.send(first, "first!", 0);
        _ = t.dup2(first, first, "first");
        _ = t.close(first);
        _ = t.close(second);
    }
};

pub const number_used_again = struct {
    pub const summary = "a closed connection's number becomes a file, a pipe, another connection";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        t.recvToEnd(first, 10);
        const second = t.acceptFrom(listener, .{ .label = "second" });
        t.recvToEnd(second, 10);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        _ = t.send(first, "one", 0);
        _ = t.close(first);
        const file = t.file("contents");
        t.note("the file has the connection's number: {}", .{file == first});
        _ = t.read(file, 20);
        _ = t.send(file, "x", 0);
        t.kind(file);
        _ = t.close(file);
        const pipes = t.pipe();
        t.note("the pipe has the connection's number: {}", .{pipes[0] == first});
        _ = t.write(pipes[1], "through");
        _ = t.read(pipes[0], 20);
        _ = t.close(pipes[0]);
        const second = t.connectTo(port, .{ .label = "second" });
        t.note("the new connection has the old one's number: {}", .{second == first});
        _ = t.send(second, "two", 0);
        _ = t.close(second);
    }
};

pub const shared_flags = struct {
    pub const summary = "O_NONBLOCK by fcntl, FIONBIO or a copy holds for every copy";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const copy = t.dup(conn, "copy");
        t.setNonBlocking(copy, true);
        t.isNonBlocking(conn);
        _ = t.recv(conn, 1, 0);
        t.ioctlInt(conn, .FIONBIO, 0);
        t.isNonBlocking(copy);
        _ = t.setTimeout(copy, .RCVTIMEO, 30);
        _ = t.read(conn, 1);
        t.ioctlInt(copy, .FIONBIO, 1);
        _ = t.read(copy, 1);
        t.isNonBlocking(conn);
        t.setNonBlocking(conn, false);
        t.isNonBlocking(copy);
        _ = t.close(copy);
        _ = t.close(conn);
    }
};

pub const close_on_exec = struct {
    pub const summary = "FD_CLOEXEC is the descriptor's own: F_DUPFD, F_DUPFD_CLOEXEC, dup3";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    fn show(t: *Side, fd: c_int) void {
        t.begin("fcntl({s}, F_GETFD)", .{t.name(fd)});
        _ = t.result(libc.fcntl(fd, libc.F_GETFD, @as(c_int, 0)));
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        show(t, conn);
        t.begin("fcntl(conn, F_SETFD)", .{});
        _ = t.result(libc.fcntl(conn, libc.F_SETFD, @as(c_int, 1)));
        show(t, conn);
        t.begin("fcntl(conn, F_DUPFD)", .{});
        const plain = t.resultFd(libc.fcntl(conn, libc.F_DUPFD, @as(c_int, 50)), "plain");
        t.note("at least 50: {}", .{plain >= 50});
        show(t, plain);
        t.begin("fcntl(conn, F_DUPFD_CLOEXEC)", .{});
        const cloexec = t.resultFd(libc.fcntl(conn, libc.F_DUPFD_CLOEXEC, @as(c_int, 0)), "cloexec");
        show(t, cloexec);
        t.begin("dup3(conn, plain)", .{});
        _ = t.resultFd(libc.dup3(conn, plain, libc.SOCK_CLOEXEC), "plain");
        show(t, plain);
        t.begin("dup3(conn, conn)", .{});
        _ = t.result(libc.dup3(conn, conn, 0));
        _ = t.send(cloexec, "all ", 0);
        _ = t.send(plain, "one", 0);
        for ([_]c_int{ conn, plain, cloexec }) |fd| _ = t.close(fd);
    }
};

pub const no_file = struct {
    pub const summary = "what files can and sockets cannot: seek, pread, fsync, truncate";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.lseek(conn, 0, 1);
        _ = t.lseek(conn, 5, 0);
        _ = t.pread(conn, 4, 0);
        _ = t.pwrite(conn, "x", 0);
        _ = t.fsync(conn);
        t.begin("ftruncate(conn, 0)", .{});
        _ = t.result(libc.ftruncate(conn, 0));
        _ = t.close(conn);
    }
};

pub const what_it_is = struct {
    pub const summary = "fstat and /proc/self/fd say that it is a socket";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.kind(conn);
        t.link(conn);
        const copy = t.dup(conn, "copy");
        t.kind(copy);
        t.getOption(copy, .TYPE);
        _ = t.close(copy);
        t.kind(copy);
        t.link(copy);
        _ = t.close(conn);
    }
};

pub const closed = struct {
    pub const summary = "every call on a closed number: EBADF; poll: POLLNVAL";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.close(conn);
        _ = t.close(conn);
        _ = t.send(conn, "x", libc.MSG_NOSIGNAL);
        _ = t.recv(conn, 1, 0);
        _ = t.read(conn, 1);
        _ = t.write(conn, "x");
        _ = t.writev(conn, &.{"x"});
        _ = t.readv(conn, &.{1});
        _ = t.sendmsg(conn, &.{"x"}, 0);
        _ = t.recvmsg(conn, &.{1}, 0);
        _ = t.recvmmsg(conn, 1, 1, 0, null);
        _ = t.sendmmsg(conn, &.{"x"}, 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.getOption(conn, .ERROR);
        t.isNonBlocking(conn);
        t.sockName(conn);
        t.pollNow(conn, libc.POLLIN | libc.POLLOUT);
        t.pollNow(-1, libc.POLLIN);
        _ = t.dup(conn, "none");
    }
};

pub const not_a_socket = struct {
    pub const summary = "socket calls on pipes and files: ENOTSOCK, and the connection beside is unharmed";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const pipes = t.pipe();
        const file = t.file("text");
        for ([_]c_int{ pipes[0], file }) |fd| {
            _ = t.send(fd, "x", 0);
            _ = t.recv(fd, 1, 0);
            _ = t.recvmsg(fd, &.{1}, 0);
            _ = t.sendmsg(fd, &.{"x"}, 0);
            t.sockName(fd);
            t.getOption(fd, .TYPE);
        }
        _ = t.write(pipes[0], "x");
        _ = t.read(pipes[1], 1);
        _ = t.send(conn, "fine", 0);
        _ = t.close(conn);
    }
};

pub const stdio = struct {
    pub const summary = "fdopen, fprintf, fgets, getline, fclose over a connection";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{ "stdio", "fd_passed" }; // the peer is asked to leave, too

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvAll(conn, 14);
        t.sendAll(conn, "first line\nsecond line\nno newline");
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.recvToEnd(conn, 100);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const copy = t.dup(conn, "copy");
        const out = libc.fdopen(copy, "w") orelse t.fail("fdopen", .{});
        t.begin("fprintf", .{});
        _ = t.result(libc.fprintf(out, "number %d, %s", @as(c_int, 42), "abc"));
        t.begin("fflush", .{});
        _ = t.result(libc.fflush(out));
        const in = libc.fdopen(conn, "r") orelse t.fail("fdopen", .{});
        var buffer: [64]u8 = undefined;
        t.begin("fgets", .{});
        const line = libc.fgets(&buffer, buffer.len, in) orelse t.fail("fgets", .{});
        t.end(" = {f}", .{text.bytes(std.mem.span(line))});
        var room: ?[*:0]u8 = null;
        var size: usize = 0;
        for (0..3) |_| {
            t.begin("getline", .{});
            const n = libc.getline(&room, &size, in);
            if (n < 0) _ = t.result(n) else t.end(" = {f}", .{text.bytes(room.?[0..@intCast(n)])});
        }
        t.begin("fputs, fclose", .{});
        _ = libc.fputs("bye", out);
        _ = t.result(libc.fclose(out));
        t.begin("fclose", .{});
        _ = t.result(libc.fclose(in));
        _ = t.read(conn, 1);
    }
};

pub const peer_is_away = struct {
    pub const summary = "bytes that a peer sent before it slept by itself are there after fdopen";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{ "stdio", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("sent");
        t.untilQueued(conn, 5000);
        t.note("fdopen: {}", .{libc.fdopen(t.dup(conn, "copy"), "r") != null}); // libc itself may read
        t.recvAll(conn, 5000);
        _ = t.send(conn, "five", 0);
        _ = t.close(conn);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.send(conn, t.pattern(5000, 3), 0);
        t.sync("sent");
        t.begin("-- away", .{});
        _ = libc.nanosleep(&.{ .sec = 0, .nsec = 300_000_000 }, null); // asks nothing of the connection
        t.end("", .{});
        t.recvAll(conn, 4);
        t.sync("done");
    }
};

pub const formatted_write = struct {
    pub const summary = "dprintf between writes of the program's own keeps the order";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{ "stdio", "fd_passed" }; // the peer is asked to leave, too
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        _ = t.write(conn, "one ");
        t.begin("dprintf", .{});
        _ = t.result(libc.dprintf(conn, "%s %d ", "two", @as(c_int, 3)));
        _ = t.write(conn, "four ");
        t.begin("dprintf", .{});
        _ = t.result(libc.dprintf(conn, "five"));
        _ = t.shutdown(conn, libc.SHUT_WR);
        t.recvToEnd(conn, 10);
    }
};

pub const by_system_calls = struct {
    pub const summary = "read, write, sendto, recvfrom and close by syscall(2)";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvAll(conn, 10);
        t.sendAll(conn, "from the server");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const SYS = std.os.linux.SYS;
        const call = struct {
            fn call(number: SYS, a: c_int, b: usize, c: usize) c_long {
                const zero: c_long = 0;
                return libc.syscall(@intCast(@backingInt(number)), @as(c_long, a), b, c, zero, zero, zero);
            }
        }.call;
        t.begin("syscall write", .{});
        _ = t.result(call(.write, conn, @intFromPtr("hello"), 5));
        t.begin("syscall sendto", .{});
        _ = t.result(call(.sendto, conn, @intFromPtr("world"), 5));
        t.untilQueued(conn, 15);
        var buffer: [32]u8 = undefined;
        t.begin("syscall read", .{});
        _ = t.resultBytes(call(.read, conn, @intFromPtr(&buffer), 4), &buffer);
        t.begin("syscall recvfrom", .{});
        _ = t.resultBytes(call(.recvfrom, conn, @intFromPtr(&buffer), 32), &buffer);
        t.begin("syscall close", .{});
        _ = t.result(call(.close, conn, 0, 0));
        _ = t.send(conn, "x", 0);
    }
};

pub const passed_modes = struct {
    pub const summary = "modes set through a descriptor that came by SCM_RIGHTS hold for the first one, too";
    pub const carrier: Carrier = .tcp;
    pub const reasons: []const []const u8 = &.{"fd_passed"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("quiet");
        _ = t.send(conn, "abc", 0);
        t.sync("three");
        _ = t.send(conn, "defghij", 0);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const copy = rights.passToSelf(conn);
        t.label(copy, "copy");
        t.setNonBlocking(copy, true);
        _ = t.recv(conn, 1, 0);
        t.setNonBlocking(copy, false);
        _ = t.setTimeout(copy, .RCVTIMEO, 20);
        _ = t.recv(conn, 1, 0);
        _ = t.setTimeout(copy, .RCVTIMEO, 0);
        _ = t.setOption(copy, .RCVLOWAT, 10);
        t.sync("quiet");
        t.untilQueued(conn, 3);
        t.pollNow(conn, libc.POLLIN);
        t.sync("three");
        t.untilQueued(conn, 10);
        t.pollNow(conn, libc.POLLIN);
        _ = t.recv(conn, 16, 0);
        t.sync("done");
    }
};

pub const passed_after_one_shot = struct {
    pub const summary = "a ONESHOT registration that has fired is there still when its connection is passed";
    pub const carrier: Carrier = .either;
    const sends = 6;

    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        t.sync("done");
        t.recvAll(conn, sends);
    }

    /// It offers, and nobody adopts.
    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        for (0..sends) |_| _ = t.send(conn, "x", 0);
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.OUT | wait.ONESHOT, 7);
        wait.epollWait(t, ep, 8, 0);
        t.note("passed: {}", .{rights.passToSelf(conn) >= 0});
        wait.epollWait(t, ep, 8, 0);
        wait.epollCtl(t, ep, .ADD, conn, wait.OUT, 8);
        wait.epollCtl(t, ep, .MOD, conn, wait.OUT | wait.ONESHOT, 9);
        wait.epollWait(t, ep, 8, 0);
        wait.epollWait(t, ep, 8, 0);
        wait.epollCtl(t, ep, .DEL, conn, 0, 0);
        wait.epollCtl(t, ep, .DEL, conn, 0, 0);
        t.sync("done");
    }
};
