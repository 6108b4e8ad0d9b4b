// SHA-256 (FIPS 180-4, 6.2) as a running hash, for boards without a native one. The constants are computed once:
// the fractions of the square and cube roots of the first primes (4.2.2, 5.3.3), exact in doubles with room.
import type { Bytes } from "../bytes";
import { hashFinish, hashUpdate } from "./block_hash";

/** K, 64 words, then the initial chaining value, last word first, and a count of 0. */
let constants: Int32Array | undefined;

function compress(chain: Int32Array, blocks: Int32Array): void {
  // one scope, and what the rounds read most stands first: names are looked up one after the other
  let e!: number;
  let a!: number;
  let b!: number;
  let x!: number;
  let t!: number;
  let i!: number;
  let f!: number;
  let g!: number;
  let c!: number;
  let d!: number;
  let h!: number;
  let at = blocks.length;
  const w = new Int32Array(64);
  const w9 = w.subarray(9);
  const w14 = w.subarray(14);
  const w16 = w.subarray(16);
  for (; at; at -= 16) {
    w.set(blocks.subarray(at - 16, at).reverse());
    a = w[0];
    i = 0;
    for (x of w.subarray(1, 49)) {
      b = w14[i];
      w16[i] =
        a +
        w9[i++] +
        ((x >>> 7) ^ (x << 25) ^ (x >>> 18) ^ (x << 14) ^ (x >>> 3)) +
        ((b >>> 17) ^ (b << 15) ^ (b >>> 19) ^ (b << 13) ^ (b >>> 10));
      a = x;
    }
    h = chain[0];
    g = chain[1];
    f = chain[2];
    e = chain[3];
    d = chain[4];
    c = chain[5];
    b = chain[6];
    a = chain[7];
    i = 0;
    // no sum is cut to 32 bits: over 64 rounds they stay below 2^47, which doubles hold
    for (x of constants!.subarray(0, 64)) {
      t =
        h +
        ((e >>> 6) ^ (e << 26) ^ (e >>> 11) ^ (e << 21) ^ (e >>> 25) ^ (e << 7)) +
        (g ^ (e & (f ^ g))) +
        x +
        w[i++];
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
    const composite = new Uint8Array(312);
    for (let n = 2, i = 0; i < 64; n++) {
      if (!composite[n]) {
        for (let j = n * n; j < 312; j += n) composite[j] = 1;
        if (i < 8) constants[71 - i] = (Math.sqrt(n) * 4294967296) | 0;
        constants[i++] = (Math.pow(n, 1 / 3) * 4294967296) | 0;
      }
    }
  }
  return hashUpdate(compress, 32, state || E.toString(constants.buffer).substr(-36), data);
}

/** Return the SHA-256 of the message of `state`, 32 bytes. */
export function sha256Finish(state: Bytes): ArrayBuffer {
  return hashFinish(compress, 32, sha256Update(state, ""));
}
