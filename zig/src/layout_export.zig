//! Writes ffi/layout.gen.ts: every struct offset, enum and constant that TypeScript shares with
//! native code, from the one place where each is defined. `zig build layout > ffi/layout.gen.ts`
//! renews it. libsdffi.so carries the hash of the same text, and refuses to work with another.

const std = @import("std");
const constants = @import("constants.zig");
const layout = @import("layout.zig");
const protocol = @import("protocol.zig");
const reason = @import("reason.zig");
const types = @import("ffi/types.zig");

const structs = .{
    .{ "Endpoint", layout.Endpoint },
    .{ "Tuple", layout.Tuple },
    .{ "Counters", layout.Counters },
    .{ "ArenaHeader", layout.ArenaHeader },
    .{ "RegistryHeader", layout.RegistryHeader },
    .{ "RegistryListener", layout.RegistryListener },
    .{ "EndTableHeader", layout.EndTableHeader },
    .{ "TxEnd", layout.TxEnd },
    .{ "RxEnd", layout.RxEnd },
    .{ "End", layout.End },
    .{ "Header", protocol.Header },
    .{ "Hello", protocol.Hello },
    .{ "Welcome", protocol.Welcome },
    .{ "Listen", protocol.Listen },
    .{ "Listening", protocol.Listening },
    .{ "Unlisten", protocol.Unlisten },
    .{ "Connect", protocol.Connect },
    .{ "Arena", protocol.Arena },
    .{ "Link", protocol.Link },
    .{ "Refused", protocol.Refused },
    .{ "Ping", protocol.Ping },
    .{ "BorrowDiag", protocol.BorrowDiag },
    .{ "Diag", protocol.Diag },
    .{ "Peer", types.Peer },
    .{ "Packet", types.Packet },
    .{ "Ready", types.Ready },
    .{ "ListenerFacts", types.ListenerFacts },
    .{ "TableTotals", types.TableTotals },
    .{ "EndRecord", types.EndRecord },
};

const enums = .{
    .{ "MessageType", protocol.Type },
    .{ "EndState", layout.EndState },
    .{ "Role", layout.Role },
    .{ "Carrier", layout.Carrier },
    .{ "Reason", reason.Reason },
};

/// Name, value and the width that decides between number and bigint.
const values = .{
    .{ "abiVersion", u32, constants.abi_version },
    .{ "messageMagic", u32, protocol.magic },
    .{ "messageBytesMax", u32, constants.message_bytes_max },
    .{ "arenaSlotsMin", u32, constants.arena_slots_min },
    .{ "arenaSlotsMax", u32, constants.arena_slots_max },
    .{ "ringBytes", u32, constants.ring_bytes },
    .{ "monitorLinksMax", u32, constants.monitor_links_max },
    .{ "registryListeners", u32, constants.registry_listeners },
    .{ "registryProcesses", u32, constants.registry_processes },
    .{ "registryFlagDraining", u32, layout.registry_flag_draining },
    .{ "registryBytes", u64, @sizeOf(layout.Registry) },
    .{ "processSeqOffset", u32, @offsetOf(layout.Registry, "process_seq") },
    .{ "listenersOffset", u32, @offsetOf(layout.Registry, "listeners") },
    .{ "endCapacity", u32, constants.end_capacity },
    .{ "endTableBytes", u64, @sizeOf(layout.EndTable) },
    .{ "endsOffset", u32, @offsetOf(layout.EndTable, "ends") },
    .{ "arenaMagic", u64, layout.arena_magic },
    .{ "registryMagic", u64, layout.registry_magic },
    .{ "endTableMagic", u64, layout.end_table_magic },
    .{ "packetFdsMax", u32, types.packet_fds_max },
    .{ "packetTruncatedBytes", u32, types.packet_truncated_bytes },
    .{ "packetTruncatedFds", u32, types.packet_truncated_fds },
    .{ "pollIn", u32, std.os.linux.EPOLL.IN },
    .{ "pollOut", u32, std.os.linux.EPOLL.OUT },
    .{ "pollErr", u32, std.os.linux.EPOLL.ERR },
    .{ "pollHup", u32, std.os.linux.EPOLL.HUP },
};

const body = generate();

/// FNV-1a of the body.
pub const hash: u64 = blk: {
    @setEvalBranchQuota(1_000_000);
    break :blk std.hash.Fnv1a_64.hash(body);
};

pub const text = std.fmt.comptimePrint(
    \\// Written by `zig build layout`; do not edit. See zig/src/layout_export.zig.
    \\
    \\/** Compared with the library's own when it is opened. */
    \\export const layoutHash = {d}n;
    \\
, .{hash}) ++ body;

fn generate() []const u8 {
    @setEvalBranchQuota(1_000_000);
    comptime {
        var out: []const u8 = "\nexport const structs = {\n";
        for (structs) |entry| out = out ++ generateStruct(entry[0], entry[1]);
        out = out ++ "} as const;\n";
        for (enums) |entry| out = out ++ generateEnum(entry[0], entry[1]);
        out = out ++ "\nexport const constants = {\n";
        for (values) |entry| {
            const suffix = if (entry[1] == u64) "n" else "";
            out = out ++ std.fmt.comptimePrint("  {s}: {d}{s},\n", .{ entry[0], entry[2], suffix });
        }
        out = out ++ "} as const;\n";
        out = out ++ generateArenaBytes();
        return out ++ generateErrnos();
    }
}

fn generateStruct(comptime name: []const u8, comptime T: type) []const u8 {
    comptime {
        var out: []const u8 = std.fmt.comptimePrint(
            "  {s}: {{\n    size: {d},\n    fields: {{\n",
            .{ name, @sizeOf(T) },
        );
        const info = @typeInfo(T).@"struct";
        for (info.field_names, info.field_types) |field_name, Field| {
            if (std.mem.startsWith(u8, field_name, "pad")) continue;
            out = out ++ std.fmt.comptimePrint(
                "      {s}: {{ offset: {d}, {s} }},\n",
                .{ field_name, @offsetOf(T, field_name), generateType(Field) },
            );
        }
        return out ++ "    },\n  },\n";
    }
}

fn generateType(comptime T: type) []const u8 {
    comptime return switch (@typeInfo(T)) {
        .int => "type: \"" ++ @typeName(T) ++ "\"",
        .array => |array| std.fmt.comptimePrint(
            "type: \"array\", of: \"{s}\", count: {d}",
            .{ @typeName(array.child), array.len },
        ),
        .@"struct" => "type: \"" ++ generateStructName(T) ++ "\"",
        else => @compileError("no TypeScript form for " ++ @typeName(T)),
    };
}

fn generateStructName(comptime T: type) []const u8 {
    comptime {
        for (structs) |entry| if (entry[1] == T) return entry[0];
        @compileError(@typeName(T) ++ " is not in the table of structs");
    }
}

fn generateEnum(comptime name: []const u8, comptime T: type) []const u8 {
    comptime {
        var out: []const u8 = std.fmt.comptimePrint("\nexport const {s} = {{\n", .{name});
        const info = @typeInfo(T).@"enum";
        for (info.field_names, info.field_values) |field_name, value| {
            out = out ++ std.fmt.comptimePrint("  {s}: {d},\n", .{ field_name, value });
        }
        return out ++ "} as const;\n";
    }
}

fn generateArenaBytes() []const u8 {
    comptime {
        var out: []const u8 =
            "\n/** Bytes of an arena by its number of slots. */\n" ++
            "export const arenaBytes: Readonly<Record<number, number>> = {\n";
        var slots: u32 = constants.arena_slots_min;
        while (slots <= constants.arena_slots_max) : (slots *= 2) {
            const bytes = layout.ArenaLayout.init(slots).total_bytes;
            out = out ++ std.fmt.comptimePrint("  {d}: {d},\n", .{ slots, bytes });
        }
        return out ++ "};\n";
    }
}

fn generateErrnos() []const u8 {
    comptime {
        var out: []const u8 =
            "\n/** Names of Linux error numbers. */\n" ++
            "export const errnoNames: Readonly<Record<number, string>> = {\n";
        const info = @typeInfo(std.os.linux.E).@"enum";
        for (info.field_names, info.field_values) |field_name, value| {
            if (value == 0) continue;
            const name = if (std.mem.eql(u8, field_name, "2BIG")) "E2BIG" else "E" ++ field_name;
            out = out ++ std.fmt.comptimePrint("  {d}: \"{s}\",\n", .{ value, name });
        }
        return out ++ "};\n";
    }
}

pub fn main() u8 {
    var rest: []const u8 = text;
    while (rest.len > 0) {
        const rc = std.os.linux.write(1, rest.ptr, rest.len);
        if (std.os.linux.errno(rc) != .SUCCESS) return 1;
        rest = rest[rc..];
    }
    return 0;
}

test "the hash changes with the text" {
    try std.testing.expect(hash != std.hash.Fnv1a_64.hash(body[1..]));
    try std.testing.expect(std.mem.indexOf(u8, text, "arena_pending: 25") != null);
}
