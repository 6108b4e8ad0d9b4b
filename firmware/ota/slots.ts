// The two slots, in the file `.slots`: an image from a slot's first byte on, its manifest at the slot's end. The file's
// data are whole pages (board.slotsStart), which are erased and written through `require("Flash")`, while its header and
// all that lies before it stay for ever: so Storage always finds it, and code runs from it in place.
import { finish, RUNNING, update } from "hal:digest";
import { flash } from "hal:flash";
import type { Bytes } from "../bytes";
import { AT_DIGEST, AT_IMAGE_LENGTH, MANIFEST_BYTES, PIECE_BYTES } from "./manifest";

export const SLOTS_FILE = ".slots";
/** Bytes of a slot. */
export const SLOT_BYTES = 16384;
/** Where the manifest lies in a slot. */
export const AT_MANIFEST = SLOT_BYTES - MANIFEST_BYTES;

/**
 * Read the image of the slot that begins at `base` of the file, in place; undefined where it is not whole. The digest is a
 * chain over pieces, h = SHA-256(h || piece) from 32 zeros on: the natives have no running hash, and take a message from
 * the stack.
 */
export function image(base: number): Bytes | undefined {
  const slot = flash.read(SLOTS_FILE, base, SLOT_BYTES) as Bytes;
  const manifest = slot.substr(AT_MANIFEST);
  // of the four bytes of the length no more than two can count
  const code = slot.substr(
    0,
    (manifest.charCodeAt(AT_IMAGE_LENGTH + 2) << 8) | manifest.charCodeAt(AT_IMAGE_LENGTH + 3),
  );
  let digest: Bytes = "\0".repeat(32);
  let at = 0;
  do {
    const piece = code.substr(at, PIECE_BYTES);
    digest = E.toString(finish(32, RUNNING ? update(32, "", digest + piece) : [digest, piece]));
  } while ((at += PIECE_BYTES) < code.length);
  if (digest === manifest.substr(AT_DIGEST, 32)) return code;
}
