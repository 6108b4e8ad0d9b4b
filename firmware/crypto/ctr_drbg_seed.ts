// Seeding of the CTR_DRBG (SP 800-90A, 10.2.1.3.2 and 10.2.1.4.2) with the block cipher derivation function (10.3.2),
// a section: it runs at boot and again before every connection. Entropy input and nonce are one run of tested noise
// (8.6.7: a nonce of entropy). Leaves out the personalisation string and the health test on the device (11.3): the
// published vectors run in the tests, over the same bundle's code.
import { aes } from "hal:aes128";
import type { Bytes } from "../bytes";
import { random } from "./ctr_drbg";
import { testedNoise } from "./health_tests";

/** Derive 32 bytes of seed material from `input`, a multiple of 8 bytes but at most 65,535 (10.3.2). */
export function derive(input: Bytes): Bytes {
  const length = input.length;
  // S = length of the input (4 bytes) || length of the output (4 bytes) || input || 0x80 || zeros to whole blocks
  const block = E.toString(0, 0, length >> 8, length, 0, 0, 0, 32, input, 0x80, {
    data: 0,
    count: -(length + 9) & 15,
  });
  const key = E.toString(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const zeros = "\0".repeat(32);
  // BCC (10.3.3) is the last block of a CBC encryption
  let chain = "";
  for (let i = 0; i < 2; i++) {
    chain += E.toString(aes(1, key, E.toString(0, 0, 0, i, zeros.substr(20), block), zeros.substr(16))).slice(
      -16,
    );
  }
  // each block is the one before it encrypted: CBC over zeros with the first as IV
  return E.toString(aes(1, chain.substr(0, 16), zeros, chain.substr(16)));
}

/** Seed the generator, or seed it again, with fresh noise. Throws NOISE_REPETITION, NOISE_PROPORTION, NOISE_DEAD. */
export default function startRandom(): void {
  random(0, derive(testedNoise()));
}
