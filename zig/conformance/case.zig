//! What a case is, and the list of all.
//!
//! A topic is a file in cases/; each `pub const` struct in it is a case, called "topic/name":
//!
//!     pub const half_close = struct {
//!         pub const summary = "a half-closed connection still carries the other direction";
//!         pub const carrier: Carrier = .ring;
//!         pub fn server(t: *Side) void { ... }
//!         pub fn client(t: *Side) void { ... }
//!     };
//!
//! Optional: `reasons` (reason codes that may, or with `.tcp` must, explain bytes that went by TCP)
//! and `differs` (why its transcript is not the kernel's: it stands in docs/COMPATIBILITY.md).

const std = @import("std");
const Side = @import("side.zig").Side;

/// What carries the case's bytes when both ends are preloaded.
pub const Carrier = enum {
    /// Its connection gets onto a ring and has no other reason to leave it than the case's.
    ring,
    /// It leaves the ring for one of the case's reasons, or never gets there.
    tcp,
    /// Nobody looks: there is no connection, or not for long.
    either,
};

pub const Case = struct {
    topic: []const u8,
    name: []const u8,
    summary: []const u8,
    carrier: Carrier,
    reasons: []const []const u8,
    differs: ?[]const u8,
    server: *const fn (*Side) void,
    client: *const fn (*Side) void,
};

const topics = .{
    .cancel = @import("cases/cancel.zig"),
    .epoll = @import("cases/epoll.zig"),
    .nesting = @import("cases/nesting.zig"),
    .sharing = @import("cases/sharing.zig"),
    .edge = @import("cases/edge.zig"),
    .reset = @import("cases/reset.zig"),
    .life = @import("cases/life.zig"),
    .waiting = @import("cases/waiting.zig"),
    .modes = @import("cases/modes.zig"),
    .stream = @import("cases/stream.zig"),
    .shutdown = @import("cases/shutdown.zig"),
    .message = @import("cases/message.zig"),
    .connect = @import("cases/connect.zig"),
    .listen = @import("cases/listen.zig"),
    .option = @import("cases/option.zig"),
    .queue = @import("cases/queue.zig"),
    .urgent = @import("cases/urgent.zig"),
    .address = @import("cases/address.zig"),
    .descriptor = @import("cases/descriptor.zig"),
    .transfer = @import("cases/transfer.zig"),
    .fault = @import("cases/fault.zig"),
    .thread = @import("cases/thread.zig"),
    .beside = @import("cases/beside.zig"),
    .signal = @import("cases/signal.zig"),
    .handler = @import("cases/handler.zig"),
};

/// Cases of the machinery itself: not listed, tests/conformance/conformance_test.ts asks for them.
const self_test = .{ .self_test = @import("cases/self_test.zig") };

pub const all: []const Case = casesOf(topics);
const hidden: []const Case = casesOf(self_test);

fn casesOf(comptime from: anytype) []const Case {
    @setEvalBranchQuota(1_000_000);
    comptime var found: []const Case = &.{};
    inline for (@typeInfo(@TypeOf(from)).@"struct".field_names) |topic| {
        const file = @field(from, topic);
        inline for (@typeInfo(file).@"struct".decl_names) |name| {
            if (comptime isCase(@field(file, name))) {
                found = found ++ .{comptime caseOf(topic, name, @field(file, name))};
            }
        }
    }
    return found;
}

fn isCase(comptime declared: anytype) bool {
    return @TypeOf(declared) == type and @hasDecl(declared, "summary");
}

fn caseOf(comptime topic: []const u8, comptime name: []const u8, comptime declared: type) Case {
    return .{
        .topic = topic,
        .name = name,
        .summary = declared.summary,
        .carrier = declared.carrier,
        .reasons = if (@hasDecl(declared, "reasons")) declared.reasons else &.{},
        .differs = if (@hasDecl(declared, "differs")) declared.differs else null,
        .server = declared.server,
        .client = declared.client,
    };
}

/// By "topic/name".
pub fn find(path: []const u8) ?*const Case {
    for ([_][]const Case{ all, hidden }) |cases| {
        for (cases) |*case| if (isNamed(case, path)) return case;
    }
    return null;
}

fn isNamed(case: *const Case, path: []const u8) bool {
    const slash = std.mem.findScalar(u8, path, '/') orelse return false;
    return std.mem.eql(u8, case.topic, path[0..slash]) and std.mem.eql(u8, case.name, path[slash + 1 ..]);
}

test "a case is found by its topic and name" {
    try std.testing.expectEqualStrings("echo", find("stream/echo").?.name);
    try std.testing.expectEqual(null, find("stream/ech"));
    try std.testing.expectEqual(null, find("stream"));
}
