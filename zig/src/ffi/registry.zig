//! The registry, written here and by nobody else: which address has an accelerated listener, and
//! one sequence word for each process. Everybody else has a read-only mapping (F_SEAL_FUTURE_WRITE
//! is put on after this mapping exists).
//!
//! Listeners are an open-addressed table with linear probing, guarded by a sequence lock: a reader
//! copies what it wants between two equal, even values of `listeners_seq`. An entry leaves by
//! backward shift, so that a probe may stop at the first empty place and the table needs no
//! tombstones.

const std = @import("std");
const linux = std.os.linux;
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const memory = @import("memory.zig");
const status = @import("status.zig");
const Status = status.Status;
const Listener = layout.RegistryListener;

const capacity = constants.registry_listeners;
const mask = capacity - 1;
const listener_words = @sizeOf(Listener) / 8;

/// The monitor's handle; its memory is the caller's.
pub const Registry = extern struct {
    shared: *layout.Registry,
    fd: i32,

    pub fn open(registry: *Registry, generation: u64, pid: u32) Status {
        const bytes = @sizeOf(layout.Registry);
        const fd = memory.createUnsealed("sd-registry", bytes);
        if (status.failed(fd)) return fd;
        const shared = openMap(fd) orelse {
            _ = linux.close(fd);
            return status.failure(.NOMEM);
        };
        const seals = memory.seals_fixed_size | linux.F.SEAL_FUTURE_WRITE | linux.F.SEAL_SEAL;
        const sealed = memory.sealOrClose(fd, seals);
        if (status.failed(sealed)) {
            _ = linux.munmap(@ptrCast(shared), bytes);
            return sealed;
        }
        registry.* = .{ .shared = shared, .fd = fd };
        registry.initHeader(generation, pid);
        return 0;
    }

    fn openMap(fd: i32) ?*layout.Registry {
        const prot: linux.PROT = .{ .READ = true, .WRITE = true };
        const rc = linux.mmap(null, @sizeOf(layout.Registry), prot, .{ .TYPE = .SHARED }, fd, 0);
        if (linux.errno(rc) != .SUCCESS) return null;
        return @ptrFromInt(rc);
    }

    fn initHeader(registry: *Registry, generation: u64, pid: u32) void {
        const header = &registry.shared.header;
        header.abi_version = constants.abi_version;
        header.generation = generation;
        header.monitor_pid = pid;
        // Release: whoever sees the magic (they map it after WELCOME) sees the fields above.
        @atomicStore(u64, &header.magic, layout.registry_magic, .release);
    }

    pub fn close(registry: *Registry) void {
        _ = linux.munmap(@ptrCast(registry.shared), @sizeOf(layout.Registry));
        _ = linux.close(registry.fd);
    }

    /// "Look at your control socket." Release: pairs with the owner's acquire load, so that the
    /// packet sent before is there when the new value is seen.
    pub fn bump(registry: *Registry, process_index: u32) Status {
        if (process_index >= constants.registry_processes) return status.failure(.INVAL);
        _ = @atomicRmw(u64, &registry.shared.process_seq[process_index], .Add, 1, .release);
        return 0;
    }

    pub fn setFlags(registry: *Registry, flags: u32) void {
        @atomicStore(u32, &registry.shared.header.flags, flags, .release);
    }

    pub fn insert(registry: *Registry, listener: *const Listener) Status {
        const header = &registry.shared.header;
        if (listener.group == 0) return status.failure(.INVAL);
        if (header.listener_count >= capacity / 2) return status.failure(.NOSPC);
        var place = layout.registryHash(listener.endpoint.port);
        while (registry.groupAt(place) != 0) place = (place + 1) & mask;
        registry.writeBegin();
        registry.put(place, listener.*);
        header.listener_count += 1;
        registry.writeEnd();
        return 0;
    }

    pub fn remove(registry: *Registry, group: u32, port: u16) Status {
        if (group == 0) return status.failure(.INVAL);
        var hole = layout.registryHash(port);
        while (registry.groupAt(hole) != group) : (hole = (hole + 1) & mask) {
            if (registry.groupAt(hole) == 0) return status.failure(.NOENT);
        }
        registry.writeBegin();
        registry.shiftBack(hole);
        registry.shared.header.listener_count -= 1;
        registry.writeEnd();
        return 0;
    }

    /// Closes the hole: every later entry of the same run whose home is not behind the hole moves
    /// into it and leaves a new hole.
    fn shiftBack(registry: *Registry, first_hole: u32) void {
        var hole = first_hole;
        var next = (hole + 1) & mask;
        while (registry.groupAt(next) != 0) : (next = (next + 1) & mask) {
            const entry = registry.shared.listeners[next];
            const home = layout.registryHash(entry.endpoint.port);
            if ((next -% home) & mask < (next -% hole) & mask) continue;
            registry.put(hole, entry);
            hole = next;
        }
        registry.put(hole, std.mem.zeroes(Listener));
    }

    fn groupAt(registry: *const Registry, place: u32) u32 {
        return registry.shared.listeners[place].group;
    }

    /// Each word by a release store: none of them can be seen before the odd `listeners_seq`,
    /// which a plain store after it could on arm64.
    fn put(registry: *Registry, place: u32, listener: Listener) void {
        const from: *const [listener_words]u64 = @ptrCast(&listener);
        const to: *[listener_words]u64 = @ptrCast(&registry.shared.listeners[place]);
        for (from, to) |value, *word| @atomicStore(u64, word, value, .release);
    }

    fn writeBegin(registry: *Registry) void {
        _ = @atomicRmw(u64, &registry.shared.header.listeners_seq, .Add, 1, .acq_rel);
    }

    /// Release: an even value is seen only after every word written above.
    fn writeEnd(registry: *Registry) void {
        _ = @atomicRmw(u64, &registry.shared.header.listeners_seq, .Add, 1, .release);
    }
};

const testing = std.testing;

fn testListener(group: u32, port: u16) Listener {
    var listener = std.mem.zeroes(Listener);
    listener.group = group;
    listener.endpoint.port = port;
    return listener;
}

/// What a library does: probe from home until an empty place.
fn testFind(registry: *const Registry, group: u32, port: u16) bool {
    var place = layout.registryHash(port);
    while (registry.groupAt(place) != 0) : (place = (place + 1) & mask) {
        if (registry.groupAt(place) == group) return true;
    }
    return false;
}

test "others can map the registry for reading only" {
    var registry: Registry = undefined;
    try testing.expectEqual(0, registry.open(1, 2));
    defer registry.close();
    const size = @sizeOf(layout.Registry);
    const write: linux.PROT = .{ .READ = true, .WRITE = true };
    const refused = linux.mmap(null, size, write, .{ .TYPE = .SHARED }, registry.fd, 0);
    try testing.expectEqual(linux.E.PERM, linux.errno(refused));
    const read: linux.PROT = .{ .READ = true };
    const mapped = linux.mmap(null, size, read, .{ .TYPE = .SHARED }, registry.fd, 0);
    try testing.expectEqual(linux.E.SUCCESS, linux.errno(mapped));
    defer _ = linux.munmap(@ptrFromInt(mapped), size);
    const seen: *const layout.Registry = @ptrFromInt(mapped);
    try testing.expectEqual(layout.registry_magic, seen.header.magic);
    try testing.expectEqual(0, registry.bump(5));
    try testing.expectEqual(1, seen.process_seq[5]);
}

test "a process number out of range is refused" {
    var registry: Registry = undefined;
    try testing.expectEqual(0, registry.open(1, 2));
    defer registry.close();
    const bumped = registry.bump(constants.registry_processes);
    try testing.expectEqual(status.failure(.INVAL), bumped);
}

test "every listener stays findable through random inserts and removals" {
    var registry: Registry = undefined;
    try testing.expectEqual(0, registry.open(1, 2));
    defer registry.close();
    var prng: std.Random.DefaultPrng = .init(42);
    const random = prng.random();
    // Few ports, so that runs are long and wrap; ports[group] == 0: not in the table.
    var ports: [600]u16 = @splat(0);
    for (0..20_000) |_| {
        const group = random.intRangeLessThan(u32, 1, ports.len);
        if (ports[group] == 0) {
            ports[group] = random.intRangeAtMost(u16, 1, 40);
            try testing.expectEqual(0, registry.insert(&testListener(group, ports[group])));
        } else {
            try testing.expectEqual(0, registry.remove(group, ports[group]));
            ports[group] = 0;
        }
    }
    var count: u32 = 0;
    for (1..ports.len) |group| {
        const port = ports[group];
        if (port == 0) continue;
        count += 1;
        try testing.expect(testFind(&registry, @intCast(group), port));
    }
    try testing.expectEqual(count, registry.shared.header.listener_count);
    try testing.expectEqual(0, registry.shared.header.listeners_seq % 2);
}

test "the table is never more than half full" {
    var registry: Registry = undefined;
    try testing.expectEqual(0, registry.open(1, 2));
    defer registry.close();
    for (1..capacity / 2 + 1) |group| {
        const listener = testListener(@intCast(group), @intCast(group));
        try testing.expectEqual(0, registry.insert(&listener));
    }
    const refused = registry.insert(&testListener(capacity, 9));
    try testing.expectEqual(status.failure(.NOSPC), refused);
}

test "removing an unknown listener changes nothing" {
    var registry: Registry = undefined;
    try testing.expectEqual(0, registry.open(1, 2));
    defer registry.close();
    try testing.expectEqual(0, registry.insert(&testListener(1, 80)));
    const before = registry.shared.header.listeners_seq;
    try testing.expectEqual(status.failure(.NOENT), registry.remove(2, 80));
    try testing.expectEqual(before, registry.shared.header.listeners_seq);
}
