// Noise of the ESP32's random number generator (ESP32 Technical Reference Manual, chapter "Random Number
// Generator"): RNG_DATA_REG at 0x3FF75144. True noise only while the radio is on, so bring the network up
// first; else the register runs a fixed course, which no health test can tell. The manual allows 500,000
// reads a second; the interpreter makes a tenth of that. E.hwRand() is not it: a generator with a fixed seed
// on this chip.
import type { Bytes } from "../../firmware/bytes";
import { readNoise } from "./noise_register";

/** Read `length` bytes of raw noise (RandomSource in hal.ts). */
export function noise(length: number): Bytes {
  return readNoise(0x3ff75144, length);
}
