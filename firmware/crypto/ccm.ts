// AES-128-CCM (RFC 3610, SP 800-38C) with TLS's parameters: 12-byte nonce, 3-byte length, 13 bytes of associated
// data, at most 4,080 bytes of text. Works through the text in pieces, which bounds what the AES calls
// take of the heap. Needs AES encryption only. Leaves out other lengths of nonce and associated data.
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import { aes } from "hal:aes128";
import type { Bytes } from "../bytes";
import { difference } from "../bytes";

/** Bytes that go through AES at a time: the natives want their result in one run of free variables, 6 of them. */
export const PIECE = 64;

/**
 * Seal or open the `length` bytes of `input` at `start`. `tag` is the tag received (8 or 16 bytes) to open, or a
 * number, the length of the tag to make. Returns ciphertext and tag joined, or the plaintext, or undefined where the
 * tag is wrong.
 */
export function ccm(
  key: Bytes,
  nonce: Bytes,
  associated: Bytes,
  input: Bytes,
  start: number,
  length: number,
  tag: Bytes | number,
): Bytes | undefined {
  const open = typeof tag === "string";
  const tagLength = open ? tag.length : tag;
  let output = "";
  // B0, then the block of associated data: its length in 2 bytes, 13 bytes, 1 of padding
  let mac = E.toString(66 + ((tagLength - 2) << 2), nonce, 0, length >> 8, length, 0, 13, associated, 0);
  mac = E.toString(aes(CBC_ENCRYPT, key, mac)).slice(-16);
  for (let offset = 0; ; offset += PIECE) {
    // past the end comes the turn of the tag: the MAC, under counter block 0
    const size = length - offset > PIECE ? PIECE : length - offset;
    let piece = size > 0 ? input.substr(start + offset, size) : mac;
    let block = size > 0 ? offset >> 4 : -1;
    let counters = "";
    while (counters.length < piece.length) counters = E.toString(counters, 2, nonce, 0, 0, ++block);
    const stream = new Int32Array(aes(ECB_ENCRYPT, key, counters));
    const buffer = E.toArrayBuffer(E.toString(piece, { data: 0, count: -piece.length & 15 }));
    const words = new Int32Array(buffer);
    // the MAC is over the plaintext: it takes a piece before the keystream where we seal, after it where we open
    if (!open && size > 0) mac = E.toString(aes(CBC_ENCRYPT, key, E.toString(buffer), mac)).slice(-16);
    for (let i = counters.length >> 2; i--; ) words[i] ^= stream[i];
    if (size <= 0) {
      piece = E.toString(buffer).substr(0, tagLength);
      return !open ? output + piece : difference(piece, tag) ? undefined : output;
    }
    piece = E.toString(buffer).substr(0, size);
    if (open) mac = E.toString(aes(CBC_ENCRYPT, key, E.toString(piece, { data: 0, count: -size & 15 }), mac)).slice(-16);
    output += piece;
  }
}
