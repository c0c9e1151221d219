//! Fibers: several stacks in one thread, switched by hand, so that a thread of the simulated system
//! can be stopped in the middle of real code, copied away, and resumed from the copy later.
//!
//! Every callee-saved register lies on the fiber's own stack while it is stopped. A stopped fiber is
//! therefore its stack pointer and the bytes above it, and nothing else: that is what makes a state
//! of the whole system a plain sequence of bytes (machine.zig).

const builtin = @import("builtin");

/// Elsewhere the interleaving test is skipped, with this as its reason.
pub const supported = builtin.cpu.arch == .x86_64 and builtin.os.tag == .linux;

/// Stops the current stack, noting its pointer in `save`, and goes on with the one at `load`.
/// Not inlined: the compiler must see a call here, so that no value is kept in the red zone.
pub noinline fn switchStack(save: *usize, load: usize) void {
    const call: *const fn (*usize, usize) callconv(.c) void = @ptrCast(&switchNaked);
    call(save, load);
}

/// Lays out a fresh stack whose first switch enters `entry`; its stack pointer.
pub fn prepare(stack: []align(16) u8, entry: *const fn () callconv(.c) noreturn) usize {
    const registers = 6;
    const top = @intFromPtr(stack.ptr) + stack.len;
    const frame: [*]usize = @ptrFromInt(top - (registers + 2) * @sizeOf(usize));
    for (0..registers) |i| frame[i] = 0;
    frame[registers] = @intFromPtr(entry);
    frame[registers + 1] = 0; // where a return address would lie: keeps the ABI's alignment
    return @intFromPtr(frame);
}

fn switchNaked() callconv(.naked) void {
    if (comptime !supported) return asm volatile ("");
    asm volatile (
        \\ pushq %%rbx
        \\ pushq %%rbp
        \\ pushq %%r12
        \\ pushq %%r13
        \\ pushq %%r14
        \\ pushq %%r15
        \\ movq %%rsp, (%%rdi)
        \\ movq %%rsi, %%rsp
        \\ popq %%r15
        \\ popq %%r14
        \\ popq %%r13
        \\ popq %%r12
        \\ popq %%rbp
        \\ popq %%rbx
        \\ retq
    );
}
