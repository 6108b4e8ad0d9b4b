// Instantiation of the CTR_DRBG (SP 800-90A, 10.2.1.3.2) with the block cipher derivation function (10.3.2), a section:
// it runs before every connection. Entropy input and nonce are one run of tested noise (8.6.7: a nonce of entropy); the
// personalisation string is the state of the instance before, so that what entropy there was is not lost. Leaves out
// reseeding, which that replaces, and the known answer test on the device (11.3): the published vectors run through
// this very code in the tests.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { random, state } from "./ctr_drbg";
import { testedNoise, WINDOWS } from "./health_tests";

/**
 * Seed the generator with fresh noise (tests give `input`, the seed material, instead). Throws NOISE_REPETITION,
 * NOISE_PROPORTION, NOISE_DEAD or AES_FAILED, and then the generator is as it was before.
 */
export default function startRandom(input?: Bytes): void {
  let material = input || (WINDOWS > 1 ? testedNoise() + testedNoise() : testedNoise()) + (state || "");
  const length = material.length;
  const zeros = "\0".repeat(32);
  // S = length of the input (4 bytes) || length of the output (4 bytes) || input || 0x80 || zeros to whole blocks
  const padding = zeros.substr(0, -(length + 9) & 15);
  const text = E.toString(0, 0, length >> 8, length, 0, 0, 0, 32, material, 0x80, padding);
  material = ""; // off the heap
  const key = E.toString(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  let chain = "";
  for (let i = 0; i < 2; i++) {
    // BCC (10.3.3) is the last block of a CBC encryption; that of its first block is the IV for the rest
    const first = aes(ECB_ENCRYPT, key, E.toString(0, 0, 0, i, zeros.substr(20)));
    chain += E.toString(aes(CBC_ENCRYPT, key, text, E.toString(first))).slice(-16);
  }
  // each block of the output is the one before it encrypted: CBC over zeros
  const mixed = aes(CBC_ENCRYPT, chain.substr(0, 16), zeros, chain.substr(16));
  const words = new Int32Array(mixed);
  // update (10.2.1.2) from a key of zeros and V of zero
  const v = zeros.substr(17);
  const stream = new Int32Array(aes(ECB_ENCRYPT, v + "\0", E.toString(v, 1, v, 2)));
  for (let i = 0; i < 8; i++) words[i] ^= stream[i];
  random(0, E.toString(mixed));
}
