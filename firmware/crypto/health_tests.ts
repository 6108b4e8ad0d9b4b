// Health tests of the noise source (SP 800-90B, 4.4) with alpha = 2^-20: repetition count and adaptive proportion
// over every bit as one sample, and once more over whole 32-bit words, which sees a register that stands still or
// goes round. A seeding reads whole windows of 1,024 bits and gives them out only when all tests have passed, so
// that each is a start-up test (4.3), no sample is used untested and nothing is kept between two seedings. Leaves
// out tests on demand: seed again. No test can tell a fixed-seed generator: the board's data names a true source.
import { board } from "board";
import { noise } from "hal:random_source";
import type { Bytes } from "../bytes";
import { NOISE_PROPORTION, NOISE_REPETITION } from "../tls/alert";

/** Min-entropy that the board's data vouches for, bits per bit of noise: 0.1, 0.3, 0.5 or 1. */
const H = board.entropyPerBit;
/** Cut-off of the adaptive proportion test, window of 1,024 bits: 1 + CRITBINOM(1024, 2^-H, 1 - 2^-20). */
const BITS_ALIKE = H < 0.3 ? 991 : H < 0.5 ? 890 : H < 1 ? 793 : 589;
/** The same for words like the window's first, among the 31 after it: 1 + CRITBINOM(31, 2^-32H, 1 - 2^-20). */
const WORDS_ALIKE = H < 0.3 ? 15 : H < 0.5 ? 4 : H < 1 ? 2 : 1;
/** Words to read: 128 bits of entropy and 64 of the nonce (SP 800-90A, 8.6.7), in whole windows of 32. */
const WORDS = H < 192 / 1024 ? 64 : 32;

/** Read and test noise that holds at least 192 bits of entropy. Throws NOISE_REPETITION, NOISE_PROPORTION, NOISE_DEAD. */
export function testedNoise(): Bytes {
  const words = new Int32Array(WORDS);
  let previous = Number.NaN;
  let first = 0;
  let bitsAlike = 0;
  let wordsAlike = 0;
  // lengths so far of the runs of equal bits and equal words, less 1: a run of 1 + 20 / H is refused (4.4.1)
  let bitRun = -1;
  let wordRun = 0;
  for (let i = 0; i < WORDS; i++) {
    const word = noise();
    words[i] = word;
    wordRun = word === previous ? wordRun + 1 : 0;
    // a bit is set where a sample, most significant bit first, differs from the one before: zeros are runs
    const edges = word ^ ((word >>> 1) | (previous << 31));
    previous = word;
    let lead = edges;
    for (; lead > 0; lead <<= 1) bitRun++;
    if (!lead) bitRun += 32;
    if (bitRun >= 20 / H || wordRun >= 20 / 32 / H) throw NOISE_REPETITION;
    if (lead) {
      for (bitRun = 0; !((edges >> bitRun) & 1); ) bitRun++;
      if (20 / H < 31) {
        // runs that begin and end within the word: fold until a bit stands for 20 zeros
        let runs = ~edges;
        runs &= runs >>> 1;
        runs &= runs >>> 2;
        runs &= runs >>> 4;
        runs &= runs >>> 8;
        if (runs & (runs >>> 4)) throw NOISE_REPETITION;
      }
    }
    if (i % 32) {
      if (word === first) wordsAlike++;
    } else {
      first = word;
      bitsAlike = wordsAlike = 0;
    }
    // number of bits that are like the window's first bit
    let alike = word ^ ~(first >> 31);
    alike -= (alike >>> 1) & 0x55555555;
    alike = (alike & 0x33333333) + ((alike >>> 2) & 0x33333333);
    bitsAlike += ((alike + (alike >>> 4)) & 0x0f0f0f0f) % 255;
    if (bitsAlike >= BITS_ALIKE || wordsAlike >= WORDS_ALIKE) throw NOISE_PROPORTION;
  }
  return E.toString(words.buffer);
}
