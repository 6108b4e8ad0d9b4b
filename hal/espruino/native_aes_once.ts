// AES-128 by Espruino's native `crypto` library as native_aes.ts has it, but as one expression, which the build puts in the place of each call (profiles
// `small`): no function and no frame on the heap. Where memory is short it is not tried again: what it gives then, undefined, no native takes, and that is
// an Error.
import type { Bytes } from "../../firmware/bytes";
import { CBC_DECRYPT } from "../hal";

export const AES_CAN_DECRYPT = true;
export const AES_BULK = true;

/** Encrypt or decrypt whole blocks (Aes128 in hal.ts). */
export function aes(mode: number, key: Bytes, data: Joinable, iv?: Bytes): ArrayBuffer {
  return require("crypto").AES[mode < CBC_DECRYPT ? "encrypt" : "decrypt"](data, key, {
    iv: iv,
    mode: mode ? "CBC" : "ECB",
  }) as ArrayBuffer;
}
