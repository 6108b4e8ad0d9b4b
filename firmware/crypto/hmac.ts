// HMAC (RFC 2104) over SHA-1 (length 20) or SHA-256 (length 32) of the board's digest. Where that is our own, the key's
// two pads are made once, as digest states, and kept: each use saves two compressions. The native one takes whole
// messages, so there a key is kept as it is. Leaves out keys longer than a block: TLS-PSK has none.
import { finish, RUNNING, update } from "hal:digest";
import type { Bytes } from "../bytes";

/** Turn `key` (a multiple of 4 bytes, at most 64) into what `hmac` takes for the same length. */
export function hmacKey(length: number, key: Bytes): Bytes {
  if (!RUNNING) return key;
  return update(length, "", pad(key, 0x36)) + update(length, "", pad(key, 0x5c));
}

/** Fill `key` up to 64 bytes and XOR each with `value` (RFC 2104, 2). */
function pad(key: Bytes, value: number): Bytes {
  const buffer = E.toArrayBuffer(E.toString(key, ""));
  const words = new Int32Array(buffer);
  const count = key.length >> 2;
  for (let i = 0; i < count; i++) words[i] ^= value * 0x01010101;
  return E.toString(buffer, { data: value, count: 64 - key.length });
}

/**
 * Compute the HMAC of `head` and `data`, joined: `length` bytes, 20 or 32. `key` is what `hmacKey` gave for the same
 * length.
 */
export function hmac(length: number, key: Bytes, head: Bytes, data: Bytes): Bytes {
  if (RUNNING) {
    const half = key.length >> 1;
    const inner = finish(length, update(length, update(length, key.substr(0, half), head), data));
    return E.toString(finish(length, update(length, key.substr(half), E.toString(inner))));
  }
  // one function, one loop for both pads: the heap of a native-digest board is the smallest
  const buffer = E.toArrayBuffer(E.toString(key, ""));
  const words = new Int32Array(buffer);
  const rest = 64 - key.length;
  const count = key.length >> 2;
  for (let i = 0; i < count; i++) words[i] ^= 0x36363636;
  const inner = finish(length, E.toString(buffer, { data: 0x36, count: rest }, head, data));
  for (let i = 0; i < count; i++) words[i] ^= 0x6a6a6a6a; // 0x36 ^ 0x5c
  return E.toString(finish(length, E.toString(buffer, { data: 0x5c, count: rest }, inner)));
}
