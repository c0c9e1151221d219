//! The simulated machine: shared memory, threads as fibers, a store buffer for each thread.
//!
//! Every memory operation of the code under test comes here (env.zig). What other threads could
//! notice is a scheduling point: the fiber stops *before* the operation and the explorer decides who
//! goes on. Stores go into the thread's buffer; that an entry reaches memory is a step of its own.
//!
//! Two memory orders:
//!   tso   x86: the buffer is first in, first out; an atomic read-modify-write empties it first
//!   weak  towards arm64: relaxed stores overtake each other, release stores wait for all earlier
//!         ones, and the write half of a read-modify-write may become visible after later loads
//!         (load-exclusive/store-exclusive); only `fence` holds loads back
//! Loads are never satisfied early in either (docs/VERIFICATION.md says what that leaves out).
//!
//! Reduction: an operation on bytes that no other thread ever touches is not a scheduling point. Who
//! touches what is learned: when the exploration meets an access that it did not know of, it starts
//! again with that knowledge, until nothing is new. Then no access can have been missed: the first
//! one on any path would have been met, as everything before it was treated rightly.
//!
//! There is one machine, in global variables, because a copied stack holds pointers into it.

const std = @import("std");
const fiber = @import("fiber.zig");

pub const memory_bytes_max = 4096;
pub const threads_max = 6;
pub const buffer_entries_max = 12;
const stack_bytes = 16 * 1024;
/// What one step's frames may reach below the stack pointer; zeroed before each step, so that
/// leftovers of earlier calls do not make equal states look different.
const scrub_bytes = 2048;
/// Operations that one step may take without a scheduling point: more is an endless loop.
const silent_operations_max = 5000;

pub const MemoryOrder = enum { tso, weak };
pub const Next = enum { again, done };
pub const Condition = *const fn (usize) bool;

/// What a stopped thread does when it goes on.
pub const Pending = struct {
    pub const Kind = enum(u8) { run, rmw, drained, wait, choose, room };
    kind: Kind = .run,
    /// The system may end while this wait lasts.
    may_end: bool = false,
    /// Branches of a `choose`.
    branches: u8 = 1,
    /// Memory offset of a read-modify-write.
    offset: u16 = 0,
    argument: u32 = 0,
    condition: ?Condition = null,
};

/// A store that has not reached memory.
pub const Entry = struct {
    value: u64 = 0,
    offset: u16 = 0,
    size: u8 = 0,
    /// Waits for all earlier entries.
    release: bool = false,
    /// Write half of a read-modify-write: nobody else may write here until it is done.
    locked: bool = false,
    /// The checker's own bookkeeping, in program order with the stores around it; no step.
    ghost: bool = false,
};

pub const Thread = struct {
    name: []const u8 = "",
    step: *const fn () Next = undefined,
    sp: usize = 0,
    process: u8 = 0,
    dead: bool = false,
    done: bool = false,
    /// Stops before and after every operation, so that a kill is tried between any two, the plain
    /// ones on memory that its heirs share included.
    crashes: bool = false,
    buffered: u8 = 0,
    pending: Pending = .{},
    entries: [buffer_entries_max]Entry = @splat(.{}),

    pub fn finished(thread: *const Thread) bool {
        return thread.dead or thread.done or thread.pending.may_end;
    }
};

pub const Happening = struct {
    pub const Kind = enum { load, forwarded, store, private, flush, rmw, call, choice };
    thread: u8,
    kind: Kind,
    offset: u16 = 0,
    value: u64 = 0,
    text: []const u8 = "",
};

pub var memory: [memory_bytes_max]u8 align(4096) = @splat(0);
pub var world_bytes: usize = 0;
pub var threads: [threads_max]Thread = @splat(.{});
pub var thread_count: usize = 0;
pub var order: MemoryOrder = .tso;

/// Null, or what went wrong; the state it happened in is not explored further.
pub var failure: ?[]const u8 = null;
var failure_text: [256]u8 = undefined;

/// Set when an access became known that the exploration so far did not reckon with.
pub var knowledge_grew: bool = false;
var readers: [memory_bytes_max]u8 = @splat(0);
var writers: [memory_bytes_max]u8 = @splat(0);

/// Steps are recorded here while a trace is printed.
pub var recording: bool = false;
pub var happenings: [256]Happening = undefined;
pub var happening_count: usize = 0;

var stacks: [threads_max][stack_bytes]u8 align(4096) = undefined;
var scheduler_sp: usize = 0;
var current: usize = 0;
var on_fiber: bool = false;
var branch_taken: u8 = 0;
var silent_operations: u32 = 0;

// -- setting up --------------------------------------------------------------------------------

pub fn reset() void {
    @memset(&memory, 0);
    threads = @splat(.{});
    thread_count = 0;
    failure = null;
}

/// For a scenario that has not run yet: nothing is known about who touches what.
pub fn forget() void {
    readers = @splat(0);
    writers = @splat(0);
    knowledge_grew = false;
}

/// The scenario's shared state, at the start of memory.
pub fn world(comptime World: type) *World {
    comptime std.debug.assert(@sizeOf(World) <= memory_bytes_max);
    return @ptrCast(&memory);
}

/// `step` is called again and again until it says done; between two calls the stack is empty, so
/// what a thread must remember lies in the world.
pub fn spawn(name: []const u8, process: u8, step: *const fn () Next) void {
    spawnThread(name, process, step, false);
}

/// A thread that may be killed while others go on with what it leaves in memory of its own.
pub fn spawnMortal(name: []const u8, process: u8, step: *const fn () Next) void {
    spawnThread(name, process, step, true);
}

fn spawnThread(name: []const u8, process: u8, step: *const fn () Next, crashes: bool) void {
    threads[thread_count] = .{
        .crashes = crashes,
        .name = name,
        .process = process,
        .step = step,
        .sp = fiber.prepare(&stacks[thread_count], &threadMain),
    };
    thread_count += 1;
}

fn threadMain() callconv(.c) noreturn {
    while (true) {
        if (threads[current].step() == .done) {
            threads[current].done = true;
            pause(.{});
        }
    }
}

// -- operations of the code under test -----------------------------------------------------------

pub fn load(comptime T: type, address: *const T) u64 {
    const at = offsetOf(@intFromPtr(address), @sizeOf(T));
    note(&readers, at);
    if (newestOwn(at)) |value| {
        record(.{ .thread = self(), .kind = .forwarded, .offset = at, .value = value });
        return value;
    }
    point(writers[at] & ~ownBit() != 0);
    const value = read(at, @sizeOf(T));
    record(.{ .thread = self(), .kind = .load, .offset = at, .value = value });
    afterwards();
    return value;
}

pub fn store(comptime T: type, address: *T, value: T, release: bool) void {
    const at = offsetOf(@intFromPtr(address), @sizeOf(T));
    note(&writers, at);
    point(false);
    if ((readers[at] | writers[at]) & ~ownBit() == 0) {
        record(.{ .thread = self(), .kind = .private, .offset = at, .value = value });
        write(at, @sizeOf(T), value);
    } else {
        record(.{ .thread = self(), .kind = .store, .offset = at, .value = value });
        push(.{ .value = value, .offset = at, .size = @sizeOf(T), .release = release });
    }
    afterwards();
}

pub const Change = union(enum) {
    exchange: u64,
    bit_or: u64,
    cas: struct { expected: u64, new: u64 },
};

/// Atomic read-modify-write; what the word was.
pub fn modify(address: *u64, change: Change) u64 {
    const at = offsetOf(@intFromPtr(address), 8);
    note(&readers, at);
    note(&writers, at);
    pause(.{ .kind = .rmw, .offset = at });
    const old = read(at, 8);
    const new: ?u64 = switch (change) {
        .exchange => |value| value,
        .bit_or => |bits| old | bits,
        .cas => |cas| if (old == cas.expected) cas.new else null,
    };
    record(.{ .thread = self(), .kind = .rmw, .offset = at, .value = new orelse old });
    if (new) |value| switch (order) {
        .tso => write(at, 8, value),
        .weak => push(.{
            .value = value,
            .offset = at,
            .size = 8,
            .release = true,
            .locked = true,
        }),
    };
    afterwards();
    return old;
}

pub fn fence() void {
    if (threads[current].buffered != 0) pause(.{ .kind = .drained });
}

/// membarrier(2): everything that any thread has stored so far is visible, in one step.
pub fn fenceEverywhere() void {
    pause(.{ .kind = .drained });
    for (threads[0..thread_count], 0..) |*thread, index| {
        if (!thread.dead) while (thread.buffered != 0) commit(index, 0);
    }
    record(.{ .thread = self(), .kind = .call, .text = "membarrier" });
}

/// Enters the kernel: everything stored so far is visible (the kernel's socket and file locks are
/// barriers), and what follows until the next operation happens at one moment.
pub fn call(text: []const u8) void {
    pause(.{ .kind = .drained });
    record(.{ .thread = self(), .kind = .call, .text = text });
}

/// Enters the kernel and sleeps there until `condition(argument)`.
pub fn wait(text: []const u8, condition: Condition, argument: u32) void {
    pause(.{ .kind = .wait, .condition = condition, .argument = argument });
    record(.{ .thread = self(), .kind = .call, .text = text });
}

/// As `wait`, where the system may end (the scenario's `finish` says whether rightly).
pub fn waitQuietly(text: []const u8, condition: Condition, argument: u32) void {
    pause(.{ .kind = .wait, .condition = condition, .argument = argument, .may_end = true });
    record(.{ .thread = self(), .kind = .call, .text = text });
}

/// User code that never comes back to us: the system may end here.
pub fn idle() void {
    pause(.{ .kind = .wait, .condition = &never, .may_end = true });
}

fn never(_: usize) bool {
    return false;
}

/// Every branch is explored.
pub fn choose(text: []const u8, branches: u8) u8 {
    pause(.{ .kind = .choose, .branches = branches });
    record(.{ .thread = self(), .kind = .choice, .text = text, .value = branch_taken });
    return branch_taken;
}

/// Bookkeeping of the checker that must not be ahead of the thread's own stores.
pub fn ghost(address: *u64, value: u64) void {
    const at = offsetOf(@intFromPtr(address), 8);
    if (threads[current].buffered == 0) return write(at, 8, value);
    push(.{ .value = value, .offset = at, .size = 8, .ghost = true });
}

/// A property is violated.
pub fn fail(comptime format: []const u8, arguments: anytype) void {
    failWith(std.fmt.bufPrint(&failure_text, format, arguments) catch format);
}

/// As `fail`, for a text that stays where it is (a panic's).
pub fn failWith(text: []const u8) void {
    if (failure == null) failure = text;
    if (!on_fiber) return;
    on_fiber = false;
    fiber.switchStack(&threads[current].sp, scheduler_sp);
    unreachable; // a failed state is never resumed
}

pub fn isOnFiber() bool {
    return on_fiber;
}

// -- the explorer's side ------------------------------------------------------------------------

/// Lets thread `index` go on, with this branch of its `choose`, until its next scheduling point.
pub fn resumeThread(index: usize, branch: u8) void {
    const thread = &threads[index];
    const base = @intFromPtr(&stacks[index]);
    const scrub_from = @max(base, thread.sp -| scrub_bytes);
    @memset(@as([*]u8, @ptrFromInt(scrub_from))[0 .. thread.sp - scrub_from], 0);
    current = index;
    branch_taken = branch;
    silent_operations = 0;
    on_fiber = true;
    fiber.switchStack(&scheduler_sp, thread.sp);
    on_fiber = false;
}

/// Ways in which thread `index` can go on now; 0 = none.
pub fn branchesOf(index: usize) u8 {
    const thread = &threads[index];
    if (thread.dead or thread.done) return 0;
    const pending = &thread.pending;
    const possible = switch (pending.kind) {
        .run, .choose => true,
        .room => thread.buffered < buffer_entries_max,
        .drained => thread.buffered == 0,
        .rmw => thread.buffered == 0 and !lockedElsewhere(index, pending.offset),
        .wait => thread.buffered == 0 and pending.condition.?(pending.argument),
    };
    return if (possible) pending.branches else 0;
}

/// May entry `entry` of thread `index` reach memory now?
pub fn canFlush(index: usize, entry: usize) bool {
    const thread = &threads[index];
    const candidate = &thread.entries[entry];
    if (candidate.ghost) return false;
    if (order == .tso) return entry == 0;
    if (candidate.release and entry != 0) return false;
    for (thread.entries[0..entry]) |*earlier| {
        if (earlier.locked or earlier.offset == candidate.offset) return false;
    }
    return candidate.locked or !lockedElsewhere(index, candidate.offset);
}

pub fn flush(index: usize, entry: usize) void {
    const thread = &threads[index];
    commit(index, entry);
    while (thread.buffered != 0 and thread.entries[0].ghost) commit(index, 0);
}

/// SIGKILL. Under tso what is still buffered was not executed yet: as entries reach memory one by
/// one, this tries a kill between any two stores. Otherwise all of it becomes visible.
pub fn kill(process: u8) void {
    for (threads[0..thread_count], 0..) |*thread, index| {
        if (thread.process != process or thread.dead) continue;
        if (order == .weak or thread.crashes) while (thread.buffered != 0) commit(index, 0);
        thread.dead = true;
        thread.buffered = 0;
    }
}

pub fn alive(process: u8) bool {
    for (threads[0..thread_count]) |*thread| {
        if (thread.process == process and thread.dead) return false;
    }
    return true;
}

/// What a stopped thread's stack holds.
pub fn liveStack(index: usize) []u8 {
    const end = @intFromPtr(&stacks[index]) + stack_bytes;
    const sp = threads[index].sp;
    return @as([*]u8, @ptrFromInt(sp))[0 .. end - sp];
}

// -- helpers --------------------------------------------------------------------------------------

fn self() u8 {
    return @intCast(current);
}

fn ownBit() u8 {
    return @as(u8, 1) << @intCast(current);
}

fn pause(pending: Pending) void {
    silent_operations = 0;
    threads[current].pending = pending;
    on_fiber = false;
    fiber.switchStack(&threads[current].sp, scheduler_sp);
    threads[current].pending = .{};
}

/// Before an operation: a scheduling point if others can notice it.
fn point(noticeable: bool) void {
    silent_operations += 1;
    if (silent_operations > silent_operations_max) fail("loops for ever by itself", .{});
    if (noticeable or threads[current].crashes) pause(.{});
}

fn afterwards() void {
    if (threads[current].crashes) pause(.{});
}

fn note(users: *[memory_bytes_max]u8, at: u16) void {
    const bit = ownBit();
    if (users[at] & bit != 0) return;
    users[at] |= bit;
    if ((readers[at] | writers[at]) & ~bit != 0) knowledge_grew = true;
}

fn record(happening: Happening) void {
    if (!recording or happening_count == happenings.len) return;
    if (happening.kind == .load and writers[happening.offset] == 0) return; // nobody's word
    happenings[happening_count] = happening;
    happening_count += 1;
}

fn offsetOf(address: usize, size: usize) u16 {
    const at = address -% @intFromPtr(&memory);
    if (at > world_bytes or at + size > world_bytes) {
        fail("touches memory outside the shared mapping", .{});
    }
    return @intCast(at);
}

fn newestOwn(at: u16) ?u64 {
    const thread = &threads[current];
    var i = thread.buffered;
    while (i > 0) : (i -= 1) {
        const entry = &thread.entries[i - 1];
        if (entry.offset == at and !entry.ghost) return entry.value;
    }
    return null;
}

fn push(entry: Entry) void {
    if (threads[current].buffered == buffer_entries_max) pause(.{ .kind = .room });
    const thread = &threads[current];
    thread.entries[thread.buffered] = entry;
    thread.buffered += 1;
}

fn commit(index: usize, at: usize) void {
    const thread = &threads[index];
    const entry = thread.entries[at];
    for (at + 1..thread.buffered) |i| thread.entries[i - 1] = thread.entries[i];
    thread.buffered -= 1;
    write(entry.offset, entry.size, entry.value);
    if (recording and !entry.ghost) {
        record(.{
            .thread = @intCast(index),
            .kind = .flush,
            .offset = entry.offset,
            .value = entry.value,
        });
    }
}

fn lockedElsewhere(index: usize, at: u16) bool {
    for (threads[0..thread_count], 0..) |*thread, other| {
        if (other == index) continue;
        for (thread.entries[0..thread.buffered]) |*entry| {
            if (entry.locked and entry.offset == at) return true;
        }
    }
    return false;
}

fn read(at: u16, size: u8) u64 {
    if (size == 1) return memory[at];
    return std.mem.readInt(u64, memory[at..][0..8], .little);
}

fn write(at: u16, size: u8, value: u64) void {
    if (size == 1) {
        memory[at] = @truncate(value);
    } else {
        std.mem.writeInt(u64, memory[at..][0..8], value, .little);
    }
}
