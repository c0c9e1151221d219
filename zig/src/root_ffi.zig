//! Root of libsdffi.so: the C ABI that the monitor calls through Deno's FFI. Exports `sd_*` and
//! nothing else, and no name of libc. Every function returns a status (ffi/status.zig): zero or
//! more, or a negative errno. Buffers are the caller's; descriptors returned are the caller's.
//!
//! The TypeScript side of this table is ffi/symbols.ts; both are checked against each other by
//! `sd_layout_hash` (structs, enums, constants) and by ffi/native_test.ts (names).

const std = @import("std");
const linux = std.os.linux;
const diag = @import("ffi/diag.zig");
const end_table = @import("ffi/end_table.zig");
const layout = @import("layout.zig");
const layout_export = @import("layout_export.zig");
const listener = @import("ffi/listener.zig");
const memory = @import("ffi/memory.zig");
const poller = @import("ffi/poller.zig");
const Registry = @import("ffi/registry.zig").Registry;
const socket = @import("ffi/socket.zig");
const status = @import("ffi/status.zig");
const types = @import("ffi/types.zig");
const Status = status.Status;

pub const panic = std.debug.FullPanic(panicOneLine);
pub const std_options: std.Options = .{
    .enable_segfault_handler = false,
    .signal_stack_size = null,
    .allow_stack_tracing = false,
};

/// One line and abort: the default handler would carry half a megabyte of stack printing along.
fn panicOneLine(message: []const u8, _: ?usize) noreturn {
    const prefix = "libsdffi: ";
    _ = linux.write(2, prefix, prefix.len);
    _ = linux.write(2, message.ptr, message.len);
    _ = linux.write(2, "\n", 1);
    std.process.abort();
}

/// Of everything in ffi/layout.gen.ts; a different one there means that it is stale.
export fn sd_layout_hash() u64 {
    return layout_export.hash;
}

// -- sockets ------------------------------------------------------------------------------------

export fn sd_listen(path: [*]const u8, path_bytes: usize, mode: u32, backlog: u32) Status {
    return socket.listen(path[0..path_bytes], mode, backlog);
}

export fn sd_bind_datagrams(path: [*]const u8, path_bytes: usize, mode: u32) Status {
    return socket.bindDatagrams(path[0..path_bytes], mode);
}

export fn sd_connect(path: [*]const u8, path_bytes: usize) Status {
    return socket.connect(path[0..path_bytes]);
}

export fn sd_accept(fd: i32, peer: *types.Peer) Status {
    return socket.accept(fd, peer);
}

export fn sd_send(
    fd: i32,
    bytes: [*]const u8,
    byte_count: usize,
    fds: [*]const i32,
    fd_count: usize,
) Status {
    return socket.send(fd, bytes[0..byte_count], fds[0..fd_count]);
}

export fn sd_receive(fd: i32, bytes: [*]u8, capacity: usize, packet: *types.Packet) Status {
    return socket.receive(fd, bytes[0..capacity], packet);
}

export fn sd_socket_pair(fds: *[2]i32) Status {
    return socket.pair(fds);
}

/// A socket of sock_diag to lend to a process of network namespace `netns`.
export fn sd_diag_open(netns: u64) Status {
    return diag.open(netns);
}

/// Nice value of this thread and of those it will start; below 0 needs CAP_SYS_NICE.
export fn sd_set_nice(nice: i32) Status {
    const prio_process = 0;
    const value: usize = @bitCast(@as(isize, nice));
    return status.of(linux.syscall3(.setpriority, prio_process, 0, value));
}

export fn sd_close(fd: i32) Status {
    return status.of(linux.close(fd));
}

export fn sd_listener_check(fd: i32, facts: *types.ListenerFacts) Status {
    return listener.check(fd, facts);
}

// -- waiting ------------------------------------------------------------------------------------

export fn sd_poller_create() Status {
    return poller.create();
}

export fn sd_poller_add(epoll: i32, fd: i32, events: u32, kind: u32, id: u32) Status {
    return poller.add(epoll, fd, events, kind, id);
}

export fn sd_poller_modify(epoll: i32, fd: i32, events: u32, kind: u32, id: u32) Status {
    return poller.modify(epoll, fd, events, kind, id);
}

export fn sd_poller_remove(epoll: i32, fd: i32) Status {
    return poller.remove(epoll, fd);
}

export fn sd_poller_wait(epoll: i32, ready: [*]types.Ready, max: usize, timeout_ms: i32) Status {
    return poller.wait(epoll, ready[0..max], timeout_ms);
}

export fn sd_waker_create() Status {
    return poller.wakerCreate();
}

export fn sd_waker_signal(waker: i32) Status {
    return poller.wakerSignal(waker);
}

// -- shared memory ------------------------------------------------------------------------------

export fn sd_memfd_create(bytes: u64) Status {
    return memory.create("sd-memory", bytes);
}

export fn sd_arena_create(slot_count: u32, arena_id: u64) Status {
    return memory.createArena(slot_count, arena_id);
}

/// Fills in the caller's handle; returns the registry's descriptor, to be handed to processes. It
/// stays the registry's.
export fn sd_registry_open(registry: *Registry, generation: u64, pid: u32) Status {
    const outcome = registry.open(generation, pid);
    return if (status.failed(outcome)) outcome else registry.fd;
}

export fn sd_registry_close(registry: *Registry) Status {
    registry.close();
    return 0;
}

export fn sd_registry_bump(registry: *Registry, process_index: u32) Status {
    return registry.bump(process_index);
}

export fn sd_registry_set_flags(registry: *Registry, flags: u32) Status {
    registry.setFlags(flags);
    return 0;
}

export fn sd_registry_insert(registry: *Registry, entry: *const layout.RegistryListener) Status {
    return registry.insert(entry);
}

export fn sd_registry_remove(registry: *Registry, group: u32, port: u32) Status {
    return registry.remove(group, @truncate(port));
}

export fn sd_end_table_check(fd: i32, bytes: u64) Status {
    return end_table.check(fd, bytes);
}

export fn sd_end_table_totals(fd: i32, totals: *types.TableTotals) Status {
    return end_table.totals(fd, totals);
}

export fn sd_end_table_read(fd: i32, records: [*]types.EndRecord, capacity: usize) Status {
    return end_table.read(fd, records[0..capacity]);
}

// -- the process itself -------------------------------------------------------------------------

/// Takes the soft limit of descriptors to the hard one; returns it (clamped).
export fn sd_raise_fd_limit() Status {
    var limit: linux.rlimit = undefined;
    const known = status.of(linux.getrlimit(.NOFILE, &limit));
    if (status.failed(known)) return known;
    limit.cur = limit.max;
    const raised = status.of(linux.setrlimit(.NOFILE, &limit));
    if (status.failed(raised)) return raised;
    return std.math.lossyCast(i32, limit.cur);
}
