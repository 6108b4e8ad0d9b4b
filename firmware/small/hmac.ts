// HMAC (RFC 2104) over the board's native digest, in the place of crypto/hmac.ts: one pad at a time lies beside the key, and the class that turned them goes.
// Leaves out keys longer than a block: TLS-PSK has none.
import { finish } from "hal:digest";
import type { Bytes } from "../bytes";

/** Bytes of a block of SHA-1 and SHA-256. */
const BLOCK = 64;

/** Turn `key` (a multiple of 4 bytes, at most 64) into its inner and its outer pad, joined. */
export function hmacKey(_length: number, key: Bytes): Bytes {
  const buffer = E.toArrayBuffer(E.toString(key, { data: 0, count: BLOCK - key.length }));
  const words = new Int32Array(buffer);
  let pads = "";
  // the second one goes over the first: 0x36 ^ 0x5c
  for (const pad of [0x36363636, 0x6a6a6a6a]) {
    for (let i = BLOCK / 4; i--; ) words[i] ^= pad;
    pads = E.toString(pads, buffer);
  }
  delete (global as any).Int32Array;
  return pads;
}

/** Compute an HMAC, `length` bytes, 20 or 32; `pads` is what `hmacKey` gave. */
export function hmac(length: number, pads: Bytes, message: Joinable): Bytes {
  E.defrag();
  const inner = finish(length, [pads.substr(0, BLOCK), message]);
  return E.toString(finish(length, [pads.substr(BLOCK), inner]));
}
