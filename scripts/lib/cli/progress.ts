// One bar on a terminal's standard error; nothing elsewhere.
import { Presets, SingleBar } from "cli-progress";

export class Progress {
  private bar: SingleBar | undefined;
  private step = "";

  constructor(private readonly isShown: boolean) {}

  /** Show how far a step is; another step begins the bar anew. */
  show(step: string, done: number, of: number): void {
    if (!this.isShown || !process.stderr.isTTY) return;
    if (!this.bar) {
      this.bar = new SingleBar(
        { format: "{step} {bar} {value} of {total}", hideCursor: true },
        Presets.shades_classic,
      );
      this.bar.start(of, done, { step });
    } else {
      if (step !== this.step) this.bar.setTotal(of);
      this.bar.update(done, { step });
    }
    this.step = step;
  }

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}
