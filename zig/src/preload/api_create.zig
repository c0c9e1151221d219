//! Intercepted calls that hand out numbers of descriptors that are no TCP sockets. A number that the
//! kernel has just given out cannot be what the tables say, if they say anything: then its last owner
//! was closed where the library does not look, and is forgotten.

const real = @import("real.zig");
const socket = @import("api_socket.zig");

const created = socket.created;
const Path = [*:0]const u8;

fn createdPair(result: c_int, pair: *[2]c_int) c_int {
    if (result == 0) for (pair) |fd| socket.forgetStale(fd);
    return result;
}

pub fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *[2]c_int) callconv(.c) c_int {
    return createdPair(real.get("socketpair", @TypeOf(socketpair))(domain, kind, protocol, pair), pair);
}

pub fn pipe(pair: *[2]c_int) callconv(.c) c_int {
    return createdPair(real.get("pipe", @TypeOf(pipe))(pair), pair);
}

pub fn pipe2(pair: *[2]c_int, flags: c_int) callconv(.c) c_int {
    return createdPair(real.get("pipe2", @TypeOf(pipe2))(pair, flags), pair);
}

// -- files -----------------------------------------------------------------------------------------

pub fn open(path: Path, flags: c_int, mode: c_uint) callconv(.c) c_int {
    return created(real.get("open", @TypeOf(open))(path, flags, mode));
}

pub fn open64(path: Path, flags: c_int, mode: c_uint) callconv(.c) c_int {
    const name = if (real.find("open64") != null) real.get("open64", @TypeOf(open64)) else real.get("open", @TypeOf(open64));
    return created(name(path, flags, mode));
}

pub fn openat(directory: c_int, path: Path, flags: c_int, mode: c_uint) callconv(.c) c_int {
    return created(real.get("openat", @TypeOf(openat))(directory, path, flags, mode));
}

pub fn openat64(directory: c_int, path: Path, flags: c_int, mode: c_uint) callconv(.c) c_int {
    const name = if (real.find("openat64") != null)
        real.get("openat64", @TypeOf(openat64))
    else
        real.get("openat", @TypeOf(openat64));
    return created(name(directory, path, flags, mode));
}

pub fn creat(path: Path, mode: c_uint) callconv(.c) c_int {
    return created(real.get("creat", @TypeOf(creat))(path, mode));
}

pub fn creat64(path: Path, mode: c_uint) callconv(.c) c_int {
    const name = if (real.find("creat64") != null) real.get("creat64", @TypeOf(creat64)) else real.get("creat", @TypeOf(creat64));
    return created(name(path, mode));
}

// Fortified: glibc ends the program when a mode is missing.

pub fn __open_2(path: Path, flags: c_int) callconv(.c) c_int {
    return created(real.get("__open_2", @TypeOf(__open_2))(path, flags));
}

pub fn __open64_2(path: Path, flags: c_int) callconv(.c) c_int {
    return created(real.get("__open64_2", @TypeOf(__open64_2))(path, flags));
}

pub fn __openat_2(directory: c_int, path: Path, flags: c_int) callconv(.c) c_int {
    return created(real.get("__openat_2", @TypeOf(__openat_2))(directory, path, flags));
}

pub fn __openat64_2(directory: c_int, path: Path, flags: c_int) callconv(.c) c_int {
    return created(real.get("__openat64_2", @TypeOf(__openat64_2))(directory, path, flags));
}

// -- events ----------------------------------------------------------------------------------------

pub fn eventfd(value: c_uint, flags: c_int) callconv(.c) c_int {
    return created(real.get("eventfd", @TypeOf(eventfd))(value, flags));
}

pub fn timerfd_create(clock: c_int, flags: c_int) callconv(.c) c_int {
    return created(real.get("timerfd_create", @TypeOf(timerfd_create))(clock, flags));
}

/// `fd` -1: a new one; else its number stays.
pub fn signalfd(fd: c_int, mask: ?*const anyopaque, flags: c_int) callconv(.c) c_int {
    const result = real.get("signalfd", @TypeOf(signalfd))(fd, mask, flags);
    return if (fd == -1) created(result) else result;
}

pub fn inotify_init() callconv(.c) c_int {
    return created(real.get("inotify_init", @TypeOf(inotify_init))());
}

pub fn inotify_init1(flags: c_int) callconv(.c) c_int {
    return created(real.get("inotify_init1", @TypeOf(inotify_init1))(flags));
}

pub fn memfd_create(name: ?Path, flags: c_uint) callconv(.c) c_int {
    return created(real.get("memfd_create", @TypeOf(memfd_create))(name, flags));
}
