// HMAC (RFC 2104) over SHA-1 (length 20) or SHA-256 (length 32) of the board's digest. The key's two pads are made once,
// as digest states: where the digest is our own, each use of them saves two compressions, where it is native, a loop.
// Leaves out keys longer than a block: TLS-PSK has none.
import { finish, RUNNING, update } from "hal:digest";
import type { Bytes } from "../bytes";

/**
 * Turn `key` (a multiple of 4 bytes, at most 64) into a pair of digest states, joined, each one half of the result: the
 * inner one, to which the message is added, and the outer one.
 */
export function hmacKey(length: number, key: Bytes): Bytes {
  const buffer = E.toArrayBuffer(E.toString(key, ""));
  const words = new Int32Array(buffer);
  const rest = 64 - key.length;
  const count = key.length >> 2;
  for (let i = 0; i < count; i++) words[i] ^= 0x36363636;
  const inner = E.toString(buffer, { data: 0x36, count: rest });
  for (let i = 0; i < count; i++) words[i] ^= 0x6a6a6a6a; // 0x36 ^ 0x5c
  const outer = E.toString(buffer, { data: 0x5c, count: rest });
  return RUNNING ? update(length, "", inner) + update(length, "", outer) : E.toString(inner, outer);
}

/**
 * Compute an HMAC: `length` bytes, 20 or 32. `pads` is what `hmacKey` gave for the same length, `inner` the inner state
 * (the first half of `pads`) to which the message has been added.
 */
export function hmac(length: number, pads: Bytes, inner: Bytes): Bytes {
  const digest = E.toString(finish(length, inner));
  const outer = pads.substr(pads.length >> 1);
  return E.toString(finish(length, RUNNING ? update(length, outer, digest) : E.toString(outer, digest)));
}
