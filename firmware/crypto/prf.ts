// The pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246, 5): P_SHA256 over label and seed.
import type { Bytes } from "../bytes";
import { hmac } from "./hmac";

/**
 * Compute `length` bytes of PRF(secret, label, seed). `key` is hmacKey(32, secret), so that a secret that is used
 * several times is turned once; `seed` is the label and the seed, joined.
 */
export function prf(key: Bytes, seed: Bytes, length: number): Bytes {
  let a = hmac(32, key, seed, "");
  let output = "";
  for (;;) {
    output = E.toString(output, hmac(32, key, a, seed));
    if (output.length >= length) return E.toString(output.substr(0, length), "");
    a = hmac(32, key, a, "");
  }
}
