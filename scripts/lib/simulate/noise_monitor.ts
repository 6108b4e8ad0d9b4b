// Looks on at the noise that a simulated board reads and keeps the figures of the two tests of SP 800-90B, 4.4, for
// show: the board's firmware makes its own tests and decides by them (firmware/crypto/health_tests.ts).
import type { Noise } from "../../../hal/simulator/noise";

const WINDOW = 1024; // bits, 4.4.2

export class NoiseMonitor implements Noise {
  words = 0;
  dead = false;
  ones = 0;
  /** Longest run of equal bits so far, and most bits equal to the first one of a window. */
  longestRun = 0;
  mostAlike = 0;
  readonly runCutoff: number;
  readonly alikeCutoff: number;
  private last = -1;
  private run = 0;
  private first = 0;
  private alike = 0;
  private inWindow = 0;

  constructor(
    private readonly source: Noise,
    entropyPerBit: number,
  ) {
    const cutoffs: [number, number, number][] = [
      [0.1, 201, 991],
      [0.3, 68, 890],
      [0.5, 41, 793],
      [1, 21, 589],
    ];
    const row = cutoffs.find(([entropy]) => entropy >= entropyPerBit) ?? cutoffs[3];
    [, this.runCutoff, this.alikeCutoff] = row;
  }

  word(): number | undefined {
    const word = this.source.word();
    if (word === undefined) this.dead = true;
    else this.take(word);
    return word;
  }

  get healthy(): boolean {
    return !this.dead && this.longestRun < this.runCutoff && this.mostAlike < this.alikeCutoff;
  }

  private take(word: number): void {
    this.words++;
    for (let shift = 31; shift >= 0; shift--) {
      const bit = (word >>> shift) & 1;
      this.ones += bit;
      this.run = bit === this.last ? this.run + 1 : 1;
      this.last = bit;
      this.longestRun = Math.max(this.longestRun, this.run);
      if (this.inWindow === 0) [this.first, this.alike] = [bit, 0];
      if (bit === this.first) this.alike++;
      this.mostAlike = Math.max(this.mostAlike, this.alike);
      this.inWindow = (this.inWindow + 1) % WINDOW;
    }
  }
}
