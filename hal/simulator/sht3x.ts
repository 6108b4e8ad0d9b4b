// A Sensirion SHT3x on a simulated board's I2C bus (its data sheet, 4): single-shot measurements without clock stretching, the soft
// reset; what it gives carries its CRC. For the product `climate`. Leaves out the periodic modes, heater and status.
import type { I2cDevice } from "./pins";

/** Single shot, high repeatability, no clock stretching (table 9); soft reset (table 14). */
const MEASURE = 0x2400;
const SOFT_RESET = 0x30a2;

export class Sht3x implements I2cDevice {
  /** Bits that are turned in what it gives: a bad line. */
  damage = 0;
  /** Whether it answers at all. */
  isThere = true;
  resets = 0;
  private measured: Buffer | undefined;

  constructor(
    /** Degrees Celsius. */
    public temperature = 20,
    /** Per cent. */
    public humidity = 50,
  ) {}

  write(bytes: Buffer): void {
    this.acknowledge();
    const command = bytes.length === 2 ? bytes.readUInt16BE() : -1;
    if (command === MEASURE) {
      const words = [(this.temperature + 45) / 175, this.humidity / 100].map((share) =>
        Math.max(0, Math.min(65535, Math.round(share * 65535))),
      );
      this.measured = Buffer.concat(words.map(withCrc));
    } else if (command === SOFT_RESET) {
      this.measured = undefined;
      this.resets++;
    } else throw new Error("I2C: no ACK");
  }

  read(length: number): Buffer {
    this.acknowledge();
    // a measurement that there is none of is not acknowledged (4.4)
    if (!this.measured) throw new Error("I2C: no ACK");
    const bytes = Buffer.alloc(length, 0xff);
    this.measured.copy(bytes);
    this.measured = undefined;
    bytes[1] ^= this.damage;
    return bytes;
  }

  private acknowledge(): void {
    if (!this.isThere) throw new Error("I2C: no ACK");
  }
}

/** A word and its CRC: polynomial 0x31, from 0xff on (4.12). */
function withCrc(word: number): Buffer {
  const bytes = [word >> 8, word & 255];
  let crc = 0xff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 0x31) & 0xff : crc << 1;
  }
  return Buffer.from([...bytes, crc]);
}
