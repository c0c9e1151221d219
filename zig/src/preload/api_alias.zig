//! Further public names that libc has for functions which are intercepted by their plain name; each
//! is the plain function. (Names of version GLIBC_PRIVATE are left alone: older glibcs implement
//! `fork` or `sigaction` of one of their libraries by those of another, which would come back here.)

const create = @import("api_create.zig");
const io = @import("api_io.zig");
const process = @import("api_process.zig");
const socket = @import("api_socket.zig");
const wait = @import("api_wait.zig");

pub const __read = io.read;
pub const __write = io.write;
pub const __send = io.send;
pub const __connect = socket.connect;
pub const __close = socket.close;
pub const __dup2 = socket.dup2;
pub const __fcntl = socket.fcntl;
pub const __pipe = create.pipe;
pub const __open = create.open;
pub const __open64 = create.open64;
pub const __poll = wait.poll;
pub const __select = wait.select;
pub const __fork = process.fork;
pub const _IO_fdopen = process.fdopen;
pub const _IO_popen = process.popen;
pub const __sigaction = process.sigaction;
pub const sysv_signal = process.__sysv_signal;
pub const bsd_signal = process.signal;
pub const ssignal = process.signal;
