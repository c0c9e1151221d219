//! sendmsg and recvmsg, sendmmsg and recvmmsg as a program of musl calls them: the lengths in its
//! struct msghdr and cmsghdr have 32 bits, and the padding beside them holds whatever was on the
//! stack. A parent and a child talk over one TCP connection on loopback; every byte is checked.

const std = @import("std");

const Msghdr = extern struct {
    name: ?*anyopaque = null,
    name_length: u32 = 0,
    iov: [*]const Iovec,
    iov_count: u32 = 1,
    padding_1: u32 = 0xdead_beef,
    control: ?*anyopaque = null,
    control_length: u32 = 0,
    padding_2: u32 = 0xdead_beef,
    flags: i32 = 0,
};
const Mmsghdr = extern struct { header: Msghdr, length: u32 };
const Iovec = extern struct { base: [*]u8, length: usize };
const Address = extern struct { family: u16 = 2, port: u16 = 0, ip: u32 = 0x0100007f, zero: u64 = 0 };

extern "c" fn socket(domain: c_int, kind: c_int, protocol: c_int) c_int;
extern "c" fn bind(fd: c_int, address: *const Address, length: u32) c_int;
extern "c" fn listen(fd: c_int, backlog: c_int) c_int;
extern "c" fn getsockname(fd: c_int, address: *Address, length: *u32) c_int;
extern "c" fn accept(fd: c_int, address: ?*Address, length: ?*u32) c_int;
extern "c" fn connect(fd: c_int, address: *const Address, length: u32) c_int;
extern "c" fn sendmsg(fd: c_int, message: *const Msghdr, flags: c_int) isize;
extern "c" fn recvmsg(fd: c_int, message: *Msghdr, flags: c_int) isize;
extern "c" fn sendmmsg(fd: c_int, messages: [*]Mmsghdr, count: c_uint, flags: c_uint) c_int;
extern "c" fn recvmmsg(fd: c_int, messages: [*]Mmsghdr, count: c_uint, flags: c_uint, timeout: ?*anyopaque) c_int;
extern "c" fn fork() c_int;
extern "c" fn waitpid(pid: c_int, status: *c_int, options: c_int) c_int;
extern "c" fn write(fd: c_int, text: [*]const u8, length: usize) isize;
extern "c" fn _exit(code: c_int) noreturn;

const rounds = 2000;

pub fn main() void {
    const listener = socket(2, 1, 0);
    var address: Address = .{};
    var length: u32 = @sizeOf(Address);
    must(bind(listener, &address, length) == 0, "bind");
    must(listen(listener, 1) == 0, "listen");
    must(getsockname(listener, &address, &length) == 0, "getsockname");
    const child = fork();
    if (child == 0) {
        const fd = socket(2, 1, 0);
        must(connect(fd, &address, length) == 0, "connect");
        for (0..rounds) |round| {
            give(fd, @truncate(round));
            take(fd, @truncate(round +% 1));
        }
        _exit(0);
    }
    const fd = accept(listener, null, null);
    must(fd >= 0, "accept");
    for (0..rounds) |round| {
        take(fd, @truncate(round));
        give(fd, @truncate(round +% 1));
    }
    var status: c_int = -1;
    must(waitpid(child, &status, 0) == child and status == 0, "the child's end");
    const done = "done\n";
    _ = write(1, done, done.len);
}

/// Ten bytes `value` in two pieces by sendmsg, then ten more by sendmmsg.
fn give(fd: c_int, value: u8) void {
    var bytes: [10]u8 = @splat(value);
    const pieces = [_]Iovec{ .{ .base = &bytes, .length = 4 }, .{ .base = bytes[4..], .length = 6 } };
    const message: Msghdr = .{ .iov = &pieces, .iov_count = pieces.len };
    must(sendmsg(fd, &message, 0) == 10, "sendmsg");
    var messages = [_]Mmsghdr{.{ .header = message, .length = 0 }};
    must(sendmmsg(fd, &messages, 1, 0) == 1 and messages[0].length == 10, "sendmmsg");
}

fn take(fd: c_int, value: u8) void {
    const MSG_WAITALL = 0x100;
    var bytes: [10]u8 = @splat(~value);
    const pieces = [_]Iovec{ .{ .base = &bytes, .length = 7 }, .{ .base = bytes[7..], .length = 3 } };
    var message: Msghdr = .{ .iov = &pieces, .iov_count = pieces.len };
    must(recvmsg(fd, &message, MSG_WAITALL) == 10, "recvmsg");
    for (bytes) |byte| must(byte == value, "the bytes of recvmsg");
    bytes = @splat(~value);
    var messages = [_]Mmsghdr{.{ .header = .{ .iov = &pieces, .iov_count = pieces.len }, .length = 0 }};
    must(recvmmsg(fd, &messages, 1, MSG_WAITALL, null) == 1, "recvmmsg");
    must(messages[0].length == 10, "the length of recvmmsg");
    for (bytes) |byte| must(byte == value, "the bytes of recvmmsg");
}

fn must(holds: bool, comptime what: []const u8) void {
    if (holds) return;
    const text = "failed: " ++ what ++ "\n";
    _ = write(2, text, text.len);
    _exit(1);
}
