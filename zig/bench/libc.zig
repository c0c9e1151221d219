//! The C library as an ordinary C program sees it: externs, structs and constants that the
//! benchmark uses, for Linux on x86-64 and arm64.
//!
//! Declared by hand and not taken from Zig's std, because std.os.linux makes system calls of its
//! own: those would go past a preload library, and the benchmark would measure kernel TCP twice.
//! Everything here is resolved by the dynamic linker, so LD_PRELOAD can take it over.

const std = @import("std");
const builtin = @import("builtin");

pub const AF_UNIX = 1;
pub const AF_INET = 2;
pub const AF_INET6 = 10;
pub const SOCK_STREAM = 1;
pub const SOCK_CLOEXEC = 0o2000000;
pub const SOL_SOCKET = 1;
pub const SO_REUSEADDR = 2;
pub const IPPROTO_TCP = 6;
pub const TCP_NODELAY = 1;
pub const MSG_NOSIGNAL = 0x4000;
pub const SHUT_WR = 1;
pub const F_GETFL = 3;
pub const F_SETFL = 4;
pub const O_NONBLOCK = 0o4000;
pub const O_RDONLY = 0;

pub const EINTR = 4;
pub const EAGAIN = 11;
pub const EOPNOTSUPP = 95;
pub const EINPROGRESS = 115;

pub const POLLIN: c_short = 1;
pub const POLLOUT: c_short = 4;
pub const POLLERR: c_short = 8;
pub const POLLHUP: c_short = 16;

pub const EPOLLIN: u32 = 1;
pub const EPOLLOUT: u32 = 4;
pub const EPOLLERR: u32 = 8;
pub const EPOLLHUP: u32 = 16;
pub const EPOLLET: u32 = 1 << 31;
pub const EPOLL_CTL_ADD = 1;
pub const EPOLL_CTL_DEL = 2;
pub const EPOLL_CTL_MOD = 3;

pub const PROT_READ_WRITE = 3;
pub const MAP_SHARED_ANONYMOUS = 0x21;
pub const PR_SET_PDEATHSIG = 1;
pub const PR_SET_TIMERSLACK = 29;
pub const RLIMIT_NOFILE = 7;
pub const CLOCK_MONOTONIC = 1;
pub const CLOCK_PROCESS_CPUTIME_ID = 2;
pub const SC_NPROCESSORS_ONLN = 84;

pub const WNOHANG = 1;

pub const SIGINT = 2;
pub const SIGKILL = 9;
pub const SIGALRM = 14;
pub const SIGTERM = 15;
pub const SIGCHLD = 17;

pub const sockaddr_in = extern struct {
    family: u16 = AF_INET,
    port_be: u16,
    address: [4]u8,
    zero: [8]u8 = @splat(0),
};

pub const sockaddr_in6 = extern struct {
    family: u16 = AF_INET6,
    port_be: u16,
    flowinfo: u32 = 0,
    address: [16]u8,
    scope_id: u32 = 0,
};

pub const sockaddr_un = extern struct { family: u16 = AF_UNIX, path: [108]u8 = @splat(0) };

pub const pollfd = extern struct { fd: c_int, events: c_short, revents: c_short = 0 };

pub const epoll_event = if (builtin.cpu.arch == .x86_64)
    extern struct { events: u32, data: u64 align(4) }
else
    extern struct { events: u32, data: u64 };

pub const fd_set = extern struct {
    words: [16]c_ulong = @splat(0),

    pub const capacity = 1024;

    pub fn set(self: *fd_set, fd: c_int) void {
        self.words[wordOf(fd)] |= bitOf(fd);
    }

    pub fn has(self: *const fd_set, fd: c_int) bool {
        return self.words[wordOf(fd)] & bitOf(fd) != 0;
    }

    fn wordOf(fd: c_int) usize {
        return @as(usize, @intCast(fd)) / 64;
    }

    fn bitOf(fd: c_int) c_ulong {
        return @as(c_ulong, 1) << @intCast(@mod(fd, 64));
    }
};

pub const timespec = extern struct { sec: c_long, nsec: c_long };
pub const timeval = extern struct { sec: c_long, usec: c_long };
pub const rlimit = extern struct { current: c_ulong, maximum: c_ulong };
pub const rusage = extern struct { user: timeval, system: timeval, rest: [14]c_long };
pub const cpu_set = extern struct { words: [16]c_ulong = @splat(0) };

comptime {
    const assert = std.debug.assert;
    assert(@sizeOf(sockaddr_in) == 16);
    assert(@sizeOf(sockaddr_in6) == 28);
    assert(@sizeOf(sockaddr_un) == 110);
    assert(@sizeOf(epoll_event) == if (builtin.cpu.arch == .x86_64) 12 else 16);
    assert(@sizeOf(fd_set) == 128);
    assert(@sizeOf(rusage) == 144);
}

pub extern "c" fn socket(domain: c_int, kind: c_int, protocol: c_int) c_int;
pub extern "c" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, fds: *[2]c_int) c_int;
pub extern "c" fn bind(fd: c_int, address: *const anyopaque, length: u32) c_int;
pub extern "c" fn listen(fd: c_int, backlog: c_int) c_int;
pub extern "c" fn accept(fd: c_int, address: ?*anyopaque, length: ?*u32) c_int;
pub extern "c" fn connect(fd: c_int, address: *const anyopaque, length: u32) c_int;
pub extern "c" fn getsockname(fd: c_int, address: *anyopaque, length: *u32) c_int;
pub extern "c" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const anyopaque,
    length: u32,
) c_int;
pub extern "c" fn send(fd: c_int, buffer: [*]const u8, length: usize, flags: c_int) isize;
pub extern "c" fn recv(fd: c_int, buffer: [*]u8, length: usize, flags: c_int) isize;
pub extern "c" fn shutdown(fd: c_int, how: c_int) c_int;
pub extern "c" fn read(fd: c_int, buffer: [*]u8, length: usize) isize;
pub extern "c" fn write(fd: c_int, buffer: [*]const u8, length: usize) isize;
pub extern "c" fn open(path: [*:0]const u8, flags: c_int, ...) c_int;
pub extern "c" fn close(fd: c_int) c_int;
pub extern "c" fn readlink(path: [*:0]const u8, buffer: [*]u8, length: usize) isize;
pub extern "c" fn pipe(fds: *[2]c_int) c_int;
pub extern "c" fn dup(old: c_int) c_int;
pub extern "c" fn dup2(old: c_int, new: c_int) c_int;
pub extern "c" fn fcntl(fd: c_int, command: c_int, ...) c_int;
pub extern "c" fn eventfd(initial: c_uint, flags: c_int) c_int;

pub extern "c" fn poll(fds: [*]pollfd, count: c_ulong, timeout_ms: c_int) c_int;
pub extern "c" fn select(
    limit: c_int,
    read_set: ?*fd_set,
    write_set: ?*fd_set,
    except_set: ?*fd_set,
    timeout: ?*timeval,
) c_int;
pub extern "c" fn epoll_create1(flags: c_int) c_int;
pub extern "c" fn epoll_ctl(epoll: c_int, op: c_int, fd: c_int, event: ?*epoll_event) c_int;
pub extern "c" fn epoll_wait(
    epoll: c_int,
    events: [*]epoll_event,
    capacity: c_int,
    timeout_ms: c_int,
) c_int;

pub extern "c" fn fork() c_int;
pub extern "c" fn execv(path: [*:0]const u8, argv: [*:null]const ?[*:0]const u8) c_int;
pub extern "c" fn waitpid(pid: c_int, status: ?*c_int, options: c_int) c_int;
pub extern "c" fn wait4(pid: c_int, status: ?*c_int, options: c_int, usage: ?*rusage) c_int;
pub extern "c" fn kill(pid: c_int, signal: c_int) c_int;
pub extern "c" fn getpid() c_int;
pub extern "c" fn getppid() c_int;
pub extern "c" fn _exit(code: c_int) noreturn;
pub extern "c" fn exit(code: c_int) noreturn;
pub extern "c" fn prctl(option: c_int, ...) c_int;
pub extern "c" fn signal(number: c_int, handler: ?*const anyopaque) ?*anyopaque;
pub extern "c" fn alarm(seconds: c_uint) c_uint;
pub extern "c" fn sched_setaffinity(pid: c_int, size: usize, set: *const cpu_set) c_int;
pub extern "c" fn sched_getaffinity(pid: c_int, size: usize, set: *cpu_set) c_int;
pub extern "c" fn sched_yield() c_int;
pub extern "c" fn sysconf(name: c_int) c_long;
pub extern "c" fn getrlimit(resource: c_int, limit: *rlimit) c_int;
pub extern "c" fn setrlimit(resource: c_int, limit: *const rlimit) c_int;
pub extern "c" fn mmap(
    address: ?*anyopaque,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: c_long,
) *anyopaque;

pub extern "c" fn munmap(address: *anyopaque, length: usize) c_int;

/// What a thread runs.
pub const ThreadEntry = *const fn (?*anyopaque) callconv(.c) ?*anyopaque;

pub extern "c" fn pthread_create(
    thread: *usize,
    attributes: ?*anyopaque,
    entry: ThreadEntry,
    argument: ?*anyopaque,
) c_int;
pub extern "c" fn pthread_join(thread: usize, result: ?*?*anyopaque) c_int;
pub extern "c" fn pthread_detach(thread: usize) c_int;
pub extern "c" fn sem_init(sem: *Semaphore, shared: c_int, value: c_uint) c_int;
pub extern "c" fn sem_wait(sem: *Semaphore) c_int;
pub extern "c" fn sem_post(sem: *Semaphore) c_int;

pub extern "c" fn memcmp(a: *const anyopaque, b: *const anyopaque, length: usize) c_int;
pub extern "c" fn clock_gettime(clock: c_int, time: *timespec) c_int;
pub extern "c" fn clock_getcpuclockid(pid: c_int, clock: *c_int) c_int;
pub extern "c" fn nanosleep(time: *const timespec, rest: ?*timespec) c_int;
pub extern "c" fn strerror(number: c_int) [*:0]const u8;
pub extern "c" fn strsignal(number: c_int) ?[*:0]const u8;
extern "c" fn __errno_location() *c_int;

/// sem_t: opaque, 32 bytes on every 64-bit Linux libc.
pub const Semaphore = extern struct { words: [4]u64 align(8) = @splat(0) };

pub fn errno() c_int {
    return __errno_location().*;
}

/// What the last failed call said, for messages.
pub fn errorText() []const u8 {
    return std.mem.span(strerror(errno()));
}
