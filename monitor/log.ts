/**
 * The monitor's log: one line an event, on stderr. Lines that a misbehaving process can cause are
 * limited in number, so that it can not fill a disk; what was left out is counted in the next line.
 */

import type { LogLevel } from "./core/model.ts";

export type { LogLevel } from "./core/model.ts";

export const logLevels: readonly LogLevel[] = ["error", "warn", "info", "debug"];

const burstLines = 200;
const linesPerSecond = 20;

export interface LoggerOptions {
  level: LogLevel;
  write?: (line: string) => void;
  nowMs?: () => number;
}

export class Logger {
  readonly #level: number;
  readonly #write: (line: string) => void;
  readonly #nowMs: () => number;
  #allowance = burstLines;
  #refilledMs: number;
  #leftOut = 0;

  constructor(options: LoggerOptions) {
    this.#level = logLevels.indexOf(options.level);
    this.#write = options.write ?? writeToStderr;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#refilledMs = this.#nowMs();
  }

  error(text: string): void {
    this.line("error", text);
  }

  warn(text: string): void {
    this.line("warn", text);
  }

  info(text: string): void {
    this.line("info", text);
  }

  line(level: LogLevel, text: string): void {
    if (logLevels.indexOf(level) > this.#level) return;
    if (!this.#allowed(level)) {
      this.#leftOut += 1;
      return;
    }
    if (this.#leftOut > 0) {
      this.#emit("warn", `${this.#leftOut} lines left out: too many in a short time`);
      this.#leftOut = 0;
    }
    this.#emit(level, text);
  }

  /** Who asked for debug lines gets all of them. */
  #allowed(level: LogLevel): boolean {
    if (level === "error" || this.#level === logLevels.indexOf("debug")) return true;
    const nowMs = this.#nowMs();
    const earned = (nowMs - this.#refilledMs) / 1000 * linesPerSecond;
    this.#allowance = Math.min(burstLines, this.#allowance + earned);
    this.#refilledMs = nowMs;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }

  #emit(level: LogLevel, text: string): void {
    const time = new Date(this.#nowMs()).toISOString();
    // deno-lint-ignore no-control-regex
    const oneLine = text.replace(/[\x00-\x1f\x7f]/g, "?");
    this.#write(`${time} ${level.padEnd(5)} ${oneLine}\n`);
  }
}

function writeToStderr(line: string): void {
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(line));
  } catch {
    // Nobody reads it any more; the monitor goes on.
  }
}
