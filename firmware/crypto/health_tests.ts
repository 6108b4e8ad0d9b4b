// Health tests of the noise source (SP 800-90B, 4.4) with alpha = 2^-20, one bit a sample: repetition count and
// adaptive proportion, exact, but searched and summed by the interpreter's natives instead of loops over bits. Beside
// them a test of our own (4.5) that sees what bits do not: a register that stands still or goes round. A seeding
// reads whole windows of 1,024 bits and gives them out only when all tests have passed, so that each is a start-up
// test (4.3), no sample is used untested and nothing is kept between two seedings. Leaves out tests on demand: seed
// again. No test can tell a fixed-seed generator from noise: the board's data names a true source.

import { noise } from "hal:random_source";
import { board } from "board";
import type { Bytes } from "../bytes";
import { NOISE_PROPORTION, NOISE_REPETITION } from "../tls/alert";

/** Min-entropy that the board's data vouches for, bits per bit of noise: 0.1, 0.3, 0.5; more counts as 0.5. */
const H = board.entropyPerBit;
/** Cut-off of the repetition count test: 1 + 20 / H, rounded up (4.4.1). */
const RUN = H < 0.3 ? 201 : H < 0.5 ? 68 : 41;
/** Cut-off of the adaptive proportion test: 1 + CRITBINOM(1024, 2^-H, 1 - 2^-20) (4.4.2). */
const ALIKE = H < 0.3 ? 991 : H < 0.5 ? 890 : 793;
/** So many bytes do not come twice: 2^-8H for each, times the places where they may stand, is below 2^-20. */
const ONCE = H < 0.3 ? 35 : H < 0.5 ? 12 : 7;
/** Bytes to read: at least 128 bits of entropy and 64 for the nonce (SP 800-90A, 8.6.7), in whole windows. */
const LENGTH = H < 192 / 1024 ? 256 : 128;

/** Read and test noise that holds at least 192 bits of entropy. Throws NOISE_REPETITION, NOISE_PROPORTION, NOISE_DEAD. */
export function testedNoise(): Bytes {
  let text = "";
  let first = 0;
  let alike = 0;
  for (let i = 0; i < LENGTH; i += 4) {
    const word = noise();
    text = E.toString(text, word >> 24, word >> 16, word >> 8, word);
    if (!(i & 127)) {
      first = ~(word >> 31);
      alike = 0;
    }
    // count the bits that are like the window's first, pairwise, in fours, in eights, all
    let bits = word ^ first;
    bits -= (bits >>> 1) & 0x55555555;
    bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
    alike += (((bits + (bits >>> 4)) & 0x0f0f0f0f) % 255);
    if (alike >= ALIKE) throw NOISE_PROPORTION;
  }
  // the longest run that needs no closer look leaves whole bytes of it; the space at the end is there because the
  // interpreter's indexOf takes the end of a text for a match of a longer one
  const whole = (RUN - 7) >> 3;
  if ((text + " ").indexOf("\0".repeat(whole)) + (text + " ").indexOf("\xff".repeat(whole)) > -2) {
    let last = 2;
    let run = 0;
    for (let i = 0; i < LENGTH * 8; i++) {
      const bit = (text.charCodeAt(i >> 3) << (i & 7)) & 128;
      run = bit === last ? run + 1 : 1;
      last = bit;
      if (run >= RUN) throw NOISE_REPETITION;
    }
  }
  if (text.indexOf(text.slice(-ONCE)) < LENGTH - ONCE) throw NOISE_REPETITION;
  return text;
}
