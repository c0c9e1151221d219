//! Prints a path that the explorer found, as steps a person can follow: who did what to which word.

const std = @import("std");
const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const gate_module = @import("../carrier/gate.zig");

/// Runs the path again from the start and writes each step down.
pub fn print(
    writer: *std.Io.Writer,
    scenario: *const explorer.Scenario,
    path: []const explorer.Transition,
) !void {
    explorer.begin(scenario);
    machine.recording = true;
    defer machine.recording = false;
    for (path, 1..) |transition, number| {
        machine.happening_count = 0;
        explorer.perform(scenario, transition);
        if (transition.kind == .event) {
            const name = scenario.eventName(@intCast(transition.detail));
            try writer.print("  {d:>4} {s}\n", .{ number, name });
        }
        for (machine.happenings[0..machine.happening_count]) |*happening| {
            try printHappening(writer, scenario, number, happening);
        }
    }
}

fn printHappening(
    writer: *std.Io.Writer,
    scenario: *const explorer.Scenario,
    number: usize,
    happening: *const machine.Happening,
) !void {
    const thread = machine.threads[happening.thread].name;
    try writer.print("  {d:>4} {s}: ", .{ number, thread });
    const text = happening.text;
    switch (happening.kind) {
        .call => return writer.print("{s}\n", .{text}),
        .choice => return writer.print("{s}: {d}\n", .{ text, happening.value }),
        else => {},
    }
    try writer.writeAll(switch (happening.kind) {
        .load => "loads ",
        .forwarded => "loads from its own buffer ",
        .store => "stores, buffered, ",
        .private => "stores ",
        .flush => "memory receives ",
        .rmw => "read-modify-write, now ",
        .call, .choice => unreachable, // returned above
    });
    try scenario.describe(happening.offset, happening.value, writer);
    try writer.writeAll("\n");
}

/// A `describe` function for scenarios whose world is `World`.
pub fn describer(comptime World: type) fn (u16, u64, *std.Io.Writer) std.Io.Writer.Error!void {
    return struct {
        fn describe(offset: u16, value: u64, writer: *std.Io.Writer) std.Io.Writer.Error!void {
            try writePath(World, "", offset, writer);
            try writeValue(World, "", offset, value, writer);
        }
    }.describe;
}

fn writePath(
    comptime T: type,
    comptime separator: []const u8,
    offset: usize,
    writer: *std.Io.Writer,
) std.Io.Writer.Error!void {
    switch (@typeInfo(T)) {
        .@"struct" => |info| {
            if (info.layout != .@"extern") return;
            inline for (info.field_names, info.field_types) |name, Field| {
                const start = @offsetOf(T, name);
                if (offset >= start and offset < start + @sizeOf(Field)) {
                    try writer.writeAll(separator ++ name);
                    return writePath(Field, ".", offset - start, writer);
                }
            }
        },
        .array => |info| {
            const stride = @sizeOf(info.child);
            try writer.print("[{d}]", .{offset / stride});
            return writePath(info.child, ".", offset % stride, writer);
        },
        else => {},
    }
}

/// A gate is shown as its state, everything else as a number.
fn writeValue(
    comptime T: type,
    comptime name: []const u8,
    offset: usize,
    value: u64,
    writer: *std.Io.Writer,
) std.Io.Writer.Error!void {
    switch (@typeInfo(T)) {
        .@"struct" => |info| if (info.layout == .@"extern") {
            inline for (info.field_names, info.field_types) |field, Field| {
                const start = @offsetOf(T, field);
                if (offset >= start and offset < start + @sizeOf(Field)) {
                    return writeValue(Field, field, offset - start, value, writer);
                }
            }
        },
        .array => |info| {
            return writeValue(info.child, name, offset % @sizeOf(info.child), value, writer);
        },
        else => {},
    }
    if (!comptime std.mem.eql(u8, name, "gate")) return writer.print(" = {d}", .{value});
    const gate = gate_module.Gate.from(value);
    const want = if (gate.want) " want" else "";
    try writer.print(" = {t}({d}){s}", .{ gate.kind(), gate.position, want });
}
