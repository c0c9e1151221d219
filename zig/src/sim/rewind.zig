//! Scenario M4: an empty ring goes back to its start, and one whose reader is behind may grow at its
//! end. A small ring with a smaller hot window; the sender may be killed between any two operations,
//! and another holder of the same end goes on with what it finds in shared memory.

const machine = @import("machine.zig");
const explorer = @import("explorer.zig");
const trace = @import("trace.zig");
const env = @import("env.zig");
const kernel_module = @import("kernel.zig");
const layout = @import("../layout.zig");
const carrier = @import("../carrier/carrier.zig");

const stream_bytes = 7;

pub const fixed = Scenario(.{ .ring_bytes = 4, .hot_window_bytes = 2 });
pub const growing = Scenario(.{ .ring_bytes = 4, .initial = 2, .hot_window_bytes = 1 });

fn Scenario(comptime sizes: env.Sizes) type {
    return struct {
        const Env = env.SimEnv(sizes);
        const ring_bytes = sizes.ring_bytes;
        const grows = sizes.initial != null;
        const Sender = carrier.Sender(Env);
        const Receiver = carrier.Receiver(Env);
        const Wake = carrier.Wake(Env);
        const Bells = kernel_module.Bells;

        const first_process: u8 = 0;
        const receiver_process: u8 = 1;
        const heir_process: u8 = 2;

        const World = extern struct {
            direction: layout.Direction,
            ring: [8]u8,
            tx: layout.TxEnd,
            rx: layout.RxEnd,
            rung: [kernel_module.bells_max]bool,
            first_done: bool,
            killed: bool,
        };

        pub fn scenario(comptime name: []const u8, comptime order: machine.MemoryOrder) explorer.Scenario {
            return .{
                .name = name,
                .order = order,
                .setUp = &setUp,
                .events = &possibleKills,
                .apply = &kill,
                .eventName = &killName,
                .describe = &trace.describer(World),
            };
        }

        fn setUp() void {
            machine.world_bytes = @sizeOf(World);
            const w = world();
            w.ring = @splat(0xee);
            w.direction.down = layout.Direction.open_ended;
            w.direction.gate = carrier.Gate.of(.ring, 0).word();
            w.tx.carrier = @backingInt(layout.Carrier.ring);
            w.rx.carrier = @backingInt(layout.Carrier.ring);
            machine.spawnMortal("sender", first_process, &senderStep);
            machine.spawn("receiver", receiver_process, &receiverStep);
            machine.spawn("heir", heir_process, &heirStep);
        }

        fn world() *World {
            return machine.world(World);
        }

        fn senderStep() machine.Next {
            const next = sendSome(world());
            if (next == .done) {
                machine.call("unlock");
                world().first_done = true;
            }
            return next;
        }

        fn heirStep() machine.Next {
            machine.wait("wait for the lock", &isInherited, 0);
            return sendSome(world());
        }

        fn isInherited(_: usize) bool {
            return world().first_done or world().killed;
        }

        fn sendSome(w: *World) machine.Next {
            var s = Sender.init(&w.direction, &w.tx, &w.ring);
            const left = stream_bytes - s.head;
            if (left == 0) return .done;
            const len: u64 = if (left > 1) 1 + machine.choose("send two bytes", 2) else 1;
            if (grows) s.may_grow = machine.choose("grow at the end", 2) == 1;
            const bytes = [2]u8{ @intCast(s.head), @intCast(s.head + 1) };
            const bells: Bells = .{ .rung = &w.rung };
            if (machine.choose("the short way", 2) == 1 and s.put(bytes[0..len], s.size())) {
                Wake.notify(&w.direction.attn, &w.tx.rang, bells);
                return .again;
            }
            const free = s.space(len) orelse {
                machine.fail("corrupt, though nobody lied", .{});
                return .done;
            };
            if (free < len) {
                machine.wait("wait for space", &hasSpace, @intCast(len));
                return .again;
            }
            _ = s.append(bytes[0..len]);
            s.publish(bells);
            return .again;
        }

        fn hasSpace(len: usize) bool {
            const direction = &world().direction;
            // As large as the ring is now: it grows only by sending.
            const mask = layout.Direction.maskOf(direction.mask, Env.ring_bytes_initial, ring_bytes);
            return direction.head - direction.tail + len <= mask + 1;
        }

        fn receiverStep() machine.Next {
            const w = world();
            if (w.rx.position == stream_bytes) return .done;
            var r: Receiver = .{ .direction = &w.direction, .end = &w.rx, .ring = &w.ring };
            const available = r.ringBytesFor(1);
            if (available == 0) {
                machine.wait("wait for data", &hasData, 0);
                return .again;
            }
            var bytes: [ring_bytes]u8 = undefined;
            const n: u64 = if (available > 1 and machine.choose("take all", 2) == 0)
                1
            else
                @min(available, ring_bytes);
            const in_one_piece = n == 1 and r.copyPiece(bytes[0..n]);
            if (!in_one_piece) _ = r.copy(0, bytes[0..n]);
            for (bytes[0..n], w.rx.position..) |byte, position| {
                if (byte != position) machine.fail("byte {d} arrives at position {d}", .{ byte, position });
            }
            r.consume(n, Bells{ .rung = &w.rung });
            return .again;
        }

        fn hasData(_: usize) bool {
            const w = world();
            return w.direction.head != w.rx.position;
        }

        fn possibleKills() u8 {
            return @intFromBool(!world().killed and !world().first_done);
        }

        fn kill(_: u3) void {
            world().killed = true;
            machine.kill(first_process);
        }

        fn killName(_: u3) []const u8 {
            return "SIGKILL for the sender";
        }
    };
}
