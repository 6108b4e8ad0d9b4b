// AES-128-CMAC (SP 800-38B, 6.2), block by block: a manifest with other keys is 192 bytes, and its ciphertext would stand beside
// it on the heap. Leaves out truncation, the caller takes as many bytes from the left as it needs, and padding: everything
// that a device has a MAC for is whole blocks.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { UPDATES } from "../profile";

/** Compute the CMAC of `data` (whole blocks of 16 bytes, at least one) under `key` (16 bytes): 16 bytes. */
export function cmac(key: Bytes, data: Bytes): Bytes {
  let chained: Bytes | undefined;
  // only manifests are longer than a block
  if (UPDATES)
    for (; data[16]; data = data.substr(16))
      chained = E.toString(aes(CBC_ENCRYPT, key, data.substr(0, 16), chained));
  const subkey = E.toUint8Array(aes(ECB_ENCRYPT, key, "\0".repeat(16)));
  const last = E.toUint8Array(data);
  // L doubled (6.1), into the last block
  for (let i = 16, carry = (subkey[0] >> 7) * 0x87; i--; carry >>= 8) {
    carry ^= subkey[i] << 1;
    last[i] ^= carry;
  }
  return E.toString(aes(CBC_ENCRYPT, key, last, chained));
}
