// Noise of the ESP32-S3's random number generator (ESP32-S3 Technical Reference Manual, chapter "Random
// Number Generator"): RNG_DATA_REG at 0x6003507C. True noise only while the radio is on, so bring the network
// up first. The manual allows 500,000 reads a second; the interpreter makes a tenth of that. E.hwRand() is
// not it.
import type { Bytes } from "../../firmware/bytes";
import { readNoise } from "./noise_register";

/** Read `length` bytes of raw noise (RandomSource in hal.ts). */
export function noise(length: number): Bytes {
  return readNoise(0x6003507c, length);
}
