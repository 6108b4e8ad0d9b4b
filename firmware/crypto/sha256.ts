// SHA-256 (FIPS 180-4, 6.2) as a running hash, for boards without a native one. The constants are computed once:
// the fractions of the square and cube roots of the first primes (4.2.2, 5.3.3), exact in doubles with room.
import type { Bytes } from "../bytes";
import { hashFinish, hashUpdate } from "./block_hash";

/** K, 64 words, then the initial chaining value, last word first, and a count of 0. */
let constants: Int32Array | undefined;

function compress(chain: Int32Array, blocks: Int32Array): void {
  const k = constants!;
  const w = new Int32Array(64);
  for (let at = blocks.length; at; at -= 16) {
    let i = 0;
    for (; i < 16; i++) w[i] = blocks[at - 1 - i];
    for (; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      w[i] =
        w[i - 16] +
        w[i - 7] +
        ((x >>> 7) ^ (x << 25) ^ (x >>> 18) ^ (x << 14) ^ (x >>> 3)) +
        ((y >>> 17) ^ (y << 15) ^ (y >>> 19) ^ (y << 13) ^ (y >>> 10));
    }
    let h = chain[0];
    let g = chain[1];
    let f = chain[2];
    let e = chain[3];
    let d = chain[4];
    let c = chain[5];
    let b = chain[6];
    let a = chain[7];
    // no sum is cut to 32 bits: over 64 rounds they stay below 2^47, which doubles hold
    for (i = 0; i < 64; i++) {
      let t =
        h +
        ((e >>> 6) ^ (e << 26) ^ (e >>> 11) ^ (e << 21) ^ (e >>> 25) ^ (e << 7)) +
        (g ^ (e & (f ^ g))) +
        k[i] +
        w[i];
      h = g;
      g = f;
      f = e;
      e = d + t;
      d = c;
      t +=
        ((a >>> 2) ^ (a << 30) ^ (a >>> 13) ^ (a << 19) ^ (a >>> 22) ^ (a << 10)) + (b ^ ((a ^ b) & (b ^ c)));
      c = b;
      b = a;
      a = t;
    }
    chain[0] += h;
    chain[1] += g;
    chain[2] += f;
    chain[3] += e;
    chain[4] += d;
    chain[5] += c;
    chain[6] += b;
    chain[7] += a;
  }
}

/** Hash `data` on from `state` ("" at the beginning) and return the state after it. */
export function sha256Update(state: Bytes, data: Bytes): Bytes {
  if (!constants) {
    constants = new Int32Array(73);
    for (let n = 2, i = 0; i < 64; n++) {
      let factor = 2;
      for (; factor * factor <= n && n % factor; ) factor++;
      if (factor * factor > n) {
        if (i < 8) constants[71 - i] = (Math.sqrt(n) * 4294967296) | 0;
        constants[i++] = (Math.pow(n, 1 / 3) * 4294967296) | 0;
      }
    }
  }
  return hashUpdate(compress, 32, state || E.toString(constants.buffer).slice(-36), data);
}

/** Return the SHA-256 of the message of `state`, 32 bytes. */
export function sha256Finish(state: Bytes): ArrayBuffer {
  return hashFinish(compress, 32, sha256Update(state, ""));
}
