//! Builds everything native. `zig build` installs into zig-out/ what users of this machine need:
//! libsd.so (the preload library), libsdffi.so (C ABI for Deno) and the plain libc program that
//! measures (sdbench). `zig build checks` installs what only tests need, and what takes longer to
//! compile than all of that: the program that compares (sdconform) and the interleaving test.
//! `zig build all` makes what other machines run, into zig-out/TARGET/ (`ports`, below). `zig build
//! test` runs the unit tests; `zig build layout` prints the TypeScript layout tables, `zig build api`
//! docs/API.md.

const std = @import("std");
const Target = std.Build.ResolvedTarget;
const Optimize = std.lang.OptimizeMode;

/// The oldest glibc that is supported. Programs and libraries ask for no newer symbol than it has,
/// whatever the machine that builds them has.
const glibc: std.SemanticVersion = .{ .major = 2, .minor = 31, .patch = 0 };

/// What `zig build all` makes. One libsd.so an architecture serves programs of glibc and of musl:
/// it needs `libc.so.6` and `libdl.so.2`, and musl's loader takes these names for itself. Plain
/// programs are of one libc or the other.
const ports = [_]struct { arch: std.Target.Cpu.Arch, abi: std.Target.Abi }{
    .{ .arch = .x86_64, .abi = .gnu },
    .{ .arch = .x86_64, .abi = .musl },
    .{ .arch = .aarch64, .abi = .gnu },
    .{ .arch = .aarch64, .abi = .musl },
};

pub fn build(b: *std.Build) void {
    const host = b.graph.host.result;
    const target = b.standardTargetOptions(.{ .default_target = query(host.cpu.arch, host.abi) });
    const library_target = b.resolveTargetQuery(query(target.result.cpu.arch, .gnu));
    const optimize = b.standardOptimizeOption(.{});

    b.installArtifact(addPreload(b, library_target, optimize));
    b.installArtifact(addFfi(b, library_target, optimize));
    b.installArtifact(addBench(b, target, optimize));
    addChecks(b, target);
    addPorts(b, optimize);
    addLayout(b);
    addApi(b);
    addTests(b, target, optimize);
}

/// A cpu of the architecture's first kind: what is built here may run elsewhere.
fn query(arch: std.Target.Cpu.Arch, abi: std.Target.Abi) std.Target.Query {
    return .{
        .cpu_arch = arch,
        .cpu_model = .baseline,
        .os_tag = .linux,
        .abi = if (abi.isMusl()) .musl else .gnu,
        .glibc_version = if (abi.isMusl()) null else glibc,
    };
}

fn addChecks(b: *std.Build, target: Target) void {
    const checks = b.step("checks", "build the programs that only tests run");
    // It compares what this very machine's libc does, the newest calls too.
    const conformance = addConformance(b, b.graph.host);
    for ([_]*std.Build.Step.Compile{ conformance, addInterleave(b, target) }) |program| {
        checks.dependOn(&b.addInstallArtifact(program, .{}).step);
    }
}

fn addPorts(b: *std.Build, optimize: Optimize) void {
    const all = b.step("all", "build for every supported architecture and libc");
    all.dependOn(b.getInstallStep());
    for (ports) |port| {
        const target = b.resolveTargetQuery(query(port.arch, port.abi));
        const folder: std.Build.Step.InstallArtifact.Options = .{
            .dest_dir = .{ .override = .{ .custom = b.fmt("{t}-linux-{t}", .{ port.arch, port.abi }) } },
        };
        if (port.abi == .gnu) {
            all.dependOn(&b.addInstallArtifact(addPreload(b, target, optimize), folder).step);
        }
        all.dependOn(&b.addInstallArtifact(addBench(b, target, optimize), folder).step);
    }
}

fn addPreload(b: *std.Build, target: Target, optimize: Optimize) *std.Build.Step.Compile {
    return addLibrary(b, "sd", "preload", target, optimize);
}

fn addFfi(b: *std.Build, target: Target, optimize: Optimize) *std.Build.Step.Compile {
    return addLibrary(b, "sdffi", "ffi", target, optimize);
}

fn addLibrary(b: *std.Build, name: []const u8, part: []const u8, target: Target, optimize: Optimize) *std.Build.Step.Compile {
    const lib = b.addLibrary(.{
        .name = name,
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path(b.fmt("src/root_{s}.zig", .{part})),
            .target = target,
            .optimize = optimize,
            .link_libc = true,
            .strip = optimize != .debug,
        }),
        // The self-hosted back end ignores the version script: every hidden name would be exported.
        .use_llvm = true,
        .use_lld = true,
    });
    lib.bundle_ubsan_rt = false;
    lib.setVersionScript(b.path(b.fmt("src/{s}.map", .{part})));
    return lib;
}

fn addBench(b: *std.Build, target: Target, optimize: Optimize) *std.Build.Step.Compile {
    return addProgram(b, "sdbench", "bench/main.zig", target, optimize);
}

/// A mistake in a case must be found, not compared: hence its own mode.
fn addConformance(b: *std.Build, target: Target) *std.Build.Step.Compile {
    return addProgram(b, "sdconform", "conformance/main.zig", target, .safe);
}

/// Overflows and bad indices in the code under test are findings: hence its own mode.
fn addInterleave(b: *std.Build, target: Target) *std.Build.Step.Compile {
    return addProgram(b, "interleave", "src/interleave.zig", target, .safe);
}

fn addProgram(b: *std.Build, name: []const u8, root: []const u8, target: Target, optimize: Optimize) *std.Build.Step.Compile {
    return b.addExecutable(.{
        .name = name,
        .root_module = b.createModule(.{
            .root_source_file = b.path(root),
            .target = target,
            .optimize = optimize,
            .link_libc = true,
        }),
        .linkage = .dynamic,
        .use_llvm = true,
        .use_lld = true,
    });
}

fn addLayout(b: *std.Build) void {
    const exe = b.addExecutable(.{
        .name = "layout-export",
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/layout_export.zig"),
            .target = b.graph.host,
            .optimize = .debug,
        }),
    });
    const run = b.addRunArtifact(exe);
    b.step("layout", "print the TypeScript layout tables").dependOn(&run.step);
}

fn addApi(b: *std.Build) void {
    const exe = b.addExecutable(.{
        .name = "api-export",
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/api_export.zig"),
            .target = b.graph.host,
            .optimize = .debug,
            .link_libc = true,
        }),
    });
    const run = b.addRunArtifact(exe);
    b.step("api", "print docs/API.md").dependOn(&run.step);
}

fn addTests(b: *std.Build, target: Target, optimize: Optimize) void {
    const unit = b.addTest(.{
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/unit_tests.zig"),
            .target = target,
            .optimize = optimize,
            .link_libc = true,
        }),
        // The preload library's thread-local variables and inline assembly need it.
        .use_llvm = true,
    });
    const run_unit = b.addRunArtifact(unit);
    // Run and count again when nothing changed: a cached run reports no tests.
    run_unit.has_side_effects = true;
    const unit_step = b.step("test", "run the Zig unit tests");
    unit_step.dependOn(&run_unit.step);

    const Program = struct { root: []const u8, target: Target };
    for ([_]Program{
        .{ .root = "bench/unit_tests.zig", .target = target },
        .{ .root = "conformance/unit_tests.zig", .target = b.graph.host },
    }) |program| {
        const tests = b.addTest(.{
            .root_module = b.createModule(.{
                .root_source_file = b.path(program.root),
                .target = program.target,
                .optimize = optimize,
                .link_libc = true,
            }),
        });
        const run = b.addRunArtifact(tests);
        run.has_side_effects = true;
        unit_step.dependOn(&run.step);
    }
}
