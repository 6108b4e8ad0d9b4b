// SHA-1 and SHA-256 by Espruino's native `crypto` library. It has no running hash, but takes a message in parts: an array
// is joined on the stack, no copy on the heap. A call costs what its arguments cost, hardly what it computes.
import type { Bytes } from "../../firmware/bytes";

export const RUNNING = false;

/** Add `data` to the message, which is its own state (Digest in hal.ts). */
export function update(_length: number, state: Bytes, data: Bytes): Bytes {
  return E.toString(state, data);
}

/** Compute the digest of the message (Digest in hal.ts). */
export function finish(length: number, message: Joinable): ArrayBuffer {
  return require("crypto")[length < 32 ? "SHA1" : "SHA256"](message);
}
