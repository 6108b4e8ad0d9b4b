// AES-128-CMAC (SP 800-38B, 6.2), in one call of CBC encryption over the whole message. Leaves out truncation:
// the caller takes as many bytes from the left as it needs.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** Compute the CMAC of `data` under `key` (16 bytes): 16 bytes. */
export function cmac(key: Bytes, data: Bytes): Bytes {
  const subkey = E.toUint8Array(aes(ECB_ENCRYPT, key, "\0".repeat(16)));
  // L, doubled once for a whole last block, twice for a padded one (6.1)
  let doublings = 1;
  if (data.length & 15 || !data) {
    doublings = 2;
    data = E.toString(data, 0x80, { data: 0, count: ~data.length & 15 });
  }
  while (doublings--)
    for (let i = 16, carry = (subkey[0] >> 7) * 0x87; i--; carry >>= 8) subkey[i] = carry ^= subkey[i] << 1;
  const text = E.toUint8Array(data);
  for (let i = 16; i--; ) text[text.length - 16 + i] ^= subkey[i];
  return E.toString(aes(CBC_ENCRYPT, key, text)).slice(-16);
}
