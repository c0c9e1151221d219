//! The one table of intercepted libc functions. Exports, docs/API.md and the coverage test come
//! from it; nothing else lists them.

const api_alias = @import("api_alias.zig");
const api_create = @import("api_create.zig");
const api_io = @import("api_io.zig");
const api_process = @import("api_process.zig");
const api_socket = @import("api_socket.zig");
const api_wait = @import("api_wait.zig");

pub const How = enum {
    /// Served from the ring when the connection is on one.
    accelerated,
    /// Passed to libc; the library only takes note.
    followed,
    /// The connection moves back to kernel TCP first.
    moves_to_tcp,
};

pub const Entry = struct {
    name: [:0]const u8,
    how: How,
    /// One line for docs/API.md.
    note: []const u8,
    /// Where the implementation is: a namespace with a function of this name.
    in: type,
    /// Takes any number of arguments: on arm64 the one in variadic_arm64.zig is exported.
    variadic: bool = false,
};

fn e(comptime in: type, name: [:0]const u8, how: How, note: []const u8) Entry {
    return .{ .name = name, .how = how, .note = note, .in = in };
}

fn v(comptime in: type, name: [:0]const u8, how: How, note: []const u8) Entry {
    return .{ .name = name, .how = how, .note = note, .in = in, .variadic = true };
}

const io = api_io;
const so = api_socket;
const cr = api_create;
const wt = api_wait;
const pr = api_process;
const al = api_alias;

pub const entries = [_]Entry{
    e(io, "recv", .accelerated, "ring or kernel, whichever carries the next byte"),
    e(io, "__recv_chk", .accelerated, "fortified recv"),
    e(io, "recvfrom", .accelerated, "as recv; TCP reports no address"),
    e(io, "__recvfrom_chk", .accelerated, "fortified recvfrom"),
    e(io, "recvmsg", .accelerated, "as recv; control data only from the kernel"),
    e(io, "recvmmsg", .accelerated, "a recvmsg each"),
    e(io, "read", .accelerated, "as recv"),
    e(io, "__read_chk", .accelerated, "fortified read"),
    e(io, "readv", .accelerated, "as recv"),
    e(io, "send", .accelerated, "ring or kernel; MSG_OOB and MSG_ZEROCOPY go by the kernel"),
    e(io, "sendto", .accelerated, "as send; the address means nothing on TCP"),
    e(io, "sendmsg", .accelerated, "as send; control data goes by the kernel; SCM_RIGHTS moves passed connections to TCP"),
    e(io, "sendmmsg", .accelerated, "a sendmsg each; SCM_RIGHTS too"),
    e(io, "write", .accelerated, "as send"),
    e(io, "writev", .accelerated, "as send"),
    e(io, "preadv2", .accelerated, "as readv at offset -1; RWF_NOWAIT is MSG_DONTWAIT"),
    e(io, "preadv64v2", .accelerated, "as preadv2"),
    e(io, "pwritev2", .accelerated, "as writev at offset -1"),
    e(io, "pwritev64v2", .accelerated, "as pwritev2"),
    e(io, "sendfile", .accelerated, "copied into the ring"),
    e(io, "sendfile64", .accelerated, "copied into the ring"),
    e(io, "splice", .accelerated, "copied between pipe and ring"),

    e(so, "socket", .followed, "the number is new"),
    e(so, "listen", .followed, "the listener is registered with the monitor"),
    e(so, "accept", .followed, "the connection is tracked and may be accelerated"),
    e(so, "accept4", .followed, "the connection is tracked and may be accelerated"),
    e(so, "connect", .followed, "the connection is tracked and may be accelerated; AF_UNSPEC ends that"),
    e(so, "shutdown", .followed, "published bytes are delivered before the FIN"),
    e(so, "close", .followed, "unread ring bytes turn it into a reset, as on Linux"),
    e(so, "posix_close", .followed, "musl's close with flags"),
    e(so, "close_range", .followed, "a close each; the library's own descriptors stay"),
    e(so, "closefrom", .followed, "a close each; the library's own descriptors stay"),
    e(so, "dup", .followed, "one more descriptor for the same connection"),
    e(so, "dup2", .followed, "close and dup"),
    e(so, "dup3", .followed, "close and dup"),
    e(so, "fcntl", .followed, "by command: see below"),
    e(so, "fcntl64", .followed, "by command: see below"),
    e(so, "ioctl", .accelerated, "by request: see below"),
    e(so, "setsockopt", .followed, "by option: see below"),
    e(so, "getsockopt", .accelerated, "by option: see below"),

    e(cr, "socketpair", .followed, "the numbers are new"),
    e(cr, "pipe", .followed, "the numbers are new"),
    e(cr, "pipe2", .followed, "the numbers are new"),
    e(cr, "open", .followed, "the number is new"),
    e(cr, "open64", .followed, "the number is new"),
    e(cr, "openat", .followed, "the number is new"),
    e(cr, "openat64", .followed, "the number is new"),
    e(cr, "creat", .followed, "the number is new"),
    e(cr, "creat64", .followed, "the number is new"),
    e(cr, "__open_2", .followed, "fortified open"),
    e(cr, "__open64_2", .followed, "fortified open64"),
    e(cr, "__openat_2", .followed, "fortified openat"),
    e(cr, "__openat64_2", .followed, "fortified openat64"),
    e(cr, "eventfd", .followed, "the number is new"),
    e(cr, "timerfd_create", .followed, "the number is new"),
    e(cr, "signalfd", .followed, "the number is new"),
    e(cr, "inotify_init", .followed, "the number is new"),
    e(cr, "inotify_init1", .followed, "the number is new"),
    e(cr, "memfd_create", .followed, "the number is new"),

    e(wt, "epoll_create", .followed, "the instance is tracked"),
    e(wt, "epoll_create1", .followed, "the instance is tracked"),
    e(wt, "epoll_ctl", .accelerated, "the kernel keeps the registration; ring readiness is added"),
    e(wt, "epoll_wait", .accelerated, "ring and kernel events, fairly"),
    e(wt, "epoll_pwait", .accelerated, "ring and kernel events, fairly"),
    e(wt, "epoll_pwait2", .accelerated, "ring and kernel events, fairly"),
    e(wt, "poll", .accelerated, "ring and kernel events"),
    e(wt, "__poll_chk", .accelerated, "fortified poll"),
    e(wt, "ppoll", .accelerated, "ring and kernel events"),
    e(wt, "__ppoll_chk", .accelerated, "fortified ppoll"),
    e(wt, "select", .accelerated, "ring and kernel events"),
    e(wt, "pselect", .accelerated, "ring and kernel events"),

    e(pr, "execve", .moves_to_tcp, "connections that survive exec"),
    e(pr, "execv", .moves_to_tcp, "connections that survive exec"),
    e(pr, "execvp", .moves_to_tcp, "connections that survive exec"),
    e(pr, "execvpe", .moves_to_tcp, "connections that survive exec"),
    e(pr, "fexecve", .moves_to_tcp, "connections that survive exec"),
    e(pr, "execveat", .moves_to_tcp, "connections that survive exec"),
    v(pr, "execl", .moves_to_tcp, "connections that survive exec"),
    v(pr, "execlp", .moves_to_tcp, "connections that survive exec"),
    v(pr, "execle", .moves_to_tcp, "connections that survive exec"),
    e(pr, "posix_spawn", .moves_to_tcp, "connections that survive exec"),
    e(pr, "posix_spawnp", .moves_to_tcp, "connections that survive exec"),
    e(pr, "posix_spawn_file_actions_adddup2", .moves_to_tcp, "the descriptor is for the other program"),
    e(pr, "pidfd_spawn", .moves_to_tcp, "connections that survive exec"),
    e(pr, "pidfd_spawnp", .moves_to_tcp, "connections that survive exec"),
    e(pr, "system", .moves_to_tcp, "connections that survive exec"),
    e(pr, "popen", .moves_to_tcp, "connections that survive exec"),
    e(pr, "fdopen", .moves_to_tcp, "stdio reads and writes inside libc"),
    e(pr, "vdprintf", .moves_to_tcp, "libc writes inside"),
    e(pr, "__vdprintf_chk", .moves_to_tcp, "libc writes inside"),
    v(pr, "dprintf", .moves_to_tcp, "libc writes inside"),
    v(pr, "__dprintf_chk", .moves_to_tcp, "libc writes inside"),
    e(pr, "aio_read", .moves_to_tcp, "libc reads inside"),
    e(pr, "aio_read64", .moves_to_tcp, "libc reads inside"),
    e(pr, "aio_write", .moves_to_tcp, "libc writes inside"),
    e(pr, "aio_write64", .moves_to_tcp, "libc writes inside"),
    e(pr, "lio_listio", .moves_to_tcp, "libc reads and writes inside"),
    e(pr, "lio_listio64", .moves_to_tcp, "libc reads and writes inside"),
    e(pr, "sigaction", .followed, "handlers run when a call of the library's has ended"),
    e(pr, "signal", .followed, "handlers run when a call of the library's has ended"),
    e(pr, "__sysv_signal", .followed, "handlers run when a call of the library's has ended"),
    e(pr, "sigset", .followed, "handlers run when a call of the library's has ended"),
    e(pr, "siginterrupt", .followed, "handlers run when a call of the library's has ended"),
    e(pr, "pthread_cancel", .followed, "calls on rings are cancellation points"),
    e(pr, "pthread_setcanceltype", .followed, "no thread is cancelled in the middle of a ring"),
    e(pr, "fork", .followed, "parent and child both hold every connection"),
    e(pr, "_Fork", .followed, "as fork: it runs no handlers, so the library's are run here"),
    e(pr, "_exit", .followed, "connections are given back"),
    e(pr, "_Exit", .followed, "connections are given back"),
    e(pr, "syscall", .accelerated, "calls by number are dispatched to the functions above; io_uring_setup says ENOSYS"),

    e(al, "__read", .accelerated, "another name of read"),
    e(al, "__write", .accelerated, "another name of write"),
    e(al, "__send", .accelerated, "another name of send"),
    e(al, "__connect", .followed, "another name of connect"),
    e(al, "__close", .followed, "another name of close"),
    e(al, "__dup2", .followed, "another name of dup2"),
    e(al, "__fcntl", .followed, "another name of fcntl"),
    e(al, "__pipe", .followed, "another name of pipe"),
    e(al, "__open", .followed, "another name of open"),
    e(al, "__open64", .followed, "another name of open64"),
    e(al, "__poll", .accelerated, "another name of poll"),
    e(al, "__select", .accelerated, "another name of select"),
    e(al, "__fork", .followed, "another name of fork"),
    e(al, "_IO_fdopen", .moves_to_tcp, "another name of fdopen"),
    e(al, "_IO_popen", .moves_to_tcp, "another name of popen"),
    e(al, "__sigaction", .followed, "another name of sigaction"),
    e(al, "sysv_signal", .followed, "another name of __sysv_signal"),
    e(al, "bsd_signal", .followed, "another name of signal"),
    e(al, "ssignal", .followed, "another name of signal"),
};
