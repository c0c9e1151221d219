//! The C library as the cases see it: externs, structs and constants, for Linux on x86-64 and arm64.
//!
//! Declared by hand, as bench/libc.zig is and for its reason: Zig's std makes system calls of its
//! own, which would go past a preload library. Here is what conformance cases need, which is nearly
//! everything; the benchmark's list stays the short one that it measures.

const std = @import("std");
const builtin = @import("builtin");

// -- sockets ------------------------------------------------------------------------------------

pub const AF_UNSPEC = 0;
pub const AF_UNIX = 1;
pub const AF_INET = 2;
pub const AF_INET6 = 10;
pub const SOCK_STREAM = 1;
pub const SOCK_DGRAM = 2;
pub const SOCK_NONBLOCK = 0o4000;
pub const SOCK_CLOEXEC = 0o2000000;

pub const SOL_SOCKET = 1;
pub const IPPROTO_IP = 0;
pub const IPPROTO_TCP = 6;
pub const IPPROTO_IPV6 = 41;

pub const TCP_INFO = 11;

pub const MSG_OOB = 0x1;
pub const MSG_PEEK = 0x2;
pub const MSG_CTRUNC = 0x8;
pub const MSG_TRUNC = 0x20;
pub const MSG_DONTWAIT = 0x40;
pub const MSG_EOR = 0x80;
pub const MSG_WAITALL = 0x100;
pub const MSG_ERRQUEUE = 0x2000;
pub const MSG_NOSIGNAL = 0x4000;
pub const MSG_MORE = 0x8000;
pub const MSG_WAITFORONE = 0x10000;
pub const MSG_ZEROCOPY = 0x4000000;
pub const MSG_FASTOPEN = 0x20000000;
pub const MSG_CMSG_CLOEXEC = 0x40000000;

pub const SHUT_RD = 0;
pub const SHUT_WR = 1;
pub const SHUT_RDWR = 2;

pub const POLLIN: c_short = 0x1;
pub const POLLPRI: c_short = 0x2;
pub const POLLOUT: c_short = 0x4;
pub const POLLERR: c_short = 0x8;
pub const POLLHUP: c_short = 0x10;
pub const POLLNVAL: c_short = 0x20;
pub const POLLRDHUP: c_short = 0x2000;

pub const F_DUPFD = 0;
pub const F_GETFD = 1;
pub const F_SETFD = 2;
pub const F_GETFL = 3;
pub const F_SETFL = 4;
pub const O_RDONLY = 0;
pub const O_RDWR = 2;
pub const O_NONBLOCK = 0o4000;

pub const FIONREAD = 0x541b;

pub const EINTR = 4;
pub const EAGAIN = 11;
pub const EINPROGRESS = 115;

pub const SIGKILL = 9;
pub const SIGPIPE = 13;

pub const PROT_READ_WRITE = 3;
pub const MAP_SHARED = 1;
pub const CLOCK_MONOTONIC = 1;
pub const PR_SET_PDEATHSIG = 1;
pub const PR_SET_CHILD_SUBREAPER = 36;
pub const WNOHANG = 1;

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
    address: [16]u8 = @splat(0),
    scope_id: u32 = 0,
};

pub const iovec = extern struct { base: [*]u8, length: usize };

pub const msghdr = extern struct {
    name: ?*anyopaque = null,
    name_length: u32 = 0,
    vectors: [*]iovec,
    count: usize,
    control: ?*anyopaque = null,
    control_length: usize = 0,
    flags: c_int = 0,
};

pub const mmsghdr = extern struct { header: msghdr, length: c_uint = 0 };

/// glibc's and musl's struct sigaction on 64-bit machines.
pub const sigaction_t = extern struct {
    handler: ?*const anyopaque,
    mask: [16]c_ulong = @splat(0),
    flags: c_int = 0,
    restorer: ?*const anyopaque = null,
};

pub const SA_RESTART = 0x10000000;

pub const pollfd = extern struct { fd: c_int, events: c_short, revents: c_short = 0 };
pub const timespec = extern struct { sec: c_long, nsec: c_long };
pub const timeval = extern struct { sec: c_long, usec: c_long };

comptime {
    std.debug.assert(@sizeOf(sockaddr_in) == 16);
    std.debug.assert(@sizeOf(sockaddr_in6) == 28);
}

pub extern "c" fn socket(domain: c_int, kind: c_int, protocol: c_int) c_int;
pub extern "c" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, fds: *[2]c_int) c_int;
pub extern "c" fn bind(fd: c_int, address: *const anyopaque, length: u32) c_int;
pub extern "c" fn listen(fd: c_int, backlog: c_int) c_int;
pub extern "c" fn accept(fd: c_int, address: ?*anyopaque, length: ?*u32) c_int;
pub extern "c" fn accept4(fd: c_int, address: ?*anyopaque, length: ?*u32, flags: c_int) c_int;
pub extern "c" fn connect(fd: c_int, address: *const anyopaque, length: u32) c_int;
pub extern "c" fn getsockname(fd: c_int, address: *anyopaque, length: *u32) c_int;
pub extern "c" fn getpeername(fd: c_int, address: *anyopaque, length: *u32) c_int;
pub extern "c" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const anyopaque,
    length: u32,
) c_int;
pub extern "c" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *anyopaque,
    length: *u32,
) c_int;
pub extern "c" fn send(fd: c_int, buffer: [*]const u8, length: usize, flags: c_int) isize;
pub extern "c" fn recv(fd: c_int, buffer: [*]u8, length: usize, flags: c_int) isize;
pub extern "c" fn shutdown(fd: c_int, how: c_int) c_int;

pub extern "c" fn sendto(
    fd: c_int,
    buffer: [*]const u8,
    length: usize,
    flags: c_int,
    address: ?*const anyopaque,
    address_length: u32,
) isize;
pub extern "c" fn recvfrom(
    fd: c_int,
    buffer: [*]u8,
    length: usize,
    flags: c_int,
    address: ?*anyopaque,
    address_length: ?*u32,
) isize;
pub extern "c" fn sendmsg(fd: c_int, header: *const msghdr, flags: c_int) isize;
pub extern "c" fn recvmsg(fd: c_int, header: *msghdr, flags: c_int) isize;
pub extern "c" fn sendmmsg(fd: c_int, headers: [*]mmsghdr, count: c_uint, flags: c_int) c_int;
pub extern "c" fn recvmmsg(
    fd: c_int,
    headers: [*]mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: ?*timespec,
) c_int;

// -- descriptors --------------------------------------------------------------------------------

pub extern "c" fn read(fd: c_int, buffer: [*]u8, length: usize) isize;
pub extern "c" fn write(fd: c_int, buffer: [*]const u8, length: usize) isize;
pub extern "c" fn readv(fd: c_int, vectors: [*]const iovec, count: c_int) isize;
pub extern "c" fn writev(fd: c_int, vectors: [*]const iovec, count: c_int) isize;
pub extern "c" fn preadv2(fd: c_int, vectors: [*]const iovec, count: c_int, offset: c_long, flags: c_int) isize;
pub extern "c" fn pwritev2(fd: c_int, vectors: [*]const iovec, count: c_int, offset: c_long, flags: c_int) isize;
pub extern "c" fn pread(fd: c_int, buffer: [*]u8, length: usize, offset: c_long) isize;
pub extern "c" fn pwrite(fd: c_int, buffer: [*]const u8, length: usize, offset: c_long) isize;
pub extern "c" fn lseek(fd: c_int, offset: c_long, whence: c_int) c_long;
pub extern "c" fn fsync(fd: c_int) c_int;
pub extern "c" fn fstat(fd: c_int, stat: *anyopaque) c_int;
pub extern "c" fn readlink(path: [*:0]const u8, buffer: [*]u8, length: usize) isize;
pub extern "c" fn pipe(fds: *[2]c_int) c_int;
pub extern "c" fn sendfile(out: c_int, in: c_int, offset: ?*c_long, count: usize) isize;
pub extern "c" fn splice(
    in: c_int,
    in_offset: ?*c_long,
    out: c_int,
    out_offset: ?*c_long,
    count: usize,
    flags: c_uint,
) isize;
pub extern "c" fn tee(in: c_int, out: c_int, count: usize, flags: c_uint) isize;
pub extern "c" fn vmsplice(fd: c_int, vectors: [*]const iovec, count: usize, flags: c_uint) isize;
pub extern "c" fn copy_file_range(
    in: c_int,
    in_offset: ?*c_long,
    out: c_int,
    out_offset: ?*c_long,
    count: usize,
    flags: c_uint,
) isize;
pub extern "c" fn open(path: [*:0]const u8, flags: c_int, ...) c_int;
pub extern "c" fn close(fd: c_int) c_int;
pub extern "c" fn dup(fd: c_int) c_int;
pub extern "c" fn dup2(old: c_int, new: c_int) c_int;
pub extern "c" fn fcntl(fd: c_int, command: c_int, ...) c_int;
pub extern "c" fn ioctl(fd: c_int, request: c_ulong, ...) c_int;
pub extern "c" fn poll(fds: [*]pollfd, count: c_ulong, timeout_ms: c_int) c_int;
pub extern "c" fn memfd_create(name: [*:0]const u8, flags: c_uint) c_int;
pub extern "c" fn ftruncate(fd: c_int, length: c_long) c_int;
pub extern "c" fn mmap(
    address: ?*anyopaque,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: c_long,
) *anyopaque;

// -- processes, threads, time -------------------------------------------------------------------

/// What a thread runs.
pub const ThreadEntry = *const fn (?*anyopaque) callconv(.c) ?*anyopaque;

pub extern "c" fn pthread_create(
    thread: *usize,
    attributes: ?*anyopaque,
    entry: ThreadEntry,
    argument: ?*anyopaque,
) c_int;
pub extern "c" fn pthread_join(thread: usize, result: ?*?*anyopaque) c_int;
pub extern "c" fn fork() c_int;
pub extern "c" fn execv(path: [*:0]const u8, argv: [*:null]const ?[*:0]const u8) c_int;
pub extern "c" fn waitpid(pid: c_int, status: ?*c_int, options: c_int) c_int;
pub extern "c" fn kill(pid: c_int, signal: c_int) c_int;
pub extern "c" fn signal(number: c_int, handler: ?*const anyopaque) ?*anyopaque;
pub extern "c" fn sigaction(number: c_int, action: ?*const sigaction_t, old: ?*sigaction_t) c_int;
pub extern "c" fn pthread_kill(thread: usize, signal: c_int) c_int;
pub extern "c" fn setpgid(pid: c_int, group: c_int) c_int;
pub extern "c" fn getpid() c_int;
pub extern "c" fn sched_yield() c_int;
pub extern "c" fn getppid() c_int;
pub extern "c" fn _exit(code: c_int) noreturn;
pub extern "c" fn prctl(option: c_int, ...) c_int;
pub extern "c" fn setenv(name: [*:0]const u8, value: [*:0]const u8, overwrite: c_int) c_int;
pub extern "c" fn getenv(name: [*:0]const u8) ?[*:0]const u8;
pub extern "c" fn clock_gettime(clock: c_int, time: *timespec) c_int;
pub extern "c" fn nanosleep(time: *const timespec, rest: ?*timespec) c_int;

// -- stdio, names, semaphores -------------------------------------------------------------------

pub const SOCK_SEQPACKET = 5;
pub const F_DUPFD_CLOEXEC = 1030;
pub const FILE = opaque {};
pub const addrinfo = extern struct {
    flags: c_int = 0,
    family: c_int,
    kind: c_int,
    protocol: c_int = 0,
    address_length: u32 = 0,
    address: ?*anyopaque = null,
    name: ?[*:0]u8 = null,
    next: ?*addrinfo = null,
};
/// sem_t: opaque, 32 bytes on every 64-bit Linux libc.
pub const Semaphore = extern struct { words: [4]u64 align(8) = @splat(0) };
pub extern "c" fn sem_init(sem: *Semaphore, shared: c_int, value: c_uint) c_int;
pub extern "c" fn sem_wait(sem: *Semaphore) c_int;
pub extern "c" fn sem_post(sem: *Semaphore) c_int;
pub extern "c" fn getaddrinfo(
    host: [*:0]const u8,
    service: [*:0]const u8,
    hints: *const addrinfo,
    found: *?*addrinfo,
) c_int;
pub extern "c" fn freeaddrinfo(first: *addrinfo) void;
pub extern "c" fn dup3(old: c_int, new: c_int, flags: c_int) c_int;
pub extern "c" fn eventfd(initial: c_uint, flags: c_int) c_int;
pub extern "c" fn fdopen(fd: c_int, mode: [*:0]const u8) ?*FILE;
pub extern "c" fn fprintf(file: *FILE, format: [*:0]const u8, ...) c_int;
pub extern "c" fn dprintf(fd: c_int, format: [*:0]const u8, ...) c_int;
pub extern "c" fn fflush(file: *FILE) c_int;
pub extern "c" fn fclose(file: *FILE) c_int;
pub extern "c" fn fputs(text: [*:0]const u8, file: *FILE) c_int;
pub extern "c" fn fgets(buffer: [*]u8, length: c_int, file: *FILE) ?[*:0]u8;
pub extern "c" fn getline(line: *?[*:0]u8, room: *usize, file: *FILE) isize;
pub extern "c" fn syscall(number: c_long, ...) c_long;

extern "c" fn __errno_location() *c_int;

pub fn errno() c_int {
    return __errno_location().*;
}

pub fn setErrno(number: c_int) void {
    __errno_location().* = number;
}

/// recv and send with an address that is none: Zig's pointers cannot be null or wrong.
pub fn recvAddress(fd: c_int, address: usize, length: usize, flags: c_int) isize {
    const call: *const fn (c_int, usize, usize, c_int) callconv(.c) isize = @ptrCast(&recv);
    return call(fd, address, length, flags);
}
