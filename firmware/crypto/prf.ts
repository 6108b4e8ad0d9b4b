// The pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246, 5): P_SHA256 over label and seed.
import type { Bytes } from "../bytes";
import type { hmac } from "./hmac";

/**
 * Compute `length` bytes of PRF(secret, label, seed). `mac` is hmac, made from flash once for all uses; `pads` is
 * hmacKey(32, secret), so that a secret that is used several times is turned once; `seed` is the label and the seed, joined.
 */
export function prf(mac: typeof hmac, pads: Bytes, seed: Bytes, length: number): Bytes {
  let output = "";
  let a = seed;
  do {
    a = mac(32, pads, a);
    output += mac(32, pads, [a, seed]);
  } while (output.length < length);
  return E.toString(output.substr(0, length), "");
}
