// GHASH, the hash of AES-128-GCM (SP 800-38D, 6.4), by a table of 4 bits for each product (Shoup). The table is made anew for each
// text: kept, it would be 30 variables for each direction. Words are the machine's own: all bytes of a block are reversed, so that
// the last word, the least significant one, comes first.
import { aes } from "hal:aes128";
import { ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/**
 * Compute GHASH over the associated data and the ciphertext `text`, each padded with zeros to whole blocks, and the lengths of both:
 * 16 bytes. `context` is as ccmMac takes it (ccm.ts): the key first, at 33 the length of the associated data (1 byte; at most
 * 30), then these with zeros to whole blocks. Of none a block of zeros may stand there: it changes nothing.
 */
export function ghash(context: Bytes, text: Bytes): Bytes {
  // one scope, and what the rounds read most stands first: names are looked up one after the other
  let n!: number;
  let d!: number;
  let c!: number;
  let b!: number;
  let a!: number;
  let x!: number;
  let out!: number;
  let at!: number;
  const words = (block: Joinable): Int32Array => new Int32Array(E.toUint8Array(block).reverse().buffer);
  // 16 rows of 5 words: n times H, and what n becomes that falls out on the right, reduced
  const times = new Int32Array(80);
  times.set(words(aes(ECB_ENCRYPT, context.substr(0, 16), "\0".repeat(16))), 40);
  // bit 8 of n is x^0 (6.3), a shift to the right multiplies by x, and x^128 is 0xe1 in the first byte
  times[44] = 0xe1 << 24;
  for (n = 20; n > 2; n >>= 1) {
    x = 0;
    for (at = 5; at--; x = times[2 * n + at] << 31) times[n + at] = (times[2 * n + at] >>> 1) | x;
    times[n + 3] ^= x && times[44];
  }
  // the other rows are sums
  for (n = 10; n < 80; n *= 2) for (at = n; --at > 4; ) times[n + at] = times[at] ^ times[n + (at % 5)];
  let sum: number[] = [];
  n = text.length;
  text = E.toString(
    context.substr(34),
    0,
    0,
    text,
    { data: 0, count: -n & 15 },
    "\0\0\0\0\0\0\0",
    context.charCodeAt(33) << 3,
    "\0\0\0\0\0\0",
    n >> 5,
    n << 3,
  );
  for (let i = 0; text[i]; i += 16) {
    at = a = b = c = d = 0;
    for (x of words(text.substr(i, 16))) {
      x ^= sum[at++];
      for (let nibbles = 8; nibbles--; x >>>= 4) {
        out = times[5 * (d & 15) + 4];
        n = 5 * (x & 15);
        d = (d >>> 4) ^ (c << 28) ^ times[n];
        c = (c >>> 4) ^ (b << 28) ^ times[n + 1];
        b = (b >>> 4) ^ (a << 28) ^ times[n + 2];
        a = (a >>> 4) ^ times[n + 3] ^ out;
      }
    }
    sum = [d, c, b, a];
  }
  return E.toString(words(new Int32Array(sum).buffer).buffer);
}
