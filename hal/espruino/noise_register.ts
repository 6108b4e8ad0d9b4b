// A noise register of 32 bits that gives another sample at each read (esp32_noise.ts, esp32c3_noise.ts). Leaves out waiting:
// the interpreter is slower than the registers. Espruino stops Wi-Fi after a join that failed, and without the
// radio the registers run a fixed course, the same after every start: no station, no noise.
import type { Bytes } from "../../firmware/bytes";
import { NOISE_DEAD } from "../hal";

/**
 * Read `length` bytes, a multiple of 4, at `address`. Throws NOISE_DEAD where no access point keeps the radio on. A dead register
 * stands still: health_tests.ts sees it.
 */
export function readNoise(address: number, length: number): Bytes {
  if (require("Wifi").getStatus().station !== "connected") throw NOISE_DEAD;
  const buffer = E.toArrayBuffer(E.toString({ data: 0, count: length }));
  const words = new Int32Array(buffer);
  for (let i = length >> 2; i--; ) words[i] = peek32(address);
  return E.toString(buffer);
}
