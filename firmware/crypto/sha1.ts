// SHA-1 (FIPS 180-4, 6.1) as a running hash, for boards without a native one. Only for HMAC in the suite that
// names it (RFC 4279): collisions do not matter there.
import type { Bytes } from "../bytes";
import { hashFinish, hashUpdate } from "./block_hash";

function compress(chain: Int32Array, blocks: Int32Array): void {
  // one scope, and what the rounds read most stands first: names are looked up one after the other
  let a!: number;
  let b!: number;
  let c!: number;
  let d!: number;
  let t!: number;
  let e!: number;
  let k!: number;
  let x!: number;
  let i!: number;
  let at = blocks.length;
  const w = new Int32Array(80);
  const w2 = w.subarray(2);
  const w8 = w.subarray(8);
  const w13 = w.subarray(13);
  const w16 = w.subarray(16);
  for (; at; at -= 16) {
    w.set(blocks.subarray(at - 16, at).reverse());
    i = 0;
    for (x of w.subarray(0, 64)) {
      t = x ^ w2[i] ^ w8[i] ^ w13[i];
      w16[i++] = (t << 1) | (t >>> 31);
    }
    e = chain[0];
    d = chain[1];
    c = chain[2];
    b = chain[3];
    a = chain[4];
    i = 0;
    // 4.1.1 and 4.2.1: Ch, Parity, Maj, Parity, 20 rounds each
    for (k of [0x5a827999, 0x6ed9eba1, -0x70e44324, -0x359d3e2a]) {
      for (x of w.subarray(i, i + 20)) {
        if (i & 20) t = b ^ c ^ d;
        else t = i ? (b & c) ^ (d & (b ^ c)) : d ^ (b & (c ^ d));
        t += ((a << 5) | (a >>> 27)) + e + k + x;
        e = d;
        d = c;
        c = (b << 30) | (b >>> 2);
        b = a;
        a = t;
      }
      i += 20;
    }
    chain[0] += e;
    chain[1] += d;
    chain[2] += c;
    chain[3] += b;
    chain[4] += a;
  }
}

/** Hash `data` on from `state` ("" at the beginning) and return the state after it. */
export function sha1Update(state: Bytes, data: Bytes): Bytes {
  // 5.3.1, last word first, and a count of 0
  const initial = new Int32Array([-0x3c2d1e10, 0x10325476, -0x67452302, -0x10325477, 0x67452301, 0]);
  return hashUpdate(compress, 20, state || E.toString(initial.buffer), data);
}

/** Return the SHA-1 of the message of `state`, 20 bytes. */
export function sha1Finish(state: Bytes): ArrayBuffer {
  return hashFinish(compress, 20, sha1Update(state, ""));
}
