// What stands behind the random number registers and /dev/urandom: noise as it should be, and in the ways in
// which it fails (SP 800-90B, 4.4 names them). A model gives 32-bit words, or undefined where nothing comes.
// Leaves out entropy between none and full.
import { randomBytes } from "node:crypto";

export interface Noise {
  /** The next 32 bits as an unsigned number; undefined: the source is dead. */
  word(): number | undefined;
}

/** Bytes that are drawn from the machine at a time. */
const POOL_LENGTH = 4096;

/** The machine's own random numbers, a pool at a time: a call for each word takes longer than all else of a start. */
function pooled(): Noise {
  let pool = Buffer.alloc(0);
  let at = 0;
  return {
    word() {
      if (at === pool.length) {
        pool = randomBytes(POOL_LENGTH);
        at = 0;
      }
      at += 4;
      return pool.readUInt32LE(at - 4);
    },
  };
}

/** Make each model anew: a repeating one begins at its beginning. */
export const NOISE_MODELS = {
  /** The machine's own random numbers. */
  healthy: pooled,
  /** Every word the same. */
  stuck: (): Noise => ({ word: () => 0x5ac3961e }),
  /** Ones only. */
  high: (): Noise => ({ word: () => 0xffffffff }),
  /** 31 of 32 bits are ones. */
  biased: (): Noise => ({
    word() {
      let word = 0;
      for (const byte of randomBytes(32)) word = (word << 1) | (byte & 31 ? 1 : 0);
      return word >>> 0;
    },
  }),
  /** Two words in turn, each of which looks well. */
  repeating(): Noise {
    let count = 0;
    return { word: () => [0x3b1e94d7, 0xc5a2605d][count++ & 1] };
  },
  /** Healthy for 4,096 words, then dead. */
  dying(): Noise {
    const { word } = pooled();
    let left = 4096;
    return { word: () => (left-- > 0 ? word() : undefined) };
  },
  dead: (): Noise => ({ word: () => undefined }),
} as const;

export type NoiseModel = keyof typeof NOISE_MODELS;

/** Make a model by its name, or take one as it is. */
export function noiseOf(noise: NoiseModel | Noise = "healthy"): Noise {
  return typeof noise === "string" ? NOISE_MODELS[noise]() : noise;
}

/** What a register gives without a source behind it: the same course from every power-on (xorshift32). */
export function fixedCourse(): Noise {
  let state = 0x2545f491;
  return {
    word() {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state >>> 0;
    },
  };
}
