//! A socket of sock_diag(7) to lend to a process that may not make its own: under seccomp filters
//! (systemd's RestrictAddressFamilies= without AF_NETLINK is common), or under an emulator that does
//! not know the protocol. What is lent can do no more than the library needs: ask about one
//! connection that the asker can name in full. Lists of sockets do not come through.

const std = @import("std");
const linux = std.os.linux;
const socket = @import("socket.zig");
const status = @import("status.zig");
const Status = status.Status;

const netlink_sock_diag = 4;
const so_netns_cookie = 71;

/// A descriptor; EPERM unless this process is in network namespace `netns`.
pub fn open(netns: u64) Status {
    if (!isIn(netns)) return status.failure(.PERM);
    const fd = status.of(linux.socket(linux.AF.NETLINK, linux.SOCK.RAW | linux.SOCK.CLOEXEC, netlink_sock_diag));
    if (status.failed(fd)) return fd;
    const restricted = restrict(fd);
    if (!status.failed(restricted)) return fd;
    _ = linux.close(fd);
    return restricted;
}

fn isIn(netns: u64) bool {
    const sample = status.of(linux.socket(linux.AF.INET, linux.SOCK.STREAM | linux.SOCK.CLOEXEC, 0));
    if (status.failed(sample)) return false;
    defer _ = linux.close(sample);
    var own: u64 = 0;
    return !status.failed(socket.getOption(u64, sample, so_netns_cookie, &own)) and own == netns;
}

const Instruction = extern struct { code: u16, if_true: u8 = 0, if_false: u8 = 0, value: u32 };

/// Drops every answer that is one of several (NLM_F_MULTI): those are lists.
const answers_alone = [_]Instruction{
    .{ .code = 0x30, .value = 6 }, // load the low byte of nlmsg_flags
    .{ .code = 0x45, .if_false = 1, .value = 2 }, // NLM_F_MULTI?
    .{ .code = 0x06, .value = 0 }, // yes: drop
    .{ .code = 0x06, .value = std.math.maxInt(u32) }, // no: all of it
};

fn restrict(fd: i32) Status {
    const so_attach_filter = 26;
    const so_lock_filter = 44;
    const Program = extern struct { count: u16, instructions: *const [answers_alone.len]Instruction };
    const program: Program = .{ .count = answers_alone.len, .instructions = &answers_alone };
    const attached = setOption(fd, so_attach_filter, std.mem.asBytes(&program));
    if (status.failed(attached)) return attached;
    const on: c_int = 1;
    return setOption(fd, so_lock_filter, std.mem.asBytes(&on));
}

fn setOption(fd: i32, option: u32, value: []const u8) Status {
    return status.of(linux.setsockopt(fd, linux.SOL.SOCKET, option, value.ptr, @intCast(value.len)));
}

const testing = std.testing;

/// nlmsghdr and inet_diag_req_v2 of a question about every TCP socket.
fn testList(fd: i32) !usize {
    const dump = 0x301; // NLM_F_REQUEST | NLM_F_DUMP
    var request: [72]u8 = @splat(0);
    std.mem.writeInt(u32, request[0..4], request.len, .little);
    std.mem.writeInt(u16, request[4..6], 20, .little);
    std.mem.writeInt(u16, request[6..8], dump, .little);
    request[16] = linux.AF.INET;
    request[17] = linux.IPPROTO.TCP;
    std.mem.writeInt(u32, request[20..24], 0xffff_ffff, .little);
    try testing.expectEqual(request.len, linux.sendto(fd, &request, request.len, 0, null, 0));
    var answer: [8192]u8 = undefined;
    return linux.recvfrom(fd, &answer, answer.len, linux.MSG.DONTWAIT, null, null);
}

test "a lent socket lists nothing, and the borrower cannot change that" {
    var own: u64 = 0;
    const sample: i32 = @intCast(linux.socket(linux.AF.INET, linux.SOCK.STREAM, 0));
    defer _ = linux.close(sample);
    try testing.expectEqual(0, socket.getOption(u64, sample, so_netns_cookie, &own));
    const fd = open(own);
    try testing.expect(!status.failed(fd));
    defer _ = linux.close(fd);
    try testing.expectEqual(.AGAIN, linux.errno(try testList(fd)));
    const so_detach_filter = 27;
    try testing.expect(status.failed(setOption(fd, so_detach_filter, &.{ 0, 0, 0, 0 })));
}

test "nothing is lent to another network namespace" {
    try testing.expectEqual(status.failure(.PERM), open(1));
}
