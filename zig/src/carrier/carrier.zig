//! Carriers: what a direction of a connection rides on, and how it moves. Read gate.zig for the
//! states, sender.zig and receiver.zig for the two ends, wake.zig for sleeping; native.zig is the
//! machine they run on.

pub const Native = @import("native.zig").Native;
pub const Faults = @import("native.zig").Faults;
pub const Gate = @import("gate.zig").Gate;
pub const GateTag = @import("gate.zig").Tag;
pub const Attention = @import("wake.zig").Attention;
pub const AttentionKind = @import("wake.zig").Kind;
pub const Words = @import("wake.zig").Words;
pub const Wake = @import("wake.zig").Wake;
pub const Barrier = @import("barrier.zig").Barrier;
pub const BarrierState = @import("barrier.zig").State;
pub const Rows = @import("rows.zig").Rows;
pub const Sender = @import("sender.zig").Sender;
pub const Receiver = @import("receiver.zig").Receiver;

test {
    _ = @import("copy.zig");
    _ = @import("native.zig");
    _ = @import("gate.zig");
    _ = @import("wake.zig");
    _ = @import("barrier.zig");
    _ = @import("rows.zig");
    _ = @import("ring_test.zig");
}
