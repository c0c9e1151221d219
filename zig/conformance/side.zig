//! One side of a case as its code sees it: it makes calls that are recorded, and keeps in step with
//! the other side.
//!
//! A transcript holds nothing that depends on timing, process ids, ports or descriptor numbers:
//! descriptors have labels, steps are agreed on through a side channel (a Unix socket that no
//! library accelerates), and what may come in pieces is recorded as a whole.

const std = @import("std");
const connection = @import("connection.zig");
const calls = @import("calls.zig");
const files = @import("calls_file.zig");
const libc = @import("libc.zig");
const messages = @import("calls_message.zig");
const options = @import("calls_option.zig");
const signals = @import("signals.zig");
const text = @import("text.zig");
const transcript_module = @import("transcript.zig");

const Stage = transcript_module.Stage;
const Transcript = transcript_module.Transcript;

pub const Role = enum { server, client };

const label_max = 1024;
var labels: [label_max]?[]const u8 = @splat(null);

pub const Side = struct {
    pub const Option = options.Option;

    transcript: *Transcript,
    stage: *Stage,
    role: Role,
    /// Both ends are preloaded: warm-ups go on until the kernel carries nothing any more.
    expect_ring: bool,
    /// The child that `fork` made last.
    child_pid: c_int = 0,

    // -- calls that are recorded (calls.zig and its like) -------------------------------------

    pub const accept = calls.accept;
    pub const close = calls.close;
    pub const connect = calls.connect;
    pub const read = calls.read;
    pub const recv = calls.recv;
    pub const recvAll = calls.recvAll;
    pub const recvToEnd = calls.recvToEnd;
    pub const send = calls.send;
    pub const sendAll = calls.sendAll;
    pub const shutdown = calls.shutdown;
    pub const write = calls.write;

    pub const pollNow = calls.pollNow;
    pub const queued = calls.queued;
    pub const untilEvents = calls.untilEvents;
    pub const untilQueued = calls.untilQueued;

    pub const preadv2 = messages.preadv2;
    pub const pwritev2 = messages.pwritev2;
    pub const readv = messages.readv;
    pub const readvMany = messages.readvMany;
    pub const recvfrom = messages.recvfrom;
    pub const recvmmsg = messages.recvmmsg;
    pub const recvmsg = messages.recvmsg;
    pub const sendmmsg = messages.sendmmsg;
    pub const sendmsg = messages.sendmsg;
    pub const sendto = messages.sendto;
    pub const writev = messages.writev;
    pub const writevMany = messages.writevMany;

    pub const acceptName = options.acceptName;
    pub const getOption = options.getOption;
    pub const getTimeout = options.getTimeout;
    pub const ioctlInt = options.ioctlInt;
    pub const isNonBlocking = options.isNonBlocking;
    pub const peerName = options.peerName;
    pub const setLinger = options.setLinger;
    pub const setNonBlocking = options.setNonBlocking;
    pub const setOption = options.setOption;
    pub const setOptionBytes = options.setOptionBytes;
    pub const setTimeout = options.setTimeout;
    pub const sockName = options.sockName;
    pub const tcpState = options.tcpState;

    pub const copyFileRange = files.copyFileRange;
    pub const dup = files.dup;
    pub const dup2 = files.dup2;
    pub const file = files.file;
    pub const fsync = files.fsync;
    pub const kind = files.kind;
    pub const link = files.link;
    pub const lseek = files.lseek;
    pub const pipe = files.pipe;
    pub const pread = files.pread;
    pub const pwrite = files.pwrite;
    pub const sendfile = files.sendfile;
    pub const splice = files.splice;
    pub const tee = files.tee;
    pub const vmsplice = files.vmsplice;

    pub const catchSignal = signals.catchSignal;
    pub const caught = signals.caught;

    // -- connections (connection.zig) ---------------------------------------------------------

    pub const accepted = connection.accepted;
    pub const connected = connection.connected;
    pub const listening = connection.listening;
    pub const acceptFrom = connection.acceptFrom;
    pub const acceptedSecond = connection.acceptedSecond;
    pub const connectedSecond = connection.connectedSecond;
    pub const connectTo = connection.connectTo;
    pub const warmUp = connection.warmUp;

    // -- the transcript -----------------------------------------------------------------------

    /// Says what is done next, so that a hang can be explained; `end` completes the line.
    pub fn begin(t: *Side, comptime format: []const u8, args: anytype) void {
        var w: std.Io.Writer = .fixed(&t.stage.text);
        w.print(format, args) catch {}; // cut off
        t.stage.text_length = @intCast(w.end);
        @atomicStore(u32, &t.stage.busy, 1, .release);
    }

    /// Adds the line that `begin` began, with what came of it.
    pub fn end(t: *Side, comptime format: []const u8, args: anytype) void {
        const errno = libc.errno();
        var buffer: [1024]u8 = undefined;
        var w: std.Io.Writer = .fixed(&buffer);
        w.writeAll(t.stage.text[0..t.stage.text_length]) catch {};
        w.print(format, args) catch {};
        t.transcript.addLine(t.stage, w.buffered());
        @atomicStore(u32, &t.stage.busy, 0, .release);
        libc.setErrno(errno);
    }

    /// Ends a call: its value, or -1 and errno.
    pub fn result(t: *Side, value: anytype) @TypeOf(value) {
        if (value < 0) {
            t.end(" = {d} {f}", .{ value, text.errno(libc.errno()) });
        } else {
            t.end(" = {d}", .{value});
        }
        return value;
    }

    /// Ends a call that makes a descriptor: the number is not recorded, the label is.
    pub fn resultFd(t: *Side, fd: c_int, called: []const u8) c_int {
        if (fd < 0) return t.result(fd);
        t.label(fd, called);
        t.end(" = {s}", .{called});
        return fd;
    }

    /// Ends a call that fills a buffer.
    pub fn resultBytes(t: *Side, count: isize, buffer: []const u8) isize {
        if (count < 0) return t.result(count);
        const filled = buffer[0..@min(buffer.len, @as(usize, @intCast(count)))];
        t.end(" = {d} {f}", .{ count, text.bytes(filled) });
        return count;
    }

    /// Adds a line that is no call.
    pub fn note(t: *Side, comptime format: []const u8, args: anytype) void {
        t.begin(format, args);
        t.end("", .{});
    }

    /// The case cannot go on: both the transcript and the exit code say so.
    pub fn fail(t: *Side, comptime format: []const u8, args: anytype) noreturn {
        t.note("FAILED: " ++ format, args);
        libc._exit(1);
    }

    /// Gives a descriptor the name that it has in the transcript.
    pub fn label(_: *Side, fd: c_int, text_of_it: []const u8) void {
        if (fd >= 0 and fd < label_max) labels[@intCast(fd)] = text_of_it;
    }

    pub fn name(_: *const Side, fd: c_int) []const u8 {
        if (fd == -1) return "-1";
        if (fd < 0 or fd >= label_max) return "unknown";
        return labels[@intCast(fd)] orelse "unlabelled";
    }

    // -- in step with the other side ----------------------------------------------------------

    /// Returns when the other side has come to the same step.
    pub fn sync(t: *Side, step: []const u8) void {
        t.begin("-- {s}", .{step});
        t.say(step, 0);
        _ = t.listen(step);
        t.end("", .{});
    }

    /// Gives the other side a value that it asks for with `hear`. Not recorded.
    pub fn tell(t: *Side, what: []const u8, value: u64) void {
        t.say(what, value);
    }

    pub fn hear(t: *Side, what: []const u8) u64 {
        t.begin("-- the other side's {s}", .{what});
        const value = t.listen(what);
        @atomicStore(u32, &t.stage.busy, 0, .release);
        return value;
    }

    fn say(t: *Side, what: []const u8, value: u64) void {
        var buffer: [128]u8 = undefined;
        const line = std.fmt.bufPrint(&buffer, "{s}={d}\n", .{ what, value }) catch
            t.fail("the name of step '{s}' is too long", .{what});
        // A pipe's worth of names fits without waiting.
        const sent = libc.send(transcript_module.channel_fd, line.ptr, line.len, libc.MSG_NOSIGNAL);
        if (sent != line.len) t.fail("the other side is gone before '{s}'", .{what});
    }

    fn listen(t: *Side, what: []const u8) u64 {
        var buffer: [128]u8 = undefined;
        const line = t.readLine(&buffer, what);
        const equals = std.mem.findScalar(u8, line, '=') orelse line.len;
        if (!std.mem.eql(u8, line[0..equals], what)) {
            t.fail("the other side is at '{s}', not at '{s}'", .{ line, what });
        }
        return std.fmt.parseInt(u64, line[equals + 1 ..], 10) catch 0;
    }

    fn readLine(t: *Side, buffer: []u8, what: []const u8) []const u8 {
        var length: usize = 0;
        while (length < buffer.len) {
            const n = libc.read(transcript_module.channel_fd, buffer[length..].ptr, 1);
            if (n < 0 and libc.errno() == libc.EINTR) continue;
            if (n != 1) t.fail("the other side is gone before '{s}'", .{what});
            if (buffer[length] == '\n') return buffer[0..length];
            length += 1;
        }
        t.fail("the other side's answer to '{s}' is too long", .{what});
    }

    // -- threads and children -----------------------------------------------------------------

    /// A side of its own for a thread or a forked child: its lines are a transcript of their own.
    pub fn branch(t: *const Side, called: []const u8) Side {
        var buffer: [40]u8 = undefined;
        const full = std.fmt.bufPrint(&buffer, "{s}/{s}", .{ @tagName(t.role), called }) catch called;
        var copy = t.*;
        copy.stage = t.transcript.addStage(full) orelse @constCast(t).fail("too many stages", .{});
        return copy;
    }

    pub const Thread = struct {
        handle: usize,
        side: Side,
        body: *const fn (*Side) void,
    };

    /// Runs `body` on a thread; `thread` must stay where it is until `join`.
    pub fn spawn(t: *Side, thread: *Thread, called: []const u8, body: *const fn (*Side) void) void {
        thread.* = .{ .handle = 0, .side = t.branch(called), .body = body };
        if (libc.pthread_create(&thread.handle, null, &runThread, thread) != 0) {
            t.fail("pthread_create for {s} failed", .{called});
        }
    }

    pub fn join(t: *Side, thread: *Thread) void {
        t.begin("-- join {s}", .{transcript_module.stageName(thread.side.stage)});
        _ = libc.pthread_join(thread.handle, null);
        t.end("", .{});
    }

    fn runThread(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
        const thread: *Thread = @ptrCast(@alignCast(argument.?));
        thread.body(&thread.side);
        return null;
    }

    /// fork; the child gets a side of its own by this name and must end by `exitChild`.
    pub fn fork(t: *Side, called: []const u8) ?Side {
        const child = t.branch(called);
        const pid = libc.fork();
        if (pid < 0) t.fail("fork of {s}: {f}", .{ called, text.errno(libc.errno()) });
        if (pid > 0) {
            t.child_pid = pid;
            return null;
        }
        t.transcript.addPid(libc.getpid());
        return child;
    }

    /// Waits for a child's end and records how it ended.
    pub fn waitChild(t: *Side, pid: c_int) void {
        var status: c_int = 0;
        t.begin("-- the child's end", .{});
        while (libc.waitpid(pid, &status, 0) < 0) {
            if (libc.errno() != libc.EINTR) return t.end(": {f}", .{text.errno(libc.errno())});
        }
        const signal = status & 0x7f;
        if (signal != 0) return t.end(": signal {d}", .{signal});
        t.end(": exit {d}", .{(status >> 8) & 0xff});
    }

    pub fn exitChild(_: *Side, code: c_int) noreturn {
        libc._exit(code);
    }

    /// Memory of the case's own; `free` gives it back.
    pub fn memory(t: *Side, count: usize) []u8 {
        return std.heap.c_allocator.alloc(u8, count) catch t.fail("out of memory", .{});
    }

    /// Bytes that differ from place to place, the same for the same seed.
    pub fn pattern(t: *Side, count: usize, seed: u64) []u8 {
        const bytes = t.memory(count);
        var random = std.Random.SplitMix64.init(seed);
        var at: usize = 0;
        while (at < count) : (at += 8) {
            const word = random.next();
            const rest = @min(8, count - at);
            @memcpy(bytes[at..][0..rest], std.mem.asBytes(&word)[0..rest]);
        }
        return bytes;
    }

    pub fn free(_: *Side, bytes: []u8) void {
        std.heap.c_allocator.free(bytes);
    }

    /// Between two looks at something that will come about by itself.
    pub fn pause(_: *Side) void {
        _ = libc.nanosleep(&.{ .sec = 0, .nsec = 200_000 }, null);
    }
};
