/**
 * How far apart the two cpus are. Under a hypervisor this changes while one looks: a cache line's
 * way there and back takes 62 ns when the virtual cpus are two threads of one core, 85 ns when they
 * are cores with one cache, 320 ns when they are farther apart, and every figure of shared memory
 * changes with it. Runs are comparable only under the same condition, so one that was not made under
 * the usual one is repeated, for both kinds alike.
 */

import { type Lab, sdbench } from "../../tests/harness.ts";
import type { Condition } from "./model.ts";

/** Looks that say what is usual, and how long they are apart. */
const looks = 15;
const looksApartMs = 200;

/** How far from the usual a look may be. */
const tolerance = 0.35;

const attemptsMax = 3;

export class Nearness {
  usualNs = 0;
  repeated = 0;
  /** Runs that were kept although the condition had changed, after so many attempts. */
  keptAnyway = 0;

  #seenRepeated = 0;
  #seenKept = 0;

  private constructor(readonly lab: Lab) {}

  static async learn(lab: Lab): Promise<Nearness> {
    const self = new Nearness(lab);
    const seen: number[] = [];
    for (let i = 0; i < looks; i++) {
      seen.push(await self.#lookNs());
      await new Promise((resolve) => setTimeout(resolve, looksApartMs));
    }
    self.usualNs = seen.sort((a, b) => a - b)[looks >> 1];
    return self;
  }

  /** What has happened since the last call, for one row's record. */
  takeCondition(): Condition {
    const condition = {
      cache_line_ns: this.usualNs,
      runs_repeated: this.repeated - this.#seenRepeated,
      runs_kept_anyway: this.keptAnyway - this.#seenKept,
      date: new Date().toISOString(),
    };
    this.#seenRepeated = this.repeated;
    this.#seenKept = this.keptAnyway;
    return condition;
  }

  /** The measurement's result from a run at whose start and end the condition was the usual one. */
  async whileUsual<T>(measure: () => Promise<T>): Promise<T> {
    for (let attempt = 1;; attempt++) {
      const before = await this.#lookNs();
      const result = await measure();
      const after = await this.#lookNs();
      if (this.#isUsual(before) && this.#isUsual(after)) return result;
      if (attempt === attemptsMax) {
        this.keptAnyway++;
        return result;
      }
      this.repeated++;
    }
  }

  #isUsual(ns: number): boolean {
    return Math.abs(ns - this.usualNs) <= tolerance * this.usualNs;
  }

  async #lookNs(): Promise<number> {
    if (navigator.hardwareConcurrency < 2) return 0;
    const { stdout } = await this.lab.run([sdbench, "cache-line", "--json"]);
    return JSON.parse(stdout).ns;
  }

  summary(): string {
    const kept = this.keptAnyway > 0 ? `, ${this.keptAnyway} kept although it did not return` : "";
    return `a cache line's way between the cpus and back: ${Math.round(this.usualNs)} ns; ` +
      `${this.repeated} runs repeated because it had changed${kept}`;
  }
}
