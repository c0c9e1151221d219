/**
 * Messages on their way to one process, in order. A socket that is full keeps the rest here until
 * the process has read; what a message carries along is resolved when it is sent.
 */

import type { Send } from "./core/model.ts";

/** `discarded`: can not be sent, ever; the sender has cleaned up after it. */
export type Outcome = "sent" | "full" | "discarded";

export class Outbox {
  readonly #waiting: Send[] = [];
  readonly #attempt: (message: Send) => Outcome;

  constructor(attempt: (message: Send) => Outcome) {
    this.#attempt = attempt;
  }

  get length(): number {
    return this.#waiting.length;
  }

  push(message: Send): void {
    this.#waiting.push(message);
    if (this.#waiting.length === 1) this.flush();
  }

  /** Sends what the socket takes. Sending may push more into this same box, behind the rest. */
  flush(): void {
    while (this.#waiting.length > 0) {
      if (this.#attempt(this.#waiting[0]) === "full") return;
      this.#waiting.shift();
    }
  }

  /** Empties the box and returns what was in it. */
  drain(): Send[] {
    return this.#waiting.splice(0);
  }
}
