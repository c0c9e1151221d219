//! The transfer protocol of sdbench: counted streams in either or both directions, checked byte by
//! byte if wanted, several one after the other on one connection.
//!
//!   client -> server  Request: how many bytes each way
//!   both ways         that many bytes
//!   server -> client  Verdict, after the server has sent and received everything
//!
//! The client's clock stops at the verdict, so that a rate counts delivered and checked bytes and
//! not what sits in buffers. `Sender` and `Receiver` are the two directions; they work on blocking
//! and on non-blocking sockets.

const std = @import("std");
const libc = @import("libc.zig");
const pattern = @import("pattern.zig");

pub const Request = extern struct {
    magic: u64 = request_magic,
    to_server_bytes: u64,
    to_client_bytes: u64,
    flags: u64,

    const request_magic: u64 = 0x31_72_65_66_73_6e_72_74;
    const flag_checksum: u64 = 1;

    pub fn init(to_server_bytes: u64, to_client_bytes: u64, checksum: bool) Request {
        return .{
            .to_server_bytes = to_server_bytes,
            .to_client_bytes = to_client_bytes,
            .flags = if (checksum) flag_checksum else 0,
        };
    }

    pub fn valid(request: *const Request) bool {
        return request.magic == request_magic;
    }

    pub fn isChecked(request: *const Request) bool {
        return request.flags & flag_checksum != 0;
    }
};

pub const Verdict = extern struct {
    magic: u64 = verdict_magic,
    received: u64,
    /// Stream position of the first wrong byte, or `all_right`.
    first_bad: u64,
    reserved: u64 = 0,

    const verdict_magic: u64 = 0x31_74_63_69_64_72_65_76;
    pub const all_right: u64 = std.math.maxInt(u64);

    pub fn valid(verdict: *const Verdict) bool {
        return verdict.magic == verdict_magic;
    }
};

pub const Step = enum {
    /// Some bytes went; there may be more.
    moved,
    /// Non-blocking socket, nothing to be done now.
    blocked,
    /// Everything of this direction is done.
    done,
    /// The peer has closed or the connection is broken.
    closed,
};

pub const Sender = struct {
    left: u64,
    seed: u64,
    checksum: bool,
    position: u64 = 0,
    /// What has gone of the message that is being sent.
    in_message: usize = 0,
    /// One message; its contents are rewritten for every message when they are checked.
    message: []u8,

    pub fn step(self: *Sender, fd: c_int) Step {
        if (self.left == 0) return .done;
        const length: usize = @intCast(@min(self.message.len - self.in_message, self.left));
        const bytes = self.message[0..length];
        if (self.checksum) pattern.fill(self.seed, self.position, bytes);
        const n = libc.send(fd, bytes.ptr, bytes.len, libc.MSG_NOSIGNAL);
        if (n < 0) return stepAfterError();
        const sent: usize = @intCast(n);
        self.left -= sent;
        self.position += sent;
        self.in_message += sent;
        if (self.in_message == self.message.len) self.in_message = 0;
        return .moved;
    }
};

pub const Receiver = struct {
    left: u64,
    seed: u64,
    checksum: bool,
    position: u64 = 0,
    first_bad: u64 = Verdict.all_right,
    buffer: []u8,

    pub fn verdict(self: *const Receiver) Verdict {
        return .{ .received = self.position, .first_bad = self.first_bad };
    }

    pub fn step(self: *Receiver, fd: c_int) Step {
        if (self.left == 0) return .done;
        const wanted: usize = @intCast(@min(self.buffer.len, self.left));
        const n = libc.recv(fd, self.buffer.ptr, wanted, 0);
        if (n < 0) return stepAfterError();
        if (n == 0) return .closed;
        const bytes = self.buffer[0..@intCast(n)];
        if (self.checksum and self.first_bad == Verdict.all_right) {
            if (pattern.firstMismatch(self.seed, self.position, bytes)) |index| {
                self.first_bad = self.position + index;
            }
        }
        self.position += bytes.len;
        self.left -= bytes.len;
        return .moved;
    }
};

fn stepAfterError() Step {
    return switch (libc.errno()) {
        libc.EINTR => .moved,
        libc.EAGAIN => .blocked,
        else => .closed,
    };
}

test "a request and a verdict know their own" {
    const request = Request.init(1, 2, true);
    try std.testing.expect(request.valid() and request.isChecked());
    const zero = std.mem.zeroes(Verdict);
    try std.testing.expect(!zero.valid());
}

test "a stream through a socket pair arrives whole, and a changed seed is noticed" {
    for ([_]u64{ pattern.seed_to_server, pattern.seed_to_client }) |receiver_seed| {
        var fds: [2]c_int = undefined;
        try std.testing.expectEqual(0, libc.socketpair(libc.AF_UNIX, libc.SOCK_STREAM, 0, &fds));
        var message: [100]u8 = undefined;
        var buffer: [33]u8 = undefined;
        var sender: Sender = .{
            .left = 1050,
            .seed = pattern.seed_to_server,
            .checksum = true,
            .message = &message,
        };
        var receiver: Receiver = .{
            .left = 1050,
            .seed = receiver_seed,
            .checksum = true,
            .buffer = &buffer,
        };
        while (sender.step(fds[0]) == .moved) {}
        while (receiver.step(fds[1]) == .moved) {}
        try std.testing.expectEqual(1050, receiver.position);
        const right = receiver_seed == pattern.seed_to_server;
        try std.testing.expectEqual(right, receiver.first_bad == Verdict.all_right);
        for (fds) |fd| _ = libc.close(fd);
    }
}
