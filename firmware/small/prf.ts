// The pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246, 5) with its HMACs (RFC 2104) in one, a section: a call less on the heap, and of
// the pads one at a time ("a frame less").
import { finish } from "hal:digest";
import type { Bytes } from "../bytes";

/** Bytes of a block of SHA-256, and so of a pad. */
const BLOCK = 64;

/** Compute `length` bytes of PRF(secret, label, seed). `pads`: hmacKey(32, secret); `seed`: label and seed, joined. */
export default function prf(pads: Bytes, seed: Bytes, length: number): Bytes {
  let output = "";
  let a = seed;
  do {
    // natives want one run of free variables for what they give
    E.defrag();
    let inner = finish(32, [pads.substr(0, BLOCK), a]);
    a = E.toString(finish(32, [pads.substr(BLOCK), inner]));
    inner = finish(32, [pads.substr(0, BLOCK), a, seed]);
    output = E.toString(output, finish(32, [pads.substr(BLOCK), inner]));
  } while (output.length < length);
  return E.toString(output.substr(0, length));
}
