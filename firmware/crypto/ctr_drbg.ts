// CTR_DRBG with AES-128 (SP 800-90A, 10.2.1): the resident half, generate and update in one function. The section
// ctr_drbg_seed.ts feeds it. Leaves out the reseed counter (7.2.1): every boot and every connection reseeds, and a
// connection ends at its last sequence number (SEQUENCE_END), 2^48 requests are out of reach. Prediction
// resistance is left out too. One request gives at most 65,536 bytes (Table 3).
import { aes } from "hal:aes128";
import type { Bytes } from "../bytes";

/** Key (16 bytes) and V (16 bytes); undefined until the first seed, so that an early call throws. */
let state: Bytes | undefined;

/**
 * Generate `length` random bytes. With `seed`, 32 bytes that the derivation function made: mix it into the state
 * (update, 10.2.1.2) after that; random(0, seed) is instantiate, or reseed when there is a state already. Additional
 * input is random(0, seed) and then random(length, seed). Throws a TypeError before the first seed.
 */
export function random(length: number, seed?: Bytes): Bytes {
  if (seed && !state) state = "\0".repeat(32);
  const counter = E.toUint8Array(state!.substr(16));
  let blocks = "";
  // the output's blocks, then 32 bytes for the next key and V (10.2.1.5.1, steps 4 and 6)
  for (let i = -32; i < length; i += 16) {
    for (let j = 15; counter[j]++ === 255; j--);
    blocks += E.toString(counter);
  }
  const stream = aes(0, state!.substr(0, 16), blocks);
  blocks = E.toString(stream);
  state = blocks.slice(-32);
  if (seed) {
    const next = new Int32Array(E.toArrayBuffer(state));
    const mix = new Int32Array(E.toArrayBuffer(seed));
    for (let i = 0; i < 8; i++) next[i] ^= mix[i];
    state = E.toString(next.buffer);
  }
  return blocks.substr(0, length);
}
