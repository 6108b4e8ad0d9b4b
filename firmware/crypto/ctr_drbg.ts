// CTR_DRBG with AES-128 (SP 800-90A, 10.2.1): the resident half, generate. The section ctr_drbg_seed.ts instantiates
// it. The counter field is the last byte of V (ctr_len 8, Table 3): no carry to compute, and 4,032 bytes a request at
// most. Leaves out additional input, prediction resistance and the reseed counter (10.2.1.5.1, step 1): every
// connection begins with a new instance and ends with its sequence numbers, far from 2^48 requests.
import { aes } from "hal:aes128";
import { ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** Key (16 bytes) and V (16 bytes); undefined until the first seed, so that an early call throws. */
export let state: Bytes | undefined;

/**
 * Generate `length` random bytes, 0 to 4,032, and update the state. With `next`, 32 bytes, that is the state from now
 * on and nothing is generated: for the seeding alone. Throws a TypeError before the first seed.
 */
export function random(length: number, next?: Bytes): Bytes {
  if (next) return (state = next);
  const fixed = state!.substr(16, 15);
  let last = state!.charCodeAt(31);
  let blocks = "";
  // the output's blocks, then 32 bytes for the next key and V (10.2.1.5.1, steps 4 and 6)
  for (let i = -32; i < length; i += 16) blocks += E.toString(fixed, ++last);
  blocks = E.toString(aes(ECB_ENCRYPT, state!.substr(0, 16), blocks));
  state = blocks.slice(-32);
  return blocks.substr(0, length);
}
