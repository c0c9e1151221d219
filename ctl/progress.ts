/**
 * A progress display on stderr: a bar that is drawn over on a terminal, plain lines elsewhere.
 */

const barCells = 24;

export class Progress {
  #done = 0;
  #phase = "";
  readonly #encoder = new TextEncoder();

  constructor(
    readonly total: number,
    readonly isTerminal = Deno.stderr.isTerminal(),
    readonly write = (text: string) => void Deno.stderr.writeSync(this.#encoder.encode(text)),
  ) {}

  /** Begins `detail` of `phase`; what came before it is done. */
  step(phase: string, detail: string) {
    if (this.isTerminal) this.write(`\r\x1b[K${this.#bar()} ${phase}: ${detail}`);
    else if (phase !== this.#phase) this.write(`${phase} ...\n`);
    this.#phase = phase;
    this.#done++;
  }

  end() {
    if (this.isTerminal) this.write("\r\x1b[K");
  }

  #bar(): string {
    const filled = Math.min(barCells, Math.floor(barCells * this.#done / this.total));
    const percent = `${Math.floor(100 * this.#done / this.total)}`.padStart(3);
    return `[${"#".repeat(filled)}${".".repeat(barCells - filled)}] ${percent}%`;
  }
}
