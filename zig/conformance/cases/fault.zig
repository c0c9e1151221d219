//! Addresses that are none: EFAULT, and nothing is lost or sent.

const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

// The calls with numbers for pointers.
const MoveFn = *const fn (c_int, usize, usize, c_int) callconv(.c) isize;
const ReadFn = *const fn (c_int, usize, usize) callconv(.c) isize;
const MessageFn = *const fn (c_int, usize, c_int) callconv(.c) isize;
const VectorFn = *const fn (c_int, usize, c_int) callconv(.c) isize;
const NameFn = *const fn (c_int, usize, usize) callconv(.c) c_int;
const OptionFn = *const fn (c_int, c_int, c_int, usize, usize) callconv(.c) c_int;
const PollFn = *const fn (usize, c_ulong, c_int) callconv(.c) c_int;

const send: MoveFn = @ptrCast(&libc.send);
const recv: MoveFn = @ptrCast(&libc.recv);
const read: ReadFn = @ptrCast(&libc.read);
const write: ReadFn = @ptrCast(&libc.write);
const sendmsg: MessageFn = @ptrCast(&libc.sendmsg);
const recvmsg: MessageFn = @ptrCast(&libc.recvmsg);
const readv: VectorFn = @ptrCast(&libc.readv);
const writev: VectorFn = @ptrCast(&libc.writev);
const getsockname: NameFn = @ptrCast(&libc.getsockname);
const getpeername: NameFn = @ptrCast(&libc.getpeername);
const getsockopt: OptionFn = @ptrCast(&libc.getsockopt);
const poll: PollFn = @ptrCast(&libc.poll);

/// Null, the first page, an address that no process can have.
const bad = [_]usize{ 0, 0x10, 0xffff_8000_0000_1000 };

fn name(address: usize) []const u8 {
    return switch (address) {
        0 => "null",
        0x10 => "the first page",
        else => "the kernel's memory",
    };
}

pub const sending = struct {
    pub const summary = "send and write from bad addresses: EFAULT, and the stream is whole";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 100);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        for (bad) |address| {
            t.begin("send(conn, {s}, 8)", .{name(address)});
            _ = t.result(send(conn, address, 8, 0));
            t.begin("write(conn, {s}, 8)", .{name(address)});
            _ = t.result(write(conn, address, 8));
            t.begin("send(conn, {s}, 0)", .{name(address)});
            _ = t.result(send(conn, address, 0, 0));
            _ = t.send(conn, "good", 0);
        }
        _ = t.close(conn);
    }
};

pub const receiving = struct {
    pub const summary = "recv and read into bad addresses: EFAULT, and the bytes stay";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "kept", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.untilQueued(conn, 4);
        for (bad) |address| {
            t.begin("recv(conn, {s}, 8)", .{name(address)});
            _ = t.result(recv(conn, address, 8, 0));
            t.begin("read(conn, {s}, 8)", .{name(address)});
            _ = t.result(read(conn, address, 8));
            t.begin("recv(conn, {s}, 8, PEEK)", .{name(address)});
            _ = t.result(recv(conn, address, 8, libc.MSG_PEEK));
            t.queued(conn);
        }
        _ = t.recv(conn, 10, 0);
        t.begin("recv(conn, null, 8, DONTWAIT) of nothing", .{});
        _ = t.result(recv(conn, 0, 8, libc.MSG_DONTWAIT));
        _ = t.close(conn);
    }
};

pub const structures = struct {
    pub const summary = "message headers and vectors at bad addresses";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.send(conn, "kept", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.untilQueued(conn, 4);
        for (bad) |address| {
            t.begin("sendmsg(conn, {s})", .{name(address)});
            _ = t.result(sendmsg(conn, address, 0));
            t.begin("recvmsg(conn, {s})", .{name(address)});
            _ = t.result(recvmsg(conn, address, 0));
            t.begin("writev(conn, {s}, 2)", .{name(address)});
            _ = t.result(writev(conn, address, 2));
            t.begin("readv(conn, {s}, 2)", .{name(address)});
            _ = t.result(readv(conn, address, 2));
        }
        _ = t.recv(conn, 10, 0);
        _ = t.send(conn, "fine", 0);
        _ = t.close(conn);
    }
};

pub const questions = struct {
    pub const summary = "names, options and poll at bad addresses";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        var room: [64]u8 align(8) = undefined;
        var length: u32 = room.len;
        for (bad) |address| {
            t.begin("getsockname(conn, {s})", .{name(address)});
            _ = t.result(getsockname(conn, address, @intFromPtr(&length)));
            t.begin("getpeername(conn, room, length at {s})", .{name(address)});
            _ = t.result(getpeername(conn, @intFromPtr(&room), address));
            t.begin("getsockopt(conn, SO_TYPE, {s})", .{name(address)});
            _ = t.result(getsockopt(conn, libc.SOL_SOCKET, 3, address, @intFromPtr(&length)));
            t.begin("ioctl(conn, FIONREAD, {s})", .{name(address)});
            _ = t.result(libc.ioctl(conn, libc.FIONREAD, address));
            t.begin("poll({s}, 1)", .{name(address)});
            _ = t.result(poll(address, 1, 0));
            length = room.len;
        }
        _ = t.send(conn, "fine", 0);
        _ = t.close(conn);
    }
};
