// AES-128-CCM (RFC 3610, SP 800-38C) with TLS's parameters: 12-byte nonce, 3-byte length, 13 bytes of associated
// data, at most 4,080 bytes of text. Works through the text in pieces, which bounds what the AES calls
// take of the heap. Needs AES encryption only. Leaves out other lengths of nonce and associated data.

import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { difference } from "../bytes";

/** Bytes that go through AES at a time: the natives want their result in one run of free variables, 4 for these. */
export const PIECE = 32;

/**
 * Seal or open the `length` bytes of `input` at `start`. To open, `tag` is the tag received (8 or 16 bytes): returns the
 * plaintext, or undefined where the tag is wrong. To seal, `tag` is the length of the tag to make and `output` takes the
 * ciphertext in pieces as they come, then the tag.
 */
export function ccm(
  key: Bytes,
  nonce: Bytes,
  associated: Bytes,
  input: Bytes,
  start: number,
  length: number,
  tag: Bytes | number,
  output?: { write(piece: Bytes): void },
): Bytes | undefined {
  const tagLength = typeof tag === "number" ? tag : tag.length;
  let text = "";
  // B0, then the block of associated data: its length in 2 bytes, 13 bytes, 1 of padding
  let mac = E.toString(66 + ((tagLength - 2) << 2), nonce, 0, length >> 8, length, 0, 13, associated, 0);
  mac = E.toString(aes(CBC_ENCRYPT, key, mac)).slice(-16);
  for (let offset = 0; ; offset += PIECE) {
    // past the end comes the turn of the tag: the MAC, under counter block 0
    const size = length - offset > PIECE ? PIECE : length - offset;
    let piece = size > 0 ? input.substr(start + offset, size) : mac;
    const buffer = E.toArrayBuffer(E.toString(piece, { data: 0, count: -piece.length & 15 }));
    // the MAC is over the plaintext: it takes a piece before the keystream where we seal, after it where we open
    if (output && size > 0) mac = E.toString(aes(CBC_ENCRYPT, key, E.toString(buffer), mac)).slice(-16);
    {
      let counters = "";
      let block = size > 0 ? offset >> 4 : -1;
      while (counters.length < piece.length) counters = E.toString(counters, 2, nonce, 0, 0, ++block);
      const stream = new Int32Array(aes(ECB_ENCRYPT, key, counters));
      const words = new Int32Array(buffer);
      for (let i = counters.length >> 2; i--; ) words[i] ^= stream[i];
    }
    piece = E.toString(buffer).substr(0, size > 0 ? size : tagLength);
    if (output) output.write(piece);
    if (size <= 0) return output || difference(piece, tag as Bytes) ? undefined : text;
    if (!output) {
      mac = E.toString(aes(CBC_ENCRYPT, key, E.toString(piece, { data: 0, count: -size & 15 }), mac)).slice(
        -16,
      );
      text += piece;
    }
  }
}
