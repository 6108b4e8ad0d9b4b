// AES-128 by Espruino's native `crypto` library (jswrap_crypto, mbedtls), in bulk calls. Past its traps: no
// padding is made or taken off; CBC over a bad length prints an ERROR line and gives undefined, ECB gives the
// wrong length; CTR, which ignores its IV, is not used. A view is taken element by element: give bytes, not
// words. Parts in an array are joined on the stack: no copy on the heap.
import type { Bytes } from "../../firmware/bytes";
import { CBC_DECRYPT, OUT_OF_MEMORY } from "../hal";

export const AES_CAN_DECRYPT = true;
export const AES_BULK = true;

/** Encrypt or decrypt whole blocks (Aes128 in hal.ts). */
export function aes(mode: number, key: Bytes, data: Joinable, iv?: Bytes): ArrayBuffer {
  const native = require("crypto").AES;
  const options = { iv: iv, mode: mode ? "CBC" : "ECB" };
  for (let tries = 2; tries--; ) {
    const result = native[mode < CBC_DECRYPT ? "encrypt" : "decrypt"](data, key, options);
    if (result) return result;
    E.defrag(); // the result wants one run of free variables
  }
  throw OUT_OF_MEMORY;
}
