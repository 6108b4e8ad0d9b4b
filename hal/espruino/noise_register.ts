// A noise register of 32 bits that gives another sample at each read (esp32_noise.ts, esp32c3_noise.ts). Leaves out waiting:
// the interpreter is slower than the registers.
import type { Bytes } from "../../firmware/bytes";

/**
 * Read `length` bytes, a multiple of 4, at `address`. A dead register stands still: health_tests.ts sees it.
 */
export function readNoise(address: number, length: number): Bytes {
  const buffer = E.toArrayBuffer(E.toString({ data: 0, count: length }));
  const words = new Int32Array(buffer);
  for (let i = length >> 2; i--; ) words[i] = peek32(address);
  return E.toString(buffer);
}
