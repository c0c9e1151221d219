//! Guarded copies for arm64 (see copy.zig). "Failed" is x0.

/// Opens a guarded piece: nothing has failed.
const begin = "mov x0, #0\n1:\n";

/// Closes it, and notes its two ends. ("R": kept although nothing names the section.)
const end = "2:\n.pushsection sd_guarded,\"aR\",%%progbits\n.balign 4\n.long 1b-., 2b-.\n.popsection\n";

/// Two moves of a `T`, one from either end, that overlap in the middle.
pub inline fn copyWords(comptime T: type, target: [*]u8, source: [*]const u8, len: usize) bool {
    const size, const register = switch (T) {
        u64 => .{ "", ":x" },
        u32 => .{ "", ":w" },
        u16 => .{ "h", ":w" },
        else => .{ "b", ":w" },
    };
    var first: u64 = undefined;
    var last: u64 = undefined;
    const failed = asm volatile (begin ++
            "ldr" ++ size ++ " %[first" ++ register ++ "], [%[source]]\n" ++
            "ldr" ++ size ++ " %[last" ++ register ++ "], [%[source_last]]\n" ++
            "str" ++ size ++ " %[first" ++ register ++ "], [%[target]]\n" ++
            "str" ++ size ++ " %[last" ++ register ++ "], [%[target_last]]\n" ++ end
        : [failed] "=&{x0}" (-> usize),
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
            \\ldr q0, [%[source]]
            \\ldr q1, [%[source_last]]
            \\str q0, [%[target]]
            \\str q1, [%[target_last]]
            \\
        ++ end
        : [failed] "=&{x0}" (-> usize),
        : [target] "r" (target),
          [target_last] "r" (target + len - 16),
          [source] "r" (source),
          [source_last] "r" (source + len - 16),
        : .{ .memory = true, .v0 = true, .v1 = true });
    return failed == 0;
}

/// Whether a byte can be written; its value stays.
pub inline fn touch(address: *u8) bool {
    var value: u64 = undefined;
    var retry: u64 = undefined;
    const failed = asm volatile (begin ++
            \\3:
            \\ldxrb %[value:w], [%[address]]
            \\stxrb %[retry:w], %[value:w], [%[address]]
            \\cbnz %[retry:w], 3b
            \\
        ++ end
        : [failed] "=&{x0}" (-> usize),
          [value] "=&r" (value),
          [retry] "=&r" (retry),
        : [address] "r" (address),
        : .{ .memory = true });
    return failed == 0;
}

/// 64 bytes a turn; the last 64, which no turn ends with exactly, are loaded first and stored last.
pub noinline fn copyLarge(target: [*]u8, source: [*]const u8, len: usize) bool {
    var to: usize = undefined;
    var from: usize = undefined;
    const failed = asm volatile (begin ++
            \\ldp q4, q5, [%[source_last]]
            \\ldp q6, q7, [%[source_last], #32]
            \\mov %[to], %[target]
            \\mov %[from], %[source]
            \\3:
            \\ldp q0, q1, [%[from]]
            \\ldp q2, q3, [%[from], #32]
            \\add %[from], %[from], #64
            \\stp q0, q1, [%[to]]
            \\stp q2, q3, [%[to], #32]
            \\add %[to], %[to], #64
            \\cmp %[from], %[source_last]
            \\b.lo 3b
            \\stp q4, q5, [%[target_last]]
            \\stp q6, q7, [%[target_last], #32]
            \\
        ++ end
        : [failed] "=&{x0}" (-> usize),
          [to] "=&r" (to),
          [from] "=&r" (from),
        : [target] "r" (target),
          [source] "r" (source),
          [target_last] "r" (target + len - 64),
          [source_last] "r" (source + len - 64),
        : .{
            .memory = true,
            .nzcv = true,
            .v0 = true,
            .v1 = true,
            .v2 = true,
            .v3 = true,
            .v4 = true,
            .v5 = true,
            .v6 = true,
            .v7 = true,
        });
    return failed == 0;
}

/// For tests: every loop that this cpu can run.
pub fn largeCopies() []const *const fn ([*]u8, [*]const u8, usize) bool {
    return &.{&copyLarge};
}
