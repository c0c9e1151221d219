//! Sealed memfds: arenas, and general ones for tests. A memfd has no name that anyone else could
//! open and vanishes with its last holder; the seals keep its size, so that a mapping of it can
//! never fault.

const std = @import("std");
const linux = std.os.linux;
const constants = @import("../constants.zig");
const layout = @import("../layout.zig");
const status = @import("status.zig");
const Status = status.Status;

const mfd_cloexec = 0x1;
const mfd_allow_sealing = 0x2;
const mfd_noexec_seal = 0x8;

pub const seals_fixed_size = linux.F.SEAL_SHRINK | linux.F.SEAL_GROW;

/// A zeroed memfd of this size that can no longer be resized, or sealed further.
pub fn create(name: [*:0]const u8, bytes: u64) Status {
    const fd = createUnsealed(name, bytes);
    if (status.failed(fd)) return fd;
    return sealOrClose(fd, seals_fixed_size | linux.F.SEAL_SEAL);
}

/// The same, still open to more seals.
pub fn createUnsealed(name: [*:0]const u8, bytes: u64) Status {
    if (bytes > std.math.maxInt(i64)) return status.failure(.INVAL);
    const flags = mfd_cloexec | mfd_allow_sealing;
    var fd = status.of(linux.memfd_create(name, flags | mfd_noexec_seal));
    // Kernels before 6.3 do not know MFD_NOEXEC_SEAL.
    if (fd == status.failure(.INVAL)) fd = status.of(linux.memfd_create(name, flags));
    if (status.failed(fd)) return fd;
    const sized = status.of(linux.ftruncate(fd, @intCast(bytes)));
    if (status.failed(sized)) {
        _ = linux.close(fd);
        return sized;
    }
    return fd;
}

/// Returns `fd` once sealed.
pub fn sealOrClose(fd: i32, seals: usize) Status {
    const sealed = status.of(linux.fcntl(fd, linux.F.ADD_SEALS, seals));
    if (!status.failed(sealed)) return fd;
    _ = linux.close(fd);
    return sealed;
}

/// An arena of `slot_count` slots: its header filled in, everything else zero, its size fixed.
pub fn createArena(slot_count: u32, arena_id: u64) Status {
    if (@popCount(slot_count) != 1) return status.failure(.INVAL);
    if (slot_count < constants.arena_slots_min) return status.failure(.INVAL);
    if (slot_count > constants.arena_slots_max) return status.failure(.INVAL);
    const fd = createUnsealed("sd-arena", layout.ArenaLayout.init(slot_count).total_bytes);
    if (status.failed(fd)) return fd;
    var header = std.mem.zeroes(layout.ArenaHeader);
    header.magic = layout.arena_magic;
    header.abi_version = constants.abi_version;
    header.slot_count = slot_count;
    header.arena_id = arena_id;
    header.ring_bytes = constants.ring_bytes;
    var random: [2]u64 = undefined;
    const got = status.of(linux.getrandom(@ptrCast(&random), @sizeOf(@TypeOf(random)), 0));
    if (got != @sizeOf(@TypeOf(random))) {
        _ = linux.close(fd);
        return if (status.failed(got)) got else status.failure(.IO);
    }
    header.public_name = random[0];
    header.secret = random[1];
    const written = status.of(linux.pwrite(fd, @ptrCast(&header), @sizeOf(layout.ArenaHeader), 0));
    if (written != @sizeOf(layout.ArenaHeader)) {
        _ = linux.close(fd);
        return if (status.failed(written)) written else status.failure(.IO);
    }
    return sealOrClose(fd, seals_fixed_size | linux.F.SEAL_SEAL);
}

/// Size of a memfd whose size can no longer shrink; anything else is refused. F_GET_SEALS works on
/// memfds only, so that a FIFO or a file of a slow file system never gets past this.
pub fn sealedBytes(fd: i32) i64 {
    const seals = status.of(linux.fcntl(fd, linux.F.GET_SEALS, 0));
    if (status.failed(seals)) return seals;
    if (seals & linux.F.SEAL_SHRINK == 0) return status.failure(.PERM);
    const end: isize = @bitCast(linux.lseek(fd, 0, linux.SEEK.END));
    return end;
}

const testing = std.testing;

test "an arena has its header, its full size, and can not be resized" {
    const fd = createArena(64, 0x1234);
    try testing.expect(fd >= 0);
    defer _ = linux.close(fd);
    var header: layout.ArenaHeader = undefined;
    _ = linux.pread(fd, @ptrCast(&header), @sizeOf(layout.ArenaHeader), 0);
    try testing.expectEqual(layout.arena_magic, header.magic);
    try testing.expectEqual(0x1234, header.arena_id);
    try testing.expectEqual(constants.ring_bytes, header.ring_bytes);
    const total = layout.ArenaLayout.init(64).total_bytes;
    try testing.expectEqual(@as(i64, @intCast(total)), sealedBytes(fd));
    try testing.expectEqual(status.failure(.PERM), status.of(linux.ftruncate(fd, 4096)));
    const more = status.of(linux.fcntl(fd, linux.F.ADD_SEALS, linux.F.SEAL_WRITE));
    try testing.expectEqual(status.failure(.PERM), more);
}

test "slot counts outside the limits are refused" {
    for ([_]u32{ 0, 1, 63, 65, 32768 }) |slots| {
        try testing.expectEqual(status.failure(.INVAL), createArena(slots, 1));
    }
}

test "only a memfd that can not shrink has a size to rely on" {
    const loose = createUnsealed("sd-test", 4096);
    defer _ = linux.close(loose);
    try testing.expectEqual(@as(i64, status.failure(.PERM)), sealedBytes(loose));
    const no_memfd = status.of(linux.eventfd(0, 0));
    defer _ = linux.close(no_memfd);
    try testing.expect(sealedBytes(no_memfd) < 0);
}
