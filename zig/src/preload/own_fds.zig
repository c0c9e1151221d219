//! The application may put a file of its own on any number by dup2, the library's numbers included.
//! Nothing of ours may then write into that file or read from it: before the application's call, our
//! descriptor gets another number, every table that knows the old one is told, and whoever sleeps on
//! it is woken to sleep on the new one.

const control = @import("control.zig");
const diag = @import("diag.zig");
const ends = @import("ends.zig");
const fds = @import("fds.zig");
const links = @import("links.zig");
const log = @import("log.zig");
const signals = @import("signals.zig");
const sys = @import("sys.zig");
const waiters = @import("waiters.zig");

/// Gives the number away. False: there is no other number for what is there now.
pub fn evict(fd: i32) bool {
    const copy = sys.call(.fcntl, .{ fd, sys.F_DUPFD_CLOEXEC, sys.own_fd_low });
    if (copy < 0) return false;
    const new = sys.ownFd(copy).?;
    moved(fd, new);
    fds.clear(fd);
    signals.awaitSleepers(waiters.kickAll);
    log.debug("own fd {d} is {d} now: the application wants the number", .{ fd, new });
    return true;
}

/// The number has become the application's: ours was closed where the library does not look.
pub fn lost(fd: i32) void {
    fds.clear(fd);
    moved(fd, -1);
}

fn moved(old: i32, new: i32) void {
    links.ownFdMoved(old, new);
    waiters.ownFdMoved(old, new);
    control.ownFdMoved(old, new);
    diag.ownFdMoved(old, new);
    ends.ownFdMoved(old, new);
}
