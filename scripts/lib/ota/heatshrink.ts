// Heatshrink (LZSS) as Espruino's `require("heatshrink")` has it: window 8 bits, lookahead 6, no header. The encoder is
// Espruino's own C, compiled, which the espruino package brings along for its uploads.
// Leaves out: streams; a piece is packed by itself, so that a device unpacks it by itself.
import { createRequire } from "node:module";

const heatshrink: {
  compress(bytes: Uint8Array): Uint8Array;
  decompress(bytes: Uint8Array): Uint8Array;
} = createRequire(import.meta.url)("espruino/libs/heatshrink.js");

/** Pack bytes, at least one. What repeats nothing grows by an eighth. */
export function pack(bytes: Uint8Array): Buffer {
  return Buffer.from(heatshrink.compress(bytes));
}

/** Unpack what `pack` made; of anything else come bytes that mean nothing. */
export function unpack(packed: Uint8Array): Buffer {
  return Buffer.from(heatshrink.decompress(packed));
}
