//! The monitor's one wait: epoll over every control socket and pidfd, on a thread of Deno's pool.
//! Level-triggered, so that a handler may stop early and be called again. A descriptor is known by
//! a tag (kind and id) and not by its number, which may be another's by the time the event is read.

const std = @import("std");
const linux = std.os.linux;
const status = @import("status.zig");
const types = @import("types.zig");
const Status = status.Status;

/// Events asked for at once; the rest comes with the next call.
const batch_max = 64;

pub fn create() Status {
    return status.of(linux.epoll_create1(linux.EPOLL.CLOEXEC));
}

pub fn add(poller: i32, fd: i32, events: u32, kind: u32, id: u32) Status {
    return control(poller, linux.EPOLL.CTL_ADD, fd, events, kind, id);
}

pub fn modify(poller: i32, fd: i32, events: u32, kind: u32, id: u32) Status {
    return control(poller, linux.EPOLL.CTL_MOD, fd, events, kind, id);
}

pub fn remove(poller: i32, fd: i32) Status {
    return status.of(linux.epoll_ctl(poller, linux.EPOLL.CTL_DEL, fd, null));
}

fn control(poller: i32, op: u32, fd: i32, events: u32, kind: u32, id: u32) Status {
    var event: linux.epoll_event = .{
        .events = events,
        .data = .{ .u64 = @as(u64, kind) << 32 | id },
    };
    return status.of(linux.epoll_ctl(poller, op, fd, &event));
}

/// Waits for events and returns how many there are. Signals only restart the wait: Deno handles
/// them on a thread of its own.
pub fn wait(poller: i32, ready: []types.Ready, timeout_ms: i32) Status {
    var events: [batch_max]linux.epoll_event = undefined;
    const max: u32 = @intCast(@min(ready.len, batch_max));
    while (true) {
        const count = status.of(linux.epoll_wait(poller, &events, max, timeout_ms));
        if (count == status.failure(.INTR)) continue;
        if (status.failed(count)) return count;
        const used: usize = @intCast(count);
        for (events[0..used], ready[0..used]) |event, *out| out.* = .{
            .tag_kind = @intCast(event.data.u64 >> 32),
            .tag_id = @truncate(event.data.u64),
            .events = event.events,
        };
        return count;
    }
}

/// An eventfd that ends a wait, for shutting down.
pub fn wakerCreate() Status {
    return status.of(linux.eventfd(0, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK));
}

pub fn wakerSignal(waker: i32) Status {
    const one: u64 = 1;
    return status.of(linux.write(waker, @ptrCast(&one), @sizeOf(u64)));
}

test "a signalled waker comes back with its tag" {
    const poller = create();
    defer _ = linux.close(poller);
    const waker = wakerCreate();
    defer _ = linux.close(waker);
    try std.testing.expectEqual(0, add(poller, waker, linux.EPOLL.IN, 7, 0xffff_fffe));
    var ready: [4]types.Ready = undefined;
    try std.testing.expectEqual(0, wait(poller, &ready, 0));
    _ = wakerSignal(waker);
    try std.testing.expectEqual(1, wait(poller, &ready, 0));
    try std.testing.expectEqual(7, ready[0].tag_kind);
    try std.testing.expectEqual(0xffff_fffe, ready[0].tag_id);
}
