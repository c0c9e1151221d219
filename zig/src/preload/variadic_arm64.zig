//! The intercepted functions that take any number of arguments, on arm64, where Zig cannot read
//! them itself. Each entry lays the argument registers down on the stack just below the arguments
//! that the caller has put there, so that they are one array of words:
//!
//!   q0 ... q7 | words: x0 ... x7, then the caller's stack
//!
//! On x86-64 the same functions are ordinary ones (api_process.zig).

const process = @import("api_process.zig");

pub const execl = Entry(execlWords).enter;
pub const execlp = Entry(execlpWords).enter;
pub const execle = Entry(execleWords).enter;
pub const dprintf = Entry(dprintfWords).enter;
pub const __dprintf_chk = Entry(dprintfChkWords).enter;

const Words = [*]const usize;

fn Entry(comptime handler: fn (Words) callconv(.c) c_int) type {
    return struct {
        pub fn enter() callconv(.naked) noreturn {
            asm volatile (
                \\ stp x29, x30, [sp, #-208]!
                \\ mov x29, sp
                \\ stp q0, q1, [sp, #16]
                \\ stp q2, q3, [sp, #48]
                \\ stp q4, q5, [sp, #80]
                \\ stp q6, q7, [sp, #112]
                \\ stp x0, x1, [sp, #144]
                \\ stp x2, x3, [sp, #160]
                \\ stp x4, x5, [sp, #176]
                \\ stp x6, x7, [sp, #192]
                \\ add x0, sp, #144
                \\ bl %[handler]
                \\ ldp x29, x30, [sp], #208
                \\ ret
                :
                : [handler] "X" (&handler),
            );
        }
    };
}

/// The arguments from `words[1]` on are the argv already, null included.
fn execlWords(words: Words) callconv(.c) c_int {
    return process.execv(@ptrFromInt(words[0]), @ptrCast(words + 1));
}

fn execlpWords(words: Words) callconv(.c) c_int {
    return process.execvp(@ptrFromInt(words[0]), @ptrCast(words + 1));
}

fn execleWords(words: Words) callconv(.c) c_int {
    var end: usize = 1;
    while (words[end] != 0) end += 1;
    return process.execve(@ptrFromInt(words[0]), @ptrCast(words + 1), @ptrFromInt(words[end + 1]));
}

/// The procedure call standard's va_list; passed by reference, being larger than two words.
const VaList = extern struct {
    stack: Words,
    general_end: Words,
    vector_end: Words,
    /// From the ends back to the first register not read yet, in bytes.
    general_offset: i32,
    vector_offset: i32,

    fn after(words: Words, named: i32) VaList {
        return .{
            .stack = words + 8,
            .general_end = words + 8,
            .vector_end = words,
            .general_offset = (named - 8) * 8,
            .vector_offset = -8 * 16,
        };
    }
};

fn dprintfWords(words: Words) callconv(.c) c_int {
    var list: VaList = .after(words, 2);
    return process.vdprintf(@bitCast(@as(u32, @truncate(words[0]))), @ptrFromInt(words[1]), &list);
}

fn dprintfChkWords(words: Words) callconv(.c) c_int {
    var list: VaList = .after(words, 3);
    const fd: c_int = @bitCast(@as(u32, @truncate(words[0])));
    const flag: c_int = @bitCast(@as(u32, @truncate(words[1])));
    return process.__vdprintf_chk(fd, flag, @ptrFromInt(words[2]), &list);
}
