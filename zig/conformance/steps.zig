//! The two sides of cases in which one sends at each of some steps, and the other waits for it.

const Side = @import("side.zig").Side;

/// Sends each of these at its step, then waits for the end.
pub fn sendAt(t: *Side, comptime steps: []const []const u8) void {
    const conn = t.connected(.{});
    inline for (steps) |step| {
        t.sync("send " ++ step);
        _ = t.send(conn, step, 0);
        t.sync("sent " ++ step);
    }
    t.sync("done");
}

/// A client that does so, and nothing else.
pub fn sends(comptime steps: []const []const u8) fn (*Side) void {
    return struct {
        fn client(t: *Side) void {
            sendAt(t, steps);
        }
    }.client;
}

/// The other side of a step: `queued` bytes can be received after it.
pub fn sent(t: *Side, conn: c_int, comptime step: []const u8, queued: c_int) void {
    t.sync("send " ++ step);
    t.sync("sent " ++ step);
    t.untilQueued(conn, queued);
}
