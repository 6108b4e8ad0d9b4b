// own_digest.ts that counts its compressions, for test builds: a test gives its board's data this driver, so
// that no other bundle carries a counter. The counts stand in the global `compressions`: [SHA-1, SHA-256].
import type { Bytes } from "../../firmware/bytes";
import * as own from "./own_digest";

export const RUNNING = true;

const counts: number[] = [0, 0];
// a global of the test build alone
(global as any).compressions = counts;

/** Bytes of a state that wait for their block: what follows the chaining value and the count of 4 bytes. */
function waiting(length: number, state: Bytes): number {
  return state.length && state.length - length - 4;
}

/** Add `data` to a state (Digest in hal.ts). */
export function update(length: number, state: Bytes, data: Bytes): Bytes {
  counts[length < 32 ? 0 : 1] += (waiting(length, state) + data.length) >> 6;
  return own.update(length, state, data);
}

/** Compute the digest of what a state has seen (Digest in hal.ts). */
export function finish(length: number, state: Joinable): ArrayBuffer {
  // 0x80 and 8 bytes of length are at least added (FIPS 180-4, 5.1.1)
  counts[length < 32 ? 0 : 1] += waiting(length, state as Bytes) + 9 > 64 ? 2 : 1;
  return own.finish(length, state);
}
