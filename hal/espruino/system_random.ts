// Noise of the operating system under Espruino for Linux: /dev/urandom through the file library, one window of the health
// tests at a time. An open file costs 40 variables, so it is closed again. E.hwRand() is not it: rand() with a fixed seed.
import type { Bytes } from "../../firmware/bytes";
import { NOISE_DEAD } from "../hal";

/** Bytes read and not yet given out. */
let unused: Bytes = "";

/** Read 32 bits of raw noise (RandomSource in hal.ts). */
export function noise(): number {
  if (!unused) {
    const file = E.openFile("/dev/urandom", "r");
    unused = (file && file.read(128)) || "";
    if (file) file.close();
  }
  if (unused.length < 4) throw NOISE_DEAD;
  const word = new Int32Array(E.toArrayBuffer(E.toString(unused.substr(0, 4), "")))[0];
  unused = unused.substr(4);
  return word;
}
