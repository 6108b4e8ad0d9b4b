// SHA-1 (FIPS 180-4, 6.1) as a running hash, for boards without a native one. Only for HMAC in the suite that
// names it (RFC 4279): collisions do not matter there.
import type { Bytes } from "../bytes";
import { hashFinish, hashUpdate } from "./block_hash";

function compress(chain: Int32Array, blocks: Int32Array): void {
  const w = new Int32Array(80);
  for (let at = blocks.length; at; at -= 16) {
    let i = 0;
    let t = 0;
    for (; i < 16; i++) w[i] = blocks[at - 1 - i];
    for (; i < 80; i++) {
      t = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
      w[i] = (t << 1) | (t >>> 31);
    }
    let e = chain[0];
    let d = chain[1];
    let c = chain[2];
    let b = chain[3];
    let a = chain[4];
    i = 0;
    // 4.1.1 and 4.2.1: Ch, Parity, Maj, Parity
    for (const k of [0x5a827999, 0x6ed9eba1, -0x70e44324, -0x359d3e2a]) {
      for (const end = i + 20; i < end; i++) {
        t = end === 20 ? d ^ (b & (c ^ d)) : end === 60 ? (b & c) ^ (d & (b ^ c)) : b ^ c ^ d;
        t += ((a << 5) | (a >>> 27)) + e + k + w[i];
        e = d;
        d = c;
        c = (b << 30) | (b >>> 2);
        b = a;
        a = t | 0;
      }
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
