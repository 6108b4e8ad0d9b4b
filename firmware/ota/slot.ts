// A slot of the board, its numbers: an image from the first byte on, at the end its keys and its manifest (manifest.ts).
// scripts/lib/ota/layout.ts has the same for whoever has several boards before it.
import { board } from "board";
import { KEYS_BYTES, MANIFEST_BYTES } from "./manifest";

/** Bytes of a slot. */
export const SLOT_BYTES = board.slotBytes;
export const AT_MANIFEST = SLOT_BYTES - MANIFEST_BYTES;
/** Where the keys begin, which is as long as an image may be. */
export const AT_KEYS = AT_MANIFEST - KEYS_BYTES;
