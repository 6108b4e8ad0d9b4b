// The two slots, in the file `.slots`: an image from a slot's first byte on, its manifest at the slot's end. The file's
// data are whole pages (board.slotsStart), which are erased and written through `require("Flash")`, while its header and
// all that lies before it stay for ever: so Storage always finds it, and code runs from it in place.
import { flash } from "hal:flash";
import type { Bytes } from "../bytes";
import { AT_DIGEST, AT_IMAGE_LENGTH, AT_TARGET, PIECE_BYTES, SLOTS_FILE } from "./manifest";
import { AT_MANIFEST } from "./slot";

/** Read `length` bytes of both slots from `at` on, in place. */
export function read(at: number, length: number): Bytes {
  return flash.read(SLOTS_FILE, at, length) as Bytes;
}

/**
 * Read the image of the slot that begins at `at`, in place; undefined where it is not whole. The digest is a chain over pieces,
 * h = SHA-256(h || piece) from 32 zeros on: the natives have no running hash, and take a message from the stack.
 */
export function image(at: number): Bytes | undefined {
  // a part of a text in flash is in flash; up to the digest's end
  const slot = flash.read(SLOTS_FILE, at, AT_MANIFEST + AT_TARGET) as Bytes;
  const lengthAt = AT_MANIFEST + AT_IMAGE_LENGTH;
  // of the four bytes of the length no more than two can count
  const code = slot.substr(0, (slot.charCodeAt(lengthAt + 2) << 8) | slot.charCodeAt(lengthAt + 3));
  let digest: Bytes = "\0".repeat(32);
  at = 0;
  do digest = section(import("../crypto/sha256_of"))(digest, code.substr(at, PIECE_BYTES));
  while ((at += PIECE_BYTES) < code.length);
  if (digest === slot.substr(AT_MANIFEST + AT_DIGEST, 32)) return code;
}
