// HMAC (RFC 2104) over SHA-1 (length 20) or SHA-256 (length 32) of the board's digest. The key's two pads are made once:
// where the digest is our own, as states, each use of them saves two compressions, where it is native, a loop.
// Leaves out keys longer than a block: TLS-PSK has none.
import { finish, RUNNING, update } from "hal:digest";
import type { Bytes } from "../bytes";

/**
 * Turn `key` (a multiple of 4 bytes, at most 64) into its inner and its outer pad, joined, each one half of the result: 64
 * bytes, or the digest state that has seen them.
 */
export function hmacKey(length: number, key: Bytes): Bytes {
  const buffer = E.toArrayBuffer(E.toString(key, { data: 0, count: 64 - key.length }));
  const words = new Int32Array(buffer);
  let pads = "";
  // the second one goes over the first: 0x36 ^ 0x5c
  for (const pad of [0x36363636, 0x6a6a6a6a]) {
    for (let i = 16; i--; ) words[i] ^= pad;
    pads = RUNNING ? pads + update(length, "", E.toString(buffer)) : E.toString(pads, buffer);
  }
  return pads;
}

/** Compute an HMAC, `length` bytes, 20 or 32; `pads` is what `hmacKey` gave for the same length. */
export function hmac(length: number, pads: Bytes, message: Joinable): Bytes {
  const half = pads.length >> 1;
  return E.toString(
    RUNNING
      ? finish(
          length,
          update(
            length,
            pads.substr(half),
            E.toString(finish(length, update(length, pads.substr(0, half), E.toString(message)))),
          ),
        )
      : finish(length, [pads.substr(half), finish(length, [pads.substr(0, half), message])]),
  );
}
