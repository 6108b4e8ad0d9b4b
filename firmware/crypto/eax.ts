// AES-128-EAX (Bellare, Rogaway and Wagner, "The EAX Mode of Operation"), as EAP-PSK has it (RFC 4764, 3.3), and AES-128-CMAC of texts
// of any length, which EAX is made of and EAP-PSK takes as well. Needs AES encryption alone. What two messages under one key have in
// common is encrypted once. Leaves out texts of more than 16 bytes (EAP-PSK's have 1) and the comparison of tags.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** The first blocks of the three MACs of EAX: a number of 16 bytes each. */
const NONCE = 0;
const HEADER = 1;
const TEXT = 2;

/** Prepare `key` (16 bytes): it, and the blocks 0 to 2 under it, 64 bytes in all. The first 32 are all that `omac` takes. */
export function eaxKey(key: Bytes): Bytes {
  const zeros = "\0".repeat(15);
  return E.toString(key, aes(ECB_ENCRYPT, key, E.toString(zeros, NONCE, zeros, HEADER, zeros, TEXT)));
}

/**
 * Compute the CMAC (SP 800-38B, 6.2) of `data`, 1 byte or more: 16 bytes. `context`: what `eaxKey` gives; `chain`: the encrypted block that
 * comes before `data`, if any.
 */
export function omac(context: Bytes, data: Bytes, chain?: Bytes): Bytes {
  const missing = -data.length & 15;
  const subkey = E.toUint8Array(context.substr(16, 16));
  // doubled (6.1) once for a last block that is whole, and again for one that is padded
  for (let times = missing ? 2 : 1; times--; )
    for (let i = 16, carry = (subkey[0] >> 7) * 0x87; i--; carry >>= 8) {
      carry ^= subkey[i] << 1;
      subkey[i] = carry;
    }
  const blocks = E.toUint8Array(missing ? [data, 0x80, { data: 0, count: missing - 1 }] : data);
  for (let i = 16, at = data.length + missing; i--; ) blocks[--at] ^= subkey[i];
  return E.toString(aes(CBC_ENCRYPT, context.substr(0, 16), blocks, chain)).substr(-16);
}

/**
 * Seal `text` (1 to 16 bytes), or open it where `isSealed`. `context`: what `eaxKey` gives, the nonce (16 bytes) and the header (1 byte or
 * more), joined. Returns the tag, 16 bytes, and the text turned.
 */
export function eax(context: Bytes, text: Bytes, isSealed: boolean): Bytes {
  const mac = section(import("./eax")).omac;
  const tag = E.toUint8Array(mac(context, context.substr(64, 16), context.substr(16, 16)));
  const stream = E.toUint8Array(aes(ECB_ENCRYPT, context.substr(0, 16), E.toString(tag)));
  let turned = "";
  for (let i = 0; i < text.length; i++) turned = E.toString(turned, text.charCodeAt(i) ^ stream[i]);
  const macs = E.toString(
    mac(context, context.substr(80), context.substr(32, 16)),
    mac(context, isSealed ? text : turned, context.substr(48, 16)),
  );
  for (let i = 0; i < 16; i++) tag[i] ^= macs.charCodeAt(i) ^ macs.charCodeAt(i + 16);
  return E.toString(tag, turned);
}
