//! Two processes and two pipes: what the kernel's cheapest way of carrying bytes costs, with its
//! sleeping and waking and without a socket's protocol. With `--one-cpu` it is the limit of what two
//! processes that share a cpu can do by calling the kernel.

const libc = @import("libc.zig");
const system = @import("system.zig");
const duo = @import("duo.zig");
const Options = @import("options.zig").Options;

pub fn run(options: *const Options) void {
    duo.run(Pipes, "pipe", options);
}

const Pipes = struct {
    to_far: [2]c_int,
    to_near: [2]c_int,

    pub fn open() Pipes {
        var self: Pipes = undefined;
        for ([_]*[2]c_int{ &self.to_far, &self.to_near }) |fds| {
            if (libc.pipe(fds) != 0) system.fail("pipe: {s}", .{libc.errorText()});
        }
        return self;
    }

    pub fn near(self: *Pipes) End {
        return .{ .read_fd = self.to_near[0], .write_fd = self.to_far[1] };
    }

    pub fn far(self: *Pipes) End {
        return .{ .read_fd = self.to_far[0], .write_fd = self.to_near[1] };
    }
};

const End = struct {
    read_fd: c_int,
    write_fd: c_int,

    pub fn send(self: *End, bytes: []const u8) void {
        system.writeAll(self.write_fd, bytes);
    }

    pub fn recv(self: *End, buffer: []u8) void {
        var have: usize = 0;
        while (have < buffer.len) {
            const n = libc.read(self.read_fd, buffer.ptr + have, buffer.len - have);
            if (n == 0) system.fail("the other side of the pipe has ended", .{});
            if (n > 0) {
                have += @intCast(n);
            } else if (libc.errno() != libc.EINTR) {
                system.fail("read from the pipe: {s}", .{libc.errorText()});
            }
        }
    }
};
