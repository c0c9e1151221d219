//! The libc functions that take any number of arguments, with more of them than registers hold:
//! what they print is the test's to compare. `dprintf` writes to a TCP connection, where the library
//! has to do something first; the rest become /bin/echo.

extern "c" fn dprintf(fd: c_int, format: [*:0]const u8, ...) c_int;
extern "c" fn execl(path: [*:0]const u8, first: ?[*:0]const u8, ...) c_int;
extern "c" fn execlp(file: [*:0]const u8, first: ?[*:0]const u8, ...) c_int;
extern "c" fn execle(path: [*:0]const u8, first: ?[*:0]const u8, ...) c_int;
extern "c" fn fork() c_int;
extern "c" fn waitpid(pid: c_int, status: *c_int, options: c_int) c_int;
extern "c" fn unsetenv(name: [*:0]const u8) c_int;
extern "c" fn socket(domain: c_int, kind: c_int, protocol: c_int) c_int;
extern "c" fn bind(fd: c_int, address: *const Address, length: u32) c_int;
extern "c" fn listen(fd: c_int, backlog: c_int) c_int;
extern "c" fn getsockname(fd: c_int, address: *Address, length: *u32) c_int;
extern "c" fn accept(fd: c_int, address: ?*Address, length: ?*u32) c_int;
extern "c" fn connect(fd: c_int, address: *const Address, length: u32) c_int;
extern "c" fn recv(fd: c_int, buffer: [*]u8, length: usize, flags: c_int) isize;
extern "c" fn write(fd: c_int, text: [*]const u8, length: usize) isize;
extern "c" fn close(fd: c_int) c_int;
extern "c" fn _exit(code: c_int) noreturn;

const Address = extern struct { family: u16 = 2, port: u16 = 0, ip: u32 = 0x0100007f, zero: u64 = 0 };
const none: ?[*:0]const u8 = null;

pub fn main() void {
    printToConnection();
    _ = unsetenv("LD_PRELOAD"); // what is started is of the machine's own architecture
    inChild(becomeByExecl);
    inChild(becomeByExeclp);
    inChild(becomeByExecle);
}

fn printToConnection() void {
    const listener = socket(2, 1, 0);
    var address: Address = .{};
    var length: u32 = @sizeOf(Address);
    if (bind(listener, &address, length) != 0 or listen(listener, 1) != 0) _exit(1);
    if (getsockname(listener, &address, &length) != 0) _exit(1);
    const client = socket(2, 1, 0);
    if (connect(client, &address, length) != 0) _exit(1);
    const server = accept(listener, null, null);
    const half: f64 = 0.5;
    const printed = dprintf(client, "%d %s %.1f %d %d %d %d %d %.2f %s %ld\n", @as(c_int, -1), "two", 2 * half, @as(c_int, 4), @as(c_int, 5), @as(c_int, 6), @as(c_int, 7), @as(c_int, 8), half, "ten", @as(c_long, 1) << 40);
    var text: [200]u8 = undefined;
    const n = recv(server, &text, text.len, 0);
    if (n != printed) _exit(1);
    _ = write(1, &text, @intCast(n));
    _ = close(server);
    _ = close(client);
    _ = close(listener);
}

fn inChild(become: fn () void) void {
    const child = fork();
    if (child == 0) {
        become();
        _exit(1);
    }
    var status: c_int = -1;
    if (waitpid(child, &status, 0) != child or status != 0) _exit(1);
}

fn becomeByExecl() void {
    _ = execl("/bin/echo", "echo", "execl", "2", "3", "4", "5", "6", "7", "8", "9", none);
}

fn becomeByExeclp() void {
    _ = execlp("echo", "echo", "execlp", "2", none);
}

fn becomeByExecle() void {
    const environment = [_:null]?[*:0]const u8{"EXECLE=came"};
    _ = execle("/bin/sh", "sh", "-c", "echo execle $1 $8 $EXECLE", "sh", "1", "2", "3", "4", "5", "6", "7", "8", none, &environment);
}
