// The key derivation of protocol.md 3: SP 800-108r1, 4.1, counter mode with AES-128-CMAC, 32-bit counter before the
// fixed input and 32-bit length, 128 bits of output, so that the counter is always 1.
import type { Bytes } from "../bytes";
import { cmac } from "./cmac";

/** Derive the 16 bytes of key that `label` and `context` (bytes without a NUL in the label) name under `master`. */
export function kbkdf(master: Bytes, label: Bytes, context: Bytes): Bytes {
  return cmac(master, E.toString(0, 0, 0, 1, label, 0, context, 0, 0, 0, 128));
}
