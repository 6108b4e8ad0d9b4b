// Health tests of the noise: what a reference of SP 800-90B's own steps, bit by bit, refuses must be refused with the same
// code, at every cut-off and over noise of many kinds, and hardly more than that; failing sources let no random byte
// out. The board's own random source driver reads the noise.
import assert from "node:assert/strict";
import { test } from "node:test";
import { board } from "../../boards/linux";
import { useBoard } from "../../hal/simulator/globals";
import { NOISE_MODELS, type NoiseModel } from "../../hal/simulator/noise";
import { generated, toHex } from "../../scripts/lib/test/vectors";
import { NOISE_DEAD, NOISE_PROPORTION, NOISE_REPETITION } from "../tls/alert";

let words: () => number | undefined = NOISE_MODELS.healthy().word;
useBoard(board, { noise: { word: () => words() } });

/** Put bytes behind the noise source, once; then it is dead. */
function feed(bytes: Uint8Array): void {
  const buffer = Buffer.from(bytes);
  let at = 0;
  words = () => {
    if (at >= buffer.length) return undefined;
    at += 4;
    return buffer.readUInt32LE(at - 4);
  };
}

/** firmware/README.md 2's table; noise that is credited with more than 0.5 is tested as 0.5. */
const CUT_OFFS = [
  { h: 0.1, run: 201, alike: 991, once: 35 },
  { h: 0.3, run: 68, alike: 890, once: 12 },
  { h: 0.5, run: 41, alike: 793, once: 7 },
  { h: 1, run: 41, alike: 793, once: 7 },
];

/** The module as a board with this entropy has it. */
async function testedNoise(h: number): Promise<() => string> {
  const { entropyPerBit } = board;
  board.entropyPerBit = h;
  const module = await import(new URL(`./health_tests.ts?entropy=${h}`, import.meta.url).href);
  board.entropyPerBit = entropyPerBit;
  return module.testedNoise;
}

/** SP 800-90B, 4.4.1 and 4.4.2, as they are written; 0 where both pass. */
function reference(bytes: Uint8Array, run: number, alike: number): number {
  const samples = [...bytes].flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((i) => (byte >> i) & 1));
  let a = samples[0];
  let b = 1;
  for (const x of samples.slice(1)) {
    if (x === a) {
      b++;
      if (b >= run) return NOISE_REPETITION;
    } else {
      a = x;
      b = 1;
    }
  }
  for (let window = 0; window < samples.length; window += 1024) {
    a = samples[window];
    b = 1;
    for (let i = 1; i < 1024; i++) {
      if (samples[window + i] === a) b++;
      if (b >= alike) return NOISE_PROPORTION;
    }
  }
  return 0;
}

/** The code that testing these bytes throws; 0 where they pass, and then come back as they are. */
function outcome(tested: () => string, bytes: Uint8Array): number {
  feed(bytes);
  try {
    assert.equal(toHex(tested()), Buffer.from(bytes).toString("hex"));
    return 0;
  } catch (error) {
    if (typeof error !== "number") throw error;
    return error;
  }
}

/** Bytes that look random, the same each time. */
function noiseBytes(seed: number, length: number): Uint8Array {
  return Uint8Array.from(Buffer.from(generated(seed, length), "latin1"));
}

function setBit(bytes: Uint8Array, at: number, bit: number): void {
  const mask = 128 >> (at & 7);
  bytes[at >> 3] = bit ? bytes[at >> 3] | mask : bytes[at >> 3] & ~mask;
}

const length = 128;
for (const { h, run, alike, once } of CUT_OFFS) {
  test(`R13 repetition count, H = ${h}: a run of ${run} is refused wherever it stands`, async () => {
    const tested = await testedNoise(h);
    // a run shorter by 14 bits cannot fill as many whole bytes as each run of the cut-off does
    for (const runLength of [run - 14, run]) {
      for (const value of [0, 1]) {
        for (let start = 0; start + runLength <= 1024; start++) {
          const bytes = noiseBytes(start, length);
          for (let i = 0; i < runLength; i++) setBit(bytes, start + i, value);
          if (start) setBit(bytes, start - 1, 1 - value);
          if (start + runLength < 1024) setBit(bytes, start + runLength, 1 - value);
          const expected = runLength < run ? 0 : NOISE_REPETITION;
          assert.equal(reference(bytes, run, alike), expected);
          assert.equal(outcome(tested, bytes), expected, `${runLength} from ${start}`);
        }
      }
    }
  });

  test(`R13 adaptive proportion, H = ${h}: ${alike} of 1,024 alike are refused, ${alike - 1} pass`, async () => {
    const tested = await testedNoise(h);
    for (const value of [0, 1]) {
      for (const first of [0, 1]) {
        for (const count of [alike - 1, alike]) {
          const bytes = noiseBytes(count, length);
          for (let i = 0; i < 1024; i++) setBit(bytes, i, value);
          // the others one to a segment, at random in it, so that no run is long and nothing comes twice
          const others = 1024 - count;
          const draws = noiseBytes(count + value, others);
          for (let i = 0; i < others; i++) {
            const begin = Math.floor((i * 1024) / others);
            const size = Math.floor(((i + 1) * 1024) / others) - begin;
            // the window's first bit is `value` or not
            const offset = i ? draws[i] % size : first === value ? 1 : 0;
            setBit(bytes, begin + offset, 1 - value);
          }
          // the standard counts the first value alone, ours both
          if (first === value)
            assert.equal(reference(bytes, run, alike), count >= alike ? NOISE_PROPORTION : 0);
          const got = outcome(tested, bytes);
          assert.equal(got, count >= alike ? NOISE_PROPORTION : 0, `${count} of ${value} after ${first}`);
        }
      }
    }
  });

  test(`R13 health tests, H = ${h}: the standard's verdict over noise of every bias`, async () => {
    const tested = await testedNoise(h);
    const seen = new Set<number>();
    for (let seed = 0; seed < 700; seed++) {
      // bits that are ones with a chance that grows with the seed, and stay as they were with another
      const ones = (seed % 50) / 50;
      const stay = (seed % 7) / 10;
      const draws = noiseBytes(seed, length * 16);
      const bytes = new Uint8Array(length);
      let bit = seed & 1;
      for (let i = 0; i < length * 8; i++) {
        if (draws[2 * i] >= 256 * stay) bit = draws[2 * i + 1] < 256 * ones ? 1 : 0;
        setBit(bytes, i, bit);
      }
      const expected = reference(bytes, run, alike);
      const got = outcome(tested, bytes);
      seen.add(expected);
      // our own test may refuse first what the proportion test would
      if (expected === NOISE_REPETITION) assert.equal(got, expected, `seed ${seed}`);
      else if (expected) assert.notEqual(got, 0, `seed ${seed}`);
      // beyond the standard's, only what has lost most of its entropy is refused
      else if (got) assert.ok(ones >= 0.7 || ones <= 0.3 || stay >= 0.4, `seed ${seed}`);
    }
    assert.deepEqual([...seen].sort(), [0, NOISE_REPETITION, NOISE_PROPORTION]);
  });

  test(`R13 health tests, H = ${h}: words that go round in any period, from the start or from half way`, async () => {
    const tested = await testedNoise(h);
    for (let period = 1; period <= length / 8; period++) {
      for (const from of [0, length / 2]) {
        if (from + period * 4 + once > length) continue;
        const bytes = noiseBytes(period, length);
        for (let i = from; i < length; i++) bytes[i] = bytes[from + ((i - from) % (period * 4))];
        assert.notEqual(outcome(tested, bytes), 0, `period ${period} from ${from}`);
      }
    }
  });

  test(`R13 health tests, H = ${h}: 1,000 windows of good noise pass`, async () => {
    const tested = await testedNoise(h);
    words = NOISE_MODELS.healthy().word;
    for (let i = 0; i < 1000; i++) tested();
  });
}

test("R13 stuck, biased, repeating or dead source: no seed, no random byte", async () => {
  const expected: Partial<Record<NoiseModel, number[]>> = {
    stuck: [NOISE_REPETITION],
    high: [NOISE_REPETITION],
    biased: [NOISE_REPETITION, NOISE_PROPORTION],
    repeating: [NOISE_REPETITION],
    dead: [NOISE_DEAD],
  };
  const { seed: startRandom } = await import("./ctr_drbg");
  const { random } = await import("./ctr_drbg");
  for (const [model, codes] of Object.entries(expected)) {
    words = NOISE_MODELS[model as NoiseModel]().word;
    assert.throws(startRandom, (error) => codes.includes(error as number), model);
    assert.throws(() => random(16), TypeError);
  }
  words = NOISE_MODELS.healthy().word;
  startRandom();
  assert.notEqual(random(16), random(16));
});

test("R13 a source that fails later: the next seeding refuses it, at whichever word it fails", async () => {
  const { seed: startRandom } = await import("./ctr_drbg");
  for (let good = 0; good < 28; good++) {
    feed(noiseBytes(good, good * 4));
    assert.throws(startRandom, (error) => error === NOISE_DEAD);
    feed(noiseBytes(good, good * 4));
    const first = words;
    words = () => first() ?? 0x5ac3961e;
    assert.throws(startRandom, (error) => error === NOISE_REPETITION, `stuck after ${good} words`);
  }
});
