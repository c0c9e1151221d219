//! Root of the Zig unit tests: names every file that has tests beside its code.

test {
    _ = @import("layout.zig");
    _ = @import("protocol.zig");
    _ = @import("carrier/carrier.zig");
}
