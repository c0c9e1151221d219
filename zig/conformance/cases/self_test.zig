//! Cases that do what no case may do, so that tests can see it found. They are not listed.

const libc = @import("../libc.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

pub const waits_for_ever = struct {
    pub const summary = "the server waits for bytes that never come";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        _ = t.recv(conn, 7, 0);
    }

    pub fn client(t: *Side) void {
        _ = t.connected(.{});
        t.sync("never reached");
    }
};

pub const crashes = struct {
    pub const summary = "the client dies of a signal";
    pub const carrier: Carrier = .either;

    pub fn server(t: *Side) void {
        t.sync("alive");
        t.sync("never reached");
    }

    pub fn client(t: *Side) void {
        t.sync("alive");
        _ = libc.kill(libc.getpid(), libc.SIGKILL);
    }
};

pub const leaves_a_child = struct {
    pub const summary = "a forked child outlives its side";
    pub const carrier: Carrier = .either;

    pub fn server(_: *Side) void {}

    pub fn client(t: *Side) void {
        if (t.fork("child")) |child| {
            var waiting = child;
            while (true) waiting.pause();
        }
    }
};

pub const shows_the_carrier = struct {
    pub const summary = "the transcript depends on whether the kernel carries the bytes";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        _ = t.accepted(.{});
        t.note("preloaded: {}", .{libc.getenv("LD_PRELOAD") != null});
    }

    pub fn client(t: *Side) void {
        _ = t.connected(.{});
    }
};
