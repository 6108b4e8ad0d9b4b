// Noise of the nRF5x random number generator (nRF52832 Product Specification, chapter "RNG - Random number
// generator"). Registers, offsets from 0x4000D000:
//   +0x000 START   +0x004 STOP    tasks, write 1
//   +0x100 VALRDY                 event, 1 when a byte is ready, write 0 to clear
//   +0x504 CONFIG                 bit 0: bias correction
//   +0x508 VALUE                  the byte
// Bias correction is on (DERCEN, CONFIG bit 0), as the specification asks for where the bytes must be uniform and as the SoftDevice has it:
// about 120 us a byte. The SoftDevice's specification calls the generator restricted while it is enabled: it fills a
// pool of its own at its start, and again as the stack takes from it. We take it while Bluetooth is off (nrf_system.ts), when nobody takes;
// what the stack may still have stopped is started again for each byte.
import type { Bytes } from "../../firmware/bytes";
import { NOISE_DEAD } from "../hal";

const RNG = 0x4000d000;
/** Reads of VALRDY for a byte: each takes some 50 us. */
const READS = 99;

/** Read `length` bytes of raw noise (RandomSource in hal.ts). */
export function noise(length: number): Bytes {
  const bytes = E.toUint8Array({ data: 0, count: length });
  poke32(RNG + 0x504, 1);
  for (let i = 0; i < length; i++) {
    poke32(RNG + 0x100, 0);
    poke32(RNG, 1);
    let reads = READS;
    while (!peek32(RNG + 0x100)) if (!--reads) throw NOISE_DEAD;
    bytes[i] = peek32(RNG + 0x508);
  }
  poke32(RNG + 0x04, 1);
  return E.toString(bytes);
}
