//! The life of processes and descriptors around a connection: fork, exec, other programs, copies,
//! passed descriptors, threads and signal handlers.

const std = @import("std");
const libc = @import("../libc.zig");
const wait = @import("../calls_wait.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

extern "c" fn system(command: [*:0]const u8) c_int;
extern "c" fn popen(command: [*:0]const u8, mode: [*:0]const u8) ?*anyopaque;
extern "c" fn pclose(stream: *anyopaque) c_int;
extern "c" fn fgetc(stream: *anyopaque) c_int;
extern "c" fn posix_spawn(pid: *c_int, path: [*:0]const u8, actions: ?*anyopaque, attributes: ?*anyopaque, argv: [*:null]const ?[*:0]const u8, envp: [*:null]const ?[*:0]const u8) c_int;
extern "c" fn execve(path: [*:0]const u8, argv: [*:null]const ?[*:0]const u8, envp: [*:null]const ?[*:0]const u8) c_int;
extern "c" fn dup3(from: c_int, to: c_int, flags: c_int) c_int;
extern "c" fn syscall(number: c_long, ...) c_long;

const cloexec = libc.SOCK_CLOEXEC;
const F_DUPFD_CLOEXEC = 1030;
const SIGUSR1 = 10;

/// The other side of most cases: answers each byte by the next letter, to the end.
fn answer(t: *Side) void {
    const conn = t.connected(.{});
    answerOn(t, conn);
}

fn answerOn(t: *Side, conn: c_int) void {
    var byte: [1]u8 = undefined;
    t.begin("-- answers", .{});
    while (libc.recv(conn, &byte, 1, 0) == 1) {
        byte[0] += 1;
        _ = libc.send(conn, &byte, 1, libc.MSG_NOSIGNAL);
    }
    t.end(" to the end", .{});
}

fn ask(t: *Side, conn: c_int, comptime letter: []const u8) void {
    _ = t.send(conn, letter, 0);
    t.recvAll(conn, 1);
}

pub const child_serves = struct {
    pub const summary = "a forked child serves a connection that its parent accepted and closed";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{ .warm = false });
        if (t.fork("child")) |c| {
            var child = c;
            child.warmUp(conn);
            ask(&child, conn, "a");
            ask(&child, conn, "p");
            _ = child.close(conn);
            child.exitChild(3);
        }
        _ = t.close(conn);
        t.waitChild(t.child_pid);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const both_use_it = struct {
    pub const summary = "parent and child use one connection in turn; the last close is its end";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        ask(t, conn, "a");
        if (t.fork("child")) |c| {
            var child = c;
            ask(&child, conn, "c");
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        ask(t, conn, "e");
        if (t.fork("second child")) |c| {
            var child = c;
            for (0..3) |_| ask(&child, conn, "g");
            _ = child.close(conn);
            child.exitChild(0);
        }
        t.waitChild(t.child_pid);
        ask(t, conn, "i");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const child_closes_last = struct {
    pub const summary = "the end comes when the last of parent and child has closed";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipe = t.pipe();
        if (t.fork("child")) |c| {
            var child = c;
            _ = child.read(pipe[0], 1);
            _ = child.send(conn, "still here", 0);
            _ = child.close(conn);
            child.exitChild(0);
        }
        _ = t.close(conn);
        t.sync("parent closed");
        t.sync("nothing yet");
        _ = t.write(pipe[1], "x");
        t.waitChild(t.child_pid);
        t.sync("child gone");
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sync("parent closed");
        wait.pollMany(t, &.{.{ .fd = conn, .events = libc.POLLIN | libc.POLLRDHUP }}, 50);
        t.sync("nothing yet");
        t.sync("child gone");
        t.recvToEnd(conn, 100);
    }
};

pub const child_killed = struct {
    pub const summary = "a child that is killed while it reads leaves the connection to its parent";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipe = t.pipe();
        if (t.fork("child")) |c| {
            var child = c;
            _ = child.write(pipe[1], "r");
            _ = libc.recv(conn, @constCast("  "), 1, 0);
            child.exitChild(1);
        }
        _ = t.read(pipe[0], 1);
        for (0..50) |_| t.pause(); // it reads, most likely
        _ = libc.kill(t.child_pid, libc.SIGKILL);
        t.waitChild(t.child_pid);
        for (0..3) |_| ask(t, conn, "a");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const preforked = struct {
    pub const summary = "a pool of workers forked before accept serves connections";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        for ([_][]const u8{ "first worker", "second worker" }) |name| {
            if (t.fork(name)) |c| {
                var worker = c;
                const conn = worker.acceptFrom(listener, .{ .label = "conn" });
                for (0..3) |_| ask(&worker, conn, "a");
                _ = worker.close(conn);
                worker.exitChild(0);
            }
            t.waitChild(t.child_pid);
        }
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        for (0..2) |_| {
            const conn = t.connectTo(port, .{});
            answerOn(t, conn);
            _ = t.close(conn);
        }
    }
};

pub const client_forks = struct {
    pub const summary = "a client's child goes on with the connection, and makes one of its own";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        answerOn(t, first);
        const second = t.acceptFrom(listener, .{ .label = "second" });
        answerOn(t, second);
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        if (t.fork("child")) |c| {
            var child = c;
            for (0..3) |_| ask(&child, first, "a");
            _ = child.close(first);
            const second = child.connectTo(port, .{ .label = "second" });
            for (0..3) |_| ask(&child, second, "m");
            child.exitChild(0);
        }
        _ = t.close(first);
        t.waitChild(t.child_pid);
    }
};

pub const offered_at_fork = struct {
    pub const summary = "a client forks when it has offered its connection, and nobody has taken it yet";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "shared_by_fork", "not_adopted" };

    pub fn server(t: *Side) void {
        const conn = t.acceptedSecond();
        t.sync("forked");
        answerOn(t, conn);
    }

    /// By the third call at the latest it is offered.
    pub fn client(t: *Side) void {
        const conn = t.connectedSecond();
        for (0..3) |_| _ = t.send(conn, "a", 0);
        if (t.fork("child")) |c| {
            var child = c;
            child.recvAll(conn, 3);
            for (0..6) |_| ask(&child, conn, "m");
            child.exitChild(0);
        }
        t.sync("forked");
        t.waitChild(t.child_pid);
        ask(t, conn, "x");
        _ = t.close(conn);
    }
};

pub const grandchild = struct {
    pub const summary = "a forked peer wakes a process whose child has forked meanwhile";
    pub const carrier: Carrier = .ring;

    /// The child forks when the peer's has just come; what tells of that is for the server itself.
    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const go = t.pipe();
        const gone = t.pipe();
        if (t.fork("child")) |c| {
            var child = c;
            _ = child.read(go[0], 1);
            const pid = libc.fork();
            if (pid == 0) libc._exit(0);
            child.waitChild(pid);
            _ = child.write(gone[1], "x");
            _ = child.read(go[0], 1);
            child.exitChild(0);
        }
        t.sync("forked");
        t.sync("slept");
        _ = t.write(go[1], "x");
        _ = t.read(gone[0], 1);
        const ep = wait.epollCreate(t, "ep");
        wait.epollAdd(t, ep, conn, wait.IN, 1);
        t.sync("waits");
        wait.epollWait(t, ep, 8, -1);
        t.recvAll(conn, 1);
        _ = t.write(go[1], "x");
        t.waitChild(t.child_pid);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const go = t.pipe();
        const slept = t.pipe();
        t.sync("forked");
        if (t.fork("child")) |c| {
            var child = c;
            wait.pollMany(&child, &.{.{ .fd = conn, .events = libc.POLLIN }}, 2);
            _ = child.write(slept[1], "x");
            _ = child.read(go[0], 1);
            for (0..25) |_| child.pause();
            _ = child.send(conn, "x", 0);
            child.exitChild(0);
        }
        _ = t.read(slept[0], 1);
        t.sync("slept");
        t.sync("waits");
        _ = t.write(go[1], "x");
        t.waitChild(t.child_pid);
    }
};

pub const thread_sends_over_fork = struct {
    pub const summary = "forks in one thread do not disturb a stream that another one sends";
    pub const carrier: Carrier = .ring;
    const total = 4_000_000;
    var conn: c_int = -1;

    fn stream(t: *Side) void {
        const bytes = t.memory(total);
        defer t.free(bytes);
        for (bytes, 0..) |*byte, i| byte.* = @truncate(i *% 2654435761 >> 13);
        t.sendAll(conn, bytes);
    }

    pub fn server(t: *Side) void {
        conn = t.accepted(.{});
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "thread", &stream);
        for (0..10) |_| {
            const pid = libc.fork();
            if (pid == 0) libc._exit(0);
            var status: c_int = 0;
            while (libc.waitpid(pid, &status, 0) < 0) {}
        }
        t.join(&thread);
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        const mine = t.connected(.{});
        t.recvToEnd(mine, total + 1);
    }
};

pub const other_programs = struct {
    pub const summary = "system, popen and posix_spawn beside a connection that they do not get";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = libc.fcntl(conn, libc.F_SETFD, @as(c_int, 1));
        runAll(t, conn);
        _ = t.close(conn);
    }

    fn runAll(t: *Side, conn: c_int) void {
        ask(t, conn, "a");
        t.note("system: {d}", .{system("exit 3") >> 8});
        ask(t, conn, "c");
        const stream = popen("echo q", "r") orelse t.fail("popen", .{});
        t.note("popen: {d}", .{fgetc(stream)});
        ask(t, conn, "e");
        t.note("pclose: {d}", .{pclose(stream)});
        var pid: c_int = 0;
        const argv = [_:null]?[*:0]const u8{ "true", null };
        const environment = [_:null]?[*:0]const u8{null};
        t.note("posix_spawn: {d}", .{posix_spawn(&pid, "/bin/true", null, null, &argv, &environment)});
        t.waitChild(pid);
        ask(t, conn, "g");
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const other_programs_inherit = struct {
    pub const summary = "the same beside a connection that they do get";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "exec", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        other_programs.runAll(t, conn);
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const program_serves = struct {
    pub const summary = "a child's connection becomes another program's standard input and output";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        for ([_]bool{ true, false }) |with_environment| {
            const conn = t.acceptFrom(listener, .{});
            if (t.fork(if (with_environment) "child" else "bare child")) |_| {
                _ = libc.dup2(conn, 0);
                _ = libc.dup2(conn, 1);
                _ = libc.close(conn);
                const argv = [_:null]?[*:0]const u8{ "cat", null };
                const bare = [_:null]?[*:0]const u8{null};
                _ = if (with_environment) libc.execv("/bin/cat", &argv) else execve("/bin/cat", &argv, &bare);
                libc._exit(9);
            }
            _ = t.close(conn);
            t.waitChild(t.child_pid);
        }
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        for (0..2) |_| {
            const conn = t.connectTo(port, .{});
            for (0..10) |_| {
                _ = t.send(conn, "to the cat", 0);
                t.recvAll(conn, 10);
            }
            _ = t.shutdown(conn, libc.SHUT_WR);
            t.recvToEnd(conn, 10);
            _ = t.close(conn);
        }
    }
};

pub const exec_fails = struct {
    pub const summary = "a connection goes on after an exec that failed";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{ "exec", "fd_passed" };

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const argv = [_:null]?[*:0]const u8{ "nothing", null };
        for (0..2) |_| {
            ask(t, conn, "a");
            t.begin("execv", .{});
            _ = t.result(libc.execv("/no/such/program", &argv));
            ask(t, conn, "c");
        }
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const copies = struct {
    pub const summary = "dup, dup2, dup3 and F_DUPFD_CLOEXEC: each copy is the connection";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const second = t.dup(conn, "second");
        const third = t.dup2(conn, 300, "third");
        t.begin("dup3", .{});
        const fourth = t.resultFd(dup3(conn, 301, cloexec), "fourth");
        t.begin("F_DUPFD_CLOEXEC", .{});
        const fifth = t.resultFd(libc.fcntl(conn, F_DUPFD_CLOEXEC, @as(c_int, 302)), "fifth");
        for ([_]c_int{ conn, second, third, fourth, fifth }) |fd| {
            ask(t, fd, "a");
            t.note("FD_CLOEXEC of {s}: {d}", .{ t.name(fd), libc.fcntl(fd, libc.F_GETFD) });
        }
        t.begin("dup3 onto itself", .{});
        _ = t.result(dup3(conn, conn, 0));
        _ = t.dup2(conn, conn, "conn");
        for ([_]c_int{ conn, second, third, fourth }) |fd| {
            _ = t.close(fd);
            ask(t, fifth, "c");
        }
        _ = t.close(fifth);
        _ = t.close(fifth);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const replaced = struct {
    pub const summary = "dup2 onto a connection closes it; close_range closes copies";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const listener = t.listening(.{});
        const first = t.acceptFrom(listener, .{ .label = "first" });
        const second = t.acceptFrom(listener, .{ .label = "second" });
        _ = t.dup2(second, first, "first, replaced");
        ask(t, first, "a");
        _ = t.close(second);
        ask(t, first, "c");
        t.begin("close_range", .{});
        // By number: libc has it from 2.34 on.
        const number = @intFromEnum(std.os.linux.SYS.close_range);
        _ = t.result(syscall(number, @as(c_ulong, @intCast(first)), @as(c_ulong, @intCast(first)), @as(c_ulong, 0)));
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const port: u16 = @intCast(t.hear("port"));
        const first = t.connectTo(port, .{ .label = "first" });
        const second = t.connectTo(port, .{ .label = "second" });
        t.recvToEnd(first, 10);
        answerOn(t, second);
        t.sync("done");
    }
};

pub const shut_by_thread = struct {
    pub const summary = "shutdown in one thread ends a recv that another is in";
    pub const carrier: Carrier = .ring;
    var conn: c_int = -1;

    fn receive(t: *Side) void {
        _ = t.recv(conn, 5, 0);
        _ = t.recv(conn, 5, 0);
    }

    pub fn server(t: *Side) void {
        conn = t.accepted(.{});
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "thread", &receive);
        for (0..50) |_| t.pause();
        _ = t.shutdown(conn, libc.SHUT_RDWR);
        t.join(&thread);
        t.sync("done");
    }

    pub fn client(t: *Side) void {
        const mine = t.connected(.{});
        t.recvToEnd(mine, 5);
        t.sync("done");
    }
};

pub const two_readers = struct {
    pub const summary = "two threads in recv on one connection share what comes";
    pub const carrier: Carrier = .ring;
    var conn: c_int = -1;
    var got: u32 = 0;

    fn receive(t: *Side) void {
        var byte: [1]u8 = undefined;
        while (libc.recv(conn, &byte, 1, 0) == 1) _ = @atomicRmw(u32, &got, .Add, 1, .monotonic);
        t.note("saw the end", .{});
    }

    pub fn server(t: *Side) void {
        conn = t.accepted(.{});
        var first: Side.Thread = undefined;
        var second: Side.Thread = undefined;
        t.spawn(&first, "first", &receive);
        t.spawn(&second, "second", &receive);
        t.join(&first);
        t.join(&second);
        t.note("{d} bytes", .{got});
    }

    pub fn client(t: *Side) void {
        const mine = t.connected(.{});
        for (0..200) |_| _ = libc.send(mine, "x", 1, 0);
        _ = t.close(mine);
    }
};

pub const handler_writes = struct {
    pub const summary = "a signal handler writes on the connection that the main code reads";
    pub const carrier: Carrier = .ring;
    var conn: c_int = -1;

    fn handler(_: c_int) callconv(.c) void {
        _ = libc.write(conn, "h", 1);
    }

    pub fn server(t: *Side) void {
        conn = t.accepted(.{});
        const action: libc.sigaction_t = .{ .handler = @ptrCast(&handler), .flags = libc.SA_RESTART };
        if (libc.sigaction(SIGUSR1, &action, null) != 0) t.fail("sigaction", .{});
        const parent = libc.getpid();
        const child = libc.fork();
        if (child == 0) {
            _ = libc.close(conn);
            _ = libc.nanosleep(&.{ .sec = 0, .nsec = 30_000_000 }, null);
            _ = libc.kill(parent, SIGUSR1);
            libc._exit(0);
        }
        // Restarted, it ends with the answer to what the handler wrote.
        _ = t.recv(conn, 5, 0);
        t.waitChild(child);
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};

pub const handler_interrupts = struct {
    pub const summary = "a handler without SA_RESTART ends a recv, and the connection goes on";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.catchSignal(SIGUSR1, false);
        const parent = libc.getpid();
        const child = libc.fork();
        if (child == 0) {
            _ = libc.close(conn);
            _ = libc.nanosleep(&.{ .sec = 0, .nsec = 30_000_000 }, null);
            _ = libc.kill(parent, SIGUSR1);
            libc._exit(0);
        }
        _ = t.recv(conn, 5, 0);
        t.caught(SIGUSR1);
        while (libc.waitpid(child, null, 0) < 0) {}
        ask(t, conn, "a");
        _ = t.close(conn);
    }

    pub fn client(t: *Side) void {
        answer(t);
    }
};
