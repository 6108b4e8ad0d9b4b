// CTR_DRBG with AES-128 (SP 800-90A, 10.2.1): instantiation with the block cipher derivation function (10.2.1.3.2,
// 10.3.2), which runs before every connection, and generation, both as sections. Entropy input and nonce are one run of
// tested noise (8.6.7: a nonce of entropy); the personalisation string is the state of the instance before, so that what
// entropy there was is not lost. The counter field is the last byte of V (ctr_len 8, Table 3): no carry to compute, and
// 4,032 bytes a request at most. Leaves out reseeding, which a new instance replaces, additional input, prediction
// resistance, the reseed counter (10.2.1.5.1, step 1: every connection begins with a new instance and ends with its
// sequence numbers, far from 2^48 requests), and the known answer test on the device (11.3): the published vectors run
// through this very code in the tests.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { SMALL } from "../profile";
import { testedNoise, WINDOWS } from "./health_tests";

/** Key (16 bytes) and V (16 bytes); undefined until the first seed, so that an early call throws. */
export let state: Bytes | undefined;

/** Go on from a state (32 bytes): for the published vectors, some of which change it with additional input. */
export function restore(next: Bytes): void {
  state = next;
}

/** Generate `length` random bytes, 0 to 4,032, and update the state. Throws a TypeError before the first seed. */
export function random(length: number): Bytes {
  const fixed = state!.substr(16, 15);
  let last = state!.charCodeAt(31);
  let blocks = "";
  // the output's blocks, then 32 bytes for the next key and V (10.2.1.5.1, steps 4 and 6)
  for (let i = -32; i < length; i += 16) blocks += E.toString(fixed, ++last);
  blocks = E.toString(aes(ECB_ENCRYPT, state!.substr(0, 16), blocks));
  state = blocks.substr(-32);
  return blocks.substr(0, length);
}

/**
 * Seed the generator with fresh noise (tests give `input`, the seed material, instead). Throws NOISE_REPETITION,
 * NOISE_PROPORTION, NOISE_DEAD or AES_FAILED, and then the generator is as it was before.
 */
export function seed(input?: Bytes): void {
  let material = input || (WINDOWS > 1 ? testedNoise() + testedNoise() : testedNoise()) + (state || "");
  const length = material.length;
  const zeros = "\0".repeat(32);
  // S = length of the input (4 bytes) || length of the output (4 bytes) || input || 0x80 || zeros to whole blocks
  const padding = zeros.substr(0, -(length + 9) & 15);
  const text = E.toString(0, 0, length >> 8, length, 0, 0, 0, 32, material, 0x80, padding);
  material = ""; // off the heap
  const key = "\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";
  let chain = "";
  // BCC (10.3.3) is the last block of a CBC encryption, over a block with the number of the turn and S
  for (let i = 0; i < 2; i++) {
    if (SMALL) E.defrag();
    chain += E.toString(aes(CBC_ENCRYPT, key, [0, 0, 0, i, zeros.substr(20), text])).substr(-16);
  }
  // each block of the output is the one before it encrypted: CBC over zeros
  const mixed = aes(CBC_ENCRYPT, chain.substr(0, 16), zeros, chain.substr(16));
  const words = new Int32Array(mixed);
  // update (10.2.1.2) from a key of zeros and V of zero
  const v = zeros.substr(17);
  const stream = new Int32Array(aes(ECB_ENCRYPT, v + "\0", E.toString(v, 1, v, 2)));
  for (let i = 0; i < 8; i++) words[i] ^= stream[i];
  state = E.toString(mixed);
}
