//! Pre-forked workers, as nginx and Apache have them: processes forked between listen and the first
//! accept, which all serve the same listener. The process that forked them only waits to be told to
//! stop; then it ends them and collects their CPU time for whoever waits for it.

const libc = @import("libc.zig");
const system = @import("system.zig");

var pids: [256]c_int = undefined;
var count: usize = 0;

/// Returns in each worker, and nowhere else.
pub fn become(wanted: u32) void {
    if (wanted > pids.len) system.usage("--workers {d}: at most {d}", .{ wanted, pids.len });
    while (count < wanted) : (count += 1) {
        const pid = system.forkOrFail("of a worker");
        if (pid == 0) {
            _ = libc.signal(libc.SIGTERM, null);
            return;
        }
        pids[count] = pid;
    }
    waitForEver();
}

/// The signal that ends this process interrupts no wait that matters.
fn waitForEver() noreturn {
    while (true) system.sleepNs(3_600_000_000_000);
}

/// From a signal handler: asks every worker to end; the caller waits for them.
pub fn terminate() void {
    for (pids[0..count]) |pid| _ = libc.kill(pid, libc.SIGTERM);
}
