// HMAC (RFC 2104) over SHA-1 (length 20) or SHA-256 (length 32) of the board's digest. The key's two pads are made
// once as digest states and kept: with our own digest each use then saves two compressions, with the native one a
// loop. Leaves out keys longer than a block: TLS-PSK has none.
import { finish, RUNNING, update } from "hal:digest";
import type { Bytes } from "../bytes";

/**
 * Turn `key` (a multiple of 4 bytes, at most 64) into the pair of digest states that `hmac` takes: the inner one
 * and the outer one, joined, each one half of the result.
 */
export function hmacKey(length: number, key: Bytes): Bytes {
  const words = new Int32Array(E.toArrayBuffer(E.toString(key)));
  const count = words.length;
  const rest = 64 - key.length;
  for (let i = 0; i < count; i++) words[i] ^= 0x36363636;
  const inner = E.toString(words.buffer, { data: 0x36, count: rest });
  for (let i = 0; i < count; i++) words[i] ^= 0x6a6a6a6a; // 0x36 ^ 0x5c
  const outer = E.toString(words.buffer, { data: 0x5c, count: rest });
  return RUNNING ? update(length, "", inner) + update(length, "", outer) : inner + outer;
}

/** Compute the HMAC of `data`: `length` bytes, 20 or 32. `pads` is what `hmacKey` gave for the same length. */
export function hmac(length: number, pads: Bytes, data: Bytes): ArrayBuffer {
  const half = pads.length >> 1;
  const inner = finish(length, update(length, pads.substr(0, half), data));
  return finish(length, update(length, pads.substr(half), E.toString(inner)));
}
