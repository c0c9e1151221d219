//! Intercepted calls that hand a connection to code outside this library (other programs, libc's
//! own insides), install signal handlers, or end the process.

const std = @import("std");
const builtin = @import("builtin");
const api_io = @import("api_io.zig");
const api_socket = @import("api_socket.zig");
const api_wait = @import("api_wait.zig");
const cancel = @import("cancel.zig");
const conn_module = @import("conn.zig");
const faults = @import("faults.zig");
const fds = @import("fds.zig");
const foreign = @import("foreign.zig");
const fork_module = @import("fork.zig");
const process = @import("process.zig");
const real = @import("real.zig");
const section = @import("section.zig");
const signals = @import("signals.zig");
const sys = @import("sys.zig");

const Args = ?[*:null]const ?[*:0]const u8;

// -- other programs ----------------------------------------------------------------------------------

pub fn execve(path: ?[*:0]const u8, argv: Args, envp: Args) callconv(.c) c_int {
    foreign.beforeExec(.exec);
    defer foreign.execFailed();
    return real.get("execve", @TypeOf(execve))(path, argv, envp);
}

pub fn execv(path: ?[*:0]const u8, argv: Args) callconv(.c) c_int {
    foreign.beforeExec(.exec);
    defer foreign.execFailed();
    return real.get("execv", @TypeOf(execv))(path, argv);
}

pub fn execvp(file: ?[*:0]const u8, argv: Args) callconv(.c) c_int {
    foreign.beforeExec(.exec);
    defer foreign.execFailed();
    return real.get("execvp", @TypeOf(execvp))(file, argv);
}

pub fn execvpe(file: ?[*:0]const u8, argv: Args, envp: Args) callconv(.c) c_int {
    foreign.beforeExec(.exec);
    defer foreign.execFailed();
    return real.get("execvpe", @TypeOf(execvpe))(file, argv, envp);
}

pub fn fexecve(fd: c_int, argv: Args, envp: Args) callconv(.c) c_int {
    foreign.beforeExec(.exec);
    defer foreign.execFailed();
    return real.get("fexecve", @TypeOf(fexecve))(fd, argv, envp);
}

pub fn execveat(fd: c_int, path: ?[*:0]const u8, argv: Args, envp: Args, flags: c_int) callconv(.c) c_int {
    foreign.beforeExec(.exec);
    defer foreign.execFailed();
    return @intCast(sys.ret(sys.call(.execveat, .{ fd, path, argv, envp, flags })));
}

const list_max = 4096;

/// execl and its kin, on the machines where Zig can read variadic arguments.
pub fn execl(path: ?[*:0]const u8, first: ?[*:0]const u8, ...) callconv(.c) c_int {
    var list = @cVaStart();
    defer @cVaEnd(&list);
    var argv: [list_max:null]?[*:0]const u8 = undefined;
    if (!collect(&argv, first, &list)) return @intCast(sys.fail(.@"2BIG"));
    return execv(path, &argv);
}

pub fn execlp(file: ?[*:0]const u8, first: ?[*:0]const u8, ...) callconv(.c) c_int {
    var list = @cVaStart();
    defer @cVaEnd(&list);
    var argv: [list_max:null]?[*:0]const u8 = undefined;
    if (!collect(&argv, first, &list)) return @intCast(sys.fail(.@"2BIG"));
    return execvp(file, &argv);
}

pub fn execle(path: ?[*:0]const u8, first: ?[*:0]const u8, ...) callconv(.c) c_int {
    var list = @cVaStart();
    defer @cVaEnd(&list);
    var argv: [list_max:null]?[*:0]const u8 = undefined;
    if (!collect(&argv, first, &list)) return @intCast(sys.fail(.@"2BIG"));
    const envp = @cVaArg(&list, Args);
    return execve(path, &argv, envp);
}

fn collect(argv: *[list_max:null]?[*:0]const u8, first: ?[*:0]const u8, list: *std.lang.VaList) bool {
    argv[0] = first;
    var n: usize = 0;
    while (argv[n] != null) {
        n += 1;
        if (n == list_max) return false;
        argv[n] = @cVaArg(list, ?[*:0]const u8);
    }
    return true;
}

pub fn posix_spawn(pid: ?*c_int, path: ?[*:0]const u8, actions: ?*const anyopaque, attributes: ?*const anyopaque, argv: Args, envp: Args) callconv(.c) c_int {
    foreign.releaseForSpawn(.exec);
    return real.get("posix_spawn", @TypeOf(posix_spawn))(pid, path, actions, attributes, argv, envp);
}

pub fn posix_spawnp(pid: ?*c_int, file: ?[*:0]const u8, actions: ?*const anyopaque, attributes: ?*const anyopaque, argv: Args, envp: Args) callconv(.c) c_int {
    foreign.releaseForSpawn(.exec);
    return real.get("posix_spawnp", @TypeOf(posix_spawnp))(pid, file, actions, attributes, argv, envp);
}

/// glibc 2.39 and newer.
pub fn pidfd_spawn(pidfd: ?*c_int, path: ?[*:0]const u8, actions: ?*const anyopaque, attributes: ?*const anyopaque, argv: Args, envp: Args) callconv(.c) c_int {
    if (real.find("pidfd_spawn") == null) return @intFromEnum(sys.E.NOSYS);
    foreign.releaseForSpawn(.exec);
    return real.get("pidfd_spawn", @TypeOf(pidfd_spawn))(pidfd, path, actions, attributes, argv, envp);
}

pub fn pidfd_spawnp(pidfd: ?*c_int, file: ?[*:0]const u8, actions: ?*const anyopaque, attributes: ?*const anyopaque, argv: Args, envp: Args) callconv(.c) c_int {
    if (real.find("pidfd_spawnp") == null) return @intFromEnum(sys.E.NOSYS);
    foreign.releaseForSpawn(.exec);
    return real.get("pidfd_spawnp", @TypeOf(pidfd_spawnp))(pidfd, file, actions, attributes, argv, envp);
}

/// The child of a spawn will have `from` as its descriptor `to`, close-on-exec or not.
pub fn posix_spawn_file_actions_adddup2(actions: *anyopaque, from: c_int, to: c_int) callconv(.c) c_int {
    if (conn_module.acquire(from)) |c| {
        defer conn_module.done(c);
        foreign.hold(c, .exec, .must);
    }
    const Real = @TypeOf(posix_spawn_file_actions_adddup2);
    return real.get("posix_spawn_file_actions_adddup2", Real)(actions, from, to);
}

pub fn system(command: ?[*:0]const u8) callconv(.c) c_int {
    if (command != null) foreign.releaseForSpawn(.exec);
    return real.get("system", @TypeOf(system))(command);
}

pub fn popen(command: ?[*:0]const u8, mode: ?[*:0]const u8) callconv(.c) ?*anyopaque {
    foreign.releaseForSpawn(.exec);
    return real.get("popen", @TypeOf(popen))(command, mode);
}

// -- libc's own insides ------------------------------------------------------------------------------

/// stdio reads and writes inside libc: the kernel must carry the bytes, and libc will close it.
pub fn fdopen(fd: c_int, mode: ?[*:0]const u8) callconv(.c) ?*anyopaque {
    if (conn_module.acquire(fd)) |c| {
        foreign.release(c, .stdio);
        conn_module.dropDescriptor(c, fd);
        conn_module.done(c);
    }
    return real.get("fdopen", @TypeOf(fdopen))(fd, mode);
}

fn releaseForStdio(fd: c_int) void {
    const c = conn_module.acquire(fd) orelse return;
    defer conn_module.done(c);
    foreign.release(c, .stdio);
}

pub fn vdprintf(fd: c_int, format: ?[*:0]const u8, list: *anyopaque) callconv(.c) c_int {
    releaseForStdio(fd);
    return real.get("vdprintf", @TypeOf(vdprintf))(fd, format, list);
}

pub fn __vdprintf_chk(fd: c_int, flag: c_int, format: ?[*:0]const u8, list: *anyopaque) callconv(.c) c_int {
    releaseForStdio(fd);
    return real.get("__vdprintf_chk", @TypeOf(__vdprintf_chk))(fd, flag, format, list);
}

/// As libc lays it out: the descriptor is all that matters here.
const Aiocb = extern struct { fd: c_int };

fn releaseForAio(request: ?*const Aiocb) void {
    if (request) |r| releaseForStdio(r.fd);
}

pub fn aio_read(request: ?*Aiocb) callconv(.c) c_int {
    releaseForAio(request);
    return real.get("aio_read", @TypeOf(aio_read))(request);
}

pub fn aio_write(request: ?*Aiocb) callconv(.c) c_int {
    releaseForAio(request);
    return real.get("aio_write", @TypeOf(aio_write))(request);
}

pub fn lio_listio(mode: c_int, list: ?[*]const ?*Aiocb, count: c_int, event: ?*anyopaque) callconv(.c) c_int {
    if (list) |requests| for (requests[0..@intCast(@max(count, 0))]) |request| releaseForAio(request);
    return real.get("lio_listio", @TypeOf(lio_listio))(mode, list, count, event);
}

pub const aio_read64 = aio_read;
pub const aio_write64 = aio_write;
pub const lio_listio64 = lio_listio;

pub fn dprintf(fd: c_int, format: ?[*:0]const u8, ...) callconv(.c) c_int {
    var list = @cVaStart();
    defer @cVaEnd(&list);
    return vdprintf(fd, format, @ptrCast(&list));
}

pub fn __dprintf_chk(fd: c_int, flag: c_int, format: ?[*:0]const u8, ...) callconv(.c) c_int {
    var list = @cVaStart();
    defer @cVaEnd(&list);
    return __vdprintf_chk(fd, flag, format, @ptrCast(&list));
}

// -- signals -----------------------------------------------------------------------------------------

const Sigaction = signals.Action;
const SA_RESTART = signals.SA_RESTART;

pub fn sigaction(number: c_int, action: ?*const Sigaction, old: ?*Sigaction) callconv(.c) c_int {
    if (faults.guards(number)) return faults.change(number, action, old);
    return signals.change(number, action, old);
}

/// BSD semantics: interrupted calls restart, unless siginterrupt has said otherwise.
pub fn signal(number: c_int, handler: usize) callconv(.c) usize {
    const flags: c_int = if (signals.interrupts(number)) 0 else SA_RESTART;
    if (installs(number, handler)) return install(number, handler, flags, number);
    const before = signals.installed(number);
    return signals.seenHandler(real.get("signal", @TypeOf(signal))(number, handler), before);
}

const SIG_ERR = std.math.maxInt(usize);
const SIG_HOLD = 2; // sigset's: blocks the signal, installs nothing

/// The older calls are made by the newer one, so that the wrapper gets what it needs; what installs
/// no handler is libc's.
fn installs(number: c_int, handler: usize) bool {
    return faults.guards(number) or handler > SIG_HOLD and handler != SIG_ERR;
}

/// `masked`: blocked, besides the signal itself, while the handler runs; 0: none.
fn install(number: c_int, handler: usize, flags: c_int, masked: c_int) usize {
    var action = std.mem.zeroes(Sigaction);
    action.handler = handler;
    action.flags = flags;
    if (masked > 0 and masked <= 64) {
        std.mem.writeInt(u64, action.mask[0..8], @as(u64, 1) << @intCast(masked - 1), .little);
    }
    var old: Sigaction = undefined;
    return if (sigaction(number, &action, &old) == 0) old.handler else SIG_ERR;
}

/// System V semantics: one shot, and interrupted calls fail.
pub fn __sysv_signal(number: c_int, handler: usize) callconv(.c) usize {
    const SA_INTERRUPT = 0x20000000; // says nothing to the kernel, but glibc sets it
    const flags = signals.SA_RESETHAND | signals.SA_NODEFER | SA_INTERRUPT;
    if (installs(number, handler)) return install(number, handler, flags, 0);
    const before = signals.installed(number);
    return signals.seenHandler(real.get("__sysv_signal", @TypeOf(__sysv_signal))(number, handler), before);
}

/// System V semantics without the one shot; and the signal is taken out of the thread's mask.
pub fn sigset(number: c_int, handler: usize) callconv(.c) usize {
    const before = signals.installed(number);
    if (handler == SIG_HOLD or !installs(number, handler)) {
        return signals.seenHandler(real.get("sigset", @TypeOf(sigset))(number, handler), before);
    }
    const old = install(number, handler, 0, 0);
    if (old == SIG_ERR or number < 1 or number > 64) return old;
    const own = @as(u64, 1) << @intCast(number - 1);
    var mask: u64 = 0;
    const SIG_UNBLOCK = 1;
    _ = sys.call(.rt_sigprocmask, .{ SIG_UNBLOCK, &own, &mask, 8 });
    return if (mask & own != 0) SIG_HOLD else old;
}

/// libc's own part is what later calls of `signal` go by; it also changes the installed handler,
/// which is then installed again, wrapped or not.
pub fn siginterrupt(number: c_int, interrupts: c_int) callconv(.c) c_int {
    var action: Sigaction = undefined;
    const result = sigaction(number, null, &action);
    if (result != 0) return result;
    const told = real.get("siginterrupt", @TypeOf(siginterrupt))(number, interrupts);
    if (told != 0) return told;
    signals.noteInterrupts(number, interrupts != 0);
    if (interrupts != 0) action.flags &= ~@as(c_int, SA_RESTART) else action.flags |= SA_RESTART;
    return sigaction(number, &action, null);
}

// -- threads that are cancelled ---------------------------------------------------------------------

pub fn pthread_cancel(thread: usize) callconv(.c) c_int {
    @atomicStore(bool, &cancel.requested, true, .release);
    return real.get("pthread_cancel", @TypeOf(pthread_cancel))(thread);
}

pub fn pthread_setcanceltype(wanted: c_int, old: ?*c_int) callconv(.c) c_int {
    if (wanted == cancel.asynchronous) @atomicStore(bool, &cancel.asynchronous_seen, true, .release);
    return real.get("pthread_setcanceltype", @TypeOf(pthread_setcanceltype))(wanted, old);
}

// -- further processes -------------------------------------------------------------------------------

pub fn fork() callconv(.c) c_int {
    return forked(real.get("fork", @TypeOf(fork))());
}

fn forked(result: c_int) c_int {
    const saved = sys.errno().*;
    fork_module.finished(result);
    sys.errno().* = saved;
    return result;
}

/// Async-signal-safe and without handlers, ours included: so ours are run here.
pub fn _Fork() callconv(.c) c_int {
    return fork_module.around(real.get("_Fork", @TypeOf(_Fork)));
}

// -- the end -----------------------------------------------------------------------------------------

pub fn _exit(status: c_int) callconv(.c) noreturn {
    if (!process.inVforkChild()) {
        section.enter();
        conn_module.finishAll();
        section.leave();
    }
    _ = sys.call(.exit_group, .{status});
    unreachable;
}

pub fn _Exit(status: c_int) callconv(.c) noreturn {
    _exit(status);
}

// -- syscall(2) --------------------------------------------------------------------------------------

/// Programs that call the kernel through libc's syscall() are ours too.
pub fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) callconv(.c) c_long {
    return switch (number) {
        sysNumber(.read) => api_io.read(int(a), ptr(b), c),
        sysNumber(.write) => api_io.write(int(a), ptr(b), c),
        sysNumber(.readv) => api_io.readv(int(a), @ptrFromInt(b), int(c)),
        sysNumber(.writev) => api_io.writev(int(a), @ptrFromInt(b), int(c)),
        sysNumber(.recvfrom) => api_io.recvfrom(int(a), ptr(b), c, int(d), ptr(e), @ptrFromInt(f)),
        sysNumber(.sendto) => api_io.sendto(int(a), ptr(b), c, int(d), ptr(e), @truncate(f)),
        sysNumber(.recvmsg) => api_io.recvmsg(int(a), @ptrFromInt(b), int(c)),
        sysNumber(.sendmsg) => api_io.sendmsg(int(a), @ptrFromInt(b), int(c)),
        sysNumber(.close) => api_socket.close(int(a)),
        sysNumber(.close_range) => api_socket.close_range(@truncate(a), @truncate(b), @truncate(c)),
        sysNumber(.dup) => api_socket.dup(int(a)),
        sysNumber(.dup3) => api_socket.dup3(int(a), int(b), int(c)),
        sysNumber(.fcntl) => api_socket.fcntl(int(a), int(b), c),
        sysNumber(.ioctl) => api_socket.ioctl(int(a), b, c),
        sysNumber(.connect) => api_socket.connect(int(a), ptr(b), @truncate(c)),
        sysNumber(.accept) => api_socket.accept(int(a), ptr(b), @ptrFromInt(c)),
        sysNumber(.accept4) => api_socket.accept4(int(a), ptr(b), @ptrFromInt(c), int(d)),
        sysNumber(.listen) => api_socket.listen(int(a), int(b)),
        sysNumber(.shutdown) => api_socket.shutdown(int(a), int(b)),
        sysNumber(.epoll_create1) => api_wait.epoll_create1(int(a)),
        sysNumber(.epoll_ctl) => api_wait.epoll_ctl(int(a), int(b), int(c), @ptrFromInt(d)),
        sysNumber(.epoll_pwait) => api_wait.epoll_pwait(int(a), @ptrFromInt(b), int(c), int(d), ptr(e)),
        sysNumber(.epoll_pwait2) => api_wait.epoll_pwait2(int(a), @ptrFromInt(b), int(c), @ptrFromInt(d), ptr(e)),
        sysNumber(.ppoll) => api_wait.ppoll(@ptrFromInt(a), b, @ptrFromInt(c), ptr(d)),
        sysNumber(.execve) => execve(@ptrFromInt(a), @ptrFromInt(b), @ptrFromInt(c)),
        // A ring the kernel reads past us: refused, so that programs use the calls we know.
        sysNumber(.io_uring_setup) => sys.fail(.NOSYS),
        else => legacy(number, a, b, c, d, e, f),
    };
}

/// Numbers that only x86-64 has.
fn legacy(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) c_long {
    if (builtin.cpu.arch == .x86_64) switch (number) {
        sysNumber(.epoll_wait) => return api_wait.epoll_wait(int(a), @ptrFromInt(b), int(c), int(d)),
        sysNumber(.poll) => return api_wait.poll(@ptrFromInt(a), b, int(c)),
        sysNumber(.dup2) => return api_socket.dup2(int(a), int(b)),
        else => {},
    };
    return real.get("syscall", @TypeOf(syscall))(number, a, b, c, d, e, f);
}

fn sysNumber(comptime number: sys.SYS) c_long {
    return @intCast(@intFromEnum(number));
}

inline fn int(word: usize) c_int {
    return @bitCast(@as(u32, @truncate(word)));
}

inline fn ptr(word: usize) ?*anyopaque {
    return @ptrFromInt(word);
}
