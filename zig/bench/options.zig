//! What can be said on the command line: `--name value`, `--name=value`, or `--name` for a switch.
//! The field names of `Options` are the option names, with `_` for `-`.

const std = @import("std");
const system = @import("system.zig");

/// How a side waits and works.
pub const Io = enum {
    blocking,
    poll,
    select,
    epoll_lt,
    epoll_et,
    /// Server: a thread for each connection. Client: one thread sends, one receives (duplex).
    threads,
    /// Server: a child for each connection.
    fork,
    /// Two threads take turns on one connection (see turns.zig).
    two_threads,

    pub fn isEventDriven(io: Io) bool {
        return switch (io) {
            .poll, .select, .epoll_lt, .epoll_et => true,
            .blocking, .threads, .fork, .two_threads => false,
        };
    }
};

pub const ServerMode = enum {
    /// Sends back what it gets.
    echo,
    /// Receives and sends counted, checked streams (transfer.zig).
    transfer,
    /// Accepts and closes.
    accept,
};

/// What carries a pair's bytes; TCP may be accelerated by whatever is preloaded.
pub const Transport = enum { tcp, unix };

pub const Mode = enum {
    rtt,
    /// Several messages at once, then their echoes.
    bursts,
    stream,
    source,
    duplex,
    /// Streams over all connections at once, to the server or from it.
    fan_in,
    fan_out,
    connect,
    idle,
    // Presets of rtt:
    hog,
    two_threads,
    after_fork,
    fork_both,

    pub fn serverMode(mode: Mode, options: *const Options) ServerMode {
        return switch (mode) {
            .rtt, .bursts, .idle, .hog, .two_threads, .after_fork, .fork_both => .echo,
            .stream, .source, .duplex, .fan_in, .fan_out => .transfer,
            .connect => if (options.requests > 0) .echo else .accept,
        };
    }
};

pub const Options = struct {
    mode: []const u8 = "",
    io: Io = .blocking,
    /// The server's, when it differs from the client's.
    server_io: ?Io = null,
    transport: Transport = .tcp,
    /// IPv4, IPv6, or a Unix socket's abstract name after "@".
    address: []const u8 = "127.0.0.1",
    /// 0: any free one, printed on stdout.
    port: u16 = 0,
    /// Bytes of a message.
    size: u32 = 8,
    /// Bytes that a transfer's receiver asks for at once; 0: `size`.
    recv_bytes: u32 = 0,
    seconds: f64 = 1,
    /// Messages (or connections) to do, in place of `seconds`.
    count: u64 = 0,
    /// Bytes to transfer, in place of `seconds` or `count`.
    bytes: u64 = 0,
    warmup_ms: u32 = 200,
    connections: u32 = 1,
    /// rtt over several connections: how many have a message on the way at once; 0: all.
    active: u32 = 0,
    /// rtt: what the client sleeps before each exchange.
    think_us: u32 = 0,
    /// rtt with a server that is not sdbench's: what to send, and how many bytes answer it.
    request: []const u8 = "",
    reply_bytes: u32 = 0,
    /// bursts: messages of one.
    burst: u32 = 32,
    /// Event loops on each side, each on a thread of its own with connections of its own.
    threads: u32 = 1,
    /// epoll: instances over which an event loop spreads its connections, nested in one more.
    epolls: u32 = 1,
    /// Server: processes forked before the first connection, which all accept. 0: itself.
    workers: u32 = 0,
    /// connect: exchanges on each connection.
    requests: u32 = 0,
    /// Echo this many messages, then fork and go on in the child.
    fork_after: u64 = 0,
    checksum: bool = false,
    pin: bool = false,
    /// Both sides on the first cpu.
    one_cpu: bool = false,
    hogs: bool = false,
    json: bool = false,
    /// Process whose CPU time and memory the client reports as the server's.
    server_pid: i32 = 0,
    /// The process gives up after this; 0: what the job should take and a minute more.
    deadline: u32 = 0,

    pub fn parse(arguments: []const [*:0]const u8) Options {
        var options: Options = .{};
        var rest = arguments;
        while (rest.len > 0) {
            const word = std.mem.span(rest[0]);
            if (!std.mem.startsWith(u8, word, "--")) {
                system.usage("unexpected word \"{s}\" (options start with --)", .{word});
            }
            rest = rest[1 + options.takeOption(word[2..], rest[1..]) ..];
        }
        options.refuseZeroes();
        return options;
    }

    fn refuseZeroes(options: *const Options) void {
        if (options.size == 0) system.usage("--size 0: a message has at least one byte", .{});
        inline for (.{ "connections", "burst", "threads", "epolls" }) |name| {
            if (@field(options, name) == 0) system.usage("--" ++ name ++ " 0: at least one", .{});
        }
        if ((options.request.len > 0) != (options.reply_bytes > 0)) {
            system.usage("--request and --reply-bytes go together", .{});
        }
        if (options.threads > options.connections and options.threads > 1) system.usage(
            "--threads {d}: more than --connections {d}, and each needs one",
            .{ options.threads, options.connections },
        );
    }

    /// Sets one option; returns how many further words it used.
    fn takeOption(options: *Options, word: []const u8, rest: []const [*:0]const u8) usize {
        const equals = std.mem.findScalar(u8, word, '=');
        const name = word[0 .. equals orelse word.len];
        const info = @typeInfo(Options).@"struct";
        inline for (info.field_names, info.field_types) |field_name, Field| {
            if (sameName(name, field_name)) {
                if (Field == bool) {
                    @field(options, field_name) = true;
                    return 0;
                }
                if (equals == null and rest.len == 0) system.usage("--{s} needs a value", .{name});
                const text = if (equals) |at| word[at + 1 ..] else std.mem.span(rest[0]);
                @field(options, field_name) = parseValue(Field, name, text);
                return @intFromBool(equals == null);
            }
        }
        system.usage("no option --{s}", .{name});
    }

    pub fn clientMode(options: *const Options) Mode {
        return parseEnum(Mode, "mode", if (options.mode.len == 0) "rtt" else options.mode);
    }

    /// One message as the client sends it, in memory of its own.
    pub fn newMessage(options: *const Options) []u8 {
        if (options.request.len == 0) return system.allocBytes(options.size);
        const bytes = system.allocBytes(options.request.len);
        @memcpy(bytes, options.request);
        return bytes;
    }

    /// Bytes that answer a message.
    pub fn replyBytes(options: *const Options) u32 {
        return if (options.reply_bytes == 0) options.size else options.reply_bytes;
    }

    pub fn recvBytes(options: *const Options) u32 {
        return if (options.recv_bytes == 0) options.size else options.recv_bytes;
    }

    /// Which of the allowed cpus a pinned side takes; null: not pinned.
    pub fn clientCpu(options: *const Options) ?usize {
        return if (options.pin or options.one_cpu) 0 else null;
    }

    pub fn serverCpu(options: *const Options) ?usize {
        if (options.one_cpu) return 0;
        return if (options.pin) 1 % system.cpuCount() else null;
    }

    pub fn warmupNs(options: *const Options) u64 {
        return @as(u64, options.warmup_ms) * 1_000_000;
    }

    pub fn measureNs(options: *const Options) u64 {
        return @intFromFloat(options.seconds * 1e9);
    }

    /// Seconds after which a process that has not finished is stuck.
    pub fn deadlineSeconds(options: *const Options) u64 {
        if (options.deadline != 0) return options.deadline;
        // Ten thousand connections take some seconds to open.
        return 60 + options.connections / 200 + @as(u64, @intFromFloat(options.seconds)) +
            options.warmup_ms / 1000;
    }
};

fn parseValue(comptime T: type, name: []const u8, text: []const u8) T {
    if (T == []const u8) return text;
    if (@typeInfo(T) == .optional) return parseValue(@typeInfo(T).optional.child, name, text);
    if (@typeInfo(T) == .@"enum") return parseEnum(T, name, text);
    if (T == f64) {
        const value = std.fmt.parseFloat(f64, text) catch -1;
        if (value >= 0 and value < 1e6) return value;
        system.usage("--{s} \"{s}\": not a number", .{ name, text });
    }
    return std.fmt.parseInt(T, text, 10) catch
        system.usage("--{s} \"{s}\": not a number that fits", .{ name, text });
}

pub fn parseEnum(comptime T: type, name: []const u8, text: []const u8) T {
    inline for (@typeInfo(T).@"enum".field_names) |field_name| {
        if (sameName(text, field_name)) return @field(T, field_name);
    }
    const known = comptime known: {
        var list: []const u8 = "";
        for (@typeInfo(T).@"enum".field_names) |field_name| {
            list = list ++ (if (list.len == 0) "" else ", ") ++ dashed(field_name);
        }
        break :known list;
    };
    system.usage("--{s} \"{s}\": not one of " ++ known, .{ name, text });
}

/// "epoll-lt" and "epoll_lt" are the same name.
fn sameName(given: []const u8, field_name: []const u8) bool {
    if (given.len != field_name.len) return false;
    for (given, field_name) |a, b| if (a != b and !(a == '-' and b == '_')) return false;
    return true;
}

fn dashed(comptime name: []const u8) []const u8 {
    var out: [name.len]u8 = undefined;
    for (name, &out) |from, *to| to.* = if (from == '_') '-' else from;
    const final = out;
    return &final;
}

/// An enum value as the command line writes it.
pub fn spell(value: anytype) []const u8 {
    switch (value) {
        inline else => |tag| return comptime dashed(@tagName(tag)),
    }
}

test "options of each kind are read, with space and with equals sign" {
    const words = [_][*:0]const u8{
        "--io",             "epoll-et",
        "--size=64",        "--json",
        "--seconds",        "2.5",
        "--server-io=fork",
    };
    const options = Options.parse(&words);
    try std.testing.expectEqual(Io.epoll_et, options.io);
    try std.testing.expectEqual(64, options.size);
    try std.testing.expectEqual(2.5, options.seconds);
    try std.testing.expectEqual(Io.fork, options.server_io.?);
    try std.testing.expect(options.json and !options.pin);
}

test "an enum value is spelled with dashes" {
    try std.testing.expectEqualStrings("two-threads", spell(Mode.two_threads));
}
