//! Two threads that take turns on one connection: each makes a batch of exchanges, then wakes the
//! other and sleeps.
//!
//! What it measures: a message's cost when a connection belongs to two threads, so that a library
//! cannot rely on one owner. Why turns: if one thread sent and the other received every message,
//! each message would pay for waking a thread (35 us and more), which is the scheduler's time and
//! not the connection's. The wake-up at the end of each batch is in the mean, not in the median.

const libc = @import("libc.zig");
const system = @import("system.zig");

pub const batch_messages = 256;

/// Calls `batch(context)` from two threads in turn until it returns false.
pub fn take(context: *anyopaque, batch: *const fn (*anyopaque) bool) void {
    var pair: Pair = .{ .context = context, .batch = batch };
    _ = libc.sem_init(&pair.turn[0], 0, 1);
    _ = libc.sem_init(&pair.turn[1], 0, 0);
    const other = system.spawnThread(&second, &pair);
    pair.run(0);
    _ = libc.pthread_join(other, null);
}

const Pair = struct {
    context: *anyopaque,
    batch: *const fn (*anyopaque) bool,
    turn: [2]libc.Semaphore = .{ .{}, .{} },
    /// Written by whoever has the turn.
    over: bool = false,

    fn run(self: *Pair, me: u1) void {
        while (true) {
            while (libc.sem_wait(&self.turn[me]) != 0) {}
            if (!self.over) self.over = !self.batch(self.context);
            const over = self.over;
            _ = libc.sem_post(&self.turn[1 - me]);
            if (over) return;
        }
    }
};

fn second(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
    const pair: *Pair = @ptrCast(@alignCast(argument.?));
    pair.run(1);
    return null;
}
