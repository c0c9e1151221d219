//! Root of sdbench's unit tests (main.zig cannot be: it brings a C main of its own).

test {
    _ = @import("bare_many.zig");
    _ = @import("bare_ring.zig");
    _ = @import("client_many.zig");
    _ = @import("histogram.zig");
    _ = @import("net.zig");
    _ = @import("options.zig");
    _ = @import("pattern.zig");
    _ = @import("poller.zig");
    _ = @import("report.zig");
    _ = @import("system.zig");
    _ = @import("transfer.zig");
}
