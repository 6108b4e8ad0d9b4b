// AES-128-CMAC (SP 800-38B, 6.2), in one call of CBC encryption over the whole message. Leaves out truncation:
// the caller takes as many bytes from the left as it needs.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** Compute the CMAC of `data` under `key` (16 bytes): 16 bytes. */
export function cmac(key: Bytes, data: Bytes): Bytes {
  const zeros = "\0".repeat(16);
  const whole = data.length && !(data.length & 15);
  // L, doubled once for a whole last block, twice for a padded one (6.1)
  const subkey = E.toUint8Array(aes(ECB_ENCRYPT, key, zeros));
  for (let doublings = whole ? 1 : 2; doublings--; ) {
    let carry = subkey[0] & 128 ? 0x87 : 0;
    for (let i = 15; i >= 0; i--) {
      const shifted = (subkey[i] << 1) ^ carry;
      subkey[i] = shifted;
      carry = shifted >> 8;
    }
  }
  const text = E.toUint8Array(whole ? data : E.toString(data, 0x80, { data: 0, count: ~data.length & 15 }));
  for (let i = text.length - 16, j = 0; j < 16; ) text[i++] ^= subkey[j++];
  return E.toString(aes(CBC_ENCRYPT, key, text, zeros)).slice(-16);
}
