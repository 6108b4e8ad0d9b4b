// Seeding of the CTR_DRBG (SP 800-90A, 10.2.1.3.2 and 10.2.1.4.2) with the block cipher derivation function (10.3.2),
// a section: it runs at boot and again before every connection. Entropy input and nonce are one run of tested noise
// (8.6.7: a nonce of entropy). Leaves out the personalisation string and the health test on the device (11.3): the
// published vectors run in the tests, over the same bundle's code.
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import { aes } from "hal:aes128";
import type { Bytes } from "../bytes";
import { random } from "./ctr_drbg";
import { testedNoise } from "./health_tests";

/** Derive 32 bytes of seed material from `input`, a multiple of 8 bytes but at most 65,535 (10.3.2). */
export function derive(input: Bytes): Bytes {
  const length = input.length;
  // S = length of the input (4 bytes) || length of the output (4 bytes) || input || 0x80 || zeros to whole blocks
  const count = -(length + 9) & 15;
  const text = E.toString(0, 0, length >> 8, length, 0, 0, 0, 32, input, 0x80, { data: 0, count: count });
  let key = E.toString(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  let output = "";
  for (let i = 0; i < 2; i++) {
    // BCC (10.3.3) is the last block of a CBC encryption, done in pieces that need no long run of free variables
    let chain = E.toString(aes(CBC_ENCRYPT, key, E.toString(0, 0, 0, i, { data: 0, count: 12 })));
    for (let at = 0; at < text.length; at += 32) {
      chain = E.toString(aes(CBC_ENCRYPT, key, text.substr(at, 32), chain)).slice(-16);
    }
    output += chain;
  }
  // each block is the one before it encrypted
  key = output.substr(0, 16);
  const first = E.toString(aes(ECB_ENCRYPT, key, output.substr(16)));
  return first + E.toString(aes(ECB_ENCRYPT, key, first));
}

/** Seed the generator, or seed it again, with fresh noise. Throws NOISE_REPETITION, NOISE_PROPORTION, NOISE_DEAD. */
export default function startRandom(): void {
  random(0, derive(testedNoise()));
}
