// Models of the random number registers: the ESP32's and ESP32-C3's data register, random only while the
// radio is on (Technical Reference Manuals, chapter "Random Number Generator"), and the nRF5x RNG, a byte at
// a time with VALRDY (nRF52832 Product Specification, chapter "RNG"). Leaves out the ESP32's other noise
// sources, interrupts, and what bias correction does to the bytes.
import type { Peripheral } from "./bus";
import { fixedCourse, type Noise } from "./noise";

/**
 * The data register at `start`; without a radio it runs its fixed course, with a dead source it stands at 0.
 */
export function espRandom(start: number, noise: Noise, radioOn: () => boolean): Peripheral {
  const course = fixedCourse();
  return {
    start,
    length: 4,
    read: () => (radioOn() ? (noise.word() ?? 0) : (course.word() as number)),
    write: () => {},
  };
}

export class NrfRng {
  /** Accesses from the start, or from the last byte, to VALRDY. */
  busyAccesses = 3;
  private running = false;
  private ready = 0;
  private config = 0;
  private value = 0;
  private left = 0;

  constructor(private noise: Noise) {}

  peripheral(): Peripheral {
    return {
      start: 0x4000d000,
      length: 0x50c,
      read: (offset) => {
        if (offset === 0x100) return this.ready;
        if (offset === 0x504) return this.config;
        return offset === 0x508 ? this.value : 0;
      },
      write: (offset, value) => {
        if (offset === 0x000 && value & 1 && !this.running) {
          this.running = true;
          this.left = this.busyAccesses;
        } else if (offset === 0x004 && value & 1) this.running = false;
        else if (offset === 0x100) this.ready = value & 1;
        else if (offset === 0x504) this.config = value & 1;
      },
      step: () => {
        if (!this.running || --this.left > 0) return;
        this.left = this.busyAccesses;
        const word = this.noise.word();
        if (word === undefined) return;
        this.value = word & 255;
        this.ready = 1;
      },
    };
  }
}
