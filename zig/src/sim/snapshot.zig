//! A state of the whole system as a sequence of bytes: shared memory, and of each thread what is in
//! its store buffer, what it will do next, and its live stack. Equal states give equal bytes.

const std = @import("std");
const machine = @import("machine.zig");

pub const bytes_max = 128 * 1024;

/// Writes the whole state into `out`; how much of it.
pub fn capture(out: []u8) usize {
    var writer: Cursor = .{ .bytes = out };
    writer.put(machine.memory[0..machine.world_bytes]);
    for (machine.threads[0..machine.thread_count], 0..) |*thread, index| {
        const over = thread.dead or thread.done;
        writer.put(&.{ @intFromBool(thread.dead), @intFromBool(thread.done), thread.buffered });
        for (thread.entries[0..thread.buffered]) |*entry| {
            const flags = [_]bool{ entry.release, entry.locked, entry.ghost };
            writer.put(std.mem.asBytes(&entry.value));
            writer.put(std.mem.asBytes(&entry.offset));
            writer.put(&.{entry.size});
            writer.put(std.mem.asBytes(&flags));
        }
        if (over) continue;
        const pending = &thread.pending;
        writer.put(&.{ @backingInt(pending.kind), @intFromBool(pending.may_end), pending.branches });
        writer.put(std.mem.asBytes(&pending.offset));
        writer.put(std.mem.asBytes(&pending.argument));
        writer.put(std.mem.asBytes(&@as(usize, @intFromPtr(pending.condition))));
        writer.put(std.mem.asBytes(&thread.sp));
        writer.put(machine.liveStack(index));
    }
    return writer.at;
}

pub fn restore(bytes: []const u8) void {
    var reader: Cursor = .{ .bytes = @constCast(bytes) };
    reader.get(machine.memory[0..machine.world_bytes]);
    for (machine.threads[0..machine.thread_count], 0..) |*thread, index| {
        thread.dead = reader.byte() != 0;
        thread.done = reader.byte() != 0;
        thread.buffered = reader.byte();
        for (thread.entries[0..thread.buffered]) |*entry| {
            reader.get(std.mem.asBytes(&entry.value));
            reader.get(std.mem.asBytes(&entry.offset));
            entry.size = reader.byte();
            entry.release = reader.byte() != 0;
            entry.locked = reader.byte() != 0;
            entry.ghost = reader.byte() != 0;
        }
        if (thread.dead or thread.done) continue;
        const pending = &thread.pending;
        pending.kind = @fromBackingInt(@intCast(reader.byte()));
        pending.may_end = reader.byte() != 0;
        pending.branches = reader.byte();
        reader.get(std.mem.asBytes(&pending.offset));
        reader.get(std.mem.asBytes(&pending.argument));
        reader.get(std.mem.asBytes(&pending.condition));
        reader.get(std.mem.asBytes(&thread.sp));
        reader.get(machine.liveStack(index));
    }
    machine.failure = null;
}

const Cursor = struct {
    bytes: []u8,
    at: usize = 0,

    fn put(cursor: *Cursor, part: []const u8) void {
        @memcpy(cursor.bytes[cursor.at..][0..part.len], part);
        cursor.at += part.len;
    }
    fn get(cursor: *Cursor, part: []u8) void {
        @memcpy(part, cursor.bytes[cursor.at..][0..part.len]);
        cursor.at += part.len;
    }
    fn byte(cursor: *Cursor) u8 {
        cursor.at += 1;
        return cursor.bytes[cursor.at - 1];
    }
};
