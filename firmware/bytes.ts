// Binary strings, the one form in which bytes travel through the firmware: every character is 0..255. Reading and
// comparing only; joining is the interpreter's E.toString. Leaves out cursors: a call costs more than an offset.

/** Bytes as a binary string. */
export type Bytes = string;

/** Read the 16-bit big-endian number at `offset` of `bytes`; the caller has checked the length. */
export function uint16(bytes: Bytes, offset: number): number {
  return (bytes.charCodeAt(offset) << 8) | bytes.charCodeAt(offset + 1);
}

/** Compare two byte strings in a time that does not depend on where they differ: 0 when they are equal. */
export function difference(a: Bytes, b: Bytes): number {
  let bits = a.length ^ b.length;
  for (let i = a.length; i--; ) bits |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return bits;
}
