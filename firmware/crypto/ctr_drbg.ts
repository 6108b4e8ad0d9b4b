// CTR_DRBG with AES-128 (SP 800-90A, 10.2.1): the resident half, generate and update in one function. The section
// ctr_drbg_seed.ts feeds it. The counter field is the last byte of V (ctr_len 8, Table 3): no carry to compute, and
// 4,032 bytes a request at most. Leaves out the reseed counter (10.2.1.5.1, step 1): every boot and every connection
// reseeds and a connection ends with its sequence numbers (SEQUENCE_END), far from 2^48 requests. Leaves out prediction
// resistance.
import { ECB_ENCRYPT } from "../../hal/hal";
import { aes } from "hal:aes128";
import type { Bytes } from "../bytes";

/** Key (16 bytes) and V (16 bytes); undefined until the first seed, so that an early call throws. */
let state: Bytes | undefined;

/**
 * Generate `length` random bytes, 0 to 4,032. With `seed`, 32 bytes that the derivation function made, mix it into the
 * state after it (update, 10.2.1.2): random(0, seed) is instantiate, or reseed when there is a state already. Additional
 * input is random(0, seed) and then random(length, seed). Throws a TypeError before the first seed.
 */
export function random(length: number, seed?: Bytes): Bytes {
  if (seed && !state) state = "\0".repeat(32);
  const key = state!.substr(0, 16);
  const counter = E.toUint8Array(state!.substr(16), "");
  let output = "";
  // the output's blocks, then 32 bytes for the next key and V (10.2.1.5.1, steps 4 and 6)
  for (let i = -32; i < length; i += 16) {
    for (let j = 15; j >= 0 && !(counter[j] = (counter[j] + 1) & 255); j--);
    output += E.toString(aes(ECB_ENCRYPT, key, E.toString(counter)));
  }
  const next = E.toArrayBuffer(E.toString(output.slice(-32), ""));
  if (seed) {
    const words = new Int32Array(next);
    const mix = new Int32Array(E.toArrayBuffer(seed));
    for (let i = 0; i < 8; i++) words[i] ^= mix[i];
  }
  state = E.toString(next);
  return output.substr(0, length);
}
