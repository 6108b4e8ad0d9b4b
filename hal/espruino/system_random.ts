// Noise of the operating system under Espruino for Linux: /dev/urandom through the file library. An open file
// costs 40 variables, so each sample opens it and closes it again. E.hwRand() is not it: rand() with a fixed
// seed.
import { NOISE_DEAD } from "../hal";

/** Read 32 bits of raw noise (RandomSource in hal.ts). */
export function noise(): number {
  const file = E.openFile("/dev/urandom", "r");
  const bytes = file && file.read(4);
  if (file) file.close();
  if (!bytes || bytes.length < 4) throw NOISE_DEAD;
  return new Int32Array(E.toArrayBuffer(bytes))[0];
}
