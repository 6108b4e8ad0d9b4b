// The pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246, 5): P_SHA256 over label and seed.
import { RUNNING, update } from "hal:digest";
import type { Bytes } from "../bytes";
import { hmac } from "./hmac";

/**
 * Compute `length` bytes of PRF(secret, label, seed). `pads` is hmacKey(32, secret), so that a secret that is used
 * several times is turned once; `seed` is the label and the seed, joined.
 */
export function prf(pads: Bytes, seed: Bytes, length: number): Bytes {
  const half = pads.length >> 1;
  let output = "";
  let a = seed;
  for (;;) {
    // no name for what is hashed: it is gone when it is
    a = hmac(32, pads, RUNNING ? update(32, pads.substr(0, half), a) : E.toString(pads.substr(0, half), a));
    output += hmac(
      32,
      pads,
      RUNNING ? update(32, pads.substr(0, half), a + seed) : E.toString(pads.substr(0, half), a, seed),
    );
    if (output.length >= length) return E.toString(output.substr(0, length), "");
  }
}
