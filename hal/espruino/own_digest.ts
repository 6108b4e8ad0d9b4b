// SHA-1 and SHA-256 by our own code (FIPS 180-4), for boards without native ones. A state is the chaining
// value, the count of bytes and the bytes that wait for their block: pads and the running transcript are kept
// compressed.
import type { Bytes } from "../../firmware/bytes";
import { sha1Finish, sha1Update } from "../../firmware/crypto/sha1";
import { sha256Finish, sha256Update } from "../../firmware/crypto/sha256";
import { ESP, ESP_CCM, TLS_PSK_WITH_AES_128_CBC_SHA } from "../../firmware/profile";

export const RUNNING = true;

/** SHA-1 is there for the suite that names it, and for the transform of ESP. */
const SHA_1 = TLS_PSK_WITH_AES_128_CBC_SHA || (ESP && !ESP_CCM);

/** Add `data` to a state (Digest in hal.ts). */
export function update(length: number, state: Bytes, data: Bytes): Bytes {
  return SHA_1 && length < 32 ? sha1Update(state, data) : sha256Update(state, data);
}

/** Compute the digest of what a state has seen (Digest in hal.ts). */
export function finish(length: number, state: Joinable): ArrayBuffer {
  return SHA_1 && length < 32 ? sha1Finish(state as Bytes) : sha256Finish(state as Bytes);
}
