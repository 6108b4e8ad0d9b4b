// AES-128-CMAC (SP 800-38B, 6.2), in one call of CBC encryption over the whole message. Leaves out truncation, the caller
// takes as many bytes from the left as it needs, and padding: everything that a device has a MAC for is whole blocks.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** Compute the CMAC of `data` (whole blocks of 16 bytes, at least one) under `key` (16 bytes): 16 bytes. */
export function cmac(key: Bytes, data: Bytes): Bytes {
  const subkey = E.toUint8Array(aes(ECB_ENCRYPT, key, "\0".repeat(16)));
  const text = E.toUint8Array(data);
  // L doubled (6.1), into the last block as it comes
  for (let i = 16, at = data.length, carry = (subkey[0] >> 7) * 0x87; i--; carry >>= 8) {
    carry ^= subkey[i] << 1;
    text[--at] ^= carry;
  }
  return E.toString(aes(CBC_ENCRYPT, key, text)).substr(-16);
}
