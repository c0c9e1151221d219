//! Bytes that come from files and pipes, or go there: sendfile, splice, tee, vmsplice,
//! copy_file_range, MSG_ZEROCOPY.

const libc = @import("../libc.zig");
const text = @import("../text.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

const SPLICE_F_NONBLOCK = 2;

fn sink(t: *Side) void {
    const conn = t.accepted(.{});
    t.recvToEnd(conn, 4 << 20);
}

pub const from_file = struct {
    pub const summary = "sendfile with and without an offset, past the end, of nothing";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const file = t.file("0123456789abcdef");
        _ = t.sendfile(conn, file, null, 4);
        _ = t.sendfile(conn, file, 10, 3);
        _ = t.sendfile(conn, file, null, 0);
        _ = t.sendfile(conn, file, null, 100);
        _ = t.sendfile(conn, file, null, 100);
        _ = t.sendfile(conn, file, 16, 10);
        _ = t.sendfile(conn, file, 1000, 10);
        _ = t.close(conn);
    }
};

pub const from_large_file = struct {
    pub const summary = "sendfile of 3 MiB between writes";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const file = t.file(t.pattern(3 << 20, 5));
        _ = t.send(conn, "before", 0);
        t.begin("sendfile until all is sent", .{});
        var sent: usize = 0;
        while (sent < 3 << 20) {
            const n = libc.sendfile(conn, file, null, (3 << 20) - sent);
            if (n <= 0) t.fail("sendfile: {f}", .{text.errno(libc.errno())});
            sent += @intCast(n);
        }
        t.end(" = {d}", .{sent});
        _ = t.send(conn, "after", 0);
        _ = t.close(conn);
    }
};

pub const wrong_files = struct {
    pub const summary = "sendfile from sockets and pipes, into files, with wrong offsets and numbers";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const file = t.file("text");
        const into = t.file("");
        t.label(into, "another file");
        _ = t.sendfile(into, conn, null, 1);
        _ = t.sendfile(conn, conn, null, 1);
        _ = t.sendfile(conn, file, -1, 1);
        _ = t.sendfile(conn, 999, null, 1);
        _ = t.sendfile(999, file, null, 1);
        _ = t.sendfile(into, file, null, 2);
        _ = t.sendfile(conn, file, null, 10);
        _ = t.close(conn);
    }
};

pub const after_the_end = struct {
    pub const summary = "sendfile and splice after SHUT_WR: EPIPE and SIGPIPE";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        t.catchSignal(libc.SIGPIPE, true);
        const conn = t.connected(.{});
        const file = t.file("text");
        const pipes = t.pipe();
        _ = t.write(pipes[1], "piped");
        _ = t.shutdown(conn, libc.SHUT_WR);
        _ = t.sendfile(conn, file, null, 4);
        t.caught(libc.SIGPIPE);
        _ = t.splice(pipes[0], conn, 5, 0);
        t.caught(libc.SIGPIPE);
    }
};

pub const through_pipes = struct {
    pub const summary = "splice from a pipe to the connection and from the connection to a pipe";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipes = t.pipe();
        t.sync("empty");
        _ = t.write(pipes[1], "from a pipe");
        _ = t.splice(pipes[0], conn, 4, 0);
        _ = t.splice(pipes[0], conn, 100, 0);
        _ = t.splice(pipes[0], conn, 100, SPLICE_F_NONBLOCK);
        t.sync("sent");
        t.recvToEnd(conn, 10);
        _ = t.splice(conn, pipes[1], 100, 0);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const pipes = t.pipe();
        t.setNonBlocking(conn, true);
        _ = t.splice(conn, pipes[1], 100, 0);
        _ = t.splice(conn, pipes[1], 100, SPLICE_F_NONBLOCK);
        t.setNonBlocking(conn, false);
        t.sync("empty");
        t.sync("sent");
        t.untilQueued(conn, 11);
        _ = t.splice(conn, pipes[1], 5, 0);
        _ = t.read(pipes[0], 20);
        _ = t.splice(conn, pipes[1], 100, 0);
        _ = t.read(pipes[0], 20);
        _ = t.splice(conn, pipes[1], 0, 0);
        _ = t.shutdown(conn, libc.SHUT_WR);
    }
};

pub const splice_waits = struct {
    pub const summary = "a blocked splice from the connection gets what comes";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.sync("about to splice");
        for (0..20) |_| t.pause();
        _ = t.send(conn, "late", 0);
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const pipes = t.pipe();
        t.sync("about to splice");
        _ = t.splice(conn, pipes[1], 100, 0);
        _ = t.read(pipes[0], 20);
        _ = t.close(conn);
    }
};

pub const relay = struct {
    pub const summary = "a megabyte spliced in and out, as a proxy does";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    const count = 1 << 20;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        const pipes = t.pipe();
        t.begin("relay", .{});
        var total: usize = 0;
        while (true) {
            const in = libc.splice(conn, null, pipes[1], null, 32768, 0);
            if (in < 0) t.fail("splice in: {f}", .{text.errno(libc.errno())});
            if (in == 0) break;
            var left: usize = @intCast(in);
            while (left > 0) {
                const out = libc.splice(pipes[0], null, conn, null, left, 0);
                if (out <= 0) t.fail("splice out: {f}", .{text.errno(libc.errno())});
                left -= @intCast(out);
            }
            total += @intCast(in);
        }
        t.end(" = {d}", .{total});
        _ = t.close(conn);
    }

    var shared: c_int = -1;

    fn sender(t: *Side) void {
        t.sendAll(shared, t.pattern(count, 8));
        _ = t.shutdown(shared, libc.SHUT_WR);
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "sender", &sender);
        t.recvToEnd(shared, count + 1);
        t.join(&thread);
    }
};

pub const only_pipes = struct {
    pub const summary = "tee, vmsplice and copy_file_range refuse connections and serve pipes beside";
    pub const carrier: Carrier = .ring;
    pub const server = sink;

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const one = t.pipe();
        const two = t.pipe();
        const file = t.file("contents");
        _ = t.tee(conn, one[1], 10);
        _ = t.tee(one[0], conn, 10);
        _ = t.vmsplice(conn, "memory");
        _ = t.copyFileRange(file, conn, 5);
        _ = t.copyFileRange(conn, file, 5);
        _ = t.vmsplice(one[1], "memory");
        _ = t.tee(one[0], two[1], 10);
        _ = t.splice(one[0], conn, 10, 0);
        _ = t.splice(two[0], conn, 10, 0);
        _ = t.splice(conn, conn, 10, 0);
        _ = t.splice(file, conn, 10, 0);
        _ = t.close(conn);
    }
};

pub const zero_copy = struct {
    pub const summary = "MSG_ZEROCOPY sends arrive, and each is completed on the error queue";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        t.recvAll(conn, 3 * 40_000);
        t.sync("received");
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        const bytes = t.pattern(40_000, 6);
        _ = t.send(conn, "", libc.MSG_ZEROCOPY);
        _ = t.setOption(conn, .ZEROCOPY, 1);
        for (0..3) |_| _ = t.send(conn, bytes, libc.MSG_ZEROCOPY);
        t.sync("received");
        t.begin("completions", .{});
        var seen: u32 = 0;
        while (seen != 0b111) {
            var polled = [_]libc.pollfd{.{ .fd = conn, .events = 0 }};
            _ = libc.poll(&polled, 1, 1000);
            const range = completion(conn) orelse continue;
            for (range[0]..range[1] + 1) |i| seen |= @as(u32, 1) << @intCast(i);
        }
        t.end(" of sends 0, 1 and 2", .{});
        _ = t.close(conn);
    }

    /// First and last send that a message on the error queue completes.
    fn completion(fd: c_int) ?[2]u32 {
        var control: [128]u8 align(8) = @splat(0);
        var none: [1]libc.iovec = undefined;
        var header: libc.msghdr = .{
            .vectors = &none,
            .count = 0,
            .control = &control,
            .control_length = control.len,
        };
        if (libc.recvmsg(fd, &header, libc.MSG_ERRQUEUE | libc.MSG_DONTWAIT) < 0) return null;
        // cmsghdr (16 bytes), then sock_extended_err: errno, origin.., info at 8, data at 12
        const words: *const [32]u32 = @ptrCast(&control);
        return .{ words[4 + 2], words[4 + 3] };
    }
};
