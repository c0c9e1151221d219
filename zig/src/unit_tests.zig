//! Root of the Zig unit tests: names every file that has tests beside its code.

test {
    _ = @import("layout.zig");
    _ = @import("protocol.zig");
    _ = @import("layout_export.zig");
    _ = @import("api_export.zig");
    _ = @import("ffi/diag.zig");
    _ = @import("ffi/end_table.zig");
    _ = @import("ffi/listener.zig");
    _ = @import("ffi/memory.zig");
    _ = @import("ffi/poller.zig");
    _ = @import("ffi/registry.zig");
    _ = @import("ffi/socket.zig");
    _ = @import("ffi/status.zig");
    _ = @import("carrier/carrier.zig");
    _ = @import("preload/addr.zig");
    _ = @import("preload/clock.zig");
    _ = @import("preload/conn.zig");
    _ = @import("preload/crowding.zig");
    _ = @import("preload/ends.zig");
    _ = @import("preload/faults.zig");
    _ = @import("preload/fds.zig");
    _ = @import("preload/guard.zig");
    _ = @import("preload/holders.zig");
    _ = @import("preload/outsiders.zig");
    _ = @import("preload/interest.zig");
    _ = @import("preload/lock.zig");
    _ = @import("preload/membarrier.zig");
    _ = @import("preload/options.zig");
    _ = @import("preload/packet.zig");
    _ = @import("preload/pool.zig");
    _ = @import("preload/profile.zig");
    _ = @import("preload/rendezvous.zig");
    _ = @import("preload/signals.zig");
    _ = @import("preload/spin.zig");
    _ = @import("preload/buffers.zig");
    _ = @import("preload/stream.zig");
    _ = @import("preload/thread.zig");
    _ = @import("sim/checker_test.zig");
    _ = @import("sim/visited.zig");
}
