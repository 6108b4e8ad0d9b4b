// What stands before the length in what protects a record, a section: the associated data of an AEAD, and what a MAC covers, begin with it.
import type { Bytes } from "../bytes";

/** Give a record's number in 8 bytes, its type and version (RFC 5246, 6.2.3.1 and 6.2.3.3), 11 bytes; `n`: below 2^31. */
export function recordHead(n: number, type: number): Bytes {
  return E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n, type, 3, 3);
}
