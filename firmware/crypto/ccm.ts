// AES-128-CCM (RFC 3610, SP 800-38C) with TLS's parameters: 12-byte nonce, 3-byte length, 13 bytes of associated
// data, at most 4,080 bytes of text. Bulk AES calls over pieces of 128 bytes bound the heap that one call takes.
// Needs AES encryption only. Leaves out other nonce and associated data lengths.
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import { aes } from "hal:aes128";
import type { Bytes } from "../bytes";
import { difference } from "../bytes";

/** Bytes that one pair of AES calls works on: a multiple of 16. */
const PIECE = 128;

/**
 * Seal or open one text. `tag` is the received tag (8 or 16 bytes) to open, or a number, the length of the tag to
 * make. Returns ciphertext and tag joined, or the plaintext, or undefined where the tag is wrong.
 */
export function ccm(key: Bytes, nonce: Bytes, associated: Bytes, input: Uint8Array, tag: Bytes | number): Bytes | undefined {
  const length = input.length;
  const open = typeof tag === "string";
  const tagLength = open ? tag.length : tag;
  const prefix = E.toString(2, nonce, 0, 0); // a counter block but for its last byte; 2: a length of three bytes
  const text = new Uint8Array((length + 15) & -16);
  text.set(input);
  // B0, then the block of associated data: its length in 2 bytes, 13 bytes, 1 of padding
  let mac = E.toString(66 + ((tagLength - 2) << 2), nonce, 0, length >> 8, length, 0, 13, associated, 0);
  mac = E.toString(aes(CBC_ENCRYPT, key, mac)).slice(-16);
  for (let offset = 0; offset < length; offset += PIECE) {
    const piece = new Uint8Array(text.buffer, offset, Math.min(PIECE, text.length - offset));
    const words = new Int32Array(text.buffer, offset, piece.length >> 2);
    let counters = "";
    for (let block = offset >> 4; counters.length < piece.length; ) counters = E.toString(counters, prefix, ++block);
    // the MAC is over the plaintext: before the keystream where we seal, after it where we open
    if (!open) mac = E.toString(aes(CBC_ENCRYPT, key, piece, mac)).slice(-16);
    const stream = new Int32Array(aes(ECB_ENCRYPT, key, counters));
    for (let i = 0; i < words.length; i++) words[i] ^= stream[i];
    if (open) {
      text.fill(0, length);
      mac = E.toString(aes(CBC_ENCRYPT, key, piece, mac)).slice(-16);
    }
  }
  const words = new Int32Array(E.toArrayBuffer(E.toString(mac, "")));
  const stream = new Int32Array(aes(ECB_ENCRYPT, key, prefix + "\0"));
  for (let i = 0; i < 4; i++) words[i] ^= stream[i];
  const output = text.subarray(0, length);
  const ours = E.toString(new Uint8Array(words.buffer, 0, tagLength));
  if (!open) return E.toString(output, ours);
  // no plaintext where the tag is wrong: the record layer has one alert for every fault
  return difference(ours, tag) ? undefined : E.toString(output);
}
