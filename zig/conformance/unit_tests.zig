//! Root of sdconform's unit tests (main.zig cannot be: it brings a C main of its own).

test {
    _ = @import("case.zig");
    _ = @import("random/program.zig");
    _ = @import("random/wire.zig");
    _ = @import("text.zig");
    _ = @import("transcript.zig");
}
