//! Guarded copies for x86-64 (see copy.zig). "Failed" is rax.

/// Opens a guarded piece: nothing has failed.
const begin = "xorl %%eax, %%eax\n1:\n";

/// Closes it, and notes its two ends. ("R": kept although nothing names the section.)
const end = "2:\n.pushsection sd_guarded,\"aR\",%%progbits\n.balign 4\n.long 1b-., 2b-.\n.popsection\n";

/// Two moves of a `T`, one from either end, that overlap in the middle.
pub inline fn copyWords(comptime T: type, target: [*]u8, source: [*]const u8, len: usize) bool {
    const load, const loaded = switch (T) {
        u64 => .{ "movq", "" },
        u32 => .{ "movl", ":k" },
        u16 => .{ "movzwl", ":k" },
        else => .{ "movzbl", ":k" },
    };
    const store, const stored = switch (T) {
        u64 => .{ "movq", "" },
        u32 => .{ "movl", ":k" },
        u16 => .{ "movw", ":w" },
        else => .{ "movb", ":b" },
    };
    var first: u64 = undefined;
    var last: u64 = undefined;
    const failed = asm volatile (begin ++
            load ++ " (%[source]), %[first" ++ loaded ++ "]\n" ++
            load ++ " (%[source_last]), %[last" ++ loaded ++ "]\n" ++
            store ++ " %[first" ++ stored ++ "], (%[target])\n" ++
            store ++ " %[last" ++ stored ++ "], (%[target_last])\n" ++ end
        : [failed] "=&{rax}" (-> usize),
          [first] "=&r" (first),
          [last] "=&r" (last),
        : [target] "r" (target),
          [target_last] "r" (target + len - @sizeOf(T)),
          [source] "r" (source),
          [source_last] "r" (source + len - @sizeOf(T)),
        : .{ .memory = true });
    return failed == 0;
}

/// As `copyWords`, of 16 bytes each.
pub inline fn copyVectors(target: [*]u8, source: [*]const u8, len: usize) bool {
    const failed = asm volatile (begin ++
            \\movups (%[source]), %%xmm0
            \\movups -16(%[source],%[len]), %%xmm1
            \\movups %%xmm0, (%[target])
            \\movups %%xmm1, -16(%[target],%[len])
            \\
        ++ end
        : [failed] "=&{rax}" (-> usize),
        : [target] "r" (target),
          [source] "r" (source),
          [len] "r" (len),
        : .{ .memory = true, .xmm0 = true, .xmm1 = true });
    return failed == 0;
}

/// Whether a byte can be written; its value stays.
pub inline fn touch(address: *u8) bool {
    const failed = asm volatile (begin ++ "orb $0, (%[address])\n" ++ end
        : [failed] "=&{rax}" (-> usize),
        : [address] "r" (address),
        : .{ .memory = true });
    return failed == 0;
}

// -- more than 64 bytes ------------------------------------------------------------------------------

/// The cpu and the kernel know 256-bit registers.
var wide: enum(u8) { unknown, no, yes } = .unknown;

pub noinline fn copyLarge(target: [*]u8, source: [*]const u8, len: usize) bool {
    if (wide == .yes) return loopAvx(target, source, len);
    if (wide == .unknown) wide = if (hasAvx()) .yes else .no;
    return loopSse(target, source, len);
}

fn hasAvx() bool {
    const osxsave = 1 << 27;
    const avx = 1 << 28;
    var features: u32 = undefined;
    asm volatile ("cpuid"
        : [features] "={ecx}" (features),
        : [leaf] "{eax}" (1),
          [part] "{ecx}" (0),
        : .{ .eax = true, .ebx = true, .edx = true });
    if (features & osxsave == 0 or features & avx == 0) return false;
    const saved_by_kernel = asm volatile ("xgetbv"
        : [low] "={eax}" (-> u32),
        : [number] "{ecx}" (0),
        : .{ .edx = true });
    return saved_by_kernel & 6 == 6;
}

/// 64 bytes a turn; the last 64, which no turn ends with exactly, are loaded first and stored last.
fn loopAvx(target: [*]u8, source: [*]const u8, len: usize) bool {
    var at: usize = undefined;
    const failed = asm volatile (begin ++
            \\vmovdqu -64(%[source],%[len]), %%ymm2
            \\vmovdqu -32(%[source],%[len]), %%ymm3
            \\xorl %[at:k], %[at:k]
            \\3:
            \\vmovdqu (%[source],%[at]), %%ymm0
            \\vmovdqu 32(%[source],%[at]), %%ymm1
            \\vmovdqu %%ymm0, (%[target],%[at])
            \\vmovdqu %%ymm1, 32(%[target],%[at])
            \\addq $64, %[at]
            \\cmpq %[loop_end], %[at]
            \\jb 3b
            \\vmovdqu %%ymm2, -64(%[target],%[len])
            \\vmovdqu %%ymm3, -32(%[target],%[len])
            \\
        ++ end ++ "vzeroupper\n"
        : [failed] "=&{rax}" (-> usize),
          [at] "=&r" (at),
        : [target] "r" (target),
          [source] "r" (source),
          [len] "r" (len),
          [loop_end] "r" (len - 64),
        : .{ .memory = true, .xmm0 = true, .xmm1 = true, .xmm2 = true, .xmm3 = true });
    return failed == 0;
}

fn loopSse(target: [*]u8, source: [*]const u8, len: usize) bool {
    var at: usize = undefined;
    const failed = asm volatile (begin ++
            \\movups -64(%[source],%[len]), %%xmm4
            \\movups -48(%[source],%[len]), %%xmm5
            \\movups -32(%[source],%[len]), %%xmm6
            \\movups -16(%[source],%[len]), %%xmm7
            \\xorl %[at:k], %[at:k]
            \\3:
            \\movups (%[source],%[at]), %%xmm0
            \\movups 16(%[source],%[at]), %%xmm1
            \\movups 32(%[source],%[at]), %%xmm2
            \\movups 48(%[source],%[at]), %%xmm3
            \\movups %%xmm0, (%[target],%[at])
            \\movups %%xmm1, 16(%[target],%[at])
            \\movups %%xmm2, 32(%[target],%[at])
            \\movups %%xmm3, 48(%[target],%[at])
            \\addq $64, %[at]
            \\cmpq %[loop_end], %[at]
            \\jb 3b
            \\movups %%xmm4, -64(%[target],%[len])
            \\movups %%xmm5, -48(%[target],%[len])
            \\movups %%xmm6, -32(%[target],%[len])
            \\movups %%xmm7, -16(%[target],%[len])
            \\
        ++ end
        : [failed] "=&{rax}" (-> usize),
          [at] "=&r" (at),
        : [target] "r" (target),
          [source] "r" (source),
          [len] "r" (len),
          [loop_end] "r" (len - 64),
        : .{
            .memory = true,
            .xmm0 = true,
            .xmm1 = true,
            .xmm2 = true,
            .xmm3 = true,
            .xmm4 = true,
            .xmm5 = true,
            .xmm6 = true,
            .xmm7 = true,
        });
    return failed == 0;
}

/// For tests: every loop that this cpu can run.
pub fn largeCopies() []const *const fn ([*]u8, [*]const u8, usize) bool {
    const loops = &[_]*const fn ([*]u8, [*]const u8, usize) bool{ &loopSse, &loopAvx };
    return loops[0..if (hasAvx()) 2 else 1];
}
