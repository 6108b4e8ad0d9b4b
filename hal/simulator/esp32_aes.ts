// Model of the ESP32's AES accelerator (ESP32 Technical Reference Manual, chapter "AES Accelerator") and of
// the two DPORT registers that clock and reset it (chapter "System and Memory"). A block is busy for a number
// of accesses: whoever reads TEXT before IDLE reads garbage, whoever writes then spoils the result. Leaves
// out 192 and 256 bits.
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Peripheral } from "./bus";
import type { Counters } from "./counters";

const START = 0x00;
const IDLE = 0x04;
const MODE = 0x08;
const KEY = 0x10;
const TEXT = 0x30;
const ENDIAN = 0x40;

export class Esp32Aes {
  /** Accesses that a block takes; Infinity: the unit hangs. */
  busyAccesses = 2;
  /** DPORT_PERI_CLK_EN_REG and DPORT_PERI_RST_EN_REG. */
  private clockEnable = 0;
  private resetEnable = 0x1f;
  private mode = 0;
  private key = new Uint32Array(4);
  private text = new Uint32Array(4);
  private endian = 0x3f;
  private busy = 0;
  private spoilt = false;

  constructor(private counters: Counters) {}

  peripherals(): Peripheral[] {
    const dport: Peripheral = {
      start: 0x3ff0001c,
      length: 8,
      read: (offset) => (offset ? this.resetEnable : this.clockEnable),
      write: (offset, value) => {
        if (offset) this.resetEnable = value;
        else this.clockEnable = value;
        if (!this.running()) this.clear();
      },
    };
    const unit: Peripheral = {
      start: 0x3ff01000,
      length: 0x44,
      read: (offset) => this.read(offset),
      write: (offset, value) => this.write(offset, value),
      step: () => {
        if (this.busy && !--this.busy) this.finish();
      },
    };
    return [dport, unit];
  }

  /**
   * Clocked, and held in reset by none of the three units that hold it: AES, secure boot, digital signature.
   */
  private running(): boolean {
    return !!(this.clockEnable & 1) && !(this.resetEnable & 0x19);
  }

  private clear(): void {
    this.mode = this.busy = 0;
    this.endian = 0x3f;
    this.key.fill(0);
    this.text.fill(0);
  }

  private read(offset: number): number {
    if (!this.running()) return 0;
    if (offset === IDLE) return this.busy ? 0 : 1;
    if (offset === MODE) return this.mode;
    if (offset === ENDIAN) return this.endian;
    if (offset >= KEY && offset < KEY + 16) return this.key[(offset - KEY) >> 2];
    if (offset >= TEXT && offset < TEXT + 16)
      return this.text[(offset - TEXT) >> 2] ^ (this.busy ? 0xdeadbeef : 0);
    return 0;
  }

  private write(offset: number, value: number): void {
    if (!this.running()) return;
    if (this.busy) this.spoilt = true;
    if (offset === START && value & 1 && !this.busy) this.busy = this.busyAccesses + 1;
    else if (offset === MODE) this.mode = value & 7;
    else if (offset === ENDIAN) this.endian = value & 0x3f;
    else if (offset >= KEY && offset < KEY + 16) this.key[(offset - KEY) >> 2] = value;
    else if (offset >= TEXT && offset < TEXT + 16) this.text[(offset - TEXT) >> 2] = value;
  }

  private finish(): void {
    const decrypt = this.mode === 4;
    if (this.mode !== 0 && !decrypt) throw new Error("simulator: only AES-128 is modelled");
    const key = ordered(this.key, this.endian);
    const cipher = (decrypt ? createDecipheriv : createCipheriv)("aes-128-ecb", key, null).setAutoPadding(
      false,
    );
    const output = cipher.update(ordered(this.text, this.endian >> 2));
    const words = new Uint32Array(4);
    for (let i = 0; i < 4; i++) words[i] = output.readUInt32LE(i * 4);
    const text = ordered(words, this.endian >> 4);
    for (let i = 0; i < 4; i++)
      this.text[i] = this.spoilt ? ~text.readUInt32LE(i * 4) : text.readUInt32LE(i * 4);
    this.spoilt = false;
    this.counters.aesBlocks++;
  }
}

/**
 * Bytes of four words by two bits of ENDIAN: bit 1 set, the first word first; bit 0 set, a word's low byte
 * first.
 */
function ordered(words: Uint32Array, endian: number): Buffer {
  const bytes = Buffer.alloc(16);
  for (let i = 0; i < 4; i++) {
    const word = words[endian & 2 ? i : 3 - i];
    if (endian & 1) bytes.writeUInt32LE(word, i * 4);
    else bytes.writeUInt32BE(word, i * 4);
  }
  return bytes;
}
