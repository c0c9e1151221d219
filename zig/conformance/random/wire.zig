//! What the conductor says to an actor and what it hears: one fixed-size message each way over a
//! Unix SEQPACKET pair, which no library accelerates.
//!
//! Every byte of a stream is a function of the stream's number and the byte's position, so that
//! whoever receives some can say at once whether they are the right ones.

const std = @import("std");
const libc = @import("../libc.zig");

/// Where an actor process finds its memory and its channels (one for each thread or child that it
/// may come to have): numbers that neither an ordinary program nor the library comes near.
pub const memory_fd = 200;
pub const channel_fd = 201;
pub const channels = 6;

pub const Op = enum(u32) {
    // Streams.
    send,
    write,
    writev,
    sendmsg,
    sendfile,
    send_all,
    recv,
    read,
    readv,
    recvmsg,
    recv_all,
    shutdown,
    // Waiting.
    poll,
    ppoll,
    select,
    epoll_create,
    epoll_ctl,
    epoll_wait,
    settle,
    // Questions and options.
    fionread,
    bytes_received,
    getsockopt,
    setsockopt,
    set_linger,
    set_timeout,
    set_nonblock,
    // Descriptors.
    dup,
    dup2,
    fcntl_dup,
    pass_to_self,
    close,
    // Connections.
    listen,
    connect,
    connect_nonblock,
    accept,
    // Processes.
    fork,
    exit,
    wait_child,
    thread,
    // What goes round the library.
    dprintf,
    system,
    program_writes,
    /// What the handler of SIGUSR1 and SIGUSR2 is to do from now on.
    arm_handler,
};

pub const entries_max = 24;

/// A descriptor of a command, or an event of a reply.
pub const Entry = extern struct {
    fd: c_int = -1,
    /// Events asked for, or seen.
    events: u32 = 0,
    /// The conductor's name for it, handed back; epoll's user data.
    data: u64 = 0,
    /// settle: bytes that FIONREAD must say; -1: any number.
    queued: i64 = -1,
};

pub const Command = extern struct {
    op: Op,
    fd: c_int = -1,
    /// Bytes of the call; otherwise what the operation says.
    count: u64 = 0,
    flags: c_int = 0,
    a: i64 = 0,
    b: i64 = 0,
    /// The stream that is sent or received, and the position in it.
    stream: u32 = 0,
    entry_count: u32 = 0,
    position: u64 = 0,
    entries: [entries_max]Entry = @splat(.{}),
};

pub const Reply = extern struct {
    value: i64 = 0,
    errno: c_int = 0,
    /// Of received bytes, the first wrong one; -1: all are right.
    wrong_at: i64 = -1,
    a: i64 = 0,
    /// Signals that have come since the last reply: SIGPIPE, and those with handlers.
    pipes: u32 = 0,
    handled: u32 = 0,
    handler_value: i64 = 0,
    handler_errno: c_int = 0,
    entry_count: u32 = 0,
    entries: [entries_max]Entry = @splat(.{}),
};

/// Shared with the conductor: which actors are inside a command.
pub const Shared = extern struct {
    busy: [channels]u32,
    /// Signals that handlers have dealt with, in all.
    handled: u32,

    pub fn map(fd: c_int) ?*Shared {
        const memory = libc.mmap(null, @sizeOf(Shared), libc.PROT_READ_WRITE, libc.MAP_SHARED, fd, 0);
        if (@intFromPtr(memory) == std.math.maxInt(usize)) return null;
        return @ptrCast(@alignCast(memory));
    }
};

/// Letters only: shells and stdio carry them, too.
pub fn byteAt(stream: u32, position: u64) u8 {
    var x = position *% 0x9e3779b97f4a7c15 +% @as(u64, stream) *% 0xd1b54a32d192ed03;
    x ^= x >> 29;
    x *%= 0xbf58476d1ce4e5b9;
    return 'a' + @as(u8, @intCast((x >> 40) % 26));
}

pub fn fill(buffer: []u8, stream: u32, position: u64) void {
    for (buffer, 0..) |*byte, i| byte.* = byteAt(stream, position + i);
}

/// The first byte that is not the stream's; -1: none.
pub fn firstWrong(buffer: []const u8, stream: u32, position: u64) i64 {
    for (buffer, 0..) |byte, i| if (byte != byteAt(stream, position + i)) return @intCast(i);
    return -1;
}

pub fn sendMessage(fd: c_int, message: anytype) bool {
    const size = @sizeOf(@TypeOf(message.*));
    while (true) {
        const n = libc.send(fd, @ptrCast(message), size, libc.MSG_NOSIGNAL);
        if (n == size) return true;
        if (n >= 0 or libc.errno() != libc.EINTR) return false;
    }
}

pub fn receiveMessage(fd: c_int, message: anytype) bool {
    const size = @sizeOf(@TypeOf(message.*));
    while (true) {
        const n = libc.recv(fd, @ptrCast(message), size, 0);
        if (n == size) return true;
        if (n >= 0 or libc.errno() != libc.EINTR) return false;
    }
}

test "a wrong byte is found where it is" {
    var buffer: [100]u8 = undefined;
    fill(&buffer, 3, 1000);
    try std.testing.expectEqual(-1, firstWrong(&buffer, 3, 1000));
    try std.testing.expectEqual(-1, firstWrong(buffer[10..], 3, 1010));
    try std.testing.expect(firstWrong(&buffer, 2, 1000) >= 0);
    buffer[40] = '.';
    try std.testing.expectEqual(40, firstWrong(&buffer, 3, 1000));
}
