//! Builds everything native: libsd.so (the preload library), libsdffi.so (C ABI for Deno), the
//! plain libc programs that measure (sdbench) and compare (sdconform), and the tests. `zig build`
//! installs into zig-out/; `zig build test` runs the unit tests and the interleaving test; `zig
//! build layout` prints the TypeScript layout tables, `zig build api` docs/API.md.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});

    addPreload(b, target, optimize);
    addFfi(b, target, optimize);
    addBench(b, target, optimize);
    addConformance(b, target);
    addLayout(b);
    addApi(b);
    addTests(b, target, optimize);
}

fn addPreload(b: *std.Build, target: std.Build.ResolvedTarget, optimize: std.lang.OptimizeMode) void {
    const lib = b.addLibrary(.{
        .name = "sd",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/root_preload.zig"),
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
    lib.setVersionScript(b.path("src/preload.map"));
    b.installArtifact(lib);
}

fn addFfi(b: *std.Build, target: std.Build.ResolvedTarget, optimize: std.lang.OptimizeMode) void {
    const lib = b.addLibrary(.{
        .name = "sdffi",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/root_ffi.zig"),
            .target = target,
            .optimize = optimize,
            .link_libc = true,
            .strip = optimize != .debug,
        }),
        .use_llvm = true,
        .use_lld = true,
    });
    lib.bundle_ubsan_rt = false;
    lib.setVersionScript(b.path("src/ffi.map"));
    b.installArtifact(lib);
}

fn addBench(b: *std.Build, target: std.Build.ResolvedTarget, optimize: std.lang.OptimizeMode) void {
    const exe = b.addExecutable(.{
        .name = "sdbench",
        .root_module = b.createModule(.{
            .root_source_file = b.path("bench/main.zig"),
            .target = target,
            .optimize = optimize,
            .link_libc = true,
        }),
        .use_llvm = true,
        .use_lld = true,
    });
    b.installArtifact(exe);
}

fn addConformance(b: *std.Build, target: std.Build.ResolvedTarget) void {
    const exe = b.addExecutable(.{
        .name = "sdconform",
        .root_module = b.createModule(.{
            .root_source_file = b.path("conformance/main.zig"),
            .target = target,
            // A mistake in a case must be found, not compared.
            .optimize = .safe,
            .link_libc = true,
        }),
        .use_llvm = true,
        .use_lld = true,
    });
    b.installArtifact(exe);
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

fn addTests(b: *std.Build, target: std.Build.ResolvedTarget, optimize: std.lang.OptimizeMode) void {
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

    for ([_][]const u8{ "bench/unit_tests.zig", "conformance/unit_tests.zig" }) |root| {
        const tests = b.addTest(.{
            .root_module = b.createModule(.{
                .root_source_file = b.path(root),
                .target = target,
                .optimize = optimize,
                .link_libc = true,
            }),
        });
        const run = b.addRunArtifact(tests);
        run.has_side_effects = true;
        unit_step.dependOn(&run.step);
    }

    const sim = b.addExecutable(.{
        .name = "interleave",
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/interleave.zig"),
            .target = target,
            // Overflows and bad indices in the code under test are findings.
            .optimize = .safe,
            .link_libc = true,
        }),
        .use_llvm = true,
        .use_lld = true,
    });
    b.installArtifact(sim);
}
