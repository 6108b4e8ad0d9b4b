// Health tests of the noise source (SP 800-90B, 4.4) with alpha = 2^-20, one bit a sample, searched and summed by the
// interpreter's natives instead of loops over bits. Repetition count: a run that fills so many whole bytes is refused,
// which every run of the standard's cut-off does; looked for at every eighth sample, it gives as few false alarms.
// Adaptive proportion: of both values, not of the window's first alone. Beside them a test of our own (4.5) that sees
// what bits do not: a register that stands still or goes round. A window is given out only when all have passed, so
// that each is a start-up test (4.3), no sample is used untested and nothing is kept between two seedings. No test can
// tell a fixed-seed generator from noise: the board's data names a true source.

import { noise } from "hal:random_source";
import { board } from "board";
import type { Bytes } from "../bytes";
import { NOISE_PROPORTION, NOISE_REPETITION } from "../tls/alert";

/** Min-entropy that the board's data vouches for, bits per bit of noise: 0.1, 0.3, 0.5; more counts as 0.5. */
const H = board.entropyPerBit;
/** Cut-off of the repetition count: 1 + 20 / H, rounded up (4.4.1); and the whole bytes that each such run fills. */
const RUN = H < 0.3 ? 201 : H < 0.5 ? 68 : 41;
const RUN_BYTES = (RUN - 7) >> 3;
/** Cut-off of the adaptive proportion: 1 + CRITBINOM(1024, 2^-H, 1 - 2^-20) (4.4.2), above one half. */
const EXCESS = (H < 0.3 ? 991 : H < 0.5 ? 890 : 793) - 512;
/** So many bytes do not come twice: 2^-8H for each, times the places where they may stand, is below 2^-20. */
const ONCE = H < 0.3 ? 35 : H < 0.5 ? 12 : 7;

/** Windows that hold 128 bits of entropy and 64 for the nonce (SP 800-90A, 8.6.7). */
export const WINDOWS = H < 192 / 1024 ? 2 : 1;

/** Read and test one window of noise: 128 bytes. Throws NOISE_REPETITION, NOISE_PROPORTION, NOISE_DEAD. */
export function testedNoise(): Bytes {
  // the interpreter's indexOf takes the end of a text for a match of a longer one: a space ends it
  const text = E.toString(noise(128), " ");
  if (
    text.indexOf("\0".repeat(RUN_BYTES)) + text.indexOf("\xff".repeat(RUN_BYTES)) > -2 ||
    text.indexOf(text.substr(128 - ONCE, ONCE)) < 128 - ONCE
  ) {
    throw NOISE_REPETITION;
  }
  // the number of ones in each 4 bits, as a digit; 48 is "0"
  const ones = E.toUint8Array({ data: 0, count: 256 });
  E.mapInPlace(E.toUint8Array(text), ones, E.toUint8Array("0112122312232334"), 4);
  const excess = E.sum(ones) - 256 * 48 - 512;
  if (excess * excess >= EXCESS * EXCESS) throw NOISE_PROPORTION;
  return text.substr(0, 128);
}
