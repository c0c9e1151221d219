//! What the conductor knows of an episode: processes, actors, connection ends, who holds them, and
//! how many bytes each stream has carried. Just enough to know what is on its way and what would
//! wait for ever; what calls should return is not in here (the kernel says that).

const std = @import("std");
const Step = @import("program.zig").Step;

pub const ends_max = 48;
const holders_max = 512;
const processes_max = 64;
const actors_max = 128;
const epolls_max = 64;

/// One end of a connection: an open file, by whatever descriptors. Its peer's number is its own with
/// the lowest bit turned; the client's is even.
pub const End = struct {
    /// Bytes sent from here, and bytes received here.
    sent: u64 = 0,
    received: u64 = 0,
    shut_write: bool = false,
    shut_read: bool = false,
    closed: bool = false,
    /// A reset is on its way here, or has come.
    reset: bool = false,
    lingers_not: bool = false,
    nonblocking: bool = false,
    has_timeout: bool = false,
    /// Passed by SCM_RIGHTS: then TCP_INFO tells what the kernel has carried.
    passed: bool = false,
    low_water: u64 = 1,
    /// Somebody waits for its edges of writability: then how its buffers empty must not be seen.
    edges_of_out: bool = false,
    /// In so many instances of epoll, by whatever descriptors.
    registrations: u8 = 0,
    /// Somebody waits for its edges of readability.
    edges_of_in: bool = false,
};

pub const Holder = struct {
    end: u8,
    process: u8,
    fd: c_int,
    /// In an instance of epoll, by this number.
    registered: bool = false,
};

pub const Process = struct {
    side: u1,
    /// Whose channels it uses: the side's first process, or itself.
    root: u8,
    parent: ?u8,
    pid: c_int,
    alive: bool = true,
    name: [16]u8 = @splat(0),
    listener: c_int = -1,
    port: u16 = 0,
    pidfd: c_int = -1,
};

pub const Actor = struct {
    process: u8,
    /// Its place among the root's channels.
    place: usize,
    channel: c_int,
    tid: c_int,
    alive: bool = true,
    name: [20]u8 = @splat(0),
};

pub const EpollHolder = struct { epoll: u8, process: u8, fd: c_int };

pub fn List(comptime T: type, comptime capacity: usize) type {
    return struct {
        items: [capacity]T = undefined,
        count: usize = 0,

        pub fn add(list: *@This(), item: T) bool {
            if (list.count == capacity) return false;
            list.items[list.count] = item;
            list.count += 1;
            return true;
        }

        pub fn slice(list: *@This()) []T {
            return list.items[0..list.count];
        }

        pub fn remove(list: *@This(), index: usize) void {
            list.count -= 1;
            list.items[index] = list.items[list.count];
        }
    };
}

pub const World = struct {
    ends: List(End, ends_max) = .{},
    holders: List(Holder, holders_max) = .{},
    processes: List(Process, processes_max) = .{},
    actors: List(Actor, actors_max) = .{},
    epolls: List(EpollHolder, epolls_max) = .{},
    epoll_count: u8 = 0,
    children_made: u32 = 0,

    pub fn end(w: *World, index: u8) *End {
        return &w.ends.items[index];
    }

    pub fn peerOf(w: *World, index: u8) *End {
        return &w.ends.items[index ^ 1];
    }

    /// Bytes on their way to this end, or waiting there.
    pub fn waiting(w: *World, index: u8) u64 {
        return w.peerOf(index).sent - w.end(index).received;
    }

    /// The stream has ended, or will when what is on its way has come.
    pub fn endsFor(w: *World, index: u8) bool {
        const peer = w.peerOf(index);
        return peer.shut_write or peer.closed;
    }

    /// A call that receives so many bytes would wait for more than there are.
    pub fn wouldWait(w: *World, index: u8, count: u64) bool {
        const e = w.end(index);
        if (w.endsFor(index) or e.reset or e.shut_read) return false;
        return w.waiting(index) < @max(1, @min(count, e.low_water));
    }

    // -- choosing -----------------------------------------------------------------------------

    pub fn chooseEnd(w: *World, step: *const Step, die: usize, context: anytype, comptime fits: anytype) ?u8 {
        var found: [ends_max]u8 = undefined;
        var count: usize = 0;
        for (w.ends.slice(), 0..) |*e, i| {
            if (e.closed or !fits(context, w, @as(u8, @intCast(i)))) continue;
            found[count] = @intCast(i);
            count += 1;
        }
        return if (count == 0) null else found[@intCast(step.below(die, count))];
    }

    pub fn any(_: void, _: *World, _: u8) bool {
        return true;
    }

    pub fn chooseHolder(w: *World, step: *const Step, die: usize, index: u8) ?Holder {
        var left = step.below(die, w.holderCount(index));
        for (w.holders.slice()) |holder| {
            if (holder.end != index) continue;
            if (left == 0) return holder;
            left -= 1;
        }
        return null;
    }

    /// Closing it would leave a registration behind whose number is gone, because others have the
    /// file: a listed difference.
    pub fn mayClose(w: *World, holder: Holder) bool {
        return !holder.registered or w.holderCount(holder.end) == 1;
    }

    /// Somebody waits for its edges, and several processes have it: a shutdown or an SO_RCVLOWAT by
    /// another one than the waiting one wakes nobody by the ring, a listed difference.
    pub fn hasEdgesElsewhere(w: *World, index: u8) bool {
        if (!w.end(index).edges_of_in) return false;
        var first: ?u8 = null;
        for (w.holders.slice()) |holder| {
            if (holder.end != index) continue;
            if (first != null and first != holder.process) return true;
            first = holder.process;
        }
        return false;
    }

    pub fn noteRegistered(w: *World, holder: Holder) void {
        for (w.holders.slice()) |*h| {
            if (h.process == holder.process and h.fd == holder.fd) h.registered = true;
        }
    }

    pub fn holderCount(w: *World, index: u8) usize {
        var count: usize = 0;
        for (w.holders.slice()) |holder| count += @intFromBool(holder.end == index);
        return count;
    }

    pub fn chooseProcess(w: *World, step: *const Step, die: usize) u8 {
        var alive: usize = 0;
        for (w.processes.slice()) |p| alive += @intFromBool(p.alive);
        var left = step.below(die, alive);
        for (w.processes.slice(), 0..) |p, i| {
            if (!p.alive) continue;
            if (left == 0) return @intCast(i);
            left -= 1;
        }
        unreachable; // both sides always have a process
    }

    pub fn chooseActor(w: *World, step: *const Step, die: usize, process: u8) *Actor {
        var count: usize = 0;
        for (w.actors.slice()) |a| count += @intFromBool(a.alive and a.process == process);
        var left = step.below(die, count);
        for (w.actors.slice()) |*a| {
            if (!a.alive or a.process != process) continue;
            if (left == 0) return a;
            left -= 1;
        }
        unreachable; // a living process has its main thread
    }

    /// An actor of this process other than `not`; null: there is none.
    pub fn otherActor(w: *World, process: u8, not: *const Actor) ?*Actor {
        for (w.actors.slice()) |*a| {
            if (a.alive and a.process == process and a != not) return a;
        }
        return null;
    }

    pub fn mainActor(w: *World, process: u8) *Actor {
        for (w.actors.slice()) |*a| {
            if (a.alive and a.process == process) return a;
        }
        unreachable; // a living process has its main thread
    }

    /// The side's first process.
    pub fn rootOf(w: *World, side: u1) u8 {
        for (w.processes.slice(), 0..) |p, i| {
            if (p.alive and p.side == side and p.root == i) return @intCast(i);
        }
        unreachable; // a side whose processes were killed gets a new one in the same step
    }

    /// A place among the root's channels that nobody uses.
    pub fn freePlace(w: *World, root: u8, places: usize) ?usize {
        next: for (1..places) |place| {
            for (w.actors.slice()) |a| {
                if (a.alive and w.processes.items[a.process].root == root and a.place == place) continue :next;
            }
            return place;
        }
        return null;
    }

    // -- what happens ---------------------------------------------------------------------------

    /// The child has the parent's connections. Instances of epoll that both use are no business of
    /// random programs: whoever asks first gets an edge.
    pub fn inherit(w: *World, parent: u8, child: u8) void {
        for (0..w.holders.count) |i| {
            var holder = w.holders.items[i];
            if (holder.process != parent) continue;
            holder.process = child;
            holder.registered = false;
            _ = w.holders.add(holder);
        }
    }

    /// One descriptor less; the last closes the end.
    pub fn drop(w: *World, holder: Holder) void {
        for (w.holders.slice(), 0..) |h, i| {
            if (h.end != holder.end or h.process != holder.process or h.fd != holder.fd) continue;
            w.holders.remove(i);
            break;
        }
        if (w.holderCount(holder.end) == 0) w.close(holder.end);
    }

    fn close(w: *World, index: u8) void {
        const e = w.end(index);
        e.closed = true;
        if (w.waiting(index) > 0 or e.lingers_not) w.peerOf(index).reset = true;
    }

    /// The process is gone, with its threads and descriptors.
    pub fn bury(w: *World, process: u8) void {
        w.processes.items[process].alive = false;
        for (w.actors.slice()) |*a| {
            if (a.process == process) a.alive = false;
        }
        var i: usize = 0;
        while (i < w.epolls.count) {
            if (w.epolls.items[i].process == process) w.epolls.remove(i) else i += 1;
        }
        i = 0;
        while (i < w.holders.count) {
            if (w.holders.items[i].process == process) {
                w.drop(w.holders.items[i]);
            } else i += 1;
        }
    }
};
