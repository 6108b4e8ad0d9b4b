// Noise of the operating system under Espruino for Linux: /dev/urandom through the file library. An open file costs 40
// variables, so it is closed again. E.hwRand() is not it: rand() with a fixed seed.
import type { Bytes } from "../../firmware/bytes";
import { NOISE_DEAD } from "../hal";

/** Read `length` bytes of raw noise (RandomSource in hal.ts). */
export function noise(length: number): Bytes {
  const file = E.openFile("/dev/urandom", "r");
  const bytes = file && file.read(length);
  if (file) file.close();
  delete (global as any).File; // the class that the file has brought, 7 variables
  if (!bytes || bytes.length < length) throw NOISE_DEAD;
  return bytes;
}
