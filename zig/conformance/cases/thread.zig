//! Several threads on one connection.

const std = @import("std");
const libc = @import("../libc.zig");
const connection = @import("../connection.zig");
const text = @import("../text.zig");
const Carrier = @import("../case.zig").Carrier;
const Side = @import("../side.zig").Side;

var shared: c_int = -1;

fn join(t: *Side, threads: []Side.Thread) void {
    for (threads) |*thread| t.join(thread);
}

pub const reader_and_writer = struct {
    pub const summary = "one thread reads while another writes, 4 MiB each way";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    const count = 4 << 20;

    fn write(t: *Side) void {
        t.sendAll(shared, t.pattern(count, @as(u64, @backingInt(t.role)) + 10));
    }

    fn read(t: *Side) void {
        t.recvAll(shared, count);
    }

    fn both(t: *Side, conn: c_int) void {
        shared = conn;
        var threads: [2]Side.Thread = undefined;
        t.spawn(&threads[0], "writer", &write);
        t.spawn(&threads[1], "reader", &read);
        join(t, &threads);
        _ = t.close(conn);
    }

    pub fn server(t: *Side) void {
        both(t, t.accepted(.{}));
    }

    pub fn client(t: *Side) void {
        both(t, t.connected(.{}));
    }
};

pub const several_writers = struct {
    pub const summary = "four threads send records: none is torn, each thread's are in order";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    const writers = 4;
    const records = 300;
    const record_bytes = 64;

    var next_writer: u32 = 0;

    fn write(t: *Side) void {
        const me = @atomicRmw(u32, &next_writer, .Add, 1, .monotonic);
        for (0..records) |i| {
            var record: [record_bytes]u8 = @splat(@intCast('a' + me));
            std.mem.writeInt(u32, record[0..4], @intCast(i), .little);
            if (libc.send(shared, &record, record_bytes, 0) != record_bytes) t.fail("short send", .{});
        }
        t.note("sent all", .{});
    }

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        var seen: [writers]u32 = @splat(0);
        for (0..writers * records) |_| {
            var record: [record_bytes]u8 = undefined;
            const n = libc.recv(conn, &record, record_bytes, libc.MSG_WAITALL);
            if (n != record_bytes) t.fail("short recv of {d}", .{n});
            const writer = record[4] -% 'a';
            if (writer >= writers or !std.mem.allEqual(u8, record[4..], record[4])) t.fail("torn", .{});
            if (std.mem.readInt(u32, record[0..4], .little) != seen[writer]) t.fail("out of order", .{});
            seen[writer] += 1;
        }
        t.note("received {any}", .{seen});
        t.recvToEnd(conn, 10);
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        var threads: [writers]Side.Thread = undefined;
        for (&threads, [_][]const u8{ "a", "b", "c", "d" }) |*thread, name| t.spawn(thread, name, &write);
        join(t, &threads);
        _ = t.close(shared);
    }
};

pub const several_readers = struct {
    pub const summary = "three threads read one stream: every byte comes once";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    const count = 300_000;
    var total: u64 = 0;
    var sum: u64 = 0;

    fn read(t: *Side) void {
        var buffer: [777]u8 = undefined;
        while (true) {
            const n = libc.recv(shared, &buffer, buffer.len, 0);
            if (n < 0) t.fail("recv: {f}", .{text.errno(libc.errno())});
            if (n == 0) break;
            var mine: u64 = 0;
            for (buffer[0..@intCast(n)]) |byte| mine += byte;
            _ = @atomicRmw(u64, &total, .Add, @intCast(n), .monotonic);
            _ = @atomicRmw(u64, &sum, .Add, mine, .monotonic);
        }
        t.note("the end", .{});
    }

    pub fn server(t: *Side) void {
        shared = t.accepted(.{});
        var threads: [3]Side.Thread = undefined;
        for (&threads, [_][]const u8{ "a", "b", "c" }) |*thread, name| t.spawn(thread, name, &read);
        join(t, &threads);
        t.note("{d} bytes, sum {d}", .{ total, sum });
    }

    pub fn client(t: *Side) void {
        const conn = t.connected(.{});
        t.sendAll(conn, t.pattern(count, 4));
        _ = t.close(conn);
    }
};

pub const waiting_in_poll = struct {
    pub const summary = "one thread polls for input while another sends the question";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for (0..20) |_| {
            t.recvAll(conn, 1);
            _ = t.send(conn, "!", 0);
        }
        t.recvToEnd(conn, 10);
    }

    fn poll(t: *Side) void {
        for (0..20) |_| {
            t.untilEvents(shared, libc.POLLIN);
            _ = t.recv(shared, 1, 0);
            _ = libc.sem_post(&answered);
        }
    }

    var answered: libc.Semaphore = .{};

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        _ = libc.sem_init(&answered, 0, 0);
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "polling", &poll);
        for (0..20) |_| {
            _ = t.send(shared, "?", 0);
            _ = libc.sem_wait(&answered);
        }
        t.join(&thread);
        _ = t.close(shared);
    }
};

pub const a_connection_each = struct {
    pub const summary = "four threads with a connection each, all at once";
    pub const carrier: Carrier = .ring;
    pub const reasons: []const []const u8 = &.{"ring_full"};

    var listener: c_int = -1;
    var port: u16 = 0;

    fn serve(t: *Side) void {
        const conn = t.acceptFrom(listener, .{});
        t.recvAll(conn, 100_000);
        t.sendAll(conn, t.pattern(100_000, 2));
        _ = t.close(conn);
    }

    fn ask(t: *Side) void {
        const conn = t.connectTo(port, .{});
        t.sendAll(conn, t.pattern(100_000, 1));
        t.recvToEnd(conn, 100_001);
        _ = t.close(conn);
    }

    fn four(t: *Side, body: *const fn (*Side) void) void {
        var threads: [4]Side.Thread = undefined;
        for (&threads, [_][]const u8{ "a", "b", "c", "d" }) |*thread, name| t.spawn(thread, name, body);
        join(t, &threads);
    }

    pub fn server(t: *Side) void {
        listener = t.listening(.{});
        four(t, &serve);
    }

    pub fn client(t: *Side) void {
        port = @intCast(t.hear("port"));
        four(t, &ask);
    }
};

pub const blocked_reader_and_writer = struct {
    pub const summary = "a thread that waits for input does not hold up one that sends";
    pub const carrier: Carrier = .ring;

    pub fn server(t: *Side) void {
        const conn = t.accepted(.{});
        for (0..5) |_| t.recvAll(conn, 4);
        _ = t.send(conn, "done", 0);
        t.recvToEnd(conn, 10);
    }

    fn read(t: *Side) void {
        _ = t.recv(shared, 10, 0);
    }

    pub fn client(t: *Side) void {
        shared = t.connected(.{});
        var thread: Side.Thread = undefined;
        t.spawn(&thread, "reader", &read);
        for (0..5) |_| {
            for (0..5) |_| t.pause();
            _ = t.send(shared, "send", 0);
        }
        t.join(&thread);
        _ = t.close(shared);
    }
};

pub const first_calls_together = struct {
    pub const summary = "of 200 connections, one after the other, a reader and a writer make the first calls at once";
    pub const carrier: Carrier = .ring;
    /// Some end while their offer is on its way.
    pub const reasons: []const []const u8 = &.{ "offered", "not_adopted" };

    const rounds = 200;
    const sends = 24;
    const message = "first calls";

    /// Counts rounds that have begun; each thread counts those that it has ended.
    var begun: u32 = 0;
    var ended: [2]u32 = .{ 0, 0 };

    fn begin() void {
        _ = @atomicRmw(u32, &begun, .Add, 1, .release);
        for (&ended) |*count| while (@atomicLoad(u32, count, .acquire) != begun) yield();
    }

    fn eachRound(comptime which: u1, body: *const fn (*Side) void, t: *Side) void {
        for (1..rounds + 1) |round| {
            while (@atomicLoad(u32, &begun, .acquire) != round) yield();
            body(t);
            @atomicStore(u32, &ended[which], @intCast(round), .release);
        }
    }

    fn yield() void {
        _ = libc.sched_yield();
    }

    fn writeRounds(t: *Side) void {
        eachRound(0, &write, t);
    }

    fn readRounds(t: *Side) void {
        eachRound(1, &read, t);
    }

    fn write(t: *Side) void {
        for (0..sends) |_| {
            if (libc.send(shared, message, message.len, 0) != message.len) t.fail("short send", .{});
        }
    }

    fn read(t: *Side) void {
        var buffer: [sends * message.len]u8 = undefined;
        if (libc.recv(shared, &buffer, buffer.len, libc.MSG_WAITALL) != buffer.len) t.fail("short recv", .{});
        const wanted: [sends][message.len]u8 = @splat(message.*);
        if (!std.mem.eql(u8, &buffer, std.mem.asBytes(&wanted))) t.fail("wrong bytes", .{});
    }

    fn play(t: *Side, next: *const fn (*Side) c_int) void {
        var threads: [2]Side.Thread = undefined;
        t.spawn(&threads[0], "writer", &writeRounds);
        t.spawn(&threads[1], "reader", &readRounds);
        t.begin("-- {d} connections", .{rounds});
        for (0..rounds) |_| {
            shared = next(t);
            begin();
            _ = libc.close(shared);
        }
        t.end("", .{});
        join(t, &threads);
    }

    var listener: c_int = -1;
    var port: u16 = 0;

    fn acceptNext(t: *Side) c_int {
        const fd = libc.accept4(listener, null, null, 0);
        if (fd < 0) t.fail("accept: {f}", .{text.errno(libc.errno())});
        return fd;
    }

    fn connectNext(t: *Side) c_int {
        const address = connection.Address.loopback(.v4, port);
        const fd = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0);
        if (libc.connect(fd, &address.storage, address.length) != 0) {
            t.fail("connect: {f}", .{text.errno(libc.errno())});
        }
        return fd;
    }

    pub fn server(t: *Side) void {
        listener = t.listening(.{});
        _ = t.close(t.acceptFrom(listener, .{}));
        play(t, &acceptNext);
    }

    pub fn client(t: *Side) void {
        port = @intCast(t.hear("port"));
        _ = t.close(t.connectTo(port, .{}));
        play(t, &connectNext);
    }
};
