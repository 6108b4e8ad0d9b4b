// Model of the nRF5x ECB peripheral (nRF52832 Product Specification, chapter "ECB"): EasyDMA reads 48 bytes
// at ECBDATAPTR and writes the last 16 of them when ENDECB comes; ERRORECB where the radio has the AES core,
// or where STOPECB cut a run short. Leaves out interrupts and shortcuts.
import { createCipheriv } from "node:crypto";
import type { Bus, Peripheral } from "./bus";
import type { Counters } from "./counters";

const STARTECB = 0x000;
const STOPECB = 0x004;
const ENDECB = 0x100;
const ERRORECB = 0x104;
const ECBDATAPTR = 0x504;

export class NrfEcb {
  /** Accesses that a block takes; Infinity: it never ends. */
  busyAccesses = 2;
  /** Asked at each start: whether the radio has the AES core. */
  contended: () => boolean = () => false;
  /** Asked for each block that ends: whether it comes out wrong, as where the SoftDevice has put its own ECBDATAPTR. */
  spoils: () => boolean = () => false;
  private end = 0;
  private error = 0;
  private pointer = 0;
  private busy = 0;
  private aborts = false;

  constructor(
    private bus: Bus,
    private counters: Counters,
  ) {}

  peripheral(): Peripheral {
    return {
      start: 0x4000e000,
      length: 0x508,
      read: (offset) => {
        if (offset === ENDECB) return this.end;
        if (offset === ERRORECB) return this.error;
        return offset === ECBDATAPTR ? this.pointer : 0;
      },
      write: (offset, value) => this.write(offset, value),
      step: () => {
        if (this.busy && !--this.busy) this.finish();
      },
    };
  }

  private write(offset: number, value: number): void {
    if (offset === STARTECB && value & 1 && !this.busy) {
      this.busy = this.busyAccesses + 1;
      this.aborts = this.contended();
    } else if (offset === STOPECB && value & 1 && this.busy) {
      this.busy = 0;
      this.error = 1;
    } else if (offset === ENDECB) this.end = value & 1;
    else if (offset === ERRORECB) this.error = value & 1;
    else if (offset === ECBDATAPTR) this.pointer = value;
  }

  private finish(): void {
    const ram = this.bus.ram(this.pointer, 48);
    if (!ram) throw new Error(`simulator: EasyDMA outside of RAM, 0x${this.pointer.toString(16)}`);
    if (this.aborts) {
      this.error = 1;
      return;
    }
    const cipher = createCipheriv("aes-128-ecb", ram.subarray(0, 16), null).setAutoPadding(false);
    if (!this.spoils()) ram.set(cipher.update(ram.subarray(16, 32)), 32);
    this.end = 1;
    this.counters.aesBlocks++;
  }
}
