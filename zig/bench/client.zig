//! The client side of every mode. A run is: connect, warm up (so that a connection that changes its
//! carrier has done so), measure, fill in the result.

const std = @import("std");
const libc = @import("libc.zig");
const system = @import("system.zig");
const net = @import("net.zig");
const options_module = @import("options.zig");
const report = @import("report.zig");
const rtt = @import("client_rtt.zig");
const stream = @import("client_stream.zig");
const connects = @import("client_connect.zig");
const fan = @import("client_fan.zig");
const idle = @import("client_idle.zig");
const Poller = @import("poller.zig").Poller;
const Link = @import("link.zig").Link;
const Options = options_module.Options;
const Mode = options_module.Mode;
const Result = report.Result;

/// A client about to run: what every mode's file works with.
pub const Client = struct {
    options: *const Options,
    mode: Mode,
    address: net.Address,
    /// Null for blocking ways.
    poller: ?*Poller,
    result: *Result,
    /// CPU clocks of both sides at `beginMeasuring`.
    client_cpu_start_ns: u64 = 0,
    server_cpu_start_ns: u64 = 0,

    pub fn connect(self: *Client) Link {
        return self.connectIn(self.poller);
    }

    /// Connects with a poller of the caller's in place of the client's own.
    pub fn connectIn(self: *const Client, poller: ?*Poller) Link {
        system.stage = "connecting";
        return Link.connect(&self.address, poller);
    }

    pub fn beginMeasuring(self: *Client) void {
        system.stage = "measuring";
        self.client_cpu_start_ns = system.cpuNs(libc.getpid());
        self.server_cpu_start_ns = system.cpuNs(self.options.server_pid);
    }

    pub fn endMeasuring(self: *Client) void {
        const result = self.result;
        const client_ns = system.cpuNs(libc.getpid()) -| self.client_cpu_start_ns;
        result.cpu_seconds.client = report.nsToSeconds(client_ns);
        if (self.options.server_pid == 0) return;
        const server_ns = system.cpuNs(self.options.server_pid) -| self.server_cpu_start_ns;
        result.cpu_seconds.server = report.nsToSeconds(server_ns);
    }
};

/// Runs one mode against a server that listens; returns what it found.
pub fn run(options: *const Options, mode: Mode) Result {
    refuseNonsense(options, mode);
    if (options.clientCpu()) |cpu| _ = system.pinToCpu(cpu);
    const result = Result.shared();
    result.* = .{
        .mode = options_module.spell(mode),
        .io = options_module.spell(options.io),
        .server_io = options_module.spell(options.server_io orelse options.io),
        .transport = if (std.mem.startsWith(u8, options.address, "@")) "unix" else "tcp",
        .size = options.size,
        .connections = options.connections,
    };
    var poller: Poller = undefined;
    if (options.io.isEventDriven()) poller = Poller.initNested(options.io, options.epolls);
    var client: Client = .{
        .options = options,
        .mode = mode,
        .address = net.Address.parse(options.address, options.port),
        .poller = if (options.io.isEventDriven()) &poller else null,
        .result = result,
    };
    switch (mode) {
        .rtt, .bursts, .hog, .two_threads, .after_fork, .fork_both => rtt.run(&client),
        .fan_in, .fan_out => fan.run(&client),
        .stream, .source, .duplex => stream.run(&client),
        .connect => connects.run(&client),
        .idle => idle.run(&client),
    }
    result.client_rss_kib = system.memoryOf(libc.getpid()).rss_kib;
    if (options.server_pid != 0) {
        result.server_rss_kib = system.memoryOf(options.server_pid).rss_kib;
    }
    return result.*;
}

fn refuseNonsense(options: *const Options, mode: Mode) void {
    const many_allowed = options.io.isEventDriven() and switch (mode) {
        .rtt, .hog, .idle, .fan_in, .fan_out => true,
        else => false,
    };
    if (options.connections > 1 and !many_allowed) system.usage(
        "--connections {d}: mode {s} with --io {s} uses one; " ++
            "rtt, idle, fan-in and fan-out with poll, select or epoll can use more",
        .{ options.connections, options_module.spell(mode), options_module.spell(options.io) },
    );
    const is_fan = mode == .fan_in or mode == .fan_out;
    if (is_fan and (!options.io.isEventDriven() or options.io == .epoll_et)) system.usage(
        "--io {s}: mode {s} needs poll, select or epoll-lt",
        .{ options_module.spell(options.io), options_module.spell(mode) },
    );
    if (options.request.len > 0 and options.checksum) system.usage(
        "--checksum with --request: only an echo can be compared",
        .{},
    );
    if (options.request.len > 0 and mode != .rtt) system.usage(
        "--request: mode {s} talks to sdbench's own server only",
        .{options_module.spell(mode)},
    );
    if (options.threads > 1 and mode != .rtt and mode != .hog) system.usage(
        "--threads {d}: only mode rtt has several event loops",
        .{options.threads},
    );
}
