// Noise of the operating system under Espruino for Linux: /dev/urandom through the file library. The file stays open,
// for it reads 4,096 bytes ahead each time that it is opened. E.hwRand() is not it: rand() with a fixed seed.
import { NOISE_DEAD } from "../hal";

// biome-ignore lint/suspicious/noExplicitAny: the file library is on few boards and in no type file
let file: any;

/** Read 32 bits of raw noise (RandomSource in hal.ts). */
export function noise(): number {
  if (!file) file = E.openFile("/dev/urandom", "r");
  const bytes = file && file.read(4);
  if (!bytes || bytes.length < 4) throw NOISE_DEAD;
  return new Int32Array(E.toArrayBuffer(bytes))[0];
}
