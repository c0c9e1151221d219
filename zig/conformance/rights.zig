//! Descriptors that are passed by SCM_RIGHTS.

const libc = @import("libc.zig");

/// Over a pair of Unix sockets to the process itself: a further descriptor of the same file. Negative:
/// it failed, errno says why.
pub fn passToSelf(fd: c_int) c_int {
    var pair: [2]c_int = undefined;
    if (libc.socketpair(libc.AF_UNIX, libc.SOCK_STREAM, 0, &pair) != 0) return -1;
    defer for (pair) |end| {
        const errno = libc.errno();
        _ = libc.close(end);
        libc.setErrno(errno);
    };
    const Control = extern struct { length: usize, level: c_int, kind: c_int, fd: c_int, padding: c_int = 0 };
    var byte = [_]u8{'x'};
    var vector = libc.iovec{ .base = &byte, .length = 1 };
    var control: Control = .{ .length = 20, .level = libc.SOL_SOCKET, .kind = 1, .fd = fd };
    var header: libc.msghdr = .{ .vectors = @ptrCast(&vector), .count = 1 };
    header.control = &control;
    header.control_length = @sizeOf(Control);
    if (libc.sendmsg(pair[0], &header, 0) != 1) return -1;
    control.fd = -1;
    if (libc.recvmsg(pair[1], &header, 0) != 1) return -1;
    return control.fd;
}
