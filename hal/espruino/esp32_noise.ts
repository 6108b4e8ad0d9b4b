// Noise of the ESP32's random number generator (ESP32 Technical Reference Manual, chapter "Random Number
// Generator"): RNG_DATA_REG at 0x3FF75144. True noise only while the radio is on, so bring the network up
// first; else the register runs a fixed course, which no health test can tell. The manual allows 500,000
// reads a second; the interpreter makes a tenth of that. E.hwRand() is not it: a generator with a fixed seed
// on this chip.
import type { Bytes } from "../../firmware/bytes";

/**
 * Read `length` bytes of raw noise (RandomSource in hal.ts). A dead register stands still: health_tests.ts sees it.
 */
export function noise(length: number): Bytes {
  const buffer = E.toArrayBuffer(E.toString({ data: 0, count: length }));
  const words = new Int32Array(buffer);
  for (let i = length >> 2; i--; ) words[i] = peek32(0x3ff75144);
  return E.toString(buffer);
}
