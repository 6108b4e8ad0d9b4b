// The pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246, 5): P_SHA256 over label and seed.
import type { Bytes } from "../bytes";
import { hmac } from "./hmac";

/**
 * Compute `length` bytes of PRF(secret, label, seed). `pads` is hmacKey(32, secret), so that a secret used several
 * times is turned once; `seed` is the label and the seed, joined.
 */
export function prf(pads: Bytes, seed: Bytes, length: number): Bytes {
  let a = seed;
  let output = "";
  while (output.length < length) {
    a = E.toString(hmac(32, pads, a));
    output = E.toString(output, hmac(32, pads, a + seed));
  }
  return E.toString(output.substr(0, length));
}
