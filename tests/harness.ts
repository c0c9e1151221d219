/**
 * What every integration test works with: a private monitor, programs that run preloaded or not,
 * waiting by condition with a deadline, and the check that the bytes really went by ring.
 *
 * Read order: harness/lab.ts (a test's world), harness/combinations.ts (how tests are declared),
 * harness/counters.ts (what "went by ring" means).
 */

export * from "./harness/builds.ts";
export * from "./harness/combinations.ts";
export * from "./harness/counters.ts";
export * from "./harness/files.ts";
export * from "./harness/lab.ts";
export * from "./harness/monitor.ts";
export * from "./harness/network.ts";
export * from "./harness/ports.ts";
export * from "./harness/program.ts";
export * from "./harness/script.ts";
export * from "./harness/waiting.ts";
