//! How eagerly ends wait, as the user wishes: SOCKSDIRECT_PROFILE names a profile for the process,
//! and others for connections by their server's port.
//!
//!   SOCKSDIRECT_PROFILE=frugal
//!   SOCKSDIRECT_PROFILE=balanced,6379=latency,8000-8099=frugal
//!
//! Profiles differ in nothing but how long a wait watches a ring before it sleeps in the kernel
//! (spin.zig): bytes, order and errors are the same, and so is what an idle process costs.

const std = @import("std");
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");

/// From the most eager on: an epoll instance waits as the most eager connection in it.
pub const Profile = enum(u8) {
    /// Watches for at least `spin_ns_latency_min` at every wait and up to `spin_ns_latency_max`: a
    /// peer that answers within it never has to be woken. Costs CPU between messages.
    latency,
    /// Watches as long as that has paid lately.
    balanced,
    /// Sleeps at once: the least CPU for each message that has to be waited for.
    frugal,

    /// Longest watch.
    pub fn spinNsMax(profile: Profile) u32 {
        return switch (profile) {
            .latency => constants.spin_ns_latency_max,
            .balanced => constants.spin_ns_max,
            .frugal => 0,
        };
    }

    /// What is left of it after any number of watches in vain.
    pub fn spinNsMin(profile: Profile) u32 {
        return switch (profile) {
            .latency => constants.spin_ns_latency_min,
            .balanced, .frugal => 0,
        };
    }
};

const PortRange = struct { first: u16, last: u16, profile: Profile };

pub const Choice = struct {
    default: Profile = .balanced,
    ranges: [ranges_max]PortRange = undefined,
    count: usize = 0,

    const ranges_max = 32;

    /// Null: not of the form above.
    pub fn parse(text: []const u8) ?Choice {
        var choice: Choice = .{};
        var words = std.mem.tokenizeScalar(u8, text, ',');
        while (words.next()) |word| {
            const equals = std.mem.findScalar(u8, word, '=') orelse {
                choice.default = named(word) orelse return null;
                continue;
            };
            if (choice.count == ranges_max) return null;
            choice.ranges[choice.count] = range(word[0..equals], word[equals + 1 ..]) orelse return null;
            choice.count += 1;
        }
        return choice;
    }

    /// The last range that holds the port counts.
    pub fn ofPort(choice: *const Choice, port: u16) Profile {
        var found = choice.default;
        for (choice.ranges[0..choice.count]) |r| {
            if (port >= r.first and port <= r.last) found = r.profile;
        }
        return found;
    }
};

/// Of this process.
pub var chosen: Choice = .{};

/// The profile of a connection: its server's port decides.
pub fn ofConnection(role: layout.Role, local: *const layout.Endpoint, peer: *const layout.Endpoint) Profile {
    return chosen.ofPort(if (role == .server) local.port else peer.port);
}

fn named(word: []const u8) ?Profile {
    return std.meta.stringToEnum(Profile, std.mem.trim(u8, word, " "));
}

fn range(ports: []const u8, word: []const u8) ?PortRange {
    const dash = std.mem.findScalar(u8, ports, '-') orelse ports.len;
    const first = std.fmt.parseInt(u16, std.mem.trim(u8, ports[0..dash], " "), 10) catch return null;
    const last = if (dash == ports.len) first else std.fmt.parseInt(u16, std.mem.trim(u8, ports[dash + 1 ..], " "), 10) catch return null;
    if (last < first) return null;
    return .{ .first = first, .last = last, .profile = named(word) orelse return null };
}

test "a profile for all, and others by port" {
    const choice = Choice.parse("frugal,6379=latency,8000-8099=balanced").?;
    try std.testing.expectEqual(.frugal, choice.ofPort(80));
    try std.testing.expectEqual(.latency, choice.ofPort(6379));
    try std.testing.expectEqual(.balanced, choice.ofPort(8000));
    try std.testing.expectEqual(.balanced, choice.ofPort(8099));
    try std.testing.expectEqual(.frugal, choice.ofPort(8100));
}

test "what is no profile is refused" {
    for ([_][]const u8{ "fast", "80=", "80=fast", "=latency", "90-80=latency", "70000=latency" }) |text| {
        try std.testing.expectEqual(null, Choice.parse(text));
    }
    try std.testing.expectEqual(.balanced, Choice.parse("").?.default);
}
