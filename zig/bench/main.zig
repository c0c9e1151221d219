//! sdbench: measures sockets as an ordinary C program uses them, and the machine's limits beside.
//!
//! Nothing of SocksDirect is linked in: the program calls libc, and is accelerated, or not, by the
//! preload library like any other. Read order: options.zig (what can be asked), pair.zig (how a run
//! is put together), client_rtt.zig (the simplest measurement), transfer.zig (checked streams).

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const server = @import("server.zig");
const client = @import("client.zig");
const pair = @import("pair.zig");
const bare_many = @import("bare_many.zig");
const bare_ring = @import("bare_ring.zig");
const pipe = @import("pipe.zig");
const floor = @import("floor.zig");
const Options = @import("options.zig").Options;

const help =
    \\sdbench: measures TCP sockets through libc
    \\
    \\  sdbench pair   --mode MODE [options]   client and server in one command
    \\  sdbench server --mode echo|transfer|accept --port P [options]
    \\  sdbench client --mode MODE --port P [options]
    \\  sdbench bare-ring --mode rtt|stream    two processes over a ring in shared memory: the limit
    \\  sdbench pipe --mode rtt|stream         two processes over two pipes
    \\  sdbench floor [--json]                 system call, wake-up and cache-line costs
    \\  sdbench cache-line [--json]            how far apart the first two cpus are just now
    \\
    \\MODE: rtt, bursts, stream, source, duplex, fan-in, fan-out, connect, idle; rtt under a
    \\      condition: hog, two-threads, after-fork, fork-both
    \\  --io blocking|poll|select|epoll-lt|epoll-et|threads|fork|two-threads, --server-io the same
    \\  --size BYTES    of a message (8)        --recv-bytes BYTES  a receiver asks for (the size)
    \\  --seconds S     to measure (1)          --count N, --bytes N  in place of --seconds
    \\  --warmup-ms MS  before it (200)         --connections N  (1)
    \\  --active N      rtt: connections that have a message on the way at once (all)
    \\  --requests N    connect: exchanges on each connection (0)
    \\  --think-us US   rtt: sleep before each exchange   --burst N  bursts: messages of one (32)
    \\  --request TEXT --reply-bytes N  rtt with a server of another kind
    \\  --threads N     event loops on each side (1)      --epolls N  nested in each loop's (1)
    \\  --workers N     server: pre-forked processes      --transport tcp|unix
    \\  --checksum      check every byte        --pin  client on the first cpu, server on the next
    \\  --hogs          a busy loop on each cpu --one-cpu  both on the first cpu
    \\  --address A     (127.0.0.1; @NAME: a Unix socket)  --port P  (0: any)
    \\  --json          print JSON
    \\  --fork-after N  fork after N echoes     --deadline S  give up after so long
    \\
    \\Exit: 0 done, 1 failed or bytes wrong, 2 wrong use, 3 gave up.
    \\
;

/// A C main and not Zig's, so that nothing runs before it but libc and what is preloaded.
pub export fn main(argc: c_int, argv: [*]const [*:0]const u8) c_int {
    const words = argv[0..@intCast(argc)];
    const command = if (words.len > 1) std.mem.span(words[1]) else "help";
    if (isAny(command, &.{ "help", "--help", "-h" })) {
        system.writeAll(1, help);
        return 0;
    }
    const options = Options.parse(words[2..]);
    if (!isAny(command, &.{"server"}) or options.deadline != 0) {
        system.setDeadline(options.deadlineSeconds());
    }
    if (isAny(command, &.{"pair"})) {
        pair.run(&options);
    } else if (isAny(command, &.{"server"})) {
        system.role = "sdbench server";
        server.run(&options);
    } else if (isAny(command, &.{"client"})) {
        runClient(&options);
    } else if (isAny(command, &.{"bare-ring"})) {
        if (options.connections > 1) bare_many.run(&options) else bare_ring.run(&options);
    } else if (isAny(command, &.{"pipe"})) {
        pipe.run(&options);
    } else if (isAny(command, &.{"cache-line"})) {
        floor.runCacheLine(&options);
    } else if (isAny(command, &.{"floor"})) {
        floor.run(&options);
    } else {
        system.usage("no command \"{s}\"", .{command});
    }
    return 0;
}

fn runClient(options: *const Options) void {
    system.role = "sdbench client";
    const needs_port = !std.mem.startsWith(u8, options.address, "@");
    if (needs_port and options.port == 0) system.usage("client needs --port, the server's", .{});
    const mode = options.clientMode();
    const result = client.run(options, mode);
    result.print(options.json);
    if (result.checksum_ok == false) libc.exit(system.exit_failed);
}

fn isAny(word: []const u8, known: []const []const u8) bool {
    for (known) |one| if (std.mem.eql(u8, word, one)) return true;
    return false;
}
