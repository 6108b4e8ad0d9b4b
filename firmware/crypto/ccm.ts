// The MAC of AES-128-CCM (SP 800-38C) as TLS uses it (RFC 6655): a nonce of 12 bytes, 13 bytes of associated data, a tag of 8 or 16.
// Needs AES encryption alone. Leaves out the order of things and the comparison of tags, which are the record layer's: so
// no function here holds a second copy of a text.
import { aes } from "hal:aes128";
import { AES_PIECE, CBC_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { SMALL } from "../profile";

/**
 * Compute the MAC of `text`, 16 bytes, before it is encrypted. `context` is the key (16 bytes), then B0 and the block of
 * the associated data (16 each; SP 800-38C, A.2): flags 58 + 4 x tag length, nonce, length of the text in 3 bytes; 0, 13,
 * the associated data, 0.
 */
export function ccmMac(context: Bytes, text: Bytes): Bytes {
  const key = context.substr(0, 16);
  let piece = context.substr(16);
  let mac: Bytes | undefined;
  for (let i = 0; piece; i += AES_PIECE) {
    if (SMALL) E.defrag();
    const padding = { data: 0, count: -piece.length & 15 };
    mac = E.toString(aes(CBC_ENCRYPT, key, [piece, padding], mac)).substr(-16);
    piece = text.substr(i, AES_PIECE);
  }
  return mac as Bytes;
}
