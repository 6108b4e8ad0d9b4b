// SHA-256 (FIPS 180-4) of two strings joined, a section: what seals a record of the journal and chains an image's pieces.
import { finish, RUNNING, update } from "hal:digest";
import type { Bytes } from "../bytes";

/** Hash `a`, then `b`: 32 bytes. */
export default function sha256Of(a: Bytes, b: Bytes): Bytes {
  return E.toString(finish(32, RUNNING ? update(32, "", a + b) : [a, b]));
}
